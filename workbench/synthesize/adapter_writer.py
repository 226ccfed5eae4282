"""An adapter that was trained on whole sequences writes the inputs of its task.

Most trainers can put the loss on the whole conversation instead of the answer alone; such an
adapter has learned the inputs as well. Given what stands before an input in the prompt it writes
one: no seeds, no list, no search. A kit's writer is an adapter that was trained so on purpose.

How much of the inputs an adapter has learned is measured in nats per token (``input_gain``). An
answer-only adapter gains next to nothing or loses, one that was trained on whole sequences 0.8 to
4.5; docs/method.md says more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from workbench.models.batches import for_device
from workbench.models.decoding import Sampling, decode
from workbench.models.formats import BoundFormat
from workbench.models.resident import Resident
from workbench.models.scoring import answer_log_probs
from workbench.models.training import TrainingRow

# Inputs that are written together. Their prompts are a few tokens, so that on a processor 96 take
# little room, and the weights are read a third as often as for 32: 1.7 times the speed.
TOGETHER = {"cpu": 96, "cuda": 1024}
# Inputs as different as can be: what their prompts share is of the format, not of an input.
_UNLIKE = ("Yes", "7 + 5", "the cat sat", "«Où?»", "(x)")


@dataclass(frozen=True)
class InputSlot:
    """Where inputs stand in the prompts of a format.

    Attributes:
        begin_ids: tokens before an input, at least one.
        stop_ids: tokens that end an input.
        stop_text: text that ends an input where no token does; None where one does.
    """

    begin_ids: list[int]
    stop_ids: tuple[int, ...]
    stop_text: str | None


def input_slot(form: BoundFormat) -> InputSlot:
    """Found by comparing prompts, so it holds for every template and tokenizer.

    A text format without anything before the input begins as after the end of another text.
    """
    prompts = [form.prompt_ids(text) for text in _UNLIKE]
    begin = common(prompts) or [form.end_id]
    after = common([prompt[::-1] for prompt in prompts])[::-1]
    ends = [token for token in after if token in form.special_ids]
    tail = form.tokenizer.decode(after) if after and not ends else ""
    return InputSlot(
        begin_ids=begin,
        stop_ids=tuple(dict.fromkeys([*ends[:1], *form.stop_ids])),
        stop_text=str(tail).strip(" ") or None,
    )


def common(rows: Sequence[Sequence[int]]) -> list[int]:
    """What all rows begin with."""
    alike = takewhile(lambda tokens: len(set(tokens)) == 1, zip(*rows, strict=False))
    return [tokens[0] for tokens in alike]


def input_row(form: BoundFormat, slot: InputSlot, text: str) -> tuple[list[int], list[int]]:
    """(tokens before the input, the input and what closes it) of one prompt."""
    return _split(slot, form.prompt_ids(text))


def whole_row(form: BoundFormat, slot: InputSlot, text: str, answer: str) -> TrainingRow:
    """A row whose loss is on input and answer, for training a writer."""
    return TrainingRow(*_split(slot, form.prompt_ids(text) + form.answer_ids(answer)))


def _split(slot: InputSlot, ids: list[int]) -> tuple[list[int], list[int]]:
    shared = len(common([slot.begin_ids, ids]))
    # Where nothing stands before an input, what a text follows in training stands there.
    return (ids[:shared], ids[shared:]) if shared else (slot.begin_ids, ids)


def write_inputs(
    resident: Resident,
    adapter: str,
    form: BoundFormat,
    count: int,
    *,
    new_tokens: int,
    sampling: Sampling,
    seed: int,
    held_texts: Sequence[str] = (),
) -> list[str]:
    """``count`` texts; "" where one was empty or not ended within ``new_tokens``.

    Args:
        held_texts: real inputs. Where one of them holds the text that ends an input, an input goes
            on to the last place where that text stands.
    """
    slot = input_slot(form)
    inside = slot.stop_text is not None and any(slot.stop_text in text for text in held_texts)
    texts = [""] * count
    with resident.using(adapter):
        for index, drawn in decode(
            resident,
            [slot.begin_ids] * count,
            new_tokens=new_tokens,
            stop_ids=slot.stop_ids,
            sampling=sampling,
            seed=seed,
            rows=for_device(TOGETHER, resident.device),
            stop_text=None if inside else slot.stop_text,
        ):
            text = str(resident.tokenizer.decode(drawn.ids, skip_special_tokens=True))
            if drawn.finished:
                texts[index] = _cut(text, slot.stop_text, inside)
    return texts


def _cut(text: str, stop_text: str | None, inside: bool) -> str:
    if stop_text is not None and stop_text in text:
        text = text.rpartition(stop_text)[0] if inside else text.partition(stop_text)[0]
    text = text.strip()
    return text if any(char.isalnum() for char in text) else ""


def input_gain(resident: Resident, adapter: str, form: BoundFormat, inputs: Sequence[str]) -> float:
    """Mean log-likelihood of inputs per token, with the adapter minus without it, in nats.

    Two forward passes. Over all tokens of all inputs together, so that long inputs, which say
    most, count most.
    """
    slot = input_slot(form)
    rows = [input_row(form, slot, text) for text in inputs]
    return _per_token(resident, adapter, rows) - _per_token(resident, None, rows)


def input_lead(resident: Resident, adapter: str, form: BoundFormat, texts: Sequence[str]) -> float:
    """How much likelier texts are as inputs than as answers, in nats per token, with the adapter.

    Each text is the answer to the next one. Labels, which an answer-only adapter writes where an
    input belongs, are likelier as answers (measured: -1.3), inputs are not (2.4). It does not tell
    queries from inputs (1.3): these answer one prompt and no other.
    """
    slot = input_slot(form)
    as_inputs = [input_row(form, slot, text) for text in texts]
    as_answers = [
        (form.prompt_ids(other), form.answer_ids(text))
        for text, other in zip(texts, [*texts[1:], texts[0]], strict=True)
    ]
    return _per_token(resident, adapter, as_inputs) - _per_token(resident, adapter, as_answers)


def _per_token(
    resident: Resident, adapter: str | None, rows: Sequence[tuple[list[int], list[int]]]
) -> float:
    """Mean log-likelihood of the second parts, over all tokens of all rows."""
    with resident.using(adapter):
        log_probs = answer_log_probs(resident, rows)
    return sum(float(row.sum()) for row in log_probs) / sum(len(rest) for _, rest in rows)
