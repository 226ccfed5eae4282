"""How an input becomes prompt token ids, and how answer ids become text again.

Everything that trains, labels, scores or decodes goes through one ``BoundFormat``, so an answer
starts and ends in the same way everywhere. Text of a person or of a model never turns into
special tokens, whatever it contains: only the base's own chat template and tokenizer make those.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import jinja2
from transformers import PreTrainedTokenizerBase

from workbench.errors import ModelError
from workbench.recipe import PromptFormat

TEMPLATE_CHARACTERS = 64 * 1024  # of a chat template's source, and of what it renders

# Placeholders that are rendered in place of text; no template contains them.
_SYSTEM, _USER, _ANSWER = "\ue000system\ue001", "\ue000user\ue001", "\ue000answer\ue001"

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
        before, after: what the chat template puts around the user's text; for text, the
            begin-of-text token and nothing.
        trims: the chat template strips white space around the user's text.
        end_id: the token that ends an answer in training.
        stop_ids: tokens that end an answer in decoding; ``end_id`` first.
        special_ids: tokens that text of a person or a model must not turn into.
    """

    format: PromptFormat
    tokenizer: PreTrainedTokenizerBase
    before: tuple[Piece, ...]
    after: tuple[Piece, ...]
    trims: bool
    end_id: int
    stop_ids: tuple[int, ...]
    special_ids: frozenset[int]

    def prompt_ids(self, text: str) -> list[int]:
        """Token ids of the whole prompt, begin-of-text included where the base wants it.

        Harmless text is tokenised together with the template, exactly as
        ``apply_chat_template`` does; text that spells a special token is tokenised by itself.
        """
        pieces = self._pieces(text)
        together = self._ids(Piece("".join(piece.text for piece in pieces), trusted=True))
        if [token for token in together if token in self.special_ids] == self._own_special():
            return together
        return [token for piece in pieces for token in self._ids(piece)]

    def answer_ids(self, text: str) -> list[int]:
        """Token ids of an answer, ending with the end of the turn or of the text."""
        prompt_end = self._pieces("x")[-1].text
        space = "" if not text or prompt_end[-1:].isspace() else " "
        return [*self._ids(Piece(space + text, trusted=False)), self.end_id]

    def read(self, ids: Sequence[int]) -> str:
        """The answer in decoded ids: up to the first stop token, without white space around."""
        end = next((at for at, token in enumerate(ids) if token in self.stop_ids), len(ids))
        text = self.tokenizer.decode(
            list(ids[:end]), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return str(text).strip()

    def preview(self, text: str) -> str:
        """The prompt as the model sees it, special tokens written out."""
        return "".join(piece.text for piece in self._pieces(text))

    def _pieces(self, text: str) -> list[Piece]:
        filled = self.format.template.replace("{input}", text)
        if self.trims:
            filled = filled.strip()
        return [*self.before, Piece(filled, trusted=False), *self.after]

    def _own_special(self) -> list[int]:
        """The special tokens that the template itself brings, in order."""
        ids = (token for piece in (*self.before, *self.after) for token in self._ids(piece))
        return [token for token in ids if token in self.special_ids]

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
    before = (Piece(str(tokenizer.bos_token), trusted=True),) if begins else ()
    end = int(tokenizer.eos_token_id)  # type: ignore[arg-type]
    special = _special_ids(tokenizer)
    stops = _stop_ids(tokenizer, end, special)
    return BoundFormat(format, tokenizer, before, (), False, end, stops, special)


def _bind_chat(format: PromptFormat, tokenizer: PreTrainedTokenizerBase) -> BoundFormat:
    if not tokenizer.chat_template:
        raise ModelError(
            'This base has no chat template. Choose the format kind "text" for it, for example '
            'with the template "{input}\\n\\nAnswer:".'
        )
    system = [] if format.system is None else [{"role": "system", "content": _SYSTEM}]
    user = {"role": "user", "content": f" {_USER} "}
    answer = {"role": "assistant", "content": _ANSWER}
    opened = _render(tokenizer, [*system, user], opens=True)
    closed = _render(tokenizer, [*system, user, answer], opens=False)
    trims = f" {_USER} " not in opened
    marker = _USER if trims else f" {_USER} "
    if opened.count(_USER) != 1 or closed.count(_ANSWER) != 1:
        raise ModelError("This base's chat template does not repeat a user turn as it is.")
    if system and opened.count(_SYSTEM) != 1:
        raise ModelError("This base's chat template has no system turn; leave system empty.")
    before, after = opened.split(marker)
    special = _special_ids(tokenizer)
    end = _turn_end(tokenizer, closed.split(_ANSWER)[1], special)
    return BoundFormat(
        format,
        tokenizer,
        _trusted(before, format.system),
        _trusted(after, format.system),
        trims,
        end,
        _stop_ids(tokenizer, end, special),
        special,
    )


def _trusted(text: str, system: str | None) -> tuple[Piece, ...]:
    """Template text, cut where the system turn's own words go."""
    head, found, tail = text.partition(_SYSTEM)
    pieces = [Piece(head, trusted=True)]
    if found:
        pieces += [Piece(system or "", trusted=False), Piece(tail, trusted=True)]
    return tuple(piece for piece in pieces if piece.text)


def _render(tokenizer: PreTrainedTokenizerBase, turns: list[dict[str, str]], opens: bool) -> str:
    """Rendered in transformers' sandbox, which bounds neither time nor memory; only templates of
    a base that somebody chose come here, twice per binding, and never one of an adapter."""
    template = tokenizer.chat_template
    if isinstance(template, str) and len(template) > TEMPLATE_CHARACTERS:
        raise ModelError("This base's chat template is too long to be trusted.")
    try:
        text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=opens)
    except (jinja2.TemplateError, ValueError, TypeError, KeyError) as error:
        raise ModelError(
            f"This base's chat template cannot render these turns: {error}. If a system text is "
            'set, leave it empty, or choose the format kind "text".'
        ) from error
    if not isinstance(text, str) or len(text) > TEMPLATE_CHARACTERS:
        raise ModelError("This base's chat template renders too much text to be trusted.")
    return text


def _turn_end(tokenizer: PreTrainedTokenizerBase, tail: str, special: frozenset[int]) -> int:
    """The first special token after an assistant's words; without one, the end of text."""
    ids = tokenizer(tail, add_special_tokens=False)["input_ids"] if tail else []
    for token in ids:
        if token in special:
            return int(token)
    if tokenizer.eos_token_id is None:
        raise ModelError("This base's chat template ends an answer with no token of its own.")
    return int(tokenizer.eos_token_id)  # type: ignore[arg-type]


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
