"""T19, T17, T6: which requests get past the gate, and what every answer carries."""

import contextlib
import json
import os
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import httpx
import orjson
import pytest

from tests.security.serving import Site, served
from workbench.limits import LIMITS
from workbench.ui import calls, gate, traffic, visitors
from workbench.ui.gate import Hosts, hosts_from_environment
from workbench.ui.page import launch_options


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with served(tmp_path_factory.mktemp("served")) as site:
        yield site


FOREIGN = ("http://evil.example", "null", "http://127.0.0.1.evil.example", "http://127.0.0.1:1")


@pytest.mark.parametrize("origin", FOREIGN)
def test_t19_another_sites_page_may_not_call_upload_or_read(site: Site, origin: str) -> None:
    caller = site.visitor("foreign", Origin=origin)
    asked = "/gradio_api/"
    answers = [
        caller.direct("tick", "", "transfer", ""),
        caller.join("load_example", "", ""),
        caller.upload("a.json", b"{}"),
        caller.http.post(f"{asked}cancel", json={}),
        caller.http.options(
            f"{asked}run/predict", headers={"Access-Control-Request-Method": "POST"}
        ),
    ]
    assert [answer.status_code for answer in answers] == [403] * 5
    for answer in [*answers, caller.http.get("/config")]:
        assert not [name for name in answer.headers if name.startswith("access-control-")]
    assert b"*" not in dict(gate._answered([(b"Access-Control-Allow-Origin", b"*")], "/")).values()


@pytest.mark.parametrize(
    "origins",
    [["http://evil.example", "{own}"], ["{own}", "http://evil.example"], ["{own}", "{own}"],
     ["http://[::1"], ["{own}@evil.example"]],
)  # fmt: skip
def test_t19_an_origin_that_is_none_or_two(site: Site, origins: list[str]) -> None:
    headers = [("Origin", origin.format(own=site.address)) for origin in origins]
    answer = httpx.post(f"{site.address}/gradio_api/reset", headers=headers, json={}, timeout=30)
    assert answer.status_code == (400 if len(origins) > 1 else 403)


def test_who_has_not_asked_hears_nothing(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    http = site.visitor("deaf").http
    for session in ("unknown", "%00", "a" * 100, ""):
        answer = http.get(f"/gradio_api/queue/data?session_hash={session}")
        assert answer.status_code == 404 and "Load it again" in answer.json()["detail"]
    assert caplog.text.count("unexpected") == 0


def test_t19_a_form_of_another_site_is_known_without_its_origin(site: Site) -> None:
    caller = site.visitor("form", **{"Sec-Fetch-Site": "cross-site"})
    assert caller.upload("a.json", b"{}").status_code == 403


def test_t19_the_page_itself_may(site: Site) -> None:
    own = site.visitor("own", Origin=site.address, **{"Sec-Fetch-Site": "same-origin"})
    assert own.direct("tick", "", "transfer", "").status_code == 200
    assert own.upload("a.json", b"{}").status_code == 200


def test_t19_gradio_is_told_to_be_strict_as_well() -> None:
    """The gate decides; should it ever be left out, Gradio's own rule is still there."""
    assert launch_options()["strict_cors"] is True


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "localhost.", "", "[", "10.0.0.9", "[::1", "[x]",
     "evil.example:80@127.0.0.1", "evil@localhost", "localhost:x", "localhost,evil.example"],
)  # fmt: skip
def test_t19_only_names_of_this_server_are_answered(site: Site, host: str) -> None:
    """A name that another site points here (DNS rebinding) is none of ours."""
    status = 200 if host == "localhost." else 421
    assert site.visitor("host").http.get("/config", headers={"Host": host}).status_code == status


