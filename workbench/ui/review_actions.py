"""What the controls of the Review tab do: one query or one action on the run's samples each."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from workbench import jobs
from workbench.errors import IntakeError, RunError, WorkbenchError
from workbench.intake.column_questions import ColumnsUnclear
from workbench.intake.row_format import fitted_rows
from workbench.intake.rows import read_rows
from workbench.runs import quota
from workbench.runs.folder import Run
from workbench.runs.sample_queries import SampleFilter
from workbench.runs.sample_rows import stored_bytes
from workbench.samples import KEPT, PENDING, REJECTED, Example, Sample
from workbench.stages import Stage
from workbench.ui import consent_box, fields, plain, words, workspace, write_views
from workbench.ui.boxes import check_row, selected
from workbench.ui.failures import say, warn
from workbench.ui.waiting_line import MODELS, in_line

PAGE_ROWS = 50
NOT_IN_RUN = -1
View = tuple[Any, ...]
NO_SAMPLE: View = (plain.empty("Choose a row."), "", "", "", "", "", NOT_IN_RUN)


def asked_for(run: Run, finder: Sequence[Any]) -> tuple[SampleFilter, str]:
    """(filter, order) of the controls; "score" in both is the one that decides in this run."""
    status, search, label, origin, low, high, edited, sort = finder
    low, high = fields.number(low), fields.number(high)
    wanted = SampleFilter(
        status=status or "",
        search=search or "",
        label=label or None,
        origin=origin or "",
        min_score=low,
        max_score=high,
        edited=True if edited else None,
    )
    by_score = sort.removeprefix("-") == "score"
    if by_score or low is not None or high is not None:
        score = write_views.used_score(run)
        wanted = replace(wanted, score=score)
        if by_score and score != "discriminator_score":
            sort = sort.replace("score", score)
    return wanted, sort


# Pages -----------------------------------------------------------------------------------------


def _turning(name: str, by: int | None) -> Callable[..., View]:
    """Handler for the page so many after the one in the box; None: for the first one."""

    def turn(run_id: str, *values: Any) -> View:
        *finder, page, chosen = values
        return _page(run_id, finder, 1 if by is None else (page or 1) + by, chosen)

    return _named(name, turn)


def _named(name: str, handler: Callable[..., Any]) -> Callable[..., Any]:
    handler.__name__ = name  # by which the log and Gradio know it
    return handler


first_page = _turning("first_page", None)
same_page = _turning("same_page", 0)
page_back = _turning("page_back", -1)
page_forward = _turning("page_forward", 1)


def _page(run_id: str, finder: list[Any], page: float | None, chosen: str) -> View:
    if not run_id:
        off = gr.update(interactive=False)
        return [], plain.sentence("No run is open."), 1, [], off, off, off, off
    run = workspace.find(run_id)
    samples = run.samples
    wanted, sort = asked_for(run, finder)
    total = samples.count(wanted)
    pages = max(1, -(-total // PAGE_ROWS))
    number = min(max(int(page or 1), 1), pages)
    rows = samples.page(wanted, sort, (number - 1) * PAGE_ROWS, PAGE_ROWS)
    table = [["▸" if row.id == chosen else "", *write_views.row(row)] for row in rows]
    first = (number - 1) * PAGE_ROWS + 1
    none = "No samples match." if samples.count() else "No samples yet."
    sentence = f"{first:,}–{first + len(rows) - 1:,} of {total:,}" if rows else none
    return (
        table,
        plain.sentence(f"{sentence} · page {number} of {pages:,}" if rows else sentence),
        number,
        [row.id for row in rows],
        gr.update(value=f"Keep all {total:,}", interactive=total > 0),
        gr.update(value=f"Reject all {total:,}", interactive=total > 0),
        gr.update(value=f"Give it to all {total:,}", interactive=total > 0),
        _regenerate_button(total, rows),
    )


def _regenerate_button(total: int, rows: list[Sample]) -> Any:
    if total > PAGE_ROWS:
        return gr.update(value=f"Regenerate: {PAGE_ROWS} at most", interactive=False)
    count = len(_untouched(rows))
    return gr.update(value=f"Regenerate {count}", interactive=count > 0)


def _untouched(samples: list[Sample]) -> list[Sample]:
    """Those without any word of a person."""
    return [
        sample
        for sample in samples
        if not sample.edited and (sample.decided_by, sample.answered_by) == ("filter", "teacher")
    ]


# One sample ------------------------------------------------------------------------------------


def editor(run: Run, sample: Sample | None) -> View:
    """The editor's contents for one sample."""
    if sample is None:
        return NO_SAMPLE
    seeds = run.inputs.seeds
    near = sample.nearest_seed
    nearest = seeds[near].input if near is not None and near < len(seeds) else ""
    state = write_views.STATUS_WORDS[sample.status]
    by = "by you" if sample.decided_by == "person" else ""
    rows = [
        ("Status", " ".join(part for part in (state, by) if part)),
        ("Why", sample.reason or "–"),
        ("P(real)", _number(sample.discriminator_score, ".3f")),
        ("Excess", _number(sample.excess, "+.3f")),
        ("Confidence", _number(sample.confidence, ".3f")),
        ("Written by", words.ORIGINS.get(sample.origin, "another generator")),
        ("Answered by", "you" if sample.answered_by == "person" else "the source adapter"),
        ("Edited", "yes" if sample.edited else "no"),
    ]
    return (
        plain.small_heading(f"Sample {sample.id[:8]} · {state}"),
        sample.input,
        sample.teacher_output or "",
        plain.facts(rows),
        nearest,
        sample.id,
        sample.version,
    )


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def choose(
    run_id: str, ids: list[str], before: str, version: float, text: str, answer: str,
    event: gr.SelectData,
) -> Any:  # fmt: skip
    """The row that was clicked; ``before`` is the sample in the editor until now."""
    chosen = selected(event, ids)
    if not chosen:
        return gr.skip()
    run = workspace.find(run_id)
    _keep_edit(run, before, version, text, answer)
    sample = run.samples.get(chosen)
    if sample is not None:
        check_row(event, 1, sample.input)
    return editor(run, sample)


