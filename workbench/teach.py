"""The teacher: source base with the source adapter answers inputs and says how sure it is.

Labels are text, because source and target have different tokenizers (paper section 3, step 7).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from workbench.models.decoding import decode
from workbench.models.formats import BoundFormat
from workbench.models.resident import Resident
from workbench.models.scoring import answer_log_probs, choice_log_probs

TEACHER = "teacher"  # name of the source adapter on the source base
WRITER = "writer"  # name of the kit's writer on it
MOST_ALTERNATIVES = 4  # answers of a soft label
LEAST_SHARE = 0.03  # of the probability, below which an answer is left out of it


@dataclass(frozen=True)
class Answer:
    """One answer.

    Attributes:
        confidence: geometric mean probability of its tokens, in 0..1.
        finished: the model ended it; else it was cut at the limit, and is no label.
    """

    text: str
    confidence: float
    finished: bool = True


def answer(
    resident: Resident,
    adapter: str | None,
    form: BoundFormat,
    inputs: Sequence[str],
    answer_tokens: int,
) -> Iterator[tuple[int, Answer]]:
    """Greedy answers of a base with one of its adapters (None: without), as they finish.

    Yields:
        (index into ``inputs``, answer); every index exactly once.
    """
    prompts = [form.prompt_ids(text) for text in inputs]
    with resident.using(adapter):
        for index, decoded in decode(
            resident,
            prompts,
            new_tokens=answer_tokens,
            stop_ids=form.stop_ids,
            sampling=None,
            stop_text=form.stop_text,
        ):
            mean = sum(decoded.log_probs) / max(1, len(decoded.log_probs))
            yield index, Answer(form.read(decoded.ids), math.exp(mean), decoded.finished)


def contrastive_excess(
    resident: Resident, form: BoundFormat, inputs: Sequence[str], answers: Sequence[str]
) -> list[float]:
    """Mean log-probability per answer token, with the adapter minus without it (TiTok, section 3).

    High where the adapter knows something that its base does not: an input that the task is about.

    Returns:
        One value in nats per input, in order.
    """
    pairs = [
        (form.prompt_ids(text), form.answer_ids(reply))
        for text, reply in zip(inputs, answers, strict=True)
    ]
    with resident.using(TEACHER):
        adapted = answer_log_probs(resident, pairs)
    with resident.using(None):
        plain = answer_log_probs(resident, pairs)
    return [float((a - b).mean()) for a, b in zip(adapted, plain, strict=True)]


def soft_labels(
    resident: Resident, form: BoundFormat, inputs: Sequence[str], answers: Sequence[str]
) -> list[list[tuple[str, float]]]:
    """The teacher's probabilities over a closed set of answers: likeliest first, summing to 1.

    Whole answers are compared, so it does not matter how either tokenizer cuts them.
    """
    with resident.using(TEACHER):
        scores = choice_log_probs(
            resident,
            [form.prompt_ids(text) for text in inputs],
            [form.answer_ids(reply) for reply in answers],
        )
    best = scores.softmax(dim=1).topk(min(MOST_ALTERNATIVES, len(answers)), dim=1)
    labels = []
    for shares, places in zip(best.values.tolist(), best.indices.tolist(), strict=True):
        chosen = [(answers[int(at)], p) for at, p in zip(places, shares, strict=True)]
        chosen = [entry for entry in chosen if entry[1] >= LEAST_SHARE] or chosen[:1]
        total = sum(p for _, p in chosen)
        labels.append([(reply, p / total) for reply, p in chosen])
    return labels
