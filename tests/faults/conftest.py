"""Counts what was done to the program, over all tests of this folder, in one last line."""

from collections import Counter
from collections.abc import Callable

import pytest

_counts: Counter[str] = Counter()


@pytest.fixture
def count(record_property: Callable[[str, object], None]) -> Callable[[str, int], None]:
    """``count("kills", 3)``: what this test did, for the last line of the run."""

    def add(what: str, number: int = 1) -> None:
        record_property(f"faults:{what}", number)

    return add


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call":
        for name, number in report.user_properties:
            if name.startswith("faults:"):
                _counts[name.removeprefix("faults:")] += int(str(number))
        _counts["failed"] += report.failed


def pytest_unconfigure(config: pytest.Config) -> None:
    if _counts and not hasattr(config, "workerinput"):  # not in the processes of xdist
        failed = _counts.pop("failed", 0)
        told = ", ".join(f"{number} {what}" for what, number in sorted(_counts.items()))
        print(f"faults: {told}; {failed} tests failed")