def test_t19_names_come_from_what_the_server_is_bound_to(monkeypatch: pytest.MonkeyPatch) -> None:
    def allowed(**environment: str) -> Hosts:
        for name in ("HOST", "SPACE_ID", "SPACE_HOST", "WORKBENCH_HOSTS", "GRADIO_SERVER_NAME"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return hosts_from_environment()

    at_home = allowed()
    assert at_home.allow("localhost:7860") and at_home.allow("[::1]:7860")
    assert not at_home.allow("192.168.1.2:7860") and not at_home.allow("laptop.lan")
    assert allowed(HOST="192.168.1.2").allow("192.168.1.2:80")
    everywhere = allowed(HOST="0.0.0.0", WORKBENCH_HOSTS="bench.lan, other.lan")
    assert everywhere.allow("192.168.1.2") and everywhere.allow("bench.lan:80")
    assert not everywhere.allow("evil.example")
    space = allowed(SPACE_ID="a/b", SPACE_HOST="a-b.hf.space")
    assert space.allow("a-b.hf.space") and not space.allow("evil.example")


CLOSED = (
    "/gradio_api/deep_link?session_hash=x", "/gradio_api/proxy=http://127.0.0.1:1/",
    "/gradio_api/file=http://169.254.169.254/latest", "/monitoring", "/gradio_api/token",
    "/gradio_api/custom_component/1/server/component/x", "/gradio_api/runs",
    "/gradio_api/stream/x/1/1/playlist.m3u8", "/docs", "/openapi.json", "/gradio_api/openapi.json",
    "/gradio_api/vibe-code", "/gradio_api/dev/reload",
)  # fmt: skip
CLOSED_TO_POST = (
    "/gradio_api/component_server", "/gradio_api/process_recording", "/gradio_api/vibe-edit/",
    "/gradio_api/call/load_example", "/gradio_api/call/v2/load_example", "/gradio_api/run/tick",
    "/gradio_api/api/predict", "/gradio_api/stream/x", "/config",
)  # fmt: skip


def test_only_what_the_page_uses_is_open(site: Site) -> None:
    http = site.visitor("closed").http
    answers = {path: http.get(path).status_code for path in CLOSED}
    answers |= {path: http.post(path, json={}).status_code for path in CLOSED_TO_POST}
    assert set(answers.values()) == {404}, answers
    for path in ("/config", "/theme.css", "/gradio_api/queue/status"):
        assert http.get(path).status_code == 200


def test_every_answer_has_the_headers(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    caller = site.visitor("headers")
    path = caller.upload("a.html", b"<script>alert(1)</script>").json()[0]
    answers = [
        caller.http.get("/"), caller.http.get("/nothing"), caller.direct("tick", "", "", ""),
        caller.http.get(f"/gradio_api/file={path}"),
    ]  # fmt: skip
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'self'" in answer.headers["content-security-policy"]
        assert answer.headers["referrer-policy"] == "same-origin"
    assert "sandbox" in answers[3].headers["content-security-policy"]
    assert "sandbox" not in answers[0].headers["content-security-policy"]
    monkeypatch.setenv("SPACE_ID", "a/b")  # the Hub shows a Space inside of its own page
    policies = dict(gate._answered([], "/"))[b"content-security-policy"]
    assert b"https://huggingface.co" in policies


@pytest.mark.parametrize(
    ("peer", "forwarded", "space", "address"),
    [
        ("5.6.7.8", "", False, "5.6.7.8"),
        ("5.6.7.8", "9.9.9.9", False, "5.6.7.8"),
        ("9.9.9.9", "9.9.9.9", False, "127.0.0.1"),  # as uvicorn reports it
        ("10.0.0.1", "9.9.9.9", True, "9.9.9.9"),
        ("10.0.0.1", "1.1.1.1, 9.9.9.9, 10.1.2.3", True, "9.9.9.9"),
        ("10.0.0.1", "", True, "10.0.0.1"),
    ],
)
def test_t18_whose_address_counts(
    peer: str, forwarded: str, space: bool, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a client writes into the header itself never does."""
    if space:
        monkeypatch.setenv("SPACE_ID", "a/b")
    else:
        monkeypatch.delenv("SPACE_ID", raising=False)
    assert visitors.address_of(peer, {"x-forwarded-for": forwarded}) == address


SHAPES = (
    b"", b"[]", b"{", b"[" * 5000, b'{"fn_index": 99999, "session_hash": "x", "data": []}',
    b'{"fn_index": "0", "session_hash": "x", "data": []}',
    b'{"fn_index": 0, "session_hash": "../x", "data": []}', b"\xff\xfe",
)  # fmt: skip


@pytest.mark.parametrize("body", SHAPES)
def test_what_is_no_call_of_the_page_is_refused_in_a_sentence(site: Site, body: bytes) -> None:
    http = site.visitor("shapes").http
    for place in ("run/predict", "queue/join"):
        answer = http.post(f"/gradio_api/{place}", content=body)
        assert 400 <= answer.status_code < 500 and answer.json()["detail"].endswith(".")


# Of each kind of box what it never sends.
UNSENT = {
    gr.Textbox: ({"a": 1}, ["\x1b[2J"], True),
    gr.Number: ("9" * 400, [1], False), gr.Slider: ("high", {}, True, None, -1, 1e9),
    gr.Checkbox: ("yes", 1, [True]), gr.Radio: ({"path": None}, ["quick"], False),
    gr.Dropdown: ({"a": 1}, [[1]], True), gr.File: (" ", 7, {"name": "x"}, [None], ["x"]),
    gr.UploadButton: ("x", [1], {}), gr.Dataframe: ("x", [1], {"headers": ["a"]}, {"data": 1}),
}  # fmt: skip


def test_values_that_no_box_sends_are_refused(site: Site) -> None:
    """Else each is an error deep inside, with a traceback in the log."""
    caller = site.visitor("kinds")
    tried: set[type] = set()
    for name, number in site.numbers.items():
        event = site.page.fns[number]
        for at, box in enumerate(event.inputs if event.fn else []):
            for value in UNSENT.get(type(box), ()) if type(box) not in tried else ():
                values = [getattr(box, "value", None) for box in event.inputs]
                values[at] = value
                ask = caller.join if event.queue else caller.direct
                assert ask(name, *values).status_code == 400, (name, type(box), value)
                tried.add(type(box))
    assert tried == set(UNSENT)


def test_what_is_no_choice_of_a_list_is_refused(site: Site) -> None:
    """Gradio would raise, and leave a traceback in the log; lists filled later count too."""
    caller, tried = site.visitor("choices"), Counter[type]()
    for name, number in site.numbers.items():
        event = site.page.fns[number]
        for at, box in enumerate(event.inputs if event.fn else []):
            listed = isinstance(box, gr.Dropdown | gr.Radio)
            if listed and not getattr(box, "allow_custom_value", False) and tried[type(box)] < 4:
                values = [getattr(box, "value", None) for box in event.inputs]
                values[at] = "none of them"
                ask = caller.join if event.queue else caller.direct
                assert ask(name, *values).status_code == 400, (name, box.label)
                tried[type(box)] += 1
    assert set(tried) == {gr.Dropdown, gr.Radio}


def test_what_was_uploaded_or_selected_is_there(site: Site) -> None:
    """Without it the handler, or Gradio before it, would fail with a traceback in the log."""
    caller = site.visitor("there")
    uploads = [name for name in site.numbers if name.startswith("take_re") or name == "take_rows"]
    for name in uploads:
        values = [None if isinstance(box, gr.File | gr.UploadButton) else ""
                  for box in site.page.fns[site.numbers[name]].inputs]  # fmt: skip
        assert caller.join(name, *values).status_code == 400
    number = site.numbers["choose"]
    data = ["", None, "", 0, "", ""]
    body = {"data": data, "fn_index": number, "session_hash": "there", "trigger_id": None}
    nonsense = (None, [], "x", 3, {}, {"index": "x", "value": 1}, {"index": [0.5], "value": 1},
                {"index": [], "value": 1}, {"index": [0, 1]})  # fmt: skip
    for told_of in nonsense:
        answer = caller.http.post("/gradio_api/queue/join", json=body | {"event_data": told_of})
        assert answer.status_code == 400, told_of
    event = {"index": [0, 1], "value": "x"}
    answer = caller.http.post("/gradio_api/queue/join", json=body | {"event_data": event})
    assert answer.status_code == 200 and uploads


def test_an_empty_box_is_an_empty_text(site: Site) -> None:
    """A browser sends null for a box that nobody has typed into."""
    caller = site.visitor("empty")
    assert caller.direct("tick", None, None, None).status_code == 200
    _, toasts = caller.call("add_pasted", None, None, None)
    assert toasts and "Something went wrong" not in str(toasts)


def test_what_a_page_tells_of_its_boxes_may_be_nonsense(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caller = site.visitor("boxes")
    for told_of in ("3", "null", "[[1]]", '{"a": 1}', "[" * 5000, "{", '"x"', "1e999"):
        answer = caller.direct("draw_settings_train", "", told_of, "", told_of)
        assert answer.status_code == 200 and "unexpected" not in caplog.text


def test_what_cancels_names_a_call_and_no_more(site: Site) -> None:
    """Else Gradio's answer to nonsense is an error, with a traceback in the log."""
    http = site.visitor("cancels").http
    named = {"session_hash": "none", "fn_index": 0, "event_id": "none"}
    for place in ("cancel", "reset"):
        assert http.post(f"/gradio_api/{place}", json=named).status_code == 200
        for value in ("\ud800", "../x", [1], {"a": 1}, 1.5, None, "x" * 70):
            body = orjson.dumps(named)[:-1] + b',"x":' + json.dumps(value).encode() + b"}"
            assert http.post(f"/gradio_api/{place}", content=body).status_code == 400
    assert http.get(f"/assets/{'x' * 5000}").status_code == 404
    assert http.get(f"/gradio_api/file=/{'x' * 5000}").status_code == 404


def test_t18_refusals_are_held_back_before_anything_is_read(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = site.page.app.middleware_stack.traffic
    held: list[str] = []

    async def hold_back(address: str) -> None:
        held.append(address)

    monkeypatch.setattr(flow, "hold_back", hold_back)
    http = site.visitor("held").http
    assert http.post("/gradio_api/queue/join", content=b"{").status_code == 400
    assert held == ["127.0.0.1"]
    monkeypatch.setitem(flow._held_back, "127.0.0.1", traffic.REFUSALS_HELD)
    with socket.create_connection(("127.0.0.1", site.page.server_port), timeout=20) as unread:
        unread.sendall(b"POST /gradio_api/queue/join HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                       b"Content-Length: 2000\r\n\r\n")  # fmt: skip
        assert b" 429 " in unread.recv(200)


def test_t18_the_address_is_counted_with_each_call(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = site.page.app.middleware_stack.traffic
    counted: list[str] = []

    def admit(address: str, *_: Any) -> None:
        counted.append(address)
        raise calls.Refused(429, "Enough.")

    monkeypatch.setattr(flow, "admit", admit)
    assert site.visitor("counted").join("load_example", "", "").status_code == 429
    assert counted == ["127.0.0.1"]
    monkeypatch.setattr(traffic, "STREAMS_OF_ADDRESS", 0)
    with site.visitor("counted").http.stream("GET", "/gradio_api/heartbeat/x") as answer:
        assert answer.status_code == 429
    monkeypatch.setattr(flow._light, "_sessions", traffic._Allowance(0.0, 0.0))
    assert site.visitor("counted").direct("tick", "", "transfer", "").status_code == 429


def test_t18_bodies_are_bounded(site: Site) -> None:
    caller = site.visitor("large")
    text = "x" * (LIMITS.field_characters + 1)
    assert caller.join("load_example", "", text).status_code == 413
    assert caller.direct("tick", "", "", "x" * LIMITS.light_request_bytes).status_code == 413
    deep: list = []
    for _ in range(40):
        deep = [deep]
    assert caller.join("load_example", deep, "").status_code == 413
    assert caller.join("load_example", [0] * LIMITS.request_values, "").status_code == 413

    def endless() -> Iterator[bytes]:
        while True:
            yield b" " * 65536

    for place in ("/gradio_api/queue/join", "/login"):
        assert caller.http.post(place, content=endless()).status_code == 413


def test_t18_a_body_that_never_comes_is_given_up_and_keeps_nobody_out(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "_BODY_SECONDS", 1.0)
    head = (
        b"POST /gradio_api/queue/join HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        b"Content-Type: application/json\r\nContent-Length: 2000000\r\n\r\n"
    )
    port = int(site.address.rpartition(":")[2])
    stalled = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(40)]
    for one in stalled:
        one.sendall(head)
    caller = site.visitor("meanwhile")
    assert caller.direct("tick", "", "transfer", "").status_code == 200
    for one in stalled:
        assert b" 408 " in one.recv(200)
        one.close()


def test_t18_a_pulse_that_no_page_wrote_is_none(site: Site) -> None:
    caller = site.visitor("pulses")
    for former in ("{", "[]", '{"#": 1e999}', '{"#": "x"}', "[" * 9000):
        assert caller.direct("tick", "", "transfer", former).status_code == 200


def test_t18_large_headers_are_refused(site: Site) -> None:
    with contextlib.suppress(httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError):
        answer = site.visitor("headers").http.get("/config", headers={"X-Large": "x" * 200_000})
        assert answer.status_code in (400, 431)  # or it hangs up


def test_t18_nothing_that_works_is_open_beside_the_queue(site: Site) -> None:
    caller = site.visitor("beside")
    light = 0
    for name, number in site.numbers.items():
        event = site.page.fns[number]
        if event.fn is None:
            continue
        if not event.queue:
            light += 1
            continue
        answer = caller.direct(name, *[None] * len(event.inputs))
        assert answer.status_code == 404 and "queue" in answer.json()["detail"], name
    assert light > 10


FILES = ("/etc/passwd", "file:///etc/passwd", "http://169.254.169.254/latest/meta-data",
         "/proc/self/environ", "../../etc/passwd", "{uploads}/../../etc/passwd", "\0",
         "")  # fmt: skip


@pytest.mark.parametrize("path", FILES)
def test_t6_a_file_of_a_call_is_one_that_was_uploaded(site: Site, path: str) -> None:
    path = path.format(uploads=os.environ["GRADIO_TEMP_DIR"])
    given = {"path": path, "meta": {"_type": "gradio.FileData"}}
    caller = site.visitor("ssrf")
    for name, number in site.numbers.items():
        event = site.page.fns[number]
        if event.fn is None or not event.inputs:
            continue
        ask = caller.join if event.queue else caller.direct
        answer = ask(name, *[given] * len(event.inputs))
        assert answer.status_code == 400 and "uploaded" in answer.json()["detail"]


def test_t6_a_page_uploads_and_hands_over_its_own(site: Site, tmp_path: Path) -> None:
    caller = site.visitor("honest")
    path = caller.upload("recipe.json", b"{}").json()[0]
    given = {"path": path, "orig_name": "recipe.json", "meta": {"_type": "gradio.FileData"}}
    _, toasts = caller.call("take_recipe", "", given, "")
    assert toasts and "ecipe" in toasts[0]
