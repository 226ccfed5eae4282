"""Fleet: how the transfers of ``workbench fleet`` stand, by the copies in its output folder.

On one's own machine only, for it reads any folder that is named. Each look reads the folder again,
as ``workbench fleet --status`` does; the table, its order and the verdict are the command's.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from workbench.errors import RunError
from workbench.evaluate import verdict as judge
from workbench.fleet import standing, table
from workbench.fleet.place import Place
from workbench.fleet.standing import Standing
from workbench.limits import LIMITS
from workbench.models import folders
from workbench.runs import atomic
from workbench.runs.folder import checked_id, open_run
from workbench.stages import ORDER
from workbench.ui import plain, words, workspace
from workbench.ui.boxes import (
    button_row,
    check_row,
    files_made,
    rows_table,
    selected,
    small_button,
)
from workbench.ui.failures import say, told
from workbench.ui.sections import LAST, Parts, act, choose, ordered

SHOWN = 200  # rows; a browser has no use for ten thousand
_LAST = ".fleet"  # in the folder of runs: the output folder that was looked at last
_ALL, _PERSON, _GOOD = "All", "Needs a person", "Within the margin or better"
# Filter -> what of the table it shows.
_FILTERS = {
    _ALL: (),
    _PERSON: table.NEEDS_A_PERSON,
    "Failed": (standing.FAILED,),
    "Running or waiting": (standing.RUNNING, standing.WAITING),
    _GOOD: (judge.INSIDE, judge.BETTER),
}
_WORDS = {
    judge.INSIDE: "Within the margin",
    judge.CANNOT_TELL: "Cannot tell: too few rows",
    table.NOT_COMPARED: "Done, not compared",
}
_ABOUT = (
    "Many transfers, worked off by the command “workbench fleet”: how they stand in its output "
    "folder, those that need a person first."
)
_EMPTY = "Name the output folder of a fleet (its --out) and press Show."
_WRITERS = {"CSV": table.write_csv, "Parquet": table.write_parquet}
Row = dict[str, Any]


def build(parts: Parts, tab: gr.Tab) -> None:
    """Place the tab's components and wire them."""
    names = gr.State([])
    plain.block(plain.heading("Fleet", _ABOUT))
    with gr.Row(equal_height=False):
        folder = gr.Textbox(label="Output folder", elem_id="fleet-folder", scale=3, min_width=240)
        only = gr.Dropdown(list(_FILTERS), label="Which", elem_id="fleet-only", min_width=150)
        search = gr.Textbox(label="Name or base contains", elem_id="fleet-search", min_width=150)
    with button_row():
        look = small_button("Show", "fleet-look", variant="primary")
    counts, report = plain.block(elem_id="fleet-counts"), plain.block(elem_id="fleet-report")
    rows = rows_table(
        {"transfer": "24%", "verdict or state": "19%", "kept": "10%", "difference (95 %)": "20%",
         "about": "27%"},
        "Transfers of the fleet", "fleet-table", max_height=420, show_label=False,
    )  # fmt: skip
    with gr.Row(equal_height=False):
        with gr.Column(min_width=300):
            chosen = gr.Dropdown([], label="Transfer", elem_id="fleet-chosen", filterable=True)
            with button_row():
                open_ = small_button("Open a copy", "fleet-open")
                again = small_button("Try again", "fleet-again")
        with gr.Column(min_width=300):
            kind = gr.Radio(list(_WRITERS), value="CSV", label="Table", elem_id="fleet-kind")
            with button_row():
                make = small_button("Make the table", "fleet-make")
            made = files_made("Table")

    quiet: dict[str, Any] = {"show_progress": "hidden"}
    asked, shown = [folder, only, search, names], [folder, counts, report, rows, names, chosen]
    looked: dict[str, Any] = {"inputs": asked, "outputs": shown, **ordered(_look), **LAST}
    for event in (tab.select, look.click, folder.submit, only.input, search.submit):
        event(**looked)
    choose(rows, _choose, [names], [chosen])
    parts.press(open_, _open, [folder, chosen], [parts.run_id, parts.tabs], afresh=True)
    act(again.click, _again, [folder, chosen]).then(**looked)
    make.click(told(_export), [folder, kind], [made], **quiet)


def _look(folder: str, only: str, search: str, former: Sequence[str] = ()) -> tuple[Any, ...]:
    """The folder, counts and report, rows in sight, their names, and the choice among them.

    What is chosen among the ``former`` stays while all of them are in sight.
    """
    root = workspace.runs_root()
    folder = folder.strip() or _remembered(root)
    if not folder:
        return "", "", plain.empty(_EMPTY), [], [], gr.update(choices=[], value=None)
    found = _table(folder)
    remember(folder, root)
    wanted = _FILTERS.get(only, ())
    fits = [
        row
        for row in found
        if (not wanted or table.standing_of(row) in wanted) and _contains(row, search)
    ]
    shown = fits[:SHOWN]
    names = [row["name"] for row in shown]
    choice: dict[str, Any] = {"choices": names}
    if not former or not set(former) <= set(names):
        choice["value"] = names[0] if names else None
    told_of = _report(found, len(fits), len(shown))
    return folder, *told_of, [_cells(row) for row in shown], names, gr.update(**choice)


