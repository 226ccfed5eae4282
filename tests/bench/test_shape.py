"""The table of speeds by shape, on the way that a GPU goes, with a tiny shape on the CPU."""

import json

import pytest

from scripts import bench_shape


def test_a_tiny_shape_gives_the_whole_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench_shape, "NEW_TOKENS", bench_shape.FEW_TOKENS + 2)
    speeds = bench_shape.run("tiny", ["training-nf4", "decoding-bf16", "decoding-nf4"])
    assert all(speed.tokens_per_second > 0 for speed in speeds)
    assert {(speed.program, speed.weights) for speed in speeds} == {
        ("ours", "NF4"),
        ("ours", "bf16"),
        ("transformers", "NF4"),
        ("transformers", "bf16"),
    }
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert len(last["speeds"]) == len(speeds) == 2 + 2 * 6
