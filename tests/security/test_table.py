"""docs/security.md says what is promised and which test holds it; nothing stands there without."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
TABLE = TESTS.parent / "docs" / "security.md"
NUMBERS = [*(f"T{n}" for n in range(1, 23)), *(f"F{n}" for n in range(1, 16))]
_ROW = re.compile(r"^\| ([TF]\d+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)


@cache
def rows() -> dict[str, list[str]]:
    """Number -> tests, as ``file::name``."""
    found = _ROW.findall(TABLE.read_text())
    return {number: re.findall(r"`([^`]+)`", tests) for number, _, _, tests in found}


@cache
def names_in(path: Path) -> frozenset[str]:
    tree = ast.walk(ast.parse(path.read_text()))
    return frozenset(node.name for node in tree if isinstance(node, ast.FunctionDef))


def tagged() -> dict[str, set[str]]:
    """Number -> files with tests that carry it in their names."""
    found: dict[str, set[str]] = {}
    for path in TESTS.rglob("test_*.py"):
        for name in names_in(path):
            if match := re.match(r"test_([tf])0?(\d+)_", name):
                number = f"{match[1].upper()}{match[2]}"
                found.setdefault(number, set()).add(str(path.relative_to(TESTS)))
    return found


def test_every_threat_and_fault_has_a_row() -> None:
    assert sorted(rows()) == sorted(NUMBERS)
    assert all(rows().values())


@pytest.mark.parametrize("number", NUMBERS)
def test_the_tests_of_a_row_exist(number: str) -> None:
    for test in rows()[number]:
        file, _, name = test.partition("::")
        assert name.startswith("test_") and name in names_in(TESTS / file), test


def test_what_carries_a_number_is_in_its_row() -> None:
    for number, files in tagged().items():
        named = {test.partition("::")[0] for test in rows().get(number, [])}
        assert files <= named, (number, files - named)
