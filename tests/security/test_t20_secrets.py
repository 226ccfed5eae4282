"""T20: a secret of the environment is in nothing that leaves. The worker has its own test."""

import os
from pathlib import Path

import pytest

from tests.export.test_bundle import write
from tests.intake.test_kit import full
from workbench.export.dataset import write_csv
from workbench.models import hub_access

CANARY = "hf_canaryCanaryCanaryCanary"


def test_t20_exports_and_kits_carry_no_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "USER", "HOSTNAME", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, CANARY)
    write(tmp_path)
    full(tmp_path)
    write_csv(tmp_path / "exports" / "s.csv", [])
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 8
    for path in files:
        assert CANARY.encode() not in path.read_bytes()
        if path.is_relative_to(tmp_path / "exports"):
            assert str(Path.home()).encode() + b"/" not in path.read_bytes()


def test_t20_who_fetches_for_a_visitor_gets_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "WORKBENCH_PASSWORD", "OPENAI_API_KEY")
    for name in names:
        monkeypatch.setenv(name, CANARY)
    given = hub_access.for_fetching(hub_access.Access(own=False, user="u", token="the visitor's"))
    assert CANARY not in given.values() and "the visitor's" in given.values()
    assert given["HF_TOKEN_PATH"] == os.devnull and given["HF_HUB_DISABLE_IMPLICIT_TOKEN"] == "1"
