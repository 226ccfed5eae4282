"""T17 and T18: on a server that strangers share, nobody is shown another's runs, and one visitor
cannot fill the queue or the disk. On a laptop nothing is limited."""

import dataclasses
import re
import shutil
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from gradio.context import LocalContext

from tests.jobs.conftest import root, run_with, wait_until  # noqa: F401  fixtures
from tests.ui import fake_run
from workbench import jobs
from workbench.errors import BusyError, RunError
from workbench.events import StageFinished
from workbench.limits import LIMITS
from workbench.models import hub_access
from workbench.runs import lease, owners, quota
from workbench.runs.folder import Run, find_run
from workbench.stages import Stage
from workbench.ui import runs_tab, saves, transfer_actions, visitors, workspace
from workbench.ui.page import build_page

ANNA, BERT = "a" * 32, "b" * 32


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACE_ID", "anna/workbench")


@pytest.fixture
def draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("WORKBENCH_RUNS", str(tmp_path))
    return fake_run.draft(tmp_path)


def shown(token: str) -> list[str]:
    """The ids that the Runs tab lists for a browser."""
    return runs_tab._list("", token)[1]


@pytest.mark.usefixtures("shared")
def test_t17_a_visitor_is_shown_own_runs_only(draft: Run) -> None:
    assert shown(ANNA) == []
    runs_tab._claim(draft.id, ANNA)
    runs_tab._claim(draft.id, BERT)  # with the address, later
    assert shown(ANNA) == [draft.id] and shown(BERT) == []
    for nobody in ("", "x", "A" * 32, owners.mark(ANNA)):
        assert shown(nobody) == []


@pytest.mark.usefixtures("shared")
def test_t17_tokens_are_kept_as_hashes(draft: Run) -> None:
    runs_tab._claim(draft.id, ANNA)
    draft.database.close()
    for path in draft.folder.rglob("*"):
        assert not path.is_file() or ANNA.encode() not in path.read_bytes()
    runs_tab._claim("0" * 32, ANNA)  # a wrong address is no error here


def test_t17_addresses_cannot_be_guessed(draft: Run) -> None:
    assert re.fullmatch("[0-9a-f]{32}", draft.id)
    for guess in (draft.id[:-1], draft.id.upper(), "*", "", f"{draft.id}/", "?" * 32):
        with pytest.raises(RunError, match="no such run"):
            find_run(workspace.runs_root(), guess)


def test_a_laptop_lists_everything(draft: Run) -> None:
    assert shown("") == [draft.id]


def started(run: Run, token: str) -> str:
    """Starts an owner's run: "started", or why not."""
    owners.claim(run, token)
    try:
        jobs.start(run)
    except BusyError as error:
        return error.message
    return "started"


@pytest.mark.usefixtures("shared")
def test_t18_a_visitor_has_two_runs_at_work(run_with) -> None:  # noqa: F811
    runs = [run_with(gated=0) for _ in range(5)]
    with ThreadPoolExecutor(4) as pool:  # at once, as a script would
        answers = list(pool.map(lambda run: started(run, ANNA), runs[:4]))
    assert answers.count("started") == owners.WORKING_LIMIT
    assert sum("one visitor" in answer for answer in answers) == 2
    assert started(runs[4], BERT) == "started"
    first, refused = (
        runs[next(i for i, answer in enumerate(answers) if (answer == "started") == wanted)]
        for wanted in (True, False)
    )
    jobs.stop(first)
    wait_until(lambda: lease.holder(first.folder) is None)
    assert started(refused, ANNA) == "started"


