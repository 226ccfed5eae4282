"""The plain data that flows between stages: examples people give, samples we make."""

import hashlib
import re
import unicodedata
from dataclasses import dataclass


@dataclass(frozen=True)
class Example:
    """A row from a person: a seed, an evaluation row, or an unlabelled input (output None).

    Attributes:
        references: all answers that are as right as ``output``, which is the first; () where
            there is no other.
    """

    input: str
    output: str | None = None
    references: tuple[str, ...] = ()

    @property
    def answers(self) -> tuple[str, ...]:
        """Every right answer that is known."""
        return self.references or ((self.output,) if self.output is not None else ())


# Who decided what happens to a sample; a person's word is never overruled by the filter.
KEPT = "kept"
REJECTED = "rejected"
SPAN_SWAP = "mixed"  # an origin, see ``synthesize.span_swap``
# Nobody wrote them: beyond the number asked for. Runs of earlier versions have the other origins.
MIXED = frozenset({SPAN_SWAP, "graft", "named", "word"})
# Origins of what adapters wrote that have learned their inputs: it may be a row of their training.
REPEATING = frozenset({"own", "kit"})
PENDING = "pending"  # made, but not yet scored (or edited and to be scored again)


@dataclass(frozen=True)
class Sample:
    """One synthetic input with everything that was found out about it.

    Attributes:
        id: ``sample_id(input)`` at creation; stays when the input is edited, so links hold.
        input: the text that the task would receive.
        origin: who wrote it: "target" or "source" base, "own" (the source adapter), "kit" (the
            kit's writer), "user" (own unlabelled input), "hand"; SPAN_SWAP is mixed from two.
        written_for: the label it was asked for, or None when the generator was free.
        round: synthesis round that made it; -1 for inputs that a person gave.
        status: KEPT, REJECTED or PENDING.
        reason: why it was rejected, in words; "" when kept.
        decided_by: "filter" or "person".
        teacher_output: answer of source base + source adapter; None until labelled.
        answered_by: "teacher" or "person" (a person's answer is not overwritten by labelling).
        discriminator_score: P(yes) / (P(yes) + P(no)) in 0..1; None without discriminator.
        excess: mean log-probability per answer token, adapter minus base, in nats (TiTok).
        confidence: mean probability of the answer's tokens under the teacher, in 0..1.
        nearest_seed: index of the seed with the largest word overlap.
        edited: a person changed the input.
        version: counts changes; an edit must name the version it started from.
    """

    id: str
    input: str
    origin: str
    round: int = -1
    written_for: str | None = None
    status: str = PENDING
    reason: str = ""
    decided_by: str = "filter"
    teacher_output: str | None = None
    answered_by: str = "teacher"
    discriminator_score: float | None = None
    excess: float | None = None
    confidence: float | None = None
    nearest_seed: int | None = None
    edited: bool = False
    version: int = 0


# Scripts that are written without spaces between words: Thai, Lao, Burmese, Khmer, kana, Han.
UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U0003ffff]"
)


def with_words_apart(text: str) -> str:
    """The text with a space around every character of a script that has none between words."""
    return UNSPACED.sub(r" \g<0> ", text)


def normalise(text: str) -> str:
    """Fold what does not make two inputs different: Unicode form, case, runs of white space."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def sample_id(text: str) -> str:
    """First 16 hex digits of SHA-256 over the normalised text: replays insert nothing twice."""
    return hashlib.sha256(normalise(text).encode()).hexdigest()[:16]
