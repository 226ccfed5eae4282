"""T9: whatever bytes come as rows, the answer is rows or one sentence, and it comes quickly."""

import contextlib
import gzip
import json
import resource
import tracemalloc
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.timing import computes_at_most
from workbench.errors import IntakeError
from workbench.intake import windows_1252
from workbench.intake.rows import parse_rows, read_rows
from workbench.limits import LIMITS

FUZZ = settings(max_examples=150)
SUFFIXES = st.sampled_from([".jsonl", ".csv", ".tsv", ".txt", ".ndjson"])


def rows_or_sentence(path: Path) -> None:
    try:
        with computes_at_most(1):
            rows = read_rows(path)
    except IntakeError as error:
        assert 10 < len(str(error)) < 3000
        assert str(error).isprintable()
    else:
        assert rows.examples
        for row in rows.examples:
            assert row.input == row.input.strip() != ""
            assert len(row.input) <= LIMITS.input_characters
            json.dumps([row.input, row.output]).encode()
            (row.input + (row.output or "")).encode("utf-8")
            assert not {"\0", "\x1b", "\u202e", "\r"} & set(row.input + (row.output or ""))


@FUZZ
@given(content=st.binary(max_size=3000), suffix=SUFFIXES)
def test_t09_any_bytes(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"rows{suffix}"
    path.write_bytes(content)
    rows_or_sentence(path)


VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=30),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
NAMES = st.sampled_from(["input", "output", "text", "label", "extra"])


@FUZZ
@given(rows=st.lists(st.dictionaries(NAMES, VALUES, max_size=4) | VALUES, max_size=8))
def test_t09_any_json_lines(tmp_path: Path, rows: list) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    rows_or_sentence(path)


@FUZZ
@given(
    cells=st.lists(
        st.lists(st.text(alphabet='a",;\t\n\r=é\u202e\0', max_size=8), max_size=4), max_size=6
    ),
    header=st.sampled_from(["input,output", "text;label", '"input"', "nothing", "input\toutput"]),
)
def test_t09_any_csv(tmp_path: Path, cells: list[list[str]], header: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(header + "\n" + "\n".join(",".join(row) for row in cells), newline="")
    rows_or_sentence(path)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"input": ' + "[" * 5000 + "]" * 5000 + "}", "nested"),
        ('{"input": ' + "[" * 100_000, "nested"),
        ('{"input": ' + "[" * (LIMITS.row_bytes + 1), "longer than 1024 KB"),
        ('{"a":' * 5000 + "1" + "}" * 5000, "nested"),
        ('{"input": "a", "x": ' + "[" * 40 + "]" * 40 + "}", "nested"),
        ('{"input": NaN}', "null instead"),
        ('{"input": "a", "x": -Infinity}', "Infinity"),
        ('{"input": "a", "x": 1e999}', "out of range"),
        ('{"input": "a", "x": ' + "9" * 5000 + "}", "digits"),
        ('{"input": "a", "input": "b"}', "twice"),
        ('{"input": "\\ud800"}', "surrogate"),
        ('{"input": "a", "output": "\\udfff!"}', "surrogate"),
        ('{"input": "' + "x" * (LIMITS.row_bytes + 1) + '"}', "longer than 1024 KB"),
        ('{"input": {"path": "/etc/passwd"}}', "an object instead of a text"),
    ],
)
def test_t09_json_lines(line: str, words: str) -> None:
    with computes_at_most(1), pytest.raises(IntakeError) as caught:
        parse_rows('{"input": "fine"}\n' + line, "jsonl")
    assert "row 2" in str(caught.value)
    assert words in str(caught.value)


def test_t09_the_field_ceiling_of_csv_is_no_defect() -> None:
    """The standard library raises its own error at 131,072 characters."""
    assert len(parse_rows('input\n"' + "x" * 140_000 + '"', "csv").examples[0].input) == 140_000
    with pytest.raises(IntakeError, match="900000 characters"):
        parse_rows('input\n"' + "x" * 900_000 + '"', "csv")


