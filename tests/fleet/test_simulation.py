"""Ten thousand adapters on a hundred workers, with the real schedule and measured stage times."""

import json
from pathlib import Path

import pytest

from scripts.simulate_fleet import Costs, recorded, simulate, stage_seconds


def test_a_large_fleet_wastes_less_than_a_tenth() -> None:
    """One attempt in fifty loses its worker; four pairs of bases."""
    work, costs = recorded()
    assert costs.lost == 0.02 and min(work) > 60
    found = simulate(10_000, 100, work, costs, base_pairs=4)
    assert found.done == 10_000
    assert 150 < found.lost < 260
    assert found.efficiency >= 0.90


def test_what_limits_short_transfers_shows() -> None:
    """The model is no decoration: costs of an attempt weigh more on shorter work."""
    longer, short = (simulate(500, 50, [seconds], Costs()) for seconds in (600.0, 20.0))
    assert short.efficiency < 0.8 < longer.efficiency
    slow = simulate(500, 50, [600.0], Costs(overhead=120.0))
    assert slow.efficiency < longer.efficiency - 0.1


def test_every_hour_of_a_worker_is_accounted_for() -> None:
    """Without losses and costs, work that divides evenly leaves nothing idle."""
    free = Costs(load=0, overhead=0, start=0, lost=0)
    found = simulate(100, 10, [100.0], free)
    assert (found.seconds, found.efficiency) == (1000.0, pytest.approx(1.0))


def test_stage_times_are_those_of_real_runs(tmp_path: Path) -> None:
    """From a run's folder, from a folder of runs, from the output folder of a fleet."""
    for number in range(2):
        (tmp_path / f"run-{number}").mkdir()
        text = json.dumps({"seconds": {"synthesize": 10.0 + number, "distil": 5.0}})
        (tmp_path / f"run-{number}" / "result.json").write_text(text)
    (tmp_path / "waits").mkdir()
    both = [{"synthesize": 10.0, "distil": 5.0}, {"synthesize": 11.0, "distil": 5.0}]
    assert stage_seconds([tmp_path]) == both
    assert stage_seconds([tmp_path / "run-1"]) == both[1:]
