"""The prompt format of an adapter that was trained on whole sequences, by what it writes.

After the beginning of any format such an adapter writes an input of its task, and then the words
that closed an input in its training: it goes on with "### Assistant:" after "Question:" as well. So
a format is possible where its own words close what is written after its beginning. Where that holds
of several (Alpaca's three end alike, and chats), inputs are likeliest after the beginning that was
in the training, and that beginning itself is.
"""

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from workbench.models.decoding import Sampling, decode
from workbench.models.format_choice import ALPACA_INSTRUCTION
from workbench.models.formats import BoundFormat, bind
from workbench.models.pair import Pair
from workbench.models.resident import Resident
from workbench.models.scoring import answer_log_probs
from workbench.recipe import PromptFormat
from workbench.recipe.prompt_format import alpaca_with_input
from workbench.steps.rounds import input_tokens
from workbench.steps.writer_choice import LEAST_GAIN
from workbench.synthesize.adapter_writer import (
    InputSlot,
    input_gain,
    input_lead,
    input_row,
    input_slot,
)
from workbench.teach import TEACHER

FORMAT_TEXTS = 16  # rows that an adapter writes after the beginning of each prompt format
FIRST_ROOM = 128  # tokens of such a row; where that is too few for any format it is tried with more


@dataclass(frozen=True)
class Found:
    """A prompt format that an adapter may have been trained with.

    Attributes:
        learned: nats per token that the adapter has learned of the inputs that it writes.
        texts: these inputs.
    """

    form: PromptFormat
    learned: float
    texts: list[str]


@dataclass(frozen=True)
class _Tried:
    """A format and what was written after its beginning.

    Attributes:
        before, after: text around an input; nothing after it where a token closes it.
        rows: what was written, and whether it came to an end.
        texts: inputs that were closed as this format closes them.
    """

    form: BoundFormat
    slot: InputSlot
    before: str
    after: str
    rows: list[tuple[str, bool]]
    texts: tuple[str, ...] = ()


def formats_by_writing(pair: Pair, formats: Iterable[PromptFormat], seed: int) -> list[Found]:
    """The formats that are possible, best first; none where the adapter writes under no format.

    Args:
        formats: chat formats are left out where the base has no chat template.
    """
    source = pair.source
    usable = [
        form
        for form in (*dict.fromkeys(formats), ALPACA_INSTRUCTION)
        if form.kind == "text" or source.tokenizer.chat_template
    ]
    possible: list[_Tried] = []
    for room in (FIRST_ROOM, input_tokens(source, [])):
        *tried, asked = _written(source, usable, room, seed)
        tried += _written(source, list(_of_one_instruction(asked)), room, seed)
        if possible := _possible(tried):
            break
    else:
        return []
    # An instruct model ends a user's turn by a token whatever an adapter has learned besides.
    possible = [one for one in possible if one.after.strip() and _learned_words(source, one)] or [
        one for one in possible if not one.after.strip()
    ]
    if not possible:
        return []
    evidence = _evidence(source, possible, tried)
    best = max(evidence)
    winner = possible[evidence.index(best)]
    learning = source, TEACHER, winner.form, winner.texts
    learned = min(input_gain(*learning), input_lead(*learning))
    tokens = _tokens(source, possible)
    found = (
        Found(one.form.format, learned - (best - mine) / tokens, list(one.texts))
        for one, mine in zip(possible, evidence, strict=True)
    )
    return sorted(found, key=lambda one: -one.learned)


def _written(
    source: Resident, formats: Sequence[PromptFormat], room: int, seed: int
) -> Iterator[_Tried]:
    """Rows after the beginning of each format, written all together."""
    bound = [bind(form, source.tokenizer) for form in formats]
    slots = [input_slot(form) for form in bound]
    rows = [("", False)] * (len(slots) * FORMAT_TEXTS)
    with source.using(TEACHER):
        for index, drawn in decode(
            source,
            [slot.begin_ids for slot in slots for _ in range(FORMAT_TEXTS)],
            new_tokens=room,
            stop_ids=tuple({token for slot in slots for token in slot.stop_ids}),
            sampling=Sampling(),
            seed=seed,
        ):
            text = source.tokenizer.decode(drawn.ids, skip_special_tokens=True)
            rows[index] = str(text), drawn.finished
    for at, (form, slot) in enumerate(zip(bound, slots, strict=True)):
        mine = rows[at * FORMAT_TEXTS : (at + 1) * FORMAT_TEXTS]
        yield _Tried(form, slot, *_around(form, slot), mine)


def _around(form: BoundFormat, slot: InputSlot) -> tuple[str, str]:
    """Words before an input, and those that close it: "" where a token does."""
    before, _, after = form.format.template.partition("{input}")
    chat = form.format.kind == "chat"
    if any(token in form.special_ids for token in form.prompt_ids("x")[len(slot.begin_ids) :]):
        return before, after.strip(" ") if chat else ""
    return before, (slot.stop_text or "" if chat else after).strip(" ")


def _of_one_instruction(asked: _Tried) -> Iterator[PromptFormat]:
    """Alpaca with an input, where most rows begin with one and the same instruction."""
    written = Counter(
        text.partition(asked.after)[0].strip() for text, _ in asked.rows if asked.after in text
    )
    for instruction, times in written.most_common(1):
        if times > FORMAT_TEXTS / 2 and instruction and "{input}" not in instruction:
            yield PromptFormat(kind="text", template=alpaca_with_input(instruction))


