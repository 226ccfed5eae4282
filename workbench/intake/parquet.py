"""Rows of a Parquet file, read in a process of its own.

Parquet is compressed and read by native code, so a stranger's file is opened where it can hurt
nobody: in a child with little memory and time, that hands on text and nothing else.

    python -m workbench.intake.parquet <rows.parquet  # writes JSON lines
"""

import io
import json
import os
import resource
import subprocess
import sys

from workbench.errors import IntakeError
from workbench.intake.wording import size_words
from workbench.limits import LIMITS

MEMORY_BYTES = 2 * 1024**3  # of the child, address space
SECONDS = 60
REFUSED = 3  # exit code with a sentence on stderr
_BATCH_ROWS = 256


def as_jsonl(raw: bytes, where: str, columns: tuple[str, ...]) -> str:
    """The text columns among ``columns`` as JSON lines.

    Args:
        raw: the file.
        where: what error sentences call it.
        columns: names that are looked for, whatever their case.

    Raises:
        IntakeError: it is no Parquet, has none of the columns, or takes too much to read.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "workbench.intake.parquet", *columns],
            input=raw,
            capture_output=True,
            timeout=SECONDS,
            env={
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),  # and no token of the server
                # Arrow's own allocators reserve more address space than the child may have.
                "ARROW_DEFAULT_MEMORY_POOL": "system",
            },
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise IntakeError(f"{where} takes too long to read. Hand over .jsonl or .csv.") from error
    if done.returncode == REFUSED:
        raise IntakeError(f"{where} {done.stderr.decode(errors='replace').strip()}")
    if done.returncode:
        raise IntakeError(
            f"{where} is not a Parquet file that {size_words(MEMORY_BYTES)} of memory can read. "
            "Hand over .jsonl or .csv."
        )
    return done.stdout.decode()


def _convert(raw: bytes, columns: list[str]) -> None:
    """Write the rows to standard output; SystemExit with ``REFUSED`` after a sentence."""
    import pyarrow  # noqa: PLC0415  the parent must not pay for it
    import pyarrow.parquet  # noqa: PLC0415

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    file = pyarrow.parquet.ParquetFile(io.BytesIO(raw))
    if file.metadata.num_rows > LIMITS.rows:
        _refuse(f"has {file.metadata.num_rows:,} rows; at most {LIMITS.rows:,} can be read.")
    names = [
        field.name
        for field in file.schema_arrow
        if field.name.lower() in columns
        and (pyarrow.types.is_string(field.type) or pyarrow.types.is_large_string(field.type))
    ]
    if not names:
        _refuse(f"has no column of text that is called {', '.join(columns)}.")
    size = 0
    for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=names):
        for row in batch.to_pylist():
            line = json.dumps({n.lower(): row[n] for n in names if row[n] is not None})
            size += len(line)
            if size > LIMITS.rows_file_bytes:
                _refuse(f"unpacks to more than {size_words(LIMITS.rows_file_bytes)}. Split it.")
            sys.stdout.write(f"{line}\n")


def _refuse(sentence: str) -> None:
    sys.stderr.write(sentence)
    raise SystemExit(REFUSED)


if __name__ == "__main__":
    _convert(sys.stdin.buffer.read(), sys.argv[1:])
