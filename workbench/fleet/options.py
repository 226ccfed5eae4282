"""Options of ``python -m workbench fleet``; what it does is imported when it is called."""

import argparse
from pathlib import Path

from workbench.terminal import amount, whole_number


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "transfers", type=Path, nargs="?", help="JSONL, one transfer a line; or a folder of kits"
    )
    parser.add_argument(
        "--out", required=True, metavar="PLACE", help="folder, s3://…, gs://… or hf://… for results"
    )
    parser.add_argument("--target-base", help="for lines that name none")
    parser.add_argument("--preset", help="for lines that name none")
    parser.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE",
        help="recipe field for all lines that do not set it (repeatable)",
    )  # fmt: skip
    parser.add_argument(
        "--workers",
        type=whole_number,
        default=0,
        help="default: one for each GPU, else 1; more need Ray",
    )
    parser.add_argument(
        "--gpus-per-worker", type=amount, metavar="SHARE", help="default 1; 0.5: two on each GPU"
    )
    parser.add_argument("--address", default="", help='of a Ray cluster to join, or "auto"')
    parser.add_argument(
        "--shard",
        default="1/1",
        metavar="I/N",
        help="every N-th from the I-th: for job arrays",
    )
    parser.add_argument(
        "--time-limit", type=amount, default=0, metavar="MINUTES", help="of an attempt; 0: none"
    )
    parser.add_argument(
        "--memory-limit", type=amount, default=0, metavar="GB",
        help="of a worker's GPU, or of its own memory where it has none; 0: none",
    )  # fmt: skip
    parser.add_argument("--retry-failed", action="store_true", help="try what was given up again")
    parser.add_argument("--scratch", default="", help="where workers keep runs while they work")
    parser.add_argument("--check", action="store_true", help="check the list and end")
    parser.add_argument("--status", action="store_true", help="tell how it stands and end")
    parser.add_argument("--csv", type=Path, help="write the table there")
    parser.add_argument("--parquet", type=Path, help="write the table there")
    parser.add_argument("--json", action="store_true", help="print the table as JSON only")
    parser.set_defaults(command=_fleet)


def _fleet(options: argparse.Namespace) -> int:
    from workbench.fleet.command import fleet  # noqa: PLC0415  brings torch

    return fleet(options)
