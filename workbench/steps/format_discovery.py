"""The prompt format of an adapter that was trained on whole sequences, by what it has learned.

After the beginning of any format such an adapter writes inputs of its task. On these every known
format is scored by its own tokens, which the adapter has learned in one format and in no other:
those that close an input and, unless the loss left it out, what stands before an input.
docs/method.md says how often that errs.
"""

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from workbench.models.decoding import Sampling, decode
from workbench.models.format_choice import ALPACA_INSTRUCTION
from workbench.models.formats import BoundFormat, bind
from workbench.models.pair import Pair
from workbench.models.resident import Resident
from workbench.models.scoring import answer_log_probs
from workbench.recipe import PromptFormat
from workbench.recipe.prompt_format import alpaca_with_input
from workbench.steps.rounds import UNKNOWN_ROOM
from workbench.synthesize.adapter_writer import (
    InputSlot,
    common,
    input_gain,
    input_lead,
    input_row,
    input_slot,
)
from workbench.teach import TEACHER

ROWS = 16  # that an adapter writes after the beginning of each prompt format
ROOMS = (128, UNKNOWN_ROOM)  # tokens of such a row; the more where too few end in the fewer
INPUTS = 64  # of those written, on which formats are compared at most
FEWEST = ROWS // 2  # inputs on which formats are compared at least
# Settled on 52 adapters trained in known formats: 50 are found, and 49 or 50 where one of these is
# a third more or less.
LEARNED = 1.5  # nats per token from which a written input is the adapter's and not its base's
SURE = 4.0  # times a log-likelihood counts beside what was learned of it
UNKNOWN_BEGINNING = 3.0  # nats that speak against a format whose beginning was not learned


@dataclass(frozen=True)
class Found:
    """A prompt format and how well it fits an adapter.

    Attributes:
        learned: nats per token that the adapter has learned of the inputs that it writes in the
            best format, less what this one lacks behind it.
        texts: these inputs.
    """

    form: PromptFormat
    learned: float
    texts: list[str]


@dataclass(frozen=True)
class _Tried:
    """A format and what was written after its beginning: (text, whether a token ended it)."""

    form: BoundFormat
    slot: InputSlot
    rows: list[tuple[str, bool]]

    @property
    def words(self) -> str:
        """Words that close an input; "" or only white space where they are tokens."""
        return (self.slot.stop_text or self.form.format.template.partition("{input}")[2]).strip(" ")


def formats_by_writing(pair: Pair, formats: Iterable[PromptFormat], seed: int) -> list[Found]:
    """The formats, best first; none where the adapter has learned none of them.

    Args:
        formats: chat formats are left out where the base has no chat template. Of formats that make
            the same prompts the first is taken.
    """
    source = pair.source
    usable: dict[tuple[int, ...], BoundFormat] = {}
    for format in formats:
        if format.kind == "text" or source.tokenizer.chat_template:
            form = bind(format, source.tokenizer)
            usable.setdefault(tuple(form.prompt_ids("x")), form)
    of_instructions = bind(ALPACA_INSTRUCTION, source.tokenizer)
    for room in ROOMS:
        *tried, asked = _written(source, [*usable.values(), of_instructions], room, seed)
        if format := _of_one_instruction(asked):
            tried += _written(source, [bind(format, source.tokenizer)], room, seed)
        if len(written := _inputs(tried)) >= FEWEST:
            break
    else:
        return []
    texts = _of_the_task(source, written)
    evidence = [_evidence(source, one, texts) for one in tried]
    best = max(evidence)
    winner = tried[evidence.index(best)]
    own = [text for _, text in _inputs([winner])] or texts
    learning = source, TEACHER, winner.form, own
    learned = min(input_gain(*learning), input_lead(*learning))
    tokens = statistics.mean(len(source.tokenizer(text)["input_ids"]) for text in own)
    found = (
        Found(one.form.format, learned - (best - mine) / tokens, own)
        for one, mine in zip(tried, evidence, strict=True)
    )
    return sorted(found, key=lambda one: -one.learned)


