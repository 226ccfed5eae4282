"""The discriminator: a second LoRA on the source base that answers "is this from the task?".

Trained once by the data owner (paper section 3): log P(yes) on real inputs, log P(no) on
synthetic ones. At transfer a sample is kept when P(yes) > P(no); no threshold is tuned.
"""

from collections.abc import Sequence

import torch

from workbench.models.formats import BoundFormat, bind
from workbench.models.resident import Resident
from workbench.models.scoring import next_token_log_probs
from workbench.models.training import TrainingRow
from workbench.recipe import PromptFormat

DISCRIMINATOR = "discriminator"  # name of the adapter on the source base
YES, NO = "Yes", "No"


def discriminator_format(kind: str, task_name: str) -> PromptFormat:
    """The question as a prompt: a brief instruction, the candidate, the question.

    Args:
        kind: "chat" or "text", as in the source format.
        task_name: short descriptor of the data set; braces in it are dropped.
    """
    name = task_name.replace("{", "").replace("}", "")
    question = (
        "Answer with one word, Yes or No.\n\nText: {input}\n\n"
        f'Question: Is this text from the "{name}" data set?'
    )
    return PromptFormat(kind=kind, template=question if kind == "chat" else question + "\nAnswer:")


def yes_no_ids(form: BoundFormat) -> tuple[int, int]:
    """First token of "Yes" and of "No" where the answer begins."""
    return form.answer_ids(YES)[0], form.answer_ids(NO)[0]


def training_rows(
    form: BoundFormat, real: Sequence[str], synthetic: Sequence[str]
) -> list[TrainingRow]:
    """One-token answers: yes for every real input, no for every synthetic one."""
    yes, no = yes_no_ids(form)
    return [TrainingRow(form.prompt_ids(text), [yes]) for text in real] + [
        TrainingRow(form.prompt_ids(text), [no]) for text in synthetic
    ]


def score(resident: Resident, task_name: str, kind: str, inputs: Sequence[str]) -> list[float]:
    """P(yes) / (P(yes) + P(no)) of each input, in 0..1; above 0.5 is P(yes) > P(no)."""
    form = bind(discriminator_format(kind, task_name), resident.tokenizer)
    with resident.using(DISCRIMINATOR):
        log_probs = next_token_log_probs(
            resident, [form.prompt_ids(text) for text in inputs], yes_no_ids(form)
        )
    return torch.softmax(log_probs, dim=1)[:, 0].tolist()


def area_under_curve(real: Sequence[float], synthetic: Sequence[float]) -> float:
    """Probability that a real input scores above a synthetic one (ties count half)."""
    wins = sum((r > s) + 0.5 * (r == s) for r in real for s in synthetic)
    return wins / (len(real) * len(synthetic))
