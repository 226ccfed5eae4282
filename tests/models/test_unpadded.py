"""Rows read one behind the other give what they give side by side."""

from pathlib import Path

import pytest
import torch

from workbench.models import forward
from workbench.models.attention import KeyValues
from workbench.models.forward import logits_at, padded, shared_prefix, tree_logits_at
from workbench.models.resident import Resident, load
from workbench.models.unpadded import needed, one_row, pays

ROWS = [[5, 6, 7, 8, 9, 10, 11, 12, 13], [5, 6, 14], [5, 6, 15, 16], [5, 6, 17, 18, 19]]


@pytest.fixture(scope="module")
def resident(tiny_source: Path) -> Resident:
    return load(tiny_source)


def _both(
    resident: Resident, monkeypatch: pytest.MonkeyPatch, branching: bool, shared: int
) -> list[torch.Tensor]:
    """Logits side by side, and in one row."""
    prefix = []
    if shared:
        monkeypatch.setattr(forward, "WORTHWHILE", {"cpu": 1})
        shared, prefix = shared_prefix(resident, ROWS)
        assert shared == 2
    ids, lengths = padded([row[shared:] for row in ROWS], resident.device)
    keep = torch.tensor([3, ids.shape[1], 3 * ids.shape[1] + int(lengths[3]) - 1])
    places = torch.arange(shared, shared + ids.shape[1]).repeat(len(ids), 1)
    allowed = torch.ones(*ids.shape, ids.shape[1], dtype=torch.bool)
    allowed[0, 2:, :1] = False  # the first row's later tokens do not see its first
    found = []
    for one in (False, True):
        monkeypatch.setattr(forward, "pays", lambda *_, one=one: one)
        with torch.inference_mode():
            if branching:
                found.append(tree_logits_at(resident, ids, keep, places, allowed, prefix))
            else:
                found.append(logits_at(resident, ids, keep, prefix))
    return found


@pytest.mark.parametrize("branching", [False, True])
@pytest.mark.parametrize("shared", [0, 1])
def test_one_row_gives_the_same_logits(
    resident: Resident, monkeypatch: pytest.MonkeyPatch, branching: bool, shared: int
) -> None:
    begun: list[tuple[int, ...]] = []
    begin = KeyValues.begin

    def watched(self: KeyValues, positions: torch.Tensor, *more: torch.Tensor | None) -> None:
        begun.append(tuple(positions.shape))
        begin(self, positions, *more)

    monkeypatch.setattr(KeyValues, "begin", watched)
    side_by_side, in_a_row = _both(resident, monkeypatch, branching, shared)
    assert torch.allclose(side_by_side, in_a_row, atol=1e-5)
    # Up to the last kept token of each row, one of a row that keeps none.
    taken = 4 + 1 + 1 + len(ROWS[3]) - 2 * shared
    assert begun[-2:] == [(4, len(ROWS[0]) - 2 * shared), (1, taken)]


def test_what_is_kept_says_what_is_needed() -> None:
    ids = torch.arange(12).view(3, 4)
    keep = torch.tensor([2, 0, 9])
    assert needed(ids, keep).tolist() == [3, 1, 2]
    row, kept, places, allowed = one_row(needed(ids, keep), ids, keep, ids * 10, None)
    assert row.tolist() == [[0, 1, 2, 4, 8, 9]]
    assert row[0, kept].tolist() == [2, 0, 9]
    assert places.tolist() == [[0, 10, 20, 40, 80, 90]]
    assert (
        allowed[0].int().tolist()
        == [[1] * 3 + [0] * 3] * 3 + [[0, 0, 0, 1, 0, 0]] + [[0, 0, 0, 0, 1, 1]] * 2
    )


def test_padding_is_read_where_there_is_little_of_it(resident: Resident) -> None:
    assert resident.text_weights > 0
    assert pays(resident, 2, 100, 101)  # one long row and one short one
    assert not pays(resident, 64, 100, 6300)  # long rows of one length
    assert not pays(resident, 4, 10, 40)  # nothing to be saved
