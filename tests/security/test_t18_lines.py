"""T18 and F11: lines are short, shared out and tell at once when they are full; whoever floods the
server waits behind everybody else. T17: who asks is known by more than an address."""

import ast
import asyncio
import os
import threading
import time
from collections import Counter
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.security.serving import Site, served
from workbench.errors import BusyError
from workbench.runs import owners
from workbench.runs.folder import find_run
from workbench.runs.owners import Visitor
from workbench.ui import traffic, workspace, write_actions
from workbench.ui.calls import Refused
from workbench.ui.traffic import Traffic
from workbench.ui.waiting_line import MODELS, WORK, WORK_OF_ADDRESS, Line

UI = Path(__file__).parents[2] / "workbench" / "ui"


def played(play: Coroutine[Any, Any, None]) -> None:
    """Run to its end in a thread: a browser test beside it may have a loop in this one."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, play).result()


# Every question is in line ----------------------------------------------------------------------


def asking_functions() -> Iterator[tuple[str, bool]]:
    """Functions of the page that ask a model or the Hub, and whether they, or those that they are
    in, are marked."""
    for path in sorted(UI.glob("*.py")):
        for name, marked in _asking(ast.parse(path.read_text()), False):
            yield f"{path.name}: {name}", marked


def _asking(inside: ast.AST, marked: bool) -> Iterator[tuple[str, bool]]:
    for node in ast.iter_child_nodes(inside):
        if not isinstance(node, ast.FunctionDef):
            yield from _asking(node, marked)
            continue
        here = marked or any("in_line" in ast.unparse(mark) for mark in node.decorator_list)
        called = {ast.unparse(n.func) for n in ast.walk(node) if isinstance(n, ast.Call)}
        if called & {"jobs.consult", "fetch_adapter", "push", "keep"}:
            yield node.name, here
        yield from _asking(node, here)


def test_f11_whoever_asks_a_model_or_the_hub_waits_in_line() -> None:
    found = dict(asking_functions())
    assert len(found) >= 8
    assert all(found.values()), [name for name, marked in found.items() if not marked]


# One line ---------------------------------------------------------------------------------------


def at_work(line: Any) -> dict[str, int]:
    """Places by address."""
    return Counter(waiter.who[0] for waiter in line.turns.at_work)


async def entering(line: Line, who: Visitor) -> None:
    with owners.visited_by(who):
        await line.enter()


def visitor(address: str, name: str = "") -> Visitor:
    return Visitor(address, (name or address,))


def test_f11_a_full_line_says_so_at_once_and_how_many_wait() -> None:
    async def play() -> None:
        line = Line(MODELS)
        tasks = [asyncio.create_task(entering(line, visitor(f"10.0.0.{n}"))) for n in range(9)]
        await asyncio.sleep(0)
        with pytest.raises(BusyError, match="9 questions wait before yours"):
            await asyncio.wait_for(entering(line, visitor("10.0.1.1")), 30)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    played(play())


def test_f11_a_visitor_has_a_share_and_an_address_as_well() -> None:
    async def play() -> None:
        line = Line(MODELS)
        tasks = [asyncio.create_task(entering(line, visitor("a", "anna"))) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(BusyError, match="2 questions of yours"):
            await asyncio.wait_for(entering(line, visitor("a", "anna")), 30)
        tasks += [asyncio.create_task(entering(line, visitor("a", f"token {n}"))) for n in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(BusyError, match="4 questions of yours"):
            await asyncio.wait_for(entering(line, visitor("a", "one more token")), 30)
        with pytest.raises(BusyError):
            await asyncio.wait_for(entering(line, visitor("b", "anna")), 30)
        tasks.append(asyncio.create_task(entering(line, visitor("b", "bert"))))
        await asyncio.sleep(0)
        assert len(line.turns.at_work) == 1 and len(line.turns.waiting) == 4
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    played(play())


def test_f11_turns_go_round_and_whoever_leaves_gives_up_the_place() -> None:
    order: list[str] = []

    async def ask(line: Line, who: Visitor) -> None:
        with owners.visited_by(who):
            await line.enter()
            order.append(who.marks[0])
            await asyncio.sleep(0)
            line.leave()

    async def play() -> None:
        line = Line(MODELS)
        with owners.visited_by(visitor("z")):
            await line.enter()
        asked = [("a", "a1"), ("a", "a1"), ("a", "a2"), ("b", "b1"), ("c", "c1")]
        tasks = [asyncio.create_task(ask(line, visitor(*who))) for who in asked]
        gone = asyncio.create_task(ask(line, visitor("d")))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        with owners.visited_by(visitor("z")):
            line.leave()
        await asyncio.gather(*tasks)
        assert not line.turns.at_work and not line.turns.waiting

    played(play())
    assert order == ["a1", "b1", "c1", "a2", "a1"]


def test_t18_work_of_one_address_leaves_places_to_others() -> None:
    """However much has been let into the queue: the rest of it waits without a word."""

    async def play() -> None:
        line = Line(WORK)
        tasks = [asyncio.create_task(entering(line, visitor("a", f"a{n}"))) for n in range(60)]
        tasks.append(asyncio.create_task(entering(line, visitor("b"))))
        await asyncio.sleep(0)
        assert at_work(line) == {"a": WORK_OF_ADDRESS, "b": 1}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    played(play())


# Light calls ------------------------------------------------------------------------------------


def light_order(calls: list[tuple[str, str]], known: set[str]) -> list[str]:
    """In which order light calls (address, session) are served, one at a time."""
    served_: list[str] = []

    async def play() -> None:
        light = traffic._Light()
        for session in known:
            light._rate[session] = (time.monotonic() - 5, time.monotonic(), 20.0)

        async def call(address: str, session: str) -> None:
            async with light.turn(address, session):
                served_.append(session)
                await asyncio.sleep(0)

        tasks = [asyncio.create_task(call(*who)) for who in calls]
        await asyncio.gather(*tasks)
        assert not light.turns.at_work and not light._of_session

    played(play())
    return served_


def test_t18_light_turns_go_round_between_addresses_then_sessions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(traffic, "LIGHT_AT_ONCE", 1)
    calls = [("x", "x1")] * 3 + [("x", "x2")] * 2 + [("y", "y1")] * 2
    order = light_order(calls, {"x1", "x2", "y1"})
    assert order == ["x1", "y1", "x2", "y1", "x1", "x2", "x1"]


def test_t18_who_was_here_before_comes_before_a_flood_of_new_sessions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(traffic, "LIGHT_AT_ONCE", 1)
    flood = [("x", f"new {n}") for n in range(100)]
    order = light_order([*flood, ("x", "page")], {"page"})
    assert order.index("page") <= 1 and len(order) == 101


def test_t18_an_address_has_so_many_new_sessions_and_never_all_places() -> None:
    async def play() -> None:
        light = traffic._Light()
        for n in range(10):
            light._rate[f"page {n}"] = (time.monotonic() - 5, time.monotonic(), 20.0)
        places = [light.turn("a", f"page {n}") for n in range(10)]
        tasks = [asyncio.create_task(place.__aenter__()) for place in places]
        await asyncio.sleep(0)
        assert at_work(light) == {"a": traffic.LIGHT_OF_ADDRESS}
        async with asyncio.timeout(10), light.turn("b", "page 0"):
            pass
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def flood() -> None:
        light = traffic._Light()
        light._sessions = traffic._Allowance(1e-6, 5.0)
        for n in range(5):
            async with light.turn("a", f"new {n}"):
                assert at_work(light) == {"a": 1}
        with pytest.raises(Refused) as refused:
            await light.turn("a", "one more").__aenter__()
        assert refused.value.status == 429
        for address, session in (("a", "new 0"), ("b", "one more")):
            async with light.turn(address, session):
                pass

    played(play())
    played(flood())


def test_t18_a_session_that_asks_all_the_time_is_no_page_and_is_answered_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(traffic.time, "monotonic", lambda: 1000.0)
    light = traffic._Light()
    light._rate["page"] = (900.0, 1000.0, 20.0)
    paces = [light._pace("page") for _ in range(100)]
    assert [steady for steady, _ in paces] == [True] * 19 + [False] * 81
    seconds = [seconds for _, seconds in paces]
    assert not any(seconds[:20]) and seconds[27] == 1.0 and seconds[-1] > 4.0
    light._rate |= {"young": (999.5, 1000.0, 20.0), "older": (998.5, 1000.0, 20.0)}
    assert [light._pace(session)[0] for session in ("young", "older")] == [False, True]


def test_t18_so_many_sessions_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic, "_SESSIONS", 2)
    light = traffic._Light()
    for session in "abca":
        light._pace(session)
    assert list(light._rate) == ["c", "a"]


def test_t18_a_session_has_so_many_light_calls() -> None:
    async def play() -> None:
        light = traffic._Light()
        places = [light.turn("a", "s") for _ in range(traffic.LIGHT_OF_SESSION + 1)]
        tasks = [asyncio.create_task(place.__aenter__()) for place in places[:-1]]
        await asyncio.sleep(0)
        with pytest.raises(Refused) as refused:
            await places[-1].__aenter__()
        assert refused.value.status == 429
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    played(play())


# The queue --------------------------------------------------------------------------------------


def no_queue() -> Any:
    queue = SimpleNamespace(
        event_ids_to_events={}, pending_event_ids_session={}, pending_messages_per_session={}
    )
    return SimpleNamespace(_queue=queue)


def refused_after(admit: Any, most: int = 1000) -> int:
    """How many calls are let in before one is refused."""
    for count in range(most):
        try:
            admit(count)
        except Refused:
            return count
    return most


def test_t18_the_queue_is_shared_out() -> None:
    flow = Traffic(no_queue())
    assert refused_after(lambda n: flow.admit("a", "one", 10)) == traffic.JOINED_OF_SESSION
    rest = traffic.JOINED_OF_ADDRESS - traffic.JOINED_OF_SESSION
    assert refused_after(lambda n: flow.admit("a", f"s{n}", 10)) == rest
    rest = traffic.JOINED - traffic.JOINED_OF_ADDRESS
    assert refused_after(lambda n: flow.admit(f"b{n}", f"b{n}", 10)) == rest


def test_t18_what_waits_in_the_queue_is_counted_in_bytes() -> None:
    flow = Traffic(no_queue())
    size = 1024**2
    assert refused_after(lambda n: flow.admit("a", "one", size)) == 4
    assert refused_after(lambda n: flow.admit("a", f"s{n}", size)) == 4


def test_t18_answers_that_nobody_fetches_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    page = no_queue()
    flow = Traffic(page)
    flow.admit("a", "gone", 10)
    page._queue.pending_messages_per_session["gone"] = object()
    page._queue.pending_event_ids_session["gone"] = {"answered"}
    flow._tidy()
    assert "gone" in page._queue.pending_messages_per_session
    monkeypatch.setattr(traffic, "_FORGOTTEN_SECONDS", -1.0)
    with flow.stream("a", "gone"):
        flow._tidy()
    assert "gone" in page._queue.pending_messages_per_session  # somebody listened
    flow._tidy()
    assert not page._queue.pending_messages_per_session and not flow._seen


def test_t18_bodies_are_held_within_a_bound() -> None:
    """Of one address a quarter; what is only announced keeps nobody out."""
    flow, size = Traffic(no_queue()), 2 * 1024**2
    held = [flow.held(f"10.0.0.{n // 4}") for n in range(17)]
    grown = [body.__enter__() for body in held]
    for grow in grown[:4]:
        grow(size)
    with flow.held("10.0.0.0") as grow, pytest.raises(Refused, match="too much to read"):
        grow(1)
    for grow in grown[4:16]:
        grow(size)
    with pytest.raises(Refused, match="too much to read"):
        grown[16](1)
    for body in held:
        body.__exit__(None, None, None)
    with flow.held("10.0.0.0") as grow:
        grow(size)
    assert not flow._held


def test_t18_pages_and_logins_of_an_address_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    flow, now = Traffic(no_queue()), [1000.0]
    monkeypatch.setattr(traffic.time, "monotonic", lambda: now[0])
    assert refused_after(lambda n: flow.require_load("a", 10)) == 40
    assert refused_after(lambda n: flow.require_login("a")) == 10
    flow.require_load("b", 10)
    flow.require_login("b")
    now[0] += 10.0
    assert refused_after(lambda n: flow.require_load("a", 10)) == 4
    assert refused_after(lambda n: flow.require_login("a")) == 1


def test_t18_whoever_is_refused_again_and_again_is_told_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else refusals alone keep the server busy; at last an address is not even read."""
    monkeypatch.setattr(traffic, "REFUSALS", (1.0, 3.0))

    async def play() -> None:
        flow = Traffic(no_queue())
        for _ in range(3):
            await asyncio.wait_for(flow.hold_back("a"), 10)
        assert not flow._held_back
        late = [asyncio.create_task(flow.hold_back("a")) for _ in range(traffic.REFUSALS_HELD + 9)]
        await asyncio.sleep(0)
        assert flow._held_back["a"] == traffic.REFUSALS_HELD
        with pytest.raises(Refused):
            flow.require_patience("a")
        flow.require_patience("b")
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        flow.require_patience("a")

    played(play())


