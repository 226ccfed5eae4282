"""Short questions to a run's models, each answered in a process of its own.

For what a person waits for at the page: a preview, one sample again, both models on one input,
which prompt format fits, whether the adapter fits its base, more samples for one answer, base and
adapter as one model. Samples are handed back for the caller to store; only ``merge`` (below
exports/) and ``measure_merged`` write to the run.
"""

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from workbench import distill, teach
from workbench.errors import WorkbenchError
from workbench.evaluate.arms import answer_rows
from workbench.evaluate.outcome import MERGED
from workbench.events import RoundFinished
from workbench.export.bundle import CARD, WEIGHTS, find_bundle
from workbench.export.card import merged_card
from workbench.models import references, templates
from workbench.models.decoding import Sampling
from workbench.models.embedding import embed
from workbench.models.formats import bind
from workbench.models.pair import Pair
from workbench.models.resident import load
from workbench.models.training import TrainingRow, train
from workbench.pipeline import require_inputs
from workbench.recipe import MODEL
from workbench.runs import atomic
from workbench.runs.folder import Run, open_run
from workbench.samples import KEPT, REJECTED, Sample
from workbench.steps import format_proposal
from workbench.steps.comparison import evaluation_rows, load_student, put_graded
from workbench.steps.distillation import newest_state
from workbench.steps.rounds import input_tokens
from workbench.steps.synthesis import filter_of, judge_round, known_texts
from workbench.steps.writer_choice import (
    choose_writer,
    examples_of,
    gain_words,
    learned_inputs,
)
from workbench.steps.writing import write_texts
from workbench.students import STUDENTS, notes
from workbench.synthesize.adapter_writer import write_inputs
from workbench.synthesize.labels import LEAST_CONFIDENCE
from workbench.synthesize.selection import UNSURE

UNASKED_TRIES = 8  # texts for each sample wanted of a label, by a writer that knows no labels
PREVIEW_ROUND = 1_000_000  # random numbers that no round of the run uses
MAP_SAMPLES = 2000  # the newest ones; more make no clearer picture


