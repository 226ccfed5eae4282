"""How an input becomes prompt token ids, and how answer ids become text again.

Everything that trains, labels, scores or decodes goes through one ``BoundFormat``, so an answer
starts and ends in the same way everywhere. Text of a person or of a model never turns into
special tokens, whatever it contains: only the base's own chat template and tokenizer make those,
and the one text format of ours that is written in them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

from workbench.errors import ModelError
from workbench.models import templates
from workbench.recipe import PromptFormat

# Placeholders that are rendered in place of text; no template contains them.
_SYSTEM, _USER, _ANSWER = "\ue000system\ue001", "\ue000user\ue001", "\ue000answer\ue001"

# ChatML without a system turn, as trainers write it. Its words are ours: they become the tokens
# that they spell, where the tokenizer has these.
CHATML = "<|im_start|>user\n{input}<|im_end|>\n<|im_start|>assistant\n"

# What precedes an answer where a template thinks first and had nothing to think.
_EMPTY_THOUGHT = re.compile(r"\s*<think>\s*</think>")

# Tokens by which families end a turn or a text. Where one is a special token of the tokenizer,
# it stops an answer even if the template at hand does not use it.
_ENDS = (
    "<|im_end|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|eot_id|>",
    "<|end|>",
    "<end_of_turn>",
    "<eos>",
    "</s>",
)


@dataclass(frozen=True)
class Piece:
    """A stretch of the prompt: ``trusted`` text comes from the base's own chat template."""

    text: str
    trusted: bool


@dataclass(frozen=True)
class BoundFormat:
    """A prompt format together with a tokenizer. Make it with ``bind``.

    Attributes:
        format: what was bound.
        tokenizer: of the base that answers.
        begin_ids: what the tokenizer puts before a plain text; none for chat, whose template
            writes it out.
        before, after: what the chat template puts around the user's text, up to where the answer
            begins; nothing for text.
        trims: the chat template strips white space around the user's text.
        lead, closing: text that the model itself writes before and after an answer, white space
            mostly.
        end_id: the token that ends an answer in training.
        stop_ids: tokens that end an answer in decoding; ``end_id`` first.
        special_ids: tokens that text of a person or a model must not turn into.
    """

    format: PromptFormat
    tokenizer: PreTrainedTokenizerBase
    begin_ids: tuple[int, ...]
    before: tuple[Piece, ...]
    after: tuple[Piece, ...]
    trims: bool
    lead: str
    closing: str
    end_id: int
    stop_ids: tuple[int, ...]
    special_ids: frozenset[int]

    @property
    def stop_text(self) -> str | None:
        """Text that ends an answer in decoding, beside the stop tokens."""
        return self.format.stop_text or None

    def prompt_ids(self, text: str) -> list[int]:
        """Token ids of the whole prompt, begin-of-text included where the base wants it.

        Harmless text is tokenised together with the template, exactly as
        ``apply_chat_template`` does; text that spells a special token is tokenised by itself.
        """
        pieces = self._pieces(text)
        together = self._ids(Piece("".join(piece.text for piece in pieces), trusted=True))
        if [token for token in together if token in self.special_ids] == self._own_special():
            return [*self.begin_ids, *together]
        return [*self.begin_ids, *(token for piece in pieces for token in self._ids(piece))]

    def answer_ids(self, text: str) -> list[int]:
        """Token ids that the model writes for an answer after any prompt, its end included.

        They are those of the answer in its place behind the prompt, where tokenizers cut a text
        otherwise than by itself.
        """
        words = text.strip()
        end = [] if words and self.stop_text else [self.end_id]
        if not words:
            return end
        return [*self._written(self.lead + words + (self.stop_text or self.closing)), *end]

    def read(self, ids: Sequence[int]) -> str:
        """The answer in decoded ids: up to the first stop, without white space around."""
        end = next((at for at, token in enumerate(ids) if token in self.stop_ids), len(ids))
        text = str(
            self.tokenizer.decode(
                list(ids[:end]), skip_special_tokens=True, clean_up_tokenization_spaces=False
            )
        )
        if self.stop_text:
            text = text.split(self.stop_text, 1)[0]
        if thought := _EMPTY_THOUGHT.match(text):
            text = text[thought.end() :]
        return text.strip().removesuffix(self.closing.strip()).strip()

    def preview(self, text: str) -> str:
        """The prompt as the model sees it, special tokens written out."""
        begin = self.tokenizer.convert_ids_to_tokens(list(self.begin_ids))
        return "".join([*begin, *(piece.text for piece in self._pieces(text))])

    def for_people(self) -> dict[str, Any]:
        """What whoever uses an adapter without this program has to know, as JSON-ready data.

        Returns:
            before, after: text around the filled template; trims: white space around that goes;
            begins: the tokenizer adds its begin-of-text token; stop_ids, stop_text.
        """
        return {
            "before": "".join(piece.text for piece in self.before),
            "after": "".join(piece.text for piece in self.after),
            "trims": self.trims,
            "begins": self.format.kind == "text",
            "stop_ids": list(self.stop_ids),
            "stop_text": self.stop_text,
        }

    def _pieces(self, text: str) -> list[Piece]:
        if self.format.kind == "text" and self.format.template == CHATML:
            before, _, after = CHATML.partition("{input}")
            return [Piece(before, True), Piece(text, trusted=False), Piece(after, True)]
        filled = self.format.template.replace("{input}", text)
        if self.trims:
            filled = filled.strip()
        return [*self.before, Piece(filled, trusted=False), *self.after]

    def _own_special(self) -> list[int]:
        """The special tokens that the template itself brings, in order."""
        ids = (token for piece in self._pieces("") for token in self._ids(piece))
        return [token for token in ids if token in self.special_ids]

    def _written(self, words: str) -> list[int]:
        """Ids of words where an answer stands: those that follow the ids of the prompt's end.

        Where the prompt's last token would join with the words, another text stands in for it.
        Text that spells a special token is cut there, whatever stands before it.
        """
        for trusted in (True, False):
            for place in (_prompt_end(self.format, self.after), "\n", ":"):
                start = self._ids(Piece(place, trusted))
                ids = self._ids(Piece(place + words, trusted))
                written = ids[len(start) :]
                if ids[: len(start)] == start and self.special_ids.isdisjoint(written):
                    return written
        return self._ids(Piece(words, trusted=False))

    def _ids(self, piece: Piece) -> list[int]:
        if not piece.text:
            return []
        ids = self.tokenizer(
            piece.text, add_special_tokens=False, split_special_tokens=not piece.trusted
        )["input_ids"]
        if piece.trusted:
            return list(ids)
        # Not every kind of tokenizer can be told to split them; none may come from this text.
        # (Where a tokenizer has a token for unknown characters, this leaves them out.)
        return [token for token in ids if token not in self.special_ids]


