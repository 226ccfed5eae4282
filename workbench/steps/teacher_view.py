"""Without right answers: what the teacher itself writes, and how it finds the new adapter's texts.

The teacher's samples at temperature 1 stand in for references. Its own likeliest answers, graded
by them, are the ceiling: nothing can be more like the teacher than that. Likelihoods are read with
the source adapter and without it.
"""

from collections.abc import Sequence

from workbench.evaluate.outcome import DRAWS, LIKELIHOODS, TRANSFERRED
from workbench.models.decoding import Sampling, decode
from workbench.models.pair import Pair
from workbench.models.scoring import answer_log_probs
from workbench.runs.folder import Run
from workbench.runs.results import Answer
from workbench.samples import Example
from workbench.teach import TEACHER


def sample_teacher(
    run: Run, pair: Pair, draw: str, rows: Sequence[Example], chunk: Sequence[int]
) -> None:
    """One sample of the teacher's answer to each row of a chunk, committed together."""
    form = pair.source_form
    prompts = [form.prompt_ids(rows[index].input) for index in chunk]
    # A chunk has numbers of its own, so that it is the same after an interruption.
    seed = (run.recipe.seed * len(DRAWS) + DRAWS.index(draw)) * 10**6 + chunk[0]
    with pair.source.using(TEACHER):
        written = list(
            decode(
                pair.source,
                prompts,
                new_tokens=pair.source_answer_tokens,
                stop_ids=form.stop_ids,
                sampling=Sampling(),
                seed=seed,
            )
        )
    run.answers.put(
        draw, [Answer(chunk[at], form.read(decoded.ids), True) for at, decoded in written]
    )


def teacher_samples(run: Run) -> list[tuple[str, ...]]:
    """The teacher's samples, row by row."""
    drawn = [[row.prediction for row in run.answers.get(draw)] for draw in DRAWS]
    return list(zip(*drawn, strict=True))


def read_by_teacher(run: Run, pair: Pair, rows: Sequence[Example]) -> None:
    """Remember log-likelihoods per character of both sides' texts, adapter on and off."""
    samples = [texts[0] for texts in teacher_samples(run)]
    new = [row.prediction for row in run.answers.get(TRANSFERRED)]
    inputs = [row.input for row in rows]
    own_on, own_off = _per_character(pair, inputs, samples)
    new_on, new_off = _per_character(pair, inputs, new)
    values = zip(own_on, own_off, new_on, new_off, strict=True)
    names = ("own", "own_base", "new", "new_base")
    run.remember(LIKELIHOODS, [dict(zip(names, row, strict=True)) for row in values])


def _per_character(
    pair: Pair, inputs: Sequence[str], texts: Sequence[str]
) -> tuple[list[float], list[float]]:
    """Nats per character of texts as answers, with the source adapter and without it."""
    form = pair.source_form
    pairs = [
        (form.prompt_ids(text), form.answer_ids(reply))
        for text, reply in zip(inputs, texts, strict=True)
    ]
    found = []
    for adapter in (TEACHER, None):
        with pair.source.using(adapter):
            log_probs = answer_log_probs(pair.source, pairs)
        found.append(
            [
                float(row.sum()) / max(1, len(reply))
                for row, reply in zip(log_probs, texts, strict=True)
            ]
        )
    return found[0], found[1]