def _step(run_id: str, values: list[Any], by: int) -> View:
    *finder, page, chosen, ids = values
    run = workspace.find(run_id)
    place = ids.index(chosen) + by if chosen in ids else (0 if by > 0 else len(ids) - 1)
    if not 0 <= place < len(ids):
        turned = _page(run_id, finder, (page or 1) + by, chosen)
        if turned[3] == ids:  # there is no further page
            place = min(max(place, 0), len(ids) - 1)
        else:
            ids, page, place = turned[3], turned[2], 0 if by > 0 else -1
    chosen = ids[place] if ids else ""
    return *_page(run_id, finder, page, chosen), *editor(run, run.samples.get(chosen))


def _stepping(name: str, by: int) -> Callable[..., View]:
    """Handler for the next sample, over the end of a page to the next one; or the one before."""

    def step(run_id: str, *values: Any) -> View:
        *rest, version, text, answer = values
        _keep_edit(workspace.find(run_id), rest[-2], version, text, answer)
        return _step(run_id, rest, by)

    return _named(name, step)


def _deciding(name: str, status: str) -> Callable[..., View]:
    """Handler that keeps or rejects the chosen sample and goes on to the next."""

    def decide(run_id: str, *values: Any) -> View:
        *rest, version, text, answer = values
        *finder, page, chosen, ids = rest
        run = _changeable(run_id)
        if not chosen:
            _keep_edit(run, chosen, version, text, answer)
            return _step(run_id, rest, 1)
        # What is accepted is what is in sight, an edit that was not saved as well.
        edit = _edit(run, chosen, text, answer) if status == KEPT else {}
        run.samples.edit(chosen, int(version), status=status, **edit)
        place = ids.index(chosen) if chosen in ids else 0
        # In a filtered view the decided sample may be gone: the one that followed comes next.
        following = ids[place + 1] if place + 1 < len(ids) else ""
        if not following:
            return _step(run_id, rest, 1)
        return *_page(run_id, finder, page, following), *editor(run, run.samples.get(following))

    return _named(name, decide)


