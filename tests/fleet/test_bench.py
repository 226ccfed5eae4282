"""The measurement of a fleet on several GPUs, here with one worker and a tiny pair."""

import argparse
import json
from pathlib import Path

from scripts import bench_fleet
from tests.fleet.making import write_list


def test_transfers_that_count_are_timed_apart_from_the_first(
    tmp_path: Path, tiny_source: Path, tiny_target: Path
) -> None:
    like = write_list(tmp_path / "list", tiny_source, tiny_target, 1)
    options = argparse.Namespace(like=like, transfers=2, samples=6)
    place = bench_fleet.new_folder(tmp_path) / "on-1"
    bench_fleet.write_list(place.with_suffix(".jsonl"), options, gpus=1)
    lines = [json.loads(line) for line in place.with_suffix(".jsonl").read_text().splitlines()]
    assert [line["name"] for line in lines] == ["first-0", "transfer-0", "transfer-1"]
    assert len({line["set"]["seed"] for line in lines}) == 3
    timed = bench_fleet.measure(bench_fleet.SHARDS, str(place), 1, (1, 1))
    found = bench_fleet.looked_at(place)
    assert found["done"] == 2 and sum(found["verdicts"].values()) == 2
    assert 0 < found["overhead"] <= found["most_overhead"]
    of_these = [one["elapsed"] for one in found["transfers"]]
    assert timed["seconds"] > sum(of_these) and timed["first"] > 0
    half = {"gpus": 2, **found, **{name: value / 2 for name, value in timed.items()}}
    text = bench_fleet.as_text([{"gpus": 1, **found, **timed}, half])
    assert "1.00" in text.splitlines()[1] and "2.00" in text.splitlines()[2]
    assert bench_fleet.new_folder(tmp_path).name == "try-2"
