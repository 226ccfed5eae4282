"""T4: an adapter that would do nothing, or only in part, is not accepted in silence."""

from pathlib import Path

import numpy as np
import pytest

from tests.intake import builders
from workbench.errors import IntakeError
from workbench.intake.adapter import read_adapter

Arrays = dict[str, np.ndarray]
LAYER = builders.LAYERS[0]
OTHER = LAYER.replace("q_proj", "query")


def renamed(arrays: Arrays) -> Arrays:
    return {name.replace(LAYER, OTHER): values for name, values in arrays.items()}


def dropped(arrays: Arrays) -> Arrays:
    return {k: v for k, v in arrays.items() if k != f"{builders.PREFIX}{LAYER}.lora_B.weight"}


def added(arrays: Arrays) -> Arrays:
    return arrays | builders.tensors(("model.layers.0.mlp.up_proj",))


def half_added(arrays: Arrays) -> Arrays:
    return arrays | {
        f"{builders.PREFIX}model.layers.9.self_attn.q_proj.lora_A.weight": next(
            iter(arrays.values())
        )
    }


def zeroed(arrays: Arrays) -> Arrays:
    return {k: v * 0 if "lora_B" in k else v for k, v in arrays.items()}


def minus_zeroed(arrays: Arrays) -> Arrays:
    return {k: v * 0 - 0.0 if "lora_B" in k else v for k, v in arrays.items()}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (renamed, "does not name"),
        (dropped, "has no B matrix"),
        (added, "does not name"),
        (half_added, "has no B matrix"),
        (zeroed, "every B matrix is zero"),
        (minus_zeroed, "every B matrix is zero"),
    ],
)
def test_t04_is_refused(tmp_path: Path, change, words: str) -> None:
    content = builders.weights(change(builders.tensors()))
    folder = builders.adapter_folder(tmp_path / "in", None, content)
    with pytest.raises(IntakeError) as caught:
        read_adapter(folder, tmp_path / "work")
    assert words in str(caught.value)


def test_t04_one_number_is_enough_to_do_something(tmp_path: Path) -> None:
    arrays = zeroed(builders.tensors())
    arrays[f"{builders.PREFIX}{LAYER}.lora_B.weight"][3, 2] = 1e-30
    folder = builders.adapter_folder(tmp_path / "in", None, builders.weights(arrays))
    assert read_adapter(folder, tmp_path / "work").parameters == 256