def bind(format: PromptFormat, tokenizer: PreTrainedTokenizerBase) -> BoundFormat:
    """Work out once what surrounds an input and what ends an answer.

    Raises:
        ModelError: the base has no chat template (or one that fails) and the format asks for it.
    """
    if format.kind == "chat":
        return _bind_chat(format, tokenizer)
    if tokenizer.eos_token_id is None:
        raise ModelError("This base's tokenizer has no end-of-text token, so answers cannot end.")
    # Only where the tokenizer itself begins a text with it: some name a begin-of-text token
    # (SmolLM2: the one that opens a turn) that never starts a plain text.
    begins = list(tokenizer("")["input_ids"])[:1] == [tokenizer.bos_token_id]
    end = int(tokenizer.eos_token_id)  # type: ignore[arg-type]
    special = _special_ids(tokenizer)
    return BoundFormat(
        format,
        tokenizer,
        (int(tokenizer.bos_token_id),) if begins else (),  # type: ignore[arg-type]
        before=(),
        after=(),
        trims=False,
        lead="" if _prompt_end(format, ())[-1:].isspace() else " ",
        closing="",
        end_id=end,
        stop_ids=_stop_ids(tokenizer, end, special),
        special_ids=special,
    )


def _prompt_end(format: PromptFormat, after: Sequence[Piece]) -> str:
    """A text that ends as every prompt of the format does."""
    return after[-1].text if after else "x" + format.template.partition("{input}")[2]


