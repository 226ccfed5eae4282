import json
from pathlib import Path

import pytest

from tests.bench.data import write_data
from workbench.bench.tasks import (
    CLINC_ALL,
    CLINC_TWO,
    CODES,
    SNIPS_INTENT,
    SNIPS_JSON,
    Sizes,
    Task,
    all_tasks,
    choose_tasks,
    row_ids,
    seen_in_test,
    split,
    spread,
)
from workbench.errors import IntakeError
from workbench.samples import Example

NAMES = [
    SNIPS_INTENT,
    SNIPS_JSON,
    CLINC_TWO,
    CLINC_TWO + CODES,
    CLINC_ALL,
    CLINC_ALL + CODES,
    "bbh-navigate",
    "bbh-object_counting",
]
SEEDS = (0, 1, 2)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data"))


def task_of(data: Path, name: str) -> Task:
    return choose_tasks(data, [name])[0]


def test_tasks_follow_the_folder(data: Path) -> None:
    assert [task.name for task in all_tasks(data)] == NAMES
    metrics = {task.name: task.metric for task in all_tasks(data)}
    assert metrics[SNIPS_JSON] == "json"
    assert metrics["bbh-object_counting"] == "number"
    assert metrics["bbh-navigate"] == metrics[CLINC_TWO] == "exact"


@pytest.mark.parametrize("name", NAMES)
def test_no_test_row_is_a_training_row_of_any_seed(data: Path, name: str) -> None:
    """Eight SNIPS test requests are in the published training file as well, in other case."""
    splits = [split(task_of(data, name), data, seed) for seed in SEEDS]
    test = {row for one in splits for row in row_ids(one.test)}
    validation = {row for one in splits for row in row_ids(one.validation)}
    train = {row for one in splits for row in row_ids(one.train)}
    assert train and validation and test
    assert not test & train and not test & validation and not validation & train
    for one in splits:
        assert set(row_ids(one.seeds)) <= set(row_ids(one.train))
        assert len(set(row_ids(one.train))) == len(one.train)


def test_the_row_in_both_files_is_a_test_row(data: Path) -> None:
    one = split(task_of(data, SNIPS_INTENT), data, 0)
    both = row_ids([Example("play song number 0")])[0]
    assert both in row_ids(one.test)
    assert len(one.test) == 20 and len(one.train) + len(one.validation) == 100


@pytest.mark.parametrize("name", NAMES)
def test_splits_repeat_and_seeds_draw_differently(data: Path, name: str) -> None:
    task, sizes = task_of(data, name), Sizes(train_rows=20, test_rows=8)
    first, again, other = (split(task, data, seed, sizes) for seed in (0, 0, 1))
    assert first == again
    assert first.train != other.train and first.seeds != other.seeds


def test_a_split_is_the_same_on_every_machine(data: Path) -> None:
    """Pinned: results of two machines are compared row by row."""
    one = split(task_of(data, "bbh-navigate"), data, 0, Sizes(test_rows=3, seed_examples=2))
    assert [row.input for row in one.test] == ["take 101 steps", "take 81 steps", "take 109 steps"]


def test_order_of_the_file_does_not_matter(data: Path, tmp_path: Path) -> None:
    lines = (data / "bbh" / "navigate.jsonl").read_text().splitlines(keepends=True)
    path = tmp_path / "bbh" / "navigate.jsonl"
    path.parent.mkdir()
    path.write_text("".join(reversed(lines)))
    task = task_of(data, "bbh-navigate")
    assert split(task, tmp_path, 3) == split(task, data, 3)


def test_bbh_leaves_half_to_train_on(data: Path) -> None:
    one = split(task_of(data, "bbh-navigate"), data, 0)
    assert (len(one.train), len(one.validation), len(one.test)) == (125, 25, 100)


def test_two_domains_only(data: Path) -> None:
    one = split(task_of(data, CLINC_TWO), data, 0)
    assert {row.output.split()[0] for row in one.train + one.test if row.output} == {
        "banking",
        "travel",
    }
    assert len({row.output for row in split(task_of(data, CLINC_ALL), data, 0).test}) == 8


def test_json_answers_are_json(data: Path) -> None:
    for row in split(task_of(data, SNIPS_JSON), data, 0).train:
        assert set(json.loads(row.output or "")) == {"intent", "track"}


def test_sizes_bound_the_split(data: Path) -> None:
    sizes = Sizes(train_rows=12, validation_rows=5, test_rows=7, seed_examples=5)
    one = split(task_of(data, CLINC_ALL), data, 0, sizes)
    assert [len(rows) for rows in (one.train, one.validation, one.test, one.seeds)] == [12, 5, 7, 5]


def test_never_more_than_fifteen_seeds() -> None:
    with pytest.raises(IntakeError, match="1 to 15, not 16"):
        Sizes(seed_examples=16)


def test_seeds_show_every_answer_once_before_any_twice() -> None:
    rows = [Example(str(i), answer) for i, answer in enumerate("aaabacb")]
    assert [row.output for row in spread(rows, 5)] == ["a", "b", "c", "a", "b"]


def test_test_rows_met_in_synthesis_are_counted() -> None:
    test = [Example("Pay my bill"), Example("Freeze it")]
    assert seen_in_test(["pay  MY bill", "pay my bills"], test) == 1


def test_sentences_for_wrong_folders_names_and_rows(data: Path, tmp_path: Path) -> None:
    with pytest.raises(IntakeError, match="none of the folders"):
        all_tasks(tmp_path)
    with pytest.raises(IntakeError, match=r'"bbh-chess" is unknown\. Choose from: snips-intent'):
        choose_tasks(data, ["bbh-chess"])
    with pytest.raises(IntakeError, match=r"navigate\.jsonl cannot be read"):
        split(task_of(data, "bbh-navigate"), tmp_path, 0)
    (tmp_path / "bbh").mkdir()
    (tmp_path / "bbh" / "navigate.jsonl").write_text('{"input": "a", "output": "b"}\n[1]\n')
    with pytest.raises(IntakeError, match='line 2: no object with "output"'):
        split(task_of(data, "bbh-navigate"), tmp_path, 0)
