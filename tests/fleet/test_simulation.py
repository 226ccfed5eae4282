"""Ten thousand adapters on a hundred workers, with the real schedule and simulated work."""

from scripts.simulate_fleet import Costs, simulate


def test_a_large_fleet_wastes_less_than_a_tenth() -> None:
    """One attempt in fifty loses its worker; four pairs of bases."""
    found = simulate(10_000, 100, Costs(transfer=600, lost=0.02), base_pairs=4)
    assert found.done == 10_000
    assert 150 < found.lost < 260
    assert found.efficiency >= 0.90


def test_what_limits_short_transfers_shows() -> None:
    """The model is no decoration: costs of an attempt weigh more on shorter work."""
    longer, short = (simulate(500, 50, Costs(transfer=seconds)) for seconds in (600, 20))
    assert short.efficiency < 0.8 < longer.efficiency
