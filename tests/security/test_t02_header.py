"""T2: the header of a safetensors file is refused for every way in which it can lie."""

import json
import random
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from tests.intake import builders
from tests.timing import computes_at_most
from workbench.errors import IntakeError
from workbench.intake.header import check_values, read_header
from workbench.intake.lora_tensors import lora_modules

Header = dict[str, Any]
NAMES = list(builders.tensors())
A, B = NAMES[0], NAMES[1]


def read(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    tensors = read_header(path)
    lora_modules(tensors)
    check_values(path, tensors)


def changed(change: Callable[[Header], object]) -> bytes:
    header, data = builders.header_of(builders.tensors())
    change(header)
    return builders.safetensors(header, data)


def put(name: str, **fields: Any) -> Callable[[Header], object]:
    return lambda header: header[name].update(fields)


GOOD_HEADER, GOOD_DATA = builders.header_of(builders.tensors())
TWICE = json.dumps(GOOD_HEADER)[:-1] + f', "{A}": {json.dumps(GOOD_HEADER[A])}}}'

LIES = {
    "length beyond the file": (struct.pack("<Q", 5000) + b"{}" * 10, "cut off"),
    "length beyond the ceiling": (struct.pack("<Q", 2**40) + b"{}" * 10, "header claims"),
    "length of all ones": (b"\xff" * 8 + b"{}", "header claims"),
    "length zero": (struct.pack("<Q", 0) + b"{}", "not valid JSON"),
    "empty file": (b"", "not a safetensors"),
    "seven bytes": (b"\0" * 7, "not a safetensors"),
    "no brace": (struct.pack("<Q", 4) + b" {} ", "not a safetensors"),
    "not UTF-8": (struct.pack("<Q", 4) + b'{"\xff"', "not UTF-8"),
    "a key twice": (builders.safetensors(TWICE, GOOD_DATA), "occurs twice"),
    "nested": (builders.safetensors('{"a":' * 3000 + "1" + "}" * 3000, b""), "nested"),
    "no tensors": (builders.safetensors({}, b""), "no tensors"),
    "5,000 tensors": (
        builders.safetensors({f"t{i}": GOOD_HEADER[A] for i in range(5000)}, b""),
        "5000 tensors",
    ),
    "metadata that is no text": (changed(lambda h: h.update(__metadata__={"a": 1})), "metadata"),
    "bytes too many": (builders.weights() + b"\0", "1 bytes too many"),
    "bytes missing": (builders.weights()[:-1], "cut off"),
    "negative offset": (changed(put(A, data_offsets=[-128, 0])), "data_offsets"),
    "offsets reversed": (changed(put(A, data_offsets=[128, 0])), "does not fit"),
    "offset as text": (changed(put(A, data_offsets=["0", "128"])), "data_offsets"),
    "offset true": (changed(put(A, data_offsets=[False, 128])), "data_offsets"),
    "three offsets": (changed(put(A, data_offsets=[0, 128, 256])), "data_offsets"),
    "overlap": (changed(put(B, data_offsets=[0, 128])), "overlaps"),
    "gap": (changed(put(A, data_offsets=[4096, 4224])), "hole"),
    "huge shape": (changed(put(A, shape=[2**31, 2**31])), "does not fit"),
    "overflowing shape": (changed(put(A, shape=[2**64, 4])), "shape"),
    "negative shape": (changed(put(A, shape=[-4, -8])), "shape"),
    "shape with zero": (changed(put(A, shape=[8, 0], data_offsets=[0, 0])), "shape"),
    "scalar": (changed(put(A, shape=[])), "shape"),
    "three axes": (changed(put(A, shape=[4, 8, 1])), "two axes"),
    "fractions in the shape": (changed(put(A, shape=[4.0, 8.0])), "shape"),
    "NaN in the header": (
        builders.safetensors('{"a": {"dtype": "F32", "shape": [NaN]}}', b""),
        "NaN is not",
    ),
    "1e999": (builders.safetensors('{"a": {"shape": [1e999]}}', b""), "out of range"),
    "many digits": (builders.safetensors('{"a": ' + "9" * 5000 + "}", b""), "too many digits"),
    "integers": (changed(put(A, dtype="I32")), "I32"),
    "doubles": (changed(put(A, dtype="F64")), "F64"),
    "dtype as list": (changed(put(A, dtype=["F32"])), "type"),
    "a field more": (changed(put(A, url="http://x")), "nothing else"),
    "an entry that is a list": (changed(lambda h: h.update({A: []})), "nothing else"),
    "rank mismatch": (changed(put(A, shape=[8, 4])), "rank 8 and B has rank 4"),
    "vector": (changed(put(A, shape=[32])), "two axes"),
    "foreign name": (changed(lambda h: h.update({"x": h.pop(A)})), "not a name"),
    "path in a name": (
        changed(lambda h: h.update({"base_model.model.../../x.lora_A.weight": h.pop(A)})),
        "not a name",
    ),
    "other adapter's name": (
        changed(lambda h: h.update({A.replace("lora_A.", "lora_A.default."): h.pop(A)})),
        "not a name",
    ),
    "name of 64 KB": (
        changed(lambda h: h.update({"base_model.model." + "a" * 65536: h.pop(A)})),
        "not a name",
    ),
    "embedding": (
        changed(
            lambda h: h.update({"base_model.model.model.embed_tokens.lora_embedding_A": h.pop(A)})
        ),
        "has no",
    ),
}


@pytest.mark.parametrize("lie", LIES, ids=list(LIES))
def test_t02_every_lie_has_its_sentence(tmp_path: Path, lie: str) -> None:
    content, words = LIES[lie]
    with computes_at_most(1), pytest.raises(IntakeError) as caught:
        read(tmp_path / "w.safetensors", content)
    assert words in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("rank", [1024, 1025])
def test_t02_rank_ceiling(tmp_path: Path, rank: int) -> None:
    content = builders.weights(builders.tensors(builders.LAYERS[:1], rank=rank))
    if rank == 1024:
        read(tmp_path / "w", content)
    else:
        with pytest.raises(IntakeError, match="rank 1025; at most 1024"):
            read(tmp_path / "w", content)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, "bfloat16"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, -1])