def _written(
    source: Resident, forms: Sequence[BoundFormat], room: int, seed: int
) -> Iterator[_Tried]:
    """Rows after the beginning of each format, written all together."""
    slots = [input_slot(form) for form in forms]
    rows = [("", False)] * (len(slots) * ROWS)
    with source.using(TEACHER):
        for index, drawn in decode(
            source,
            [slot.begin_ids for slot in slots for _ in range(ROWS)],
            new_tokens=room,
            stop_ids=tuple({token for slot in slots for token in slot.stop_ids}),
            sampling=Sampling(),
            seed=seed,
        ):
            text = source.tokenizer.decode(drawn.ids, skip_special_tokens=True)
            rows[index] = str(text), drawn.finished
    for at, (form, slot) in enumerate(zip(forms, slots, strict=True)):
        yield _Tried(form, slot, rows[at * ROWS : (at + 1) * ROWS])


def _of_one_instruction(asked: _Tried) -> PromptFormat | None:
    """Alpaca with an input, where most rows begin with one and the same instruction."""
    written = Counter(
        text.partition(asked.words)[0].strip() for text, _ in asked.rows if asked.words in text
    )
    for instruction, times in written.most_common(1):
        if times > ROWS / 2 and instruction and "{input}" not in instruction:
            return PromptFormat(kind="text", template=alpaca_with_input(instruction))
    return None


def _inputs(tried: Sequence[_Tried]) -> list[tuple[_Tried, str]]:
    """Inputs that were written, after every beginning as many, with the format of each.

    The words of any format close them. Where few are closed so, a row's first line is one: white
    space does not tell an input from an answer.
    """
    words = [one.words for one in tried if one.words.strip()]
    closed, lines = list[tuple[_Tried, str]](), list[tuple[_Tried, str]]()
    for rows in zip(*(one.rows for one in tried), strict=True):
        for one, (text, finished) in zip(tried, rows, strict=True):
            start = min((text.partition(word)[0] for word in words), key=len, default=text)
            if not any(char.isalnum() for char in start):
                continue
            if start != text:
                closed.append((one, start.strip()))
            elif finished:
                lines.append((one, start.strip().partition("\n")[0].strip()))
    return (closed if len(closed) >= FEWEST else closed + lines)[:INPUTS]


def _of_the_task(source: Resident, written: Sequence[tuple[_Tried, str]]) -> list[str]:
    """Inputs of which the adapter has learned much, where they were written; at least the best."""
    rows = [_cut(one, text) for one, text in written]
    likely = _likely(source, [(before, inside or end) for before, inside, end in rows])
    gains = [
        (mine - base) / max(1, len(inside))
        for (mine, base), (_, inside, _) in zip(likely, rows, strict=True)
    ]
    least = min(LEARNED, *sorted(gains)[-FEWEST:])
    return [text for gain, (_, text) in zip(gains, written, strict=True) if gain >= least]


def _evidence(source: Resident, one: _Tried, texts: Sequence[str]) -> float:
    """What an adapter has learned of a format's own tokens, in nats a row.

    How sure it is of those that close an input counts besides: a base expects the end of a turn
    anywhere, and a little more of that says nothing.
    """
    cuts = [_cut(one, text) for text in texts]
    likely = _likely(source, [(before + inside, end) for before, inside, end in cuts])
    closing = statistics.median(mine - base + SURE * mine for mine, base in likely)
    first, *others = one.slot.begin_ids
    if not others:
        return closing
    ((mine, base),) = _likely(source, [([first], others)])
    return closing + (mine - base if mine > base / 2 else -UNKNOWN_BEGINNING)


def _cut(one: _Tried, text: str) -> tuple[list[int], list[int], list[int]]:
    """Tokens of a prompt before an input, of it, and of what closes it: where nothing does, the end
    of a text, which was not learned there."""
    before, rest = input_row(one.form, one.slot, text)
    longer = input_row(one.form, one.slot, f"{text} and")[1]
    end = len(common([rest, longer]))
    return before, rest[:end], rest[end:] or [one.form.end_id]


def _likely(
    source: Resident, rows: Sequence[tuple[list[int], list[int]]]
) -> list[tuple[float, float]]:
    """Log-likelihoods of the second parts: with the adapter, without it."""
    sums = []
    for adapter in (TEACHER, None):
        with source.using(adapter):
            sums.append([float(row.sum()) for row in answer_log_probs(source, rows)])
    return list(zip(*sums, strict=True))