def _possible(tried: Sequence[_Tried]) -> list[_Tried]:
    """Formats whose own words close most of what was written after their beginning."""
    words = {one.after for one in tried if one.after.strip()}
    closed = [replace(one, texts=tuple(_inputs(one, words))) for one in tried]
    possible = [one for one in closed if len(one.texts) >= FORMAT_TEXTS / 2]
    return [one for one in possible if not any(_is_part_of(one, other) for other in possible)]


def _inputs(one: _Tried, words: set[str]) -> Iterator[str]:
    """The inputs of rows that are closed by the words of this format and by no longer ones."""
    for text, finished in one.rows:
        longest = max((each for each in words if each in text), key=len, default="")
        # White space alone tells little: the row must be over, and without words of another format.
        closed = longest == one.after if longest else finished and one.after in text
        start = (text.partition(one.after)[0] if one.after else text).strip()
        if closed and any(char.isalnum() for char in start):
            yield start


def _is_part_of(one: _Tried, other: _Tried) -> bool:
    """Whether most inputs of one hold the line before an input of the other, which is longer."""
    line = _last_line(other.before)
    if not line or line in one.before:
        return False
    return sum(line in text for text in one.texts) > len(one.texts) / 2


def _learned_words(source: Resident, one: _Tried) -> bool:
    """Whether the adapter finds the words that close an input likelier than its base does."""
    rows = [input_row(one.form, one.slot, text) for text in one.texts]
    closing = _alike([rest[::-1] for _, rest in rows])
    sums = []
    for adapter in (TEACHER, None):
        with source.using(adapter):
            log_probs = answer_log_probs(source, rows)
        sums.append(sum(float(row[len(row) - closing :].sum()) for row in log_probs))
    return sums[0] > sums[1]


def _last_line(before: str) -> str:
    return before.strip().rpartition("\n")[2]


def _evidence(source: Resident, possible: Sequence[_Tried], tried: Sequence[_Tried]) -> list[float]:
    """For each possible format, how likely rows are in it, in nats a row; all 0 for a single one.

    That is the likelihood of the same inputs after each beginning, and how much likelier than the
    base the adapter finds the beginning itself, which the loss may have left out. The inputs are
    those that were written after other beginnings, for each likes best what was written after
    itself. An adapter that writes no inputs there is surest of what it writes where it was trained.
    """
    if len(possible) == 1:
        return [0.0]
    texts = list(_written_elsewhere(possible, tried))
    by_form = [_of_inputs(source, TEACHER, one, texts) for one in possible]
    of_base = [_of_inputs(source, None, one, texts) for one in possible]
    gains = [
        max(mine[at] - base[at] for mine, base in zip(by_form, of_base, strict=True))
        for at in range(len(texts))
    ]
    of_task = [at for at, gain in enumerate(gains) if gain >= LEAST_GAIN]
    if len(of_task) >= FORMAT_TEXTS:
        likely = [statistics.median(mine[at] for at in of_task) for mine in by_form]
    else:
        likely = [statistics.mean(_of_inputs(source, TEACHER, one, one.texts)) for one in possible]
    tokens = _tokens(source, possible)
    return [
        _of_beginning(source, one) + mine * tokens
        for one, mine in zip(possible, likely, strict=True)
    ]


def _tokens(source: Resident, possible: Sequence[_Tried]) -> float:
    """Of an input, on average."""
    texts = [text for one in possible for text in one.texts]
    return statistics.mean(len(source.tokenizer(text)["input_ids"]) for text in texts)


def _written_elsewhere(possible: Sequence[_Tried], tried: Sequence[_Tried]) -> Iterator[str]:
    """Inputs written after the beginnings of formats that are not possible."""
    forms = {one.form.format for one in possible}
    words = {one.after for one in possible if one.after}
    lines = {_last_line(one.before) for one in possible} - {""}
    rows = [row for one in tried if one.form.format not in forms for row in one.rows]
    for text, finished in rows:
        start = min((text.partition(word)[0] for word in words), key=len, default=text).strip()
        closed = finished or start != text.strip()
        alone = not any(line in start for line in lines)
        if closed and alone and any(char.isalnum() for char in start):
            yield start


def _of_beginning(source: Resident, one: _Tried) -> float:
    """Nats that the adapter has learned of a beginning; 0 where the training left it out."""
    begin = one.slot.begin_ids
    if len(begin) < 2:
        return 0.0
    likelihoods = []
    for adapter in (TEACHER, None):
        with source.using(adapter):
            (log_probs,) = answer_log_probs(source, [(begin[:1], begin[1:])])
        likelihoods.append(float(log_probs.sum()))
    return max(0.0, likelihoods[0] - likelihoods[1])


def _of_inputs(
    source: Resident, adapter: str | None, one: _Tried, texts: Sequence[str]
) -> list[float]:
    """Log-likelihood of each input after a beginning, in nats per token.

    Without their first tokens: before an input that nothing precedes there was nothing in training.
    """
    rows = [input_row(one.form, one.slot, text) for text in texts]
    if not rows:
        return []
    closing = _alike([rest[::-1] for _, rest in rows])
    with source.using(adapter):
        log_probs = answer_log_probs(source, rows)
    inputs = [row[1 : max(2, len(row) - closing)] for row in log_probs]
    return [float(row.mean()) if len(row) else 0.0 for row in inputs]


def _alike(rows: Sequence[Sequence[int]]) -> int:
    """How many tokens all rows have in common at their beginning."""
    length = min(map(len, rows))
    return next((at for at in range(length) if len({row[at] for row in rows}) > 1), length)