step_on, step_back = _stepping("step_on", 1), _stepping("step_back", -1)
accept, reject = _deciding("accept", KEPT), _deciding("reject", REJECTED)


def _changeable(run_id: str) -> Run:
    run = workspace.find(run_id)
    if run.stages()[Stage.DISTIL].started_at:
        raise RunError(
            "The samples are fixed since the training began. Duplicate the run to use others."
        )
    return run


def save(run_id: str, chosen: str, version: float, text: str, answer: str) -> View:
    """Store an edit, or a sample written by hand."""
    run = _changeable(run_id)
    if chosen:
        after = run.samples.edit(chosen, int(version), **_edit(run, chosen, text, answer))
        if after.status == PENDING:
            say("Saved. It is scored and labelled again before the training.")
        return editor(run, after)
    if not (text or "").strip():
        raise RunError("Write an input first.")
    added = run.samples.add([Example(text.strip(), answer.strip() or None)], "hand")
    if not added:
        raise RunError("There is already a sample with this input.")
    say("Added as a kept sample.")
    return editor(run, added[0])


def _edit(run: Run, chosen: str, text: str, answer: str) -> dict[str, Any]:
    """What the editor changes of a sample."""
    before = run.samples.get(chosen)
    # An answer box that was not touched is no person's answer.
    same = before is not None and answer == (before.teacher_output or "")
    return {"input": text, "teacher_output": None if same else answer}


def _keep_edit(run: Run, chosen: str, version: float, text: str, answer: str) -> None:
    """Store what was typed and not saved: who goes on to another sample would lose it."""
    if run.stages()[Stage.DISTIL].started_at:
        return
    if not chosen and (text or "").strip():
        raise RunError("Save the sample that you have written first, or empty its field.")
    before = run.samples.get(chosen) if chosen else None
    if before is None or before.version != version:
        return
    if (text, answer) == (before.input, before.teacher_output or ""):
        return
    try:
        run.samples.edit(chosen, int(version), **_edit(run, chosen, text, answer))
        say("What you had typed is saved. Undo takes it back.")
    except WorkbenchError as error:
        warn(error.message)


def by_hand(run_id: str) -> View:
    """An empty editor: Save adds what is written there."""
    workspace.find(run_id)
    heading = plain.small_heading("A sample of your own: write it, then Save edit")
    hint = plain.sentence("An empty answer is given by the source adapter.")
    return heading, "", "", hint, "", "", NOT_IN_RUN


@in_line(MODELS)
def regenerate(run_id: str, chosen: str, version: float) -> str:
    """Let the generator write this sample anew; its id then."""
    run = _changeable(run_id)
    sample = run.samples.get(chosen) if chosen else None
    if sample is None:
        raise RunError("Choose a sample first.")
    fresh = jobs.consult(run.folder, "regenerate", {"id": chosen})["sample"]
    there = run.samples.rewrite([(replace(sample, version=int(version)), Sample(**fresh))])
    if not there:
        raise RunError("This sample was changed meanwhile, so it stays as it is. Try again.")
    return there[0].id


def show_regenerated(run_id: str, chosen: str, regenerated: str) -> Any:
    """The sample that was written anew, if it is still the chosen one."""
    run = workspace.find(run_id)
    return editor(run, run.samples.get(chosen)) if chosen == regenerated else gr.skip()


