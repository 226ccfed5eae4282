"""The two bases of a transfer, each loaded when it is first needed and then kept."""

from functools import cached_property
from pathlib import Path

from workbench.errors import ModelError
from workbench.inputs import Inputs
from workbench.models import references
from workbench.models.answer_room import MOST, answer_room
from workbench.models.decoding import decode
from workbench.models.endings import Endings
from workbench.models.formats import BoundFormat, bind
from workbench.models.kept_bases import KeptBases
from workbench.models.resident import Resident
from workbench.recipe import MODEL, TransferRecipe

ASKED = 15  # seeds whose answers say how long answers are, where people gave none


class Pair:
    """Source base and target base of one recipe; the source carries the uploaded adapters.

    Loading happens offline: weights that are not there yet are a ModelError that says so.

    Args:
        bases: where bases of former runs are kept; None keeps them for this pair only.
    """

    def __init__(
        self, recipe: TransferRecipe, inputs: Inputs, bases: KeptBases | None = None
    ) -> None:
        self._recipe = recipe
        self._inputs = inputs
        self._bases = bases or KeptBases()
        self._source: Resident | None = None
        self._target: Resident | None = None
        self.endings = Endings()  # of the teacher's answers

    @property
    def source(self) -> Resident:
        """Source base with "teacher" and, where the kit has them, "discriminator" and "writer".

        Where the base was fine-tuned as a whole, "teacher" is the base itself.
        """
        if self._source is None:
            self._source = self._bases.take("source", _folder(self._recipe.source_base))
            for name, files in (
                ("teacher", self._inputs.adapter),
                ("discriminator", self._inputs.discriminator),
                ("writer", self._inputs.writer),
            ):
                if files is not None:
                    self._source.attach(name, files.settings, files.verified())
            if self._recipe.teacher == MODEL:
                self._source.attach_nothing("teacher")
        return self._source

    @property
    def target(self) -> Resident:
        """Target base, in 4-bit when the recipe says so."""
        if self._target is None:
            self._target = self._bases.take(
                "target",
                _folder(self._recipe.target_base),
                quantize=self._recipe.quantize_target,
            )
        return self._target

    @property
    def source_form(self) -> BoundFormat:
        """Source prompt format bound to the source tokenizer."""
        return bind(self._recipe.source_format, self.source.tokenizer)

    @property
    def target_form(self) -> BoundFormat:
        """Target prompt format bound to the target tokenizer."""
        return bind(self._recipe.target_format, self.target.tokenizer)

    @cached_property
    def source_answer_tokens(self) -> int:
        """Ceiling of an answer's length in tokens of the source base."""
        chosen = self._recipe.evaluation.answer_tokens
        return chosen or answer_room(0, self._known_answers, self.source_form)

    @cached_property
    def target_answer_tokens(self) -> int:
        """Ceiling of an answer's length in tokens of the target base."""
        chosen = self._recipe.evaluation.answer_tokens
        return chosen or answer_room(0, self._known_answers, self.target_form)

    @cached_property
    def _known_answers(self) -> list[str]:
        """Of people; without any the teacher's to the seeds, as far as it ends them."""
        rows = (*self._inputs.seeds, *self._inputs.evaluation)
        people = [answer for row in rows for answer in row.answers if answer]
        if people or (self._inputs.adapter is None and self._recipe.teacher != MODEL):
            return people
        form = self.source_form
        prompts = [form.prompt_ids(seed.input) for seed in self._inputs.seeds[:ASKED]]
        with self.source.using("teacher"):
            written = decode(
                self.source,
                prompts,
                new_tokens=MOST,
                stop_ids=form.stop_ids,
                sampling=None,
                stop_text=form.stop_text,
            )
            answers = [answer for _, answer in written]
        for answer in answers:
            self.endings.take(form.read(answer.ids), answer.finished)
        self.endings.require(MOST, enough=len(answers))
        return [form.read(answer.ids) for answer in answers if answer.finished]


def _folder(reference: str) -> Path:
    folder = references.ready(reference)
    if folder is None:
        raise ModelError(
            f'The weights of "{reference}" are not on this machine yet. '
            f"Fetch them with: python -m workbench fetch {reference}"
        )
    return folder
