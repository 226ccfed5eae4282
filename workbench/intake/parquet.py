"""Rows of a Parquet file, read in a process of its own.

Parquet is compressed and read by native code, so a stranger's file is opened where it can hurt
nobody: in a child with little memory and time, that hands on JSON and nothing else.

    python -m workbench.intake.parquet <rows.parquet  # writes JSON lines
"""

import io
import json
import math
import os
import resource
import subprocess
import sys
from typing import Any

from workbench.errors import IntakeError
from workbench.intake.column_names import ALIASES, SYSTEM, normal
from workbench.intake.wording import size_words
from workbench.limits import LIMITS

MEMORY_BYTES = 2 * 1024**3  # of the child, address space
SECONDS = 60
REFUSED = 3  # exit code with a sentence on stderr
_BATCH_ROWS = 256
_PEEK_ROWS = 8  # of a column of bytes, which may be pictures


def as_jsonl(raw: bytes, where: str, columns: tuple[str, ...] = ()) -> str:
    """The file as JSON lines.

    The first line says what is there: ``columns`` that follow, ``unreadable`` ones with what they
    hold, and ``names``, the columns whose numbers were replaced by the names that the file has for
    them. A cell is a JSON value.

    Args:
        raw: the file.
        where: what error sentences call it.
        columns: all that is wanted, in lower case, beside a system turn and further right answers;
            where none of them is there, and with (), every column that can be text.

    Raises:
        IntakeError: it is no Parquet, or takes too much to read.
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
    from pyarrow import types  # noqa: PLC0415

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    file = pyarrow.parquet.ParquetFile(io.BytesIO(raw))
    if file.metadata.num_rows > LIMITS.rows:
        _refuse(f"has {file.metadata.num_rows:,} rows; at most {LIMITS.rows:,} can be read.")
    schema = file.schema_arrow
    kinds = {field.name: _what_it_holds(field.type) for field in schema}
    for field in schema:  # text that an older writer did not mark as such
        if types.is_binary(field.type) and _is_utf8(file, field.name):
            kinds[field.name] = ""
    names = [name for name in kinds if name.lower() in columns]
    others = [name for name in kinds if not kinds[name] and name not in names]
    beside = [name for name in others if normal(name) in (*SYSTEM, *ALIASES)]
    names = [*names, *beside] if names else others
    labels = {name: found for name, found in _class_names(schema.metadata).items() if name in names}
    unreadable = [f"{name} ({kind})" for name, kind in kinds.items() if kind and name not in names]
    about = {"columns": names, "unreadable": unreadable, "names": list(labels)}
    sys.stdout.write(f"{json.dumps(about)}\n")
    size = 0
    for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=names):
        for row in batch.to_pylist():
            line = json.dumps({n: _named(_plain(row[n]), labels.get(n)) for n in names})
            size += len(line)
            if size > LIMITS.rows_file_bytes:
                _refuse(
                    f"unpacks to more than {size_words(LIMITS.rows_file_bytes)}. Split it, or keep "
                    "only the columns of inputs and outputs."
                )
            sys.stdout.write(f"{line}\n")


def _is_utf8(file: Any, name: str) -> bool:
    first = next(file.iter_batches(batch_size=_PEEK_ROWS, columns=[name]), None)
    try:
        return first is not None and all(
            b"\0" not in value for value in first[0].to_pylist() if value and value.decode()
        )
    except UnicodeDecodeError:
        return False


def _what_it_holds(kind: Any) -> str:
    """What a column holds that is no text and no value with a text, in words; else ""."""
    from pyarrow import types  # noqa: PLC0415

    if types.is_dictionary(kind):
        return _what_it_holds(kind.value_type)
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        return "bytes"
    if types.is_struct(kind):
        inner = (_what_it_holds(kind.field(at).type) for at in range(kind.num_fields))
        return next(filter(None, inner), "")
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return "vectors" if types.is_floating(kind.value_type) else _what_it_holds(kind.value_type)
    return ""


def _class_names(metadata: dict[bytes, bytes] | None) -> dict[str, list[str]]:
    """Names of the classes of integer columns, where the Hugging Face schema has them."""
    try:
        features = json.loads((metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
        return {
            name: found
            for name, feature in features.items()
            if (found := _names_of(feature)) and all(isinstance(word, str) for word in found)
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _names_of(feature: Any) -> list[str]:
    while isinstance(feature, list) and feature:  # lists of labels, in two spellings
        feature = feature[0]
    while isinstance(feature, dict) and "feature" in feature:
        feature = feature["feature"]
    names = feature.get("names") if isinstance(feature, dict) else None
    return names if isinstance(names, list) else []


def _named(value: Any, names: list[str] | None) -> Any:
    """The name of a class, or names in a list; -1 is the number of a row without a class."""
    if names is None:
        return value
    if isinstance(value, list):
        return [_named(entry, names) for entry in value]
    if value == -1:
        return None
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else value


def _plain(value: Any) -> Any:
    """A value of Arrow as JSON has it; dates and decimals as they are written."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, dict):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return str(value)


def _refuse(sentence: str) -> None:
    sys.stderr.write(sentence)
    raise SystemExit(REFUSED)


if __name__ == "__main__":
    _convert(sys.stdin.buffer.read(), sys.argv[1:])