def _bind_chat(format: PromptFormat, tokenizer: PreTrainedTokenizerBase) -> BoundFormat:
    if not tokenizer.chat_template:
        raise ModelError(
            'This base has no chat template. Choose the format kind "text" for it, for example '
            'with the template "{input}\\n\\nAnswer:".'
        )
    system = [] if format.system is None else [{"role": "system", "content": _SYSTEM}]
    spaced = f"\t{_USER}\t"  # white space that no template puts there itself
    user = {"role": "user", "content": spaced}
    answer = {"role": "assistant", "content": _ANSWER}
    opened, closed = _render(tokenizer, [([*system, user], True), ([*system, user, answer], False)])
    trims = spaced not in opened
    marker = _USER if trims else spaced
    if opened.count(_USER) != 1 or closed.count(marker) != 1 or closed.count(_ANSWER) != 1:
        raise ModelError("This base's chat template does not repeat a user turn as it is.")
    if system and opened.count(_SYSTEM) != 1:
        raise ModelError("This base's chat template has no system turn; leave system empty.")
    before, after = opened.split(marker)
    between, tail = closed.split(marker)[1].split(_ANSWER)
    after, lead = _answer_place(tokenizer, after, between)
    special = _special_ids(tokenizer)
    end, closing = _turn_end(tokenizer, tail, special)
    special |= {end}
    return BoundFormat(
        format,
        tokenizer,
        (),
        _trusted(before, format.system),
        _trusted(after, format.system),
        trims,
        lead,
        closing,
        end,
        _stop_ids(tokenizer, end, special),
        special,
    )


def _answer_place(tokenizer: PreTrainedTokenizerBase, opened: str, closed: str) -> tuple[str, str]:
    """Where the prompt ends: (what stands behind the user's text, what the model writes first).

    Args:
        opened: what the template puts behind the user's text for an answer to come.
        closed: what it puts between the user's text and an answer that is there. White space
            beyond ``opened`` is the model's to write; an empty thought is not.
    """
    more = closed.removeprefix(opened)
    after = opened if more != closed and not more.strip() else closed
    # White space that a tokenizer joins with the answer's first word is the model's as well.
    while after[-1:].isspace() and _joins(tokenizer, after, closed[len(after) :] + "yes"):
        after = after[:-1]
    return after, closed[len(after) :]


def _joins(tokenizer: PreTrainedTokenizerBase, start: str, words: str) -> bool:
    """Whether the tokens of start are others when words follow."""
    alone = tokenizer(start, add_special_tokens=False)["input_ids"]
    return tokenizer(start + words, add_special_tokens=False)["input_ids"][: len(alone)] != alone


def _trusted(text: str, system: str | None) -> tuple[Piece, ...]:
    """Template text, cut where the system turn's own words go."""
    head, found, tail = text.partition(_SYSTEM)
    pieces = [Piece(head, trusted=True)]
    if found:
        pieces += [Piece(system or "", trusted=False), Piece(tail, trusted=True)]
    return tuple(piece for piece in pieces if piece.text)


def _render(
    tokenizer: PreTrainedTokenizerBase, chats: list[tuple[list[dict[str, str]], bool]]
) -> list[str]:
    """Texts of the chats; whether the beginning of an answer follows is said with each."""
    try:
        template = tokenizer.get_chat_template()
    except ValueError as error:  # several, none of them the usual one
        raise ModelError(
            "This base has several chat templates and none is the usual one."
        ) from error
    return templates.render(template, tokenizer.special_tokens_map, chats)


def _turn_end(
    tokenizer: PreTrainedTokenizerBase, tail: str, special: frozenset[int]
) -> tuple[int, str]:
    """The first added token behind an assistant's words, and the text before it.

    Without one, the end of text. Added tokens of white space end nothing.
    """
    ids = tokenizer(tail, add_special_tokens=False)["input_ids"] if tail else []
    added = {
        token for token, entry in tokenizer.added_tokens_decoder.items() if entry.content.strip()
    }
    for token in ids:
        if token in special | added:
            text = str(tokenizer.convert_ids_to_tokens(int(token)))
            return int(token), tail.partition(text)[0]
    if tokenizer.eos_token_id is None:
        raise ModelError("This base's chat template ends an answer with no token of its own.")
    return int(tokenizer.eos_token_id), ""  # type: ignore[arg-type]


def _stop_ids(
    tokenizer: PreTrainedTokenizerBase, end: int, special: frozenset[int]
) -> tuple[int, ...]:
    known = [tokenizer.convert_tokens_to_ids(text) for text in _ENDS]
    stops = [end, tokenizer.eos_token_id, *(token for token in known if token in special)]
    return tuple(dict.fromkeys(int(token) for token in stops if token is not None))


def _special_ids(tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    added = tokenizer.added_tokens_decoder.items()
    return frozenset(
        {token for token, entry in added if entry.special} | set(tokenizer.all_special_ids)
    )
