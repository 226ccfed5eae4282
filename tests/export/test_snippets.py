"""Commands for other programs are ones that these take."""

import pytest

from workbench.export.snippets import vllm
from workbench.recipe import TransferRecipe, override


@pytest.mark.parametrize(("rank", "taken"), [(1, 8), (8, 8), (12, 16), (48, 64), (256, 256)])
def test_vllm_takes_some_ranks_only(rank: int, taken: int) -> None:
    recipe = override(TransferRecipe(), {"student.rank": rank})
    assert f"--max-lora-rank {taken} " in vllm(recipe)
    larger = override(recipe, {"student.rank_pattern": {"model.layers.0.mlp.up_proj": 200}})
    assert "--max-lora-rank 256 " in vllm(larger)