def _going_back(redo: bool) -> Callable[..., View]:
    """Handler that takes back the newest action, whoever did it, or does it again."""

    def go_back(run_id: str, chosen: str) -> View:
        run = _changeable(run_id)
        what = run.samples.redo() if redo else run.samples.undo()
        done, word = ("Redone", "Redo") if redo else ("Undone", "Undo")
        say(f"{done}: {what}." if what else f"There is nothing to {word.lower()}.", word)
        return editor(run, run.samples.get(chosen) if chosen else None)

    return _named("redo" if redo else "undo", go_back)


undo, redo = _going_back(redo=False), _going_back(redo=True)


def work(run_id: str) -> None:
    """Score and label what waits for it."""
    jobs.start(workspace.find(run_id), Stage.LABEL)


# Many samples ----------------------------------------------------------------------------------


def _for_all(name: str, status: str, word: str) -> Callable[..., None]:
    """Handler that keeps or rejects everything that the filter shows."""

    def decide(run_id: str, *finder: Any) -> None:
        run = _changeable(run_id)
        count = run.samples.bulk(asked_for(run, finder)[0], status)
        say(f"{words.count(count, 'sample')} {word}. Undo brings it back.")

    return _named(name, decide)


keep_all = _for_all("keep_all", KEPT, "kept")
reject_all = _for_all("reject_all", REJECTED, "rejected")


def relabel_all(run_id: str, answer: str, *finder: Any) -> str:
    """Give everything that the filter shows one answer; the box is empty then."""
    run = _changeable(run_id)
    count = run.samples.relabel(asked_for(run, finder)[0], answer or "")
    say(f"{words.count(count, 'answer')} changed. Undo brings it back.")
    return ""


@in_line(MODELS)
def regenerate_all(run_id: str, *finder: Any) -> None:
    """Write everything anew that the filter shows and no person has touched."""
    run = _changeable(run_id)
    wanted, sort = asked_for(run, finder)
    samples = run.samples.page(wanted, sort, 0, PAGE_ROWS + 1)
    if len(samples) > PAGE_ROWS:
        raise RunError(f"At most {PAGE_ROWS} at once. Narrow the filter.")
    former = _untouched(samples)
    if not former:
        raise RunError("None to regenerate: you decided, edited or answered all of these.")
    written = jobs.consult(run.folder, "preview", {"count": len(former)})["samples"]
    fresh = [Sample(**sample) for sample in written if sample["status"] == KEPT]
    there = run.samples.rewrite(list(zip(former, fresh, strict=False)))
    if not there:
        raise RunError("Nothing new was written that could be kept. Reject these and write more.")
    say(f"{len(there)} of {words.count(len(former), 'sample')} regenerated. Undo brings it back.")


def take_rows(run_id: str, path: str) -> None:
    """Rows of a file become kept samples."""
    run = _changeable(run_id)
    name = Path(path).name
    try:
        rows = read_rows(Path(path))
    except ColumnsUnclear as error:
        remedy = "Name the columns input and output in the file's first line."
        raise IntakeError(f"{error.message} {remedy}") from error
    examples, note = fitted_rows(rows, run.recipe.source_format, name)
    adding = sum(stored_bytes(row.input, row.output or "") for row in examples)
    quota.require_bytes(run, "", adding)
    added = run.samples.add(examples, "hand")
    known = len(examples) - len(added)
    for told_of in filter(None, (*rows.notes, note)):
        say(told_of, f"Read from {name}"[:80])
    more = f"; {known} were there already" if known else ""
    say(f"{words.count(len(added), 'sample')} added{more}.")
    return None


def make_file(run_id: str, *values: Any) -> Any:
    """A file of what the filter shows, in the chosen format."""
    *finder, form, consent = values
    run = workspace.find(run_id)
    wanted, sort = asked_for(run, finder)
    samples = run.samples.page(wanted, sort, 0, max(1, run.samples.count(wanted)))
    return consent_box.file(run, samples, form, consent)
