"""What is said of memory, and imports that are not searched for waste."""

import gc

import psutil
import pytest

from workbench.memory import peak_memory_bytes, quick_imports


def test_the_peak_is_in_bytes() -> None:
    now = psutil.Process().memory_info().rss
    assert 0.9 * now < peak_memory_bytes() < psutil.virtual_memory().total


def test_the_collector_rests_during_imports_and_leaves_them_alone() -> None:
    frozen = gc.get_freeze_count()
    with pytest.raises(ImportError), quick_imports():
        assert not gc.isenabled()
        kept = [[number] for number in range(1000)]
        raise ImportError
    assert gc.isenabled()
    assert gc.get_freeze_count() >= frozen + len(kept)
