"""Checkers say what passes; whatever they are given, they end, read and fetch nothing else."""

import json
import os
import sqlite3
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.intake import builders
from tests.test_pipeline import ROWS, MakeRun, finish, make_run  # noqa: F401  a fixture
from workbench import jobs
from workbench.errors import RecipeError
from workbench.evaluate import checkers
from workbench.evaluate.checkers import Checker, require_usable
from workbench.export.bundle import public_recipe
from workbench.inputs import Inputs
from workbench.intake.adapter import read_adapter
from workbench.intake.kit import read_kit, write_kit
from workbench.pipeline import advance
from workbench.recipe import EvaluationSettings, TransferRecipe, override
from workbench.samples import Example
from workbench.steps import synthesis

PERSON = json.dumps(
    {
        "type": "object",
        "properties": {"age": {"$ref": "#/$defs/age"}, "name": {"type": "string"}},
        "required": ["name"],
        "additionalProperties": False,
        "$defs": {"age": {"type": "integer", "minimum": 0}},
    }
)


def settings(checker: str, **values: str) -> EvaluationSettings:
    return replace(EvaluationSettings(), metric="checker", checker=checker, **values)


def passing(given: EvaluationSettings, texts: list[str], expected: tuple[str, ...] = ()) -> str:
    with Checker(given) as checker:
        return "".join("+" if checker.passes(text, expected) else "-" for text in texts)


def test_json_follows_a_schema() -> None:
    texts = [
        '{"name": "Ann", "age": 3}',
        '{"name": "Ann", "age": -3}',
        '{"age": 3}',
        '{"name": "Ann", "more": 1}',
        '{"name": "Ann"} and so on',
        '{"name": "Ann", "name": "Bob"}',
        '{"name": "Ann", "age": NaN}',
        "[" * 100_000,
        "9" * 5000,
        "",
        "half a pair \ud83d",
        '{"name": "\\ud83d"}',
    ]
    assert passing(settings("schema", json_schema=PERSON), texts) == "+----------+"


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ("{", "json_schema cannot be used"),
        ("[1]", "a JSON schema is an object"),
        ('{"type": "nothing"}', "json_schema cannot be used"),
        ('{"$ref": "http://127.0.0.1:9/s.json"}', "points outside of the schema"),
        ('{"items": [{"$ref": "file:///etc/passwd"}]}', "points outside of the schema"),
    ],
)
def test_a_schema_that_is_none_or_fetches_is_refused(schema: str, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        require_usable(settings("schema", json_schema=schema))


def test_a_pattern_matches_whole_answers() -> None:
    texts = ["C123", "C123 ", "xC123", "c123", "C12"]
    assert passing(settings("pattern", pattern=r"C\d{3}"), texts) == "+----"
    with pytest.raises(RecipeError, match=r"evaluation\.pattern cannot be used"):
        require_usable(settings("pattern", pattern="(unclosed"))


def test_an_answer_that_takes_too_long_does_not_pass_and_the_next_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checkers, "SECONDS", 0.5)
    started = time.monotonic()
    slow = "a" * 40 + "!"
    assert passing(settings("pattern", pattern="(a+)+"), ["aa", slow, "aaa"]) == "+-+"
    inside = json.dumps({"type": "string", "pattern": "^(a+)+$"})
    assert passing(settings("schema", json_schema=inside), [f'"{slow}"', '"aa"']) == "-+"
    assert time.monotonic() - started < 30


def test_sql_parses() -> None:
    texts = [
        "SELECT a, count(*) FROM t WHERE b = 'x' GROUP BY a",
        "WITH c AS (SELECT 1) SELECT * FROM c UNION SELECT 2",
        "INSERT INTO t VALUES (1)",
        "CREATE TABLE t (a int)",
        "SELECT FROM WHERE",
        "hello world",
        "SELECT 1; SELECT 2",
        "",
        "SELECT " + "(" * 20_000,
    ]
    assert passing(settings("sql"), texts) == "++++-----"
    assert passing(settings("sql", sql_dialect="mysql"), ["SELECT `a b` FROM t"]) == "+"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "shop 100%?#.db"
    made = sqlite3.connect(path)
    made.execute("CREATE TABLE t (name TEXT, n REAL)")
    made.executemany("INSERT INTO t VALUES (?, ?)", [("a", 1), ("b", 2.5), ("c", None)])
    made.commit()
    made.close()
    return path