@pytest.mark.parametrize("cell", ['"a', '"a""b', '"', '""a', '"a"b', '"""'])
@pytest.mark.parametrize("delimiter", [",", "\t"])
def test_t09_quotation_marks_that_nobody_closes_cost_linear_time(cell: str, delimiter: str) -> None:
    row = delimiter.join([cell, "x"]) + "\n"
    text = f"input{delimiter}output\n" + row * 30_000 + f'"{delimiter}end\n'
    with computes_at_most(3), contextlib.suppress(IntakeError):
        parse_rows(text, "csv")


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_t09_a_first_line_of_any_length_is_read_or_refused_in_a_sentence(mark: str) -> None:
    columns = mark.join(f"c{number}" for number in range(50_000))
    with computes_at_most(5), pytest.raises(IntakeError):
        parse_rows(f"{columns}\n{mark * 49_999}\n", "csv")


def test_t09_controls_are_removed_and_said() -> None:
    text = "a\0b\x1b[31mc\u202ed\u2066e\x85f"
    rows = parse_rows(json.dumps({"input": text, "output": "g\x7fh"}), "jsonl")
    assert rows.examples[0].input == "ab[31mcdef"
    assert rows.examples[0].output == "gh"
    assert "6 invisible control characters were removed." in rows.notes


def test_t09_a_nul_in_csv_is_removed() -> None:
    assert parse_rows("input\na\0b\n", "csv").examples[0].input == "ab"


def test_t09_texts_are_composed() -> None:
    """The same word typed on two systems must be one word for duplicates and for the tokenizer."""
    assert parse_rows("cafe\u0301", "text").examples[0].input == "caf\u00e9"


COMPRESSED = {
    "gzip": gzip.compress(b"input\na\n" * 1000),
    "zip": b"PK\x03\x04" + bytes(50),
    "zstd": b"\x28\xb5\x2f\xfd" + bytes(50),
    "zlib": zlib.compress(bytes(10_000_000)),
}


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl", "rows.txt"])
@pytest.mark.parametrize("kind", list(COMPRESSED))
def test_t09_compressed_files_are_never_expanded(tmp_path: Path, name: str, kind: str) -> None:
    (tmp_path / name).write_bytes(COMPRESSED[kind])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(IntakeError, match=r"is compressed|is not UTF-8"):
        read_rows(tmp_path / name)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024


@pytest.mark.parametrize(
    "content",
    [gzip.compress(bytes(200_000_000)), gzip.compress(b"input\na\n")[:-9], b"input\na\n"],
    ids=["bomb", "cut", "none"],
)
def test_t09_a_gzip_file_is_read_to_the_ceiling_and_no_further(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "rows.csv.gz").write_bytes(content)
    tracemalloc.start()
    with pytest.raises(IntakeError, match=r"unpacks to more than 32 MB|no complete gzip file"):
        read_rows(tmp_path / "rows.csv.gz")
    assert tracemalloc.get_traced_memory()[1] < 100 * 1024**2
    tracemalloc.stop()


@pytest.mark.parametrize("name", ["rows.feather", "rows.pkl", "rows", "rows.xml", "rows.csv.zst"])
def test_t09_names_that_other_readers_would_act_on(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"input\na\n")
    with pytest.raises(IntakeError, match=r"unknown kind|saved data set|a pickle|cannot be read"):
        read_rows(tmp_path / name)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-16-le"])
def test_t09_encodings_that_say_what_they_are_are_read(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "rows.txt").write_bytes("erste Zeile\nzwölf Bücher\n".encode(encoding))
    rows = read_rows(tmp_path / "rows.txt").examples
    assert [row.input for row in rows] == ["erste Zeile", "zwölf Bücher"]


