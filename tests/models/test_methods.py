"""Every PEFT method as a teacher: taken in as PEFT saves it, and answering as PEFT does."""

import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import get_peft_model
from torch import Tensor

from tests.models.methods import CASES, FAMILIES, base, config, saved
from workbench.adapter_settings import TITLES
from workbench.errors import IntakeError, ModelError
from workbench.intake.adapter import read_adapter
from workbench.intake.methods import METHODS
from workbench.models.forward import logits_at, shared_prefix, start_batch
from workbench.models.resident import Resident

IDS = torch.randint(3, 90, (2, 12), generator=torch.Generator().manual_seed(1))
IDS[0, 0], IDS[1, 4] = 3, 9  # the trained tokens of the cases
DOCUMENT = Path(__file__).parents[2] / "docs" / "adapters.md"
TAKEN, NONE = "yes", "–"


@pytest.fixture(scope="module")
def residents() -> dict[str, Resident]:
    here = torch.device("cpu")
    return {
        family: Resident(base(family), None, here, False, Path("."))  # type: ignore[arg-type]
        for family in FAMILIES
    }


@pytest.fixture(scope="module")
def found() -> dict[str, dict[str, str]]:
    """What the cases below found, for the table."""
    return {}


def scored(resident: Resident, rows: Sequence[list[int]]) -> Tensor:
    """Logits [rows, tokens, vocabulary] as scoring computes them."""
    width = len(rows[0])
    ids = torch.tensor([resident.with_virtual_tokens(list(row)) for row in rows])
    ends = torch.arange(1, len(rows) + 1) * ids.shape[1]
    keep = torch.cat([torch.arange(end - width, end) for end in ends.tolist()])
    logits = logits_at(resident, ids, keep, resident.key_values())
    return logits.view(len(rows), width, -1)


def continued(resident: Resident, rows: Sequence[list[int]], next_ids: Tensor) -> Tensor:
    """Logits after the rows and after one more token each, as decoding computes them."""
    prompts = [resident.with_virtual_tokens(list(row)) for row in rows]
    shared, prefix = shared_prefix(resident, prompts)
    batch = start_batch(resident, prefix, new_tokens=1)
    first = batch.read([prompt[shared:] for prompt in prompts])
    return torch.stack([first, batch.step(next_ids)])


def outcome(case: str, resident: Resident, folder: Path, family: str) -> str:
    """ "yes", "–" where PEFT has no such adapter, or why it is refused."""
    refused = METHODS[CASES[case][0]].refused if CASES[case][0] in METHODS else ""
    if refused:
        return refused
    try:
        wanted = saved(case, family, folder, IDS)
    except (TypeError, ValueError, NotImplementedError):
        return NONE
    before = scored(resident, IDS.tolist())
    try:
        files = read_adapter(folder, folder / "work")
        resident.attach("teacher", files.settings, files.weights)
    except (IntakeError, ModelError) as error:
        return error.message
    with resident.using("teacher"), torch.no_grad():
        ours = scored(resident, IDS.tolist())
        rows = [IDS[0].tolist()[:5], IDS[1].tolist()]
        together = continued(resident, rows, torch.tensor([7, 8]))
        alone = continued(resident, rows[:1], torch.tensor([7]))
    resident.detach("teacher")
    scale = float(wanted.abs().max())
    assert float((ours - wanted).abs().max()) < 1e-5 * max(1.0, scale), f"{case} on {family}"
    assert float((together[:, 0] - alone[:, 0]).abs().max()) < 1e-4, "a row depends on its batch"
    assert float((together[0, 1] - ours[1, -1]).abs().max()) < 1e-4, "decoding is not scoring"
    assert not torch.equal(ours, before), f"{case} changes nothing"
    assert torch.equal(scored(resident, IDS.tolist()), before), f"{case} left something behind"
    return TAKEN


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("case", CASES)
def test_a_teacher_answers_as_in_peft(
    case: str,
    family: str,
    residents: dict[str, Resident],
    found: dict[str, dict[str, str]],
    tmp_path: Path,
) -> None:
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        result = outcome(case, residents[family], tmp_path / "saved", family)
    found.setdefault(case, {})[family] = result
    assert result in (TAKEN, NONE) or result.endswith("."), result


def rows_of_the_table(found: dict[str, dict[str, str]]) -> list[str]:
    """Markdown, one row a case."""
    rows = []
    for case, by_family in found.items():
        title = TITLES.get(case, case)
        cells = [
            re.sub(r" \([a-z_.0-9A-Z]*\)|^adapter_\w+\.\w+:? ", "", by_family[family])
            for family in FAMILIES
        ]
        if all(cell not in (TAKEN, NONE) for cell in cells) and len(set(cells)) == 1:
            cells = [f"refused: {cells[0]}", "", "", ""]
        rows.append(f"| {title} | {' | '.join(cells)} |")
    return rows


def test_the_table_of_the_documentation_is_true(found: dict[str, dict[str, str]]) -> None:
    if set(found) != set(CASES):
        pytest.skip("only with all cases above")
    rows = rows_of_the_table(found)
    missing = [row for row in rows if row not in DOCUMENT.read_text(encoding="utf-8").splitlines()]
    assert not missing, "docs/adapters.md lacks:\n" + "\n".join(rows)


def test_ranks_that_adalora_has_taken_away_stay_away(
    residents: dict[str, Resident], tmp_path: Path
) -> None:
    torch.manual_seed(3)
    model = get_peft_model(base("Llama"), config("ADALORA", "Llama"))
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data.add_(torch.randn_like(parameter) * 0.3)
    tuner: Any = model.base_model
    kept = {
        f"{name}.lora_E": [True, False, True, False] if "q_proj" in name else [True] * 4
        for name, module in tuner.model.named_modules()
        if hasattr(module, "lora_E")
    }
    tuner.peft_config["default"].rank_pattern = kept
    tuner.resize_modules_by_rank_pattern(kept, "default")
    with torch.no_grad():
        wanted = model.eval()(input_ids=IDS).logits
    model.save_pretrained(str(tmp_path / "saved"))
    files = read_adapter(tmp_path / "saved", tmp_path / "work")
    resident = residents["Llama"]
    resident.attach("teacher", files.settings, files.weights)
    with resident.using("teacher"), torch.no_grad():
        ours = scored(resident, IDS.tolist())
    resident.detach("teacher")
    assert float((ours - wanted).abs().max()) < 1e-5


def test_every_method_of_peft_has_a_row() -> None:
    from peft.utils.peft_types import PeftType  # noqa: PLC0415

    assert {kind.value for kind in PeftType} == {"LORA", *METHODS}
    assert {method for method, _ in CASES.values()} == {"LORA", *METHODS}