@pytest.mark.usefixtures("shared")
def test_t18_runs_of_nobody_count_together(run_with) -> None:  # noqa: F811
    answers = [started(run_with(gated=0), "") for _ in range(3)]
    assert answers[:2] == ["started"] * 2 and "one visitor" in answers[2]


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Two drafts per visitor, in an empty folder of runs."""
    limits = dataclasses.replace(LIMITS, drafts=2)
    monkeypatch.setattr(quota, "LIMITS", limits)
    monkeypatch.setenv("WORKBENCH_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


def seeded(token: str) -> str:
    """A draft that a visitor begins by typing a seed; returns its id."""
    return transfer_actions.take_seed_table("", [["how are you", ""]], "", "", token)[0]


@pytest.mark.usefixtures("shared")
def test_t18_a_visitor_has_so_many_drafts(few: Path) -> None:
    first, _ = seeded(ANNA), seeded(ANNA)
    with pytest.raises(BusyError, match="2 of your runs were never started"):
        seeded(ANNA)
    with pytest.raises(BusyError, match="never started"):
        runs_tab._duplicate(first, ANNA)
    drawn = saves.drawn_for(first, {"seeds": [["how are you", ""]]})
    table = [["and you", ""]]
    assert transfer_actions.take_seed_table(first, table, drawn, "", ANNA)[0] == first
    assert len({seeded(BERT), seeded(BERT), seeded(""), seeded("")}) == 4
    with pytest.raises(BusyError):
        seeded("no token")  # nobody's runs count together
    begun = find_run(few, first)
    begun.finish_stage(Stage.SYNTHESIZE, StageFinished(Stage.SYNTHESIZE, 1.0))
    seeded(ANNA)  # a run that was started is no draft
    assert set(shown(ANNA)) >= {first} and len(shown(ANNA)) == 3
    find_run(few, shown(ANNA)[0]).delete()
    seeded(ANNA)


@pytest.mark.usefixtures("shared")
def test_t18_drafts_are_counted_when_asked_for_at_once(few: Path) -> None:
    def ask(_: int) -> bool:
        try:
            return bool(seeded(ANNA))
        except BusyError:
            return False

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(ask, range(8))) == 2


@pytest.mark.usefixtures("shared")
def test_t18_a_visitor_keeps_so_much(
    few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = [str(path) for path in fake_run.write_adapter(tmp_path / "adapter", 16).iterdir()]
    size = (tmp_path / "adapter" / "adapter_model.safetensors").stat().st_size
    first = transfer_actions.take_files("", adapter, ANNA)
    # Everything of a run counts, its database as well.
    held = quota.bytes_in(few / first)
    assert held > size + (few / first / "run.db").stat().st_size
    limits = dataclasses.replace(LIMITS, owner_bytes=held + size // 2)
    monkeypatch.setattr(quota, "LIMITS", limits)
    for run_id in ("", first):
        with pytest.raises(BusyError, match="this would add"):
            transfer_actions.take_files(run_id, adapter, ANNA)
    with pytest.raises(BusyError, match="for one visitor"):
        runs_tab._duplicate(first, ANNA)
    assert len(list(few.glob("*/run.db"))) == 1  # what is refused leaves nothing behind
    transfer_actions.take_files("", adapter, BERT)
    find_run(few, first).delete()
    transfer_actions.take_files("", adapter, ANNA)


@pytest.mark.usefixtures("shared")
def test_t18_the_disk_of_a_shared_server_is_kept_from_filling_up(
    few: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(few.parent)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=2**30))
    with pytest.raises(RunError, match="is full"):
        seeded(ANNA)


def test_t18_a_laptop_keeps_any_number_of_drafts(few: Path) -> None:
    assert len({seeded(ANNA) for _ in range(4)}) == 4


def test_t18_a_laptop_has_no_such_limit(run_with) -> None:  # noqa: F811
    assert [started(run_with(gated=0), ANNA) for _ in range(3)] == ["started"] * 3


def test_t18_copies_of_uploads_go_sooner_on_a_shared_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert build_page().delete_cache == (600, 86_400)
    monkeypatch.setenv("WORKBENCH_SHARED", "1")
    assert build_page().delete_cache == (600, 3600)


def test_the_key_of_addresses_is_made_anew_when_it_is_damaged(tmp_path: Path) -> None:
    key = tmp_path / ".queue" / "address.key"
    with owners.visited_by(owners.Visitor("1.2.3.4", ())):
        mark = owners.address_mark(tmp_path)
        assert mark == owners.address_mark(tmp_path) and len(mark) == 32
        for damage in (b"", b"x"):
            key.write_bytes(damage)
            new = owners.address_mark(tmp_path)
            assert new == owners.address_mark(tmp_path) != mark
    with owners.visited_by(owners.Visitor("", ())):
        assert owners.address_mark(tmp_path) == ""
    assert (key.parent.stat().st_mode | key.stat().st_mode) & 0o077 == 0  # nobody else's to read


def test_tokens_are_remembered_of_the_sessions_that_were_here_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(visitors, "_SESSIONS", 2)
    monkeypatch.setattr(visitors, "_TOKENS", 2)
    monkeypatch.setattr(visitors, "_shown", OrderedDict())
    for session, token in (("a", ANNA), ("b", BERT), ("c", ANNA)):
        assert visitors._tokens(session, ("no token", 3, token)) == [token]
    assert visitors._tokens("c", (BERT,)) == [BERT, ANNA]
    assert visitors._tokens("c", ("c" * 32,)) == ["c" * 32, BERT]
    assert visitors._tokens("b", ()) == [BERT]
    assert visitors._tokens("a", ()) == []
    assert visitors._tokens("", (ANNA,)) == [ANNA] and visitors._tokens("", ()) == []


@pytest.mark.parametrize("is_shared", [True, False])
def test_with_whose_login_a_handler_asks_the_hub(
    is_shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SPACE_ID", raising=False)
    monkeypatch.setenv("WORKBENCH_SHARED", "1" if is_shared else "")
    login = {"access_token": "t", "expires_at": time.time() + 99,
             "userinfo": {"preferred_username": "anna"}}  # fmt: skip
    inner = SimpleNamespace(scope={"session": {"oauth_info": login}})
    request = SimpleNamespace(headers={}, session_hash="s", client=None, request=inner)
    former = LocalContext.request.set(request)  # type: ignore[arg-type]
    try:
        access = visitors.known(hub_access.current)()
    finally:
        LocalContext.request.reset(former)
    assert access.own is not is_shared
    assert access.tokens() == ([False, "t"] if is_shared else [None])