def answer_question(question: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Answer one question about the run in ``arguments["run"]``.

    Raises:
        WorkbenchError: with a sentence; an unknown question is one too.
    """
    if question not in QUESTIONS:
        raise WorkbenchError(f'There is no question "{question}".')
    run = open_run(Path(arguments["run"]))
    templates.keep_in(run.folder)
    return QUESTIONS[question](run, arguments)


def preview(run: Run, arguments: dict[str, Any]) -> dict[str, Any]:
    """Up to ``count`` samples as the run would make them, by the writer that it will use.

    Returns:
        {"samples": [...], "seconds": s, "writer": why this writer}.
    """
    require_inputs(run.recipe, run.inputs)
    started = time.monotonic()
    pair = Pair(run.recipe, run.inputs)
    samples, _ = _fresh(run, pair, [None] * int(arguments.get("count", 10)))
    return {
        "samples": [asdict(sample) for sample in samples],
        "seconds": time.monotonic() - started,
        "writer": choose_writer(run, pair).why,
    }


def regenerate(run: Run, arguments: dict[str, Any]) -> dict[str, Any]:
    """One new input in place of the sample ``id``: {"sample": {...}}."""
    require_inputs(run.recipe, run.inputs)
    samples, _ = _fresh(run, Pair(run.recipe, run.inputs), [None] * 8)
    kept = [sample for sample in samples if sample.status == KEPT] or samples
    if not kept:
        raise WorkbenchError("Nothing new was written this time. Try again.")
    return {"sample": asdict(kept[0])}


def write_for(run: Run, arguments: dict[str, Any]) -> dict[str, Any]:
    """``count`` texts more for the answer ``label``: {"samples": […], "round": {…}}.

    Kept are those that the teacher answers so, with confidence. A writer that cannot be asked for
    a label writes what it writes: then more texts are tried for each that is wanted.
    """
    require_inputs(run.recipe, run.inputs)
    label, count = str(arguments["label"]), int(arguments["count"])
    pair = Pair(run.recipe, run.inputs)
    tries = count if choose_writer(run, pair).writer == "label" else count * UNASKED_TRIES
    made, finished = _fresh(run, pair, [label] * tries, max(run.samples.rounds(), default=-1) + 1)
    made = [_as_asked(sample, label) for sample in made]
    kept = sum(sample.status == KEPT for sample in made)
    finished = replace(finished, kept=kept, rejected=len(made) - kept)
    return {"samples": [asdict(s) for s in made], "round": asdict(finished)}


def _fresh(
    run: Run, pair: Pair, targets: Sequence[str | None], number: int | None = None
) -> tuple[list[Sample], RoundFinished]:
    """A round of texts that the run does not have; without a number other ones every time."""
    if number is None:
        number = PREVIEW_ROUND + time.time_ns() % 1_000_000
    choice, samples = choose_writer(run, pair), run.samples.all()
    texts = write_texts(run, pair, choice, samples, targets, number, len(targets))
    texts = [each for each in texts if each.text][: len(targets)]
    kind = filter_of(run, choice.writer)
    return judge_round(run, pair, choice, texts, kind, known_texts(run, choice), number)


def _as_asked(sample: Sample, label: str) -> Sample:
    if sample.status == KEPT and sample.teacher_output != label:
        return replace(sample, status=REJECTED, reason="the teacher answers otherwise than asked")
    if sample.status == KEPT and (sample.confidence or 0.0) < LEAST_CONFIDENCE:
        return replace(sample, status=REJECTED, reason=UNSURE)
    return sample


def merge(run: Run, arguments: dict[str, Any]) -> dict[str, Any]:
    """Target base and packed adapter as one model in exports/merged: {"bytes": size}."""
    bundle = find_bundle(run.exports)
    if bundle is None:
        raise WorkbenchError("The adapter is not packed yet. Finish the run first.")
    if not STUDENTS[run.recipe.student.method].merges:
        raise WorkbenchError(notes(run.recipe.student.method)[0])
    reference = run.recipe.target_base
    folder = references.ready(reference)
    if folder is None:
        raise WorkbenchError(f"The weights of {reference} are not on this machine any more.")
    needed = sum(path.stat().st_size for path in folder.glob("*.safetensors")) + 100_000_000
    free = shutil.disk_usage(run.exports).free
    if free < needed:
        raise WorkbenchError(
            f"The merged model needs {needed / 1e9:.1f} GB of disk and {free / 1e9:.1f} GB are "
            "free. Make room first."
        )
    partial = atomic.partial_name(run.exports / MERGED)
    try:
        target = load(folder, device="cpu")
        target.attach(distill.STUDENT, run.recipe.student, bundle.folder / WEIGHTS)
        form = bind(run.recipe.target_format, target.tokenizer)
        target.save_merged(
            distill.STUDENT, partial, references.hub_id(reference) or "", form.stop_ids
        )
        tokens = (run.result() or {}).get("answer_tokens")
        known = {"answer_tokens": tokens, "answering": form.for_people()}
        atomic.write_text(partial / CARD, merged_card(run.recipe, known))
        atomic.replace_folder(partial, run.exports / MERGED)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return {"bytes": sum(path.stat().st_size for path in (run.exports / MERGED).iterdir())}


def measure_merged(run: Run, arguments: dict[str, Any]) -> dict[str, Any]:
    """Let the merged model answer the rows of the comparison: {"rows": how many}.

    Its answers are stored as those of an arm, so that a new training forgets them.
    """
    folder = run.exports / MERGED
    if not (folder / "config.json").is_file():
        raise WorkbenchError("There is no merged model. Merge base and adapter first.")
    result = run.result()
    if not result:
        raise WorkbenchError("The run is not finished: there is nothing to compare with.")
    rows = evaluation_rows(run, Pair(run.recipe, run.inputs))
    merged = load(folder)
    merged.attach_nothing(MERGED)  # it ends its answers as the adapter does
    tokens = int(result["answer_tokens"])
    inputs = [row.input for row in rows]
    put_graded(
        run, MERGED, rows, answer_rows(merged, MERGED, run.recipe.target_format, inputs, tokens)
    )
    return {"rows": len(rows)}


def answer(run: Run, arguments: dict[str, Any]) -> dict[str, Any]:
    """Both sides on one input: {"source": text, "transferred": text or None}."""
    require_inputs(run.recipe, run.inputs)
    pair = Pair(run.recipe, run.inputs)
    text = str(arguments["input"])
    ((_, source),) = answer_rows(
        pair.source,
        teach.TEACHER,
        run.recipe.source_format,
        [text],
        pair.source_answer_tokens,
    )
    if newest_state(run) is None:
        return {"source": source, "transferred": None}
    load_student(run, pair)
    ((_, student),) = answer_rows(
        pair.target,
        distill.STUDENT,
        run.recipe.target_format,
        [text],
        pair.target_answer_tokens,
    )
    return {"source": source, "transferred": student}


def propose_format(run: Run, arguments: dict[str, Any]) -> dict[str, Any]:
    """Prompt formats, the likeliest first: {"by": what tells, "formats": [...], "preview"}."""
    require_inputs(run.recipe, run.inputs)
    return format_proposal.propose_format(run, Pair(run.recipe, run.inputs))


def inspect(run: Run, arguments: dict[str, Any]) -> dict[str, Any]:
    """Attach the uploaded adapters to the source base: {"checks": [{"ok", "sentence"}]}."""
    checks = []
    try:
        pair = Pair(run.recipe, run.inputs)
        source = pair.source
        fits = "The adapter's layers match the source base."
        if run.recipe.teacher == MODEL:
            fits = "The source base is loaded: it is the teacher by itself."
        checks.append({"ok": True, "sentence": fits})
        form = bind(run.recipe.source_format, source.tokenizer)
        text = run.inputs.seeds[0].input if run.inputs.seeds else "an input"
        checks.append({"ok": True, "sentence": "Prompt: " + form.preview(text)})
        if run.recipe.teacher != MODEL:
            learned = gain_words(run, learned_inputs(run, pair))
            checks.append({"ok": True, "sentence": learned})
        _try_everything(pair, run)
    except WorkbenchError as error:
        checks.append({"ok": False, "sentence": error.message})
    return {"checks": checks}


def own_inputs(run: Run, arguments: dict[str, Any]) -> dict[str, Any]:
    """Inputs as the adapter itself writes them, whatever writer the run has: {"texts": [...]}.

    They may be rows that it was trained on, word for word; nothing is stored.

    Raises:
        WorkbenchError: the teacher is a model, no adapter.
    """
    if run.recipe.teacher == MODEL:
        raise WorkbenchError("The teacher is a whole model: there is no adapter that could write.")
    pair = Pair(run.recipe, run.inputs)
    texts = write_inputs(
        pair.source,
        teach.TEACHER,
        pair.source_form,
        int(arguments.get("count", 10)),
        new_tokens=input_tokens(pair.source, examples_of(run)),
        sampling=Sampling(),
        seed=run.recipe.seed,
        held_texts=[example.input for example in examples_of(run)],
    )
    return {"texts": [text for text in texts if text]}


def _try_everything(pair: Pair, run: Run) -> None:
    """What a run does to its bases, small, so that none fails an hour later for what was known.

    The target is tried where its weights are on this machine.

    Raises:
        WorkbenchError: with what did not work.
    """
    source, form = pair.source, pair.source_form
    work: list[tuple[str, Callable[[], object]]] = [
        ("answer", lambda: list(teach.answer(source, teach.TEACHER, form, ["a"], 2))),
        ("score", lambda: teach.contrastive_excess(source, form, ["a"], ["b"])),
        ("embed", lambda: embed(source, ["a"])),
    ]
    if references.ready(run.recipe.target_base) is not None:
        work.append(("train", lambda: _train_a_step(pair, run)))
    for name, attempt in work:
        try:
            attempt()
        except WorkbenchError:
            raise
        except Exception as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
            raise WorkbenchError(
                f"These bases cannot {name}, which a transfer needs: {reason}. Choose others."
            ) from error


def _train_a_step(pair: Pair, run: Run) -> None:
    target, form = pair.target, pair.target_form
    target.attach_new(distill.STUDENT, run.recipe.student, run.recipe.seed)
    rows = [TrainingRow(form.prompt_ids(text), form.answer_ids("x")) for text in ("a", "b c")]
    settings = replace(run.recipe.training, epochs=1, batch_rows=2)
    for _ in train(target, distill.STUDENT, rows, settings, seed=0):
        pass


def draw_map(run: Run, arguments: dict[str, Any]) -> dict[str, Any]:
    """Where inputs lie: {"points": [{"x", "y", "text", "group"}]}, group "seed" or a status.

    The first two principal components of the source base's embeddings, seeds and samples together.
    """
    pair = Pair(run.recipe, run.inputs)
    entries = [(seed.input, "seed") for seed in run.inputs.seeds]
    entries += [(sample.input, sample.status) for sample in run.samples.all()[-MAP_SAMPLES:]]
    if len(entries) < 3:
        raise WorkbenchError("There are no samples to draw yet. Write some first.")
    vectors = torch.from_numpy(embed(pair.source, [text for text, _ in entries]))
    centred = vectors - vectors.mean(0)
    torch.manual_seed(0)
    _, _, directions = torch.pca_lowrank(centred, q=2, center=False)
    places = (centred @ directions).tolist()
    return {
        "points": [
            {"x": x, "y": y, "text": text, "group": group}
            for (x, y), (text, group) in zip(places, entries, strict=True)
        ]
    }


QUESTIONS: dict[str, Callable[[Run, dict[str, Any]], dict[str, Any]]] = {
    "preview": preview,
    "regenerate": regenerate,
    "answer": answer,
    "propose_format": propose_format,
    "inspect": inspect,
    "own_inputs": own_inputs,
    "map": draw_map,
    "write_for": write_for,
    "merge": merge,
    "measure_merged": measure_merged,
}
