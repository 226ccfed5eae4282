"""Tests of one group follow each other in one process; see ``GROUPS`` in conftest.py."""

import os

import pytest


@pytest.mark.xdist_group("alone")
def test_groups_stay_together(request: pytest.FixtureRequest) -> None:
    """pytest-xdist marks a test's id with its group; under a pytest it does not know, in vain."""
    assert "PYTEST_XDIST_WORKER" not in os.environ or request.node.nodeid.endswith("@alone")