NO_TEXT_OF_WINDOWS = {
    "cut off in UTF-16": "zwölf".encode("utf-16") + b"\x00\xdc\x00",
    "cut off in UTF-8": "zwölf Bücher für Ämter, ü".encode()[:-1],
    "a byte lost in UTF-8": "Bücher,".encode() * 10 + "ü".encode()[:1] + b",\n",
    "half and half": "Bücher ".encode() + "Bücher\n".encode("cp1252"),
    "Russian": "input,output\nкак дела сегодня,разговор\n".encode("cp1251"),
    "Japanese": "input,output\n今日の天気はどうですか,天気\n".encode("shift_jis"),
    "Chinese": "input,output\n今天天气怎么样今天天气,天气\n".encode("gbk"),
    "DOS": "input,output\nsch\u00f6ne B\u00e4nke,shop\n".encode("cp437"),
    "no text": b"input,output\n\x00\x01\xe9\n",
    "no letter of Windows": b"input,output\nB\x81cher,shop\n",
}


@pytest.mark.parametrize("case", list(NO_TEXT_OF_WINDOWS))
def test_t09_other_encodings_are_named_not_guessed(tmp_path: Path, case: str) -> None:
    for name in ("rows.txt", "rows.csv"):
        (tmp_path / name).write_bytes(NO_TEXT_OF_WINDOWS[case])
        with pytest.raises(IntakeError, match=r"Save it as UTF-8"):
            read_rows(tmp_path / name)


FRENCH = "input,output\nÉlève prêté à Noël – « où ? » 5 €,école\nplain,shop\n"


@pytest.mark.parametrize("text", [FRENCH, "input;output\nGrößenänderung übers Öl;Tür\n"])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_t09_windows_1252_is_read_and_said(tmp_path: Path, text: str, ends: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(text.replace("\n", ends).encode("cp1252"))
    rows = read_rows(path)
    assert "was read as Windows-1252" in rows.notes[0]
    assert rows.notes[0].isascii() is False, "it shows a word of the file"
    path.write_bytes(text.encode())
    other = read_rows(path)
    assert other.examples == rows.examples and not any("1252" in note for note in other.notes)


def test_t09_windows_1252_is_told_apart_in_linear_time(tmp_path: Path) -> None:
    path = tmp_path / "rows.txt"
    path.write_bytes("zwölf Bücher und noch mehr davon\n".encode("cp1252") * 60_000)
    with computes_at_most(20):
        assert windows_1252.read(path.read_bytes())


def test_t09_a_file_over_the_ceiling_is_not_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "rows.txt"
    with path.open("wb") as file:
        file.truncate(10 * 1024**3)  # ten sparse gigabytes
    tracemalloc.start()
    with pytest.raises(IntakeError, match="larger than 32 MB"):
        read_rows(path)
    assert tracemalloc.get_traced_memory()[1] < 40 * 1024**2
    tracemalloc.stop()


def test_t09_many_rows_are_read_in_linear_time() -> None:
    text = "\n".join(json.dumps({"input": f"row {n}", "output": "a"}) for n in range(20_000))
    with computes_at_most(3):
        assert len(parse_rows(text, "jsonl").examples) == 20_000


def test_t09_the_ceiling_of_rows() -> None:
    assert LIMITS.rows == 100_000
    with pytest.raises(IntakeError, match="more than 100000 rows"):
        parse_rows("a\n" * 100_001, "text")


def test_t09_sentences_do_not_repeat_markup() -> None:
    """Error sentences become toasts, which render markup."""
    with pytest.raises(IntakeError) as caught:
        parse_rows(
            '{"<img src=x onerror=alert(1)>": 1, "<img src=x onerror=alert(1)>": 2}', "jsonl"
        )
    assert "<" not in str(caught.value)
    rows = parse_rows('{"input": "a", "<script>alert(1)</script>": "b"}', "jsonl")
    assert "<" not in " ".join(rows.notes)


@pytest.mark.parametrize("kind", ["json", "jsonl"])
def test_t09_rows_within_rows_do_not_multiply_without_end(kind: str) -> None:
    around = {f"name {n}": n for n in range(400)}
    text = json.dumps({**around, "qas": [{"q": 1}] * 10_000})
    with pytest.raises(IntakeError, match="too many rows within rows"):
        parse_rows(f"[{text}]" if kind == "json" else text, kind)
