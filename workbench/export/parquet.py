"""The synthetic data set as Parquet: typed columns, texts unchanged.

Kept apart because it is the only module that imports pyarrow.
"""

from collections.abc import Iterable
from pathlib import Path

import pyarrow
import pyarrow.parquet

from workbench.export.dataset import COLUMNS, record
from workbench.runs import atomic
from workbench.samples import Sample

_TYPES = {
    "discriminator_score": pyarrow.float64(),
    "excess": pyarrow.float64(),
    "confidence": pyarrow.float64(),
    "round": pyarrow.int64(),
    "edited": pyarrow.bool_(),
}
SCHEMA = pyarrow.schema([(name, _TYPES.get(name, pyarrow.string())) for name in COLUMNS])


def write_parquet(path: Path, samples: Iterable[Sample]) -> None:
    """One row group, compressed with zstd; half characters become question marks."""
    rows = [{key: _text(value) for key, value in record(sample).items()} for sample in samples]
    sink = pyarrow.BufferOutputStream()
    table = pyarrow.Table.from_pylist(rows, schema=SCHEMA)
    pyarrow.parquet.write_table(table, sink, compression="zstd")
    atomic.write_bytes(path, sink.getvalue().to_pybytes())


def _text(value: object) -> object:
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