def test_sql_gives_the_same_rows(database: Path) -> None:
    given = settings("rows", database=str(database))
    texts = [
        "SELECT name FROM t WHERE n > 0",
        "select NAME from T where n >= 1 order by n desc",
        "SELECT name, n FROM t WHERE n > 0",
        "SELECT name FROM t",
        "SELECT nothing FROM t",
        "no sql at all",
    ]
    assert passing(given, texts, ("SELECT name FROM t WHERE n IS NOT NULL",)) == "++----"
    ordered = ("SELECT name FROM t WHERE n > 0 ORDER BY n DESC",)
    assert passing(given, texts, ordered) == "-+----"
    inner = ("SELECT name FROM (SELECT * FROM t WHERE n > 0 ORDER BY n DESC)",)
    assert passing(given, texts, inner) == "++----"
    assert passing(given, texts) == "++++--"  # as a filter, it has to run
    assert passing(given, ["SELECT 0.1 + 0.2"], ("SELECT 0.3",)) == "+"


def test_a_query_reads_its_database_and_does_nothing_else(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkers, "SECONDS", 1.0)
    other = tmp_path / "other.db"
    before = database.read_bytes()
    texts = [
        f"ATTACH DATABASE '{other}' AS o",
        "INSERT INTO t VALUES ('d', 1)",
        "DROP TABLE t",
        "PRAGMA query_only = OFF",
        f"VACUUM INTO '{other}'",
        "SELECT load_extension('/tmp/x')",
        "SELECT 1; DROP TABLE t",
        "BEGIN EXCLUSIVE",
        "CREATE TEMP TABLE x AS SELECT * FROM t",
        "SELECT zeroblob(900000000)",
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c",
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT * FROM c",
    ]
    found = passing(settings("rows", database=str(database)), [*texts, "SELECT * FROM t"])
    assert found == "-" * len(texts) + "+"
    assert database.read_bytes() == before and not other.exists()
    assert [path.name for path in tmp_path.iterdir()] == [database.name]


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("not a database, but long enough to be one " * 100)
    for name in ("text.db", "missing.db"):
        with pytest.raises(RecipeError, match=r"evaluation\.database cannot be used"):
            require_usable(settings("rows", database=str(tmp_path / name)))
    assert not (tmp_path / "missing.db").exists()


def test_what_is_not_said_is_asked_for(monkeypatch: pytest.MonkeyPatch, database: Path) -> None:
    for checker, field in (("none", "checker"), ("schema", "json_schema"), ("pattern", "pattern")):
        with pytest.raises(RecipeError, match=rf"evaluation\.{field} is not set"):
            require_usable(settings(checker))
    monkeypatch.setenv("WORKBENCH_SHARED", "1")
    with pytest.raises(RecipeError, match="only on your own machine"):
        require_usable(settings("rows", database=str(database)))
    require_usable(settings("sql"))


def test_the_child_has_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with Checker(settings("sql")) as checker:
        assert checker._child is not None
        assert b"hf_secret" not in Path(f"/proc/{checker._child.pid}/environ").read_bytes()
        pid = checker._child.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_transfer_is_filtered_and_measured_by_its_checker(make_run: MakeRun) -> None:  # noqa: F811
    """Random weights answer anything: what passes is what the pattern says of the answers."""
    asked = {"evaluation__checker": "pattern", "evaluation__base_arms": False}
    run = make_run("all", evaluation=ROWS[:6], evaluation__metric="checker",
                   synthesis__filter="checker", evaluation__pattern=r"(?s).*", training__epochs=1,
                   **asked)  # fmt: skip
    result = finish(run)
    assert (result["metric"], result["measure"], result["filter"]) == (
        "checker", "accuracy", "checker",
    )  # fmt: skip
    assert result["arms"]["transferred"]["accuracy"] == 1.0
    samples = run.samples.kept()
    other = make_run("none", evaluation__pattern="never this", **asked)
    judged = synthesis._passing(other, [*samples, replace(samples[0], decided_by="person")])
    reason = "the answer does not pass the checker"
    assert [sample.reason for sample in judged] == [reason] * len(samples) + [""]


def test_a_checker_that_cannot_be_used_is_told_before_anything_is_loaded(
    make_run: MakeRun,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = make_run("bad", synthesis__filter="checker", evaluation__checker="pattern")
    with pytest.raises(RecipeError, match=r"evaluation\.pattern is not set"):
        next(advance(run))
    monkeypatch.setenv("WORKBENCH_SHARED", "1")
    run.change_recipe({"evaluation.checker": "rows", "evaluation.database": "shop.db"})
    for ask in (lambda: jobs.start(run), lambda: jobs.consult(run.folder, "preview")):
        with pytest.raises(RecipeError, match="only on your own machine"):
            ask()


def test_the_path_of_a_database_and_a_checker_stay_here(tmp_path: Path) -> None:
    recipe = override(TransferRecipe(), {"evaluation.database": "/home/ann/shop.db",
                                         "evaluation.metric": "checker"})  # fmt: skip
    assert public_recipe(recipe).evaluation.database == "shop.db"
    adapter = read_adapter(builders.adapter_folder(tmp_path / "a"), tmp_path)
    kit = write_kit(tmp_path / "kit.zip", Inputs(adapter, seeds=(Example("a", "b"),)), recipe)
    assert read_kit(kit, tmp_path / "read").metric == "auto"