def test_t02_not_a_number(tmp_path: Path, dtype: Any, value: float, place: int) -> None:
    arrays = builders.tensors()
    arrays[NAMES[-1]].flat[place] = value
    if dtype == "bfloat16":
        arrays = {k: (v.view(np.uint32) >> 16).astype(np.uint16) for k, v in arrays.items()}
        arrays[NAMES[-1]].flat[place] = {"nan": 0x7FC0, "inf": 0x7F80, "-inf": 0xFF80}[str(value)]
    else:
        arrays = {name: values.astype(dtype) for name, values in arrays.items()}
    with pytest.raises(IntakeError, match="NaN or infinity"):
        read(tmp_path / "w", builders.weights(arrays))


def test_t02_the_largest_numbers_are_numbers(tmp_path: Path) -> None:
    """Each format has its own exponent; with another's, large values would look like NaN."""
    for dtype, largest in ((np.float32, 3.4e38), (np.float16, 65504)):
        arrays = {name: values.astype(dtype) for name, values in builders.tensors().items()}
        arrays[A].flat[0] = largest
        read(tmp_path / "w", builders.weights(arrays))
    brain = {k: (v.view(np.uint32) >> 16).astype(np.uint16) for k, v in builders.tensors().items()}
    brain[A].flat[0] = 0x7F7F
    read(tmp_path / "w", builders.weights(brain))


def test_t02_values_are_streamed(tmp_path: Path) -> None:
    """96 MB of weights are checked in little memory."""
    arrays = builders.tensors(builders.LAYERS[:1], rank=256, width=48 * 1024)
    path = tmp_path / "w"
    path.write_bytes(builders.weights(arrays))
    del arrays
    tensors = read_header(path)
    tracemalloc.start()
    check_values(path, tensors)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32 * 1024**2


def test_t02_the_library_agrees_on_what_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "w"
    read(path, builders.weights())
    for name, values in load_file(path).items():
        np.testing.assert_array_equal(values, builders.tensors()[name])


SMALL = settings(max_examples=150)


@SMALL
@given(seed=st.integers(0, 2**32), edits=st.integers(1, 8))
def test_t02_mutated_files_are_read_or_refused(tmp_path: Path, seed: int, edits: int) -> None:
    """Whatever is accepted, the library reads as well, and with the same shapes."""
    random_ = random.Random(seed)
    content = bytearray(builders.weights())
    end = 8 + len(json.dumps(GOOD_HEADER)) if random_.random() < 0.8 else len(content)
    for _ in range(edits):
        place = random_.randrange(min(end, len(content)))
        if random_.random() < 0.5:
            content[place] = random_.randrange(256)
        elif random_.random() < 0.5:
            del content[place]
        else:
            content.insert(place, random_.choice(b'0123456789[]{},:"-e.'))
    path = tmp_path / "w"
    path.write_bytes(bytes(content))
    try:
        tensors = read_header(path)
        lora_modules(tensors)
        check_values(path, tensors)
    except IntakeError:
        return
    shapes = {name: values.shape for name, values in load_file(path).items()}
    assert shapes == {tensor.name: tensor.shape for tensor in tensors}


@SMALL
@given(content=st.binary(max_size=200))
def test_t02_any_bytes_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "w"
    path.write_bytes(content)
    with pytest.raises(IntakeError):
        read_header(path)
