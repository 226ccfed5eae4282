"""How good the estimates are: what is told before the start, beside what happened.

    python scripts/check_estimates.py [--kit KIT] [--calibrate 200] [--sizes 0 350 120]

One run calibrates this machine, then the kit's transfer is made at each size (samples; 0 is the
default number). Prints a line for each step and ends with 1 where a whole transfer took 30 % more
or less than was told. With the example about a quarter of an hour of two cores.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from workbench import fit
from workbench.intake.kit import read_kit
from workbench.recipe import override, recommended
from workbench.runs.folder import open_run

ROOT = Path(__file__).resolve().parents[1]
WITHIN = 0.3


def main() -> int:
    """Calibrate, then measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kit", type=Path, default=ROOT / "assets" / "example-kit.zip")
    parser.add_argument("--calibrate", type=int, default=200, help="samples of the first run")
    parser.add_argument("--sizes", type=int, nargs="+", default=[0, 350, 120])
    parser.add_argument("--set", action="append", default=[], help="passed on to transfer")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "runs"
        off = [transfer(options, root, size) for size in (options.calibrate, *options.sizes)]
    worst = max(abs(share) for share in off[1:])
    print(f"worst after calibration: {100 * worst:.0f} % off, {100 * WITHIN:.0f} % are allowed")
    return 0 if worst <= WITHIN else 1


def transfer(options: argparse.Namespace, root: Path, samples: int) -> float:
    """Make one transfer; by how much what was told of it was off, as a share of what happened."""
    changes = [*options.set, f"synthesis.samples={samples}"]
    with tempfile.TemporaryDirectory() as scratch:
        kit = read_kit(options.kit, Path(scratch))
        values = dict(change.split("=", 1) for change in changes)
        recipe = override(kit.recipe_from(recommended()), values)
        told = fit.estimate(recipe, kit.inputs, root).seconds_by_stage
    name = f"samples-{samples or 'default'}-{len(list(root.glob('samples-*')))}"
    arguments = [f"--set={change}" for change in changes]
    command = [sys.executable, "-m", "workbench", "transfer", "--kit", str(options.kit)]
    command += ["--run", name, "--runs", str(root), *arguments]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    run = open_run(root / name)
    assert run.recipe == recipe, "the transfer was not the one that was told of"
    stages = run.stages()
    happened = {stage: stages[stage].seconds or 0.0 for stage in told}
    for stage, seconds in told.items():
        print(f"{name:24} {stage:12} told {seconds:6.0f} s, took {happened[stage]:6.0f} s")
    told_in_all, took = sum(told.values()), sum(happened.values())
    share = (told_in_all - took) / took
    whole = f"told {told_in_all:6.0f} s, took {took:6.0f} s, {100 * share:+.0f} %"
    print(f"{name:24} {'in all':12} {whole}", flush=True)
    return share


if __name__ == "__main__":
    sys.exit(main())