# All of it together -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with served(tmp_path_factory.mktemp("served"), WORKBENCH_SHARED="1") as site:
        yield site


def test_f11_questions_hold_no_web_thread_and_a_share_is_kept(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three ask for one visitor: one is answered, one waits, one is told at once; the page goes on
    answering meanwhile."""
    gate, asked = threading.Event(), []

    def slow(folder: Path, question: str, arguments: dict[str, Any]) -> dict[str, Any]:
        asked.append(threading.current_thread().name)
        gate.wait(120)
        return {"points": []}

    monkeypatch.setattr(write_actions.jobs, "consult", slow)
    caller = site.visitor("asker")
    run_id = caller.call("load_example", "", "a" * 32)[0][0]
    results: list[list[str]] = []
    threads = []
    for n in range(3):
        one = site.visitor(f"asker{n}", **{"X-Workbench-Owner": "a" * 32})
        threads.append(
            threading.Thread(target=lambda c=one: results.append(c.call("draw_map", run_id)[1]))
        )
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    while len(results) < 1 and time.monotonic() - begun < 60:
        time.sleep(0.02)
    assert len(results) == 1 and "of yours" in results[0][0]
    for _ in range(5):
        assert caller.direct("tick", run_id, "transfer", "").status_code == 200
    assert time.monotonic() - begun < 100, "the page waited with them"
    gate.set()
    for thread in threads:
        thread.join()
    assert len(asked) == 2 and all(name.startswith("line-models") for name in asked)


def test_t17_a_run_of_somebody_else_is_like_one_that_is_not_there(site: Site) -> None:
    """Every function of the page, asked for another's run and for none: equal answers."""
    anna = site.visitor("anna", **{"X-Workbench-Owner": "a" * 32})
    run_id = anna.call("load_example", "", "a" * 32)[0][0]
    name = find_run(Path(os.environ["WORKBENCH_RUNS"]), run_id).name
    assert name in anna.direct("tick", run_id, "transfer", "").text
    bert = site.visitor("bert", **{"X-Workbench-Owner": "b" * 32})
    nobody = "f" * 32
    light = 0
    for function, number in site.numbers.items():
        event = site.page.fns[number]
        if event.fn is None or event.queue or not event.inputs:
            continue
        rest = [box.value for box in event.inputs[1:]]
        theirs = bert.direct(function, run_id, *rest)
        none = bert.direct(function, nobody, *rest)
        assert theirs.status_code == none.status_code, function
        assert name not in theirs.text, function
        texts = [answer.json().get("data") for answer in (theirs, none)]
        assert str(texts[0]).replace(run_id, nobody) == str(texts[1]), function
        light += 1
    assert light > 10
    for function in ("work", "draw_map", "_pause", "_continue"):
        if function in site.numbers:
            theirs = bert.call(function, run_id)
            assert theirs == bert.call(function, nobody)
            assert "no such run" in theirs[1][0]
    # What is saved under another's id begins a run of one's own, as under none.
    with owners.visited_by(Visitor("10.0.0.1", (owners.mark("b" * 32),))):
        made = {workspace.find_or_create(wanted).id for wanted in (run_id, nobody)}
    assert len({*made, run_id, nobody}) == 4


def test_t18_a_session_holds_nothing_of_what_is_in_the_boxes(site: Site) -> None:
    """Else whoever fills boxes in one session after the other fills the server's memory."""
    caller = site.visitor("filler", **{"X-Workbench-Owner": "d" * 32})
    text = "a canary of many letters " * 1000
    assert caller.direct("tick", "", "transfer", text).status_code == 200
    caller.call("add_pasted", "", text)
    session = site.page.state_holder.session_data["filler"]
    assert not session.config_values and "canary" not in repr(list(session.components))
    assert "canary" not in repr(session.state_data)


def runs_of(site: Site) -> Iterator[Path]:
    """Folders of all runs of a server."""
    return Path(os.environ["WORKBENCH_RUNS"]).glob("*/run.db")


def table() -> dict[str, Any]:
    return {"headers": ["input", "output"], "data": [["one", "2"]], "metadata": None}


def test_t17_a_session_without_any_token_keeps_its_own(site: Site) -> None:
    caller = site.visitor("tokenless")
    before = set(runs_of(site))
    table = {"headers": ["input", "output"], "data": [["one", "2"]], "metadata": None}
    caller.call("take_seed_table", "", table)
    (made,) = set(runs_of(site)) - before
    run = find_run(made.parents[1], made.parent.name)
    assert run.name in caller.direct("tick", run.id, "transfer", "").text
    assert run.name not in site.visitor("tokenless2").direct("tick", run.id, "transfer", "").text
