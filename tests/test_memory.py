"""What is said of memory, and imports that are not searched for waste."""

import gc

import pytest

from workbench.memory import peak_memory_bytes, quick_imports


def test_the_peak_is_in_bytes() -> None:
    before = peak_memory_bytes()
    held = bytes(1) * (before + 64 * 1024**2)
    assert len(held) <= peak_memory_bytes() < 100 * before


def test_the_collector_rests_during_imports_and_leaves_them_alone() -> None:
    frozen = gc.get_freeze_count()
    with pytest.raises(ImportError), quick_imports():
        assert not gc.isenabled()
        kept = [[number] for number in range(1000)]
        raise ImportError
    assert gc.isenabled()
    assert gc.get_freeze_count() >= frozen + len(kept)