def remember(folder: str, root: Path) -> None:
    """A page that is loaded anew shows this output folder."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    atomic.write_json(root / _LAST, folder)


def _remembered(root: Path) -> str:
    folder = atomic.read_json(root / _LAST)
    return folder if isinstance(folder, str) and Path(folder).is_dir() else ""


def _place(folder: str) -> Place:
    path = folders.named(folder.strip())
    if path is None:
        raise RunError(
            f'There is no folder "{folder.strip()}" on this machine. A fleet whose results are '
            "elsewhere (s3://, gs://, hf://) is shown by: workbench fleet --status --out PLACE"
        )
    return Place(str(path))


def _table(folder: str) -> list[Row]:
    place = _place(folder)
    found = table.rows(standing.read(place, place.names()).values())
    if not found:
        raise RunError(f"No transfer of a fleet is in {place.root}: is it what --out named?")
    return found


def _contains(row: Row, search: str) -> bool:
    texts = (row[name] for name in ("name", "task_name", "source_base", "target_base"))
    return any(search.strip().lower() in text.lower() for text in texts)


def _report(found: list[Row], fits: int, shown: int) -> tuple[str, str]:
    """Counts, and the verdict for the whole."""
    whole = table.verdict(found)
    tiles = [
        (state.capitalize(), f"{whole.states.get(state, 0):,}", "")
        for state in (standing.WAITING, standing.RUNNING, standing.DONE, standing.FAILED)
    ]
    if whole.tested:
        tiles.append(("Non-inferior", f"{whole.non_inferior:,}", f"of {whole.tested:,} compared"))
    sentence = f"{whole.sentence} Those have a ✓." if whole.non_inferior else whole.sentence
    rest = f"{shown:,} of {fits:,} are shown: narrow the choice." if shown < fits else ""
    if not fits:
        rest = "None of them is of this choice."
    return plain.tiles(tiles), plain.sentence(sentence, "note") + plain.sentence(rest)


def _cells(row: Row) -> list[str]:
    stands = table.standing_of(row)
    mark = "✓ " if row["non_inferior"] else ""
    return [
        row["name"],
        mark + _WORDS.get(stands, stands.capitalize()),
        table.kept(row),
        table.difference(row),
        _about(row),
    ]


def _about(row: Row) -> str:
    """What a person would ask next: why it failed, how far it is, between which bases."""
    if row["state"] == standing.FAILED:
        return row["message"]
    if row["state"] == standing.RUNNING:
        return f"{row['steps_done']} of {len(ORDER)} steps, {words.age(row['changed_at'])}"
    return " to ".join(words.base_name(row[name]) for name in ("source_base", "target_base"))


def _choose(names: list[str], event: gr.SelectData) -> Any:
    name = selected(event, names)
    if not name:
        return gr.skip()
    check_row(event, 0, name)
    return name


def _wanted(folder: str, chosen: str | None) -> tuple[Place, Standing]:
    if not chosen:
        raise RunError("Choose a transfer first.")
    place = _place(folder)
    found = standing.read(place, [checked_id(chosen)]).get(chosen)
    if found is None:
        raise RunError(f'"{chosen}" is not in {place.root} any more.')
    return place, found


def _open(folder: str, chosen: str | None) -> tuple[str, Any]:
    """A copy among the runs of this machine: the fleet's own is not for working on.

    The same state of a transfer is copied once.
    """
    place, found = _wanted(folder, chosen)
    root, there = workspace.runs_root(), gr.Tabs(selected="transfer")
    if Path(place.root).resolve() == root:
        return found.name, there
    mark = hashlib.blake2b(f"{place.root}|{found.name}|{found.at}".encode(), digest_size=4)
    copy = root / f"{found.name[:55]}-{mark.hexdigest()}"
    if not copy.exists():
        atomic.require_space(root, LIMITS.free_disk_bytes)
        place.fetch(found.name, copy)
        open_run(copy).rename(found.name)
    say("A copy of it is open: what you do to it changes nothing of the fleet.")
    return copy.name, there


def _again(folder: str, chosen: str | None) -> None:
    place, found = _wanted(folder, chosen)
    standing.retry(place, found)
    say(
        f'"{found.name}" waits again. A fleet that is at work does it when the others are done; '
        "else start its command again."
    )


def _export(folder: str, kind: str) -> Any:
    path = workspace.export_file(f"fleet.{kind.lower()}")
    _WRITERS[kind](path, _table(folder))
    return gr.update(value=str(path), visible=True)
