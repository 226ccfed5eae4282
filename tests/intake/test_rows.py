"""Rows of text: what is accepted, what is refused with which words."""

import json
from pathlib import Path

import pytest

from workbench.errors import IntakeError
from workbench.intake import json_tables
from workbench.intake.column_questions import Choice
from workbench.intake.columns import REQUIRED, _chosen
from workbench.intake.conversations import NotText, history_turns
from workbench.intake.delimited import cells_of
from workbench.intake.records import Record, table_of
from workbench.intake.rows import parse_rows, read_rows, table_rows
from workbench.limits import LIMITS
from workbench.samples import Example

PLAIN = [Example("call me a cab", "taxi"), Example("any tables at 8?", None)]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "a.jsonl",
            '{"input": "call me a cab", "output": "taxi"}\n\n{"input": "any tables at 8?"}\n',
        ),
        ("a.csv", "input,output\r\ncall me a cab,taxi\r\nany tables at 8?,\r\n"),
        ("a.csv", '"Input";"Output"\n"call me a cab";"taxi"\n"any tables at 8?";""\n'),
        ("a.tsv", "input\toutput\ncall me a cab\ttaxi\nany tables at 8?\t\n"),
        ("a.txt", "call me a cab\ttaxi\nany tables at 8?\n"),
        ("a.txt", "call me a cab => taxi\n\nany tables at 8?"),
        (
            "a.jsonl",
            "\ufeff" + '{"input":"call me a cab","output":"taxi"}\n{"input":"any tables at 8?"}',
        ),
    ],
)
def test_every_kind_of_file_gives_the_same_rows(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    assert list(read_rows(tmp_path / name).examples) == PLAIN


@pytest.mark.parametrize(
    ("source", "target"), [("text", "label"), ("prompt", "completion"), ("question", "answer")]
)
def test_synonyms_are_taken_and_stated(source: str, target: str) -> None:
    rows = parse_rows(json.dumps({"id": 7, source: "a", target: "b"}), "jsonl")
    assert rows.examples == (Example("a", "b"),)
    assert any(source in note for note in rows.notes)
    assert any(target in note for note in rows.notes)
    assert any("id" in note for note in rows.notes)


def test_outputs_that_begin_in_a_later_row_are_read() -> None:
    """The first row once decided for all: where it had no output, all outputs were dropped."""
    text = '{"input": "a"}\n{"input": "b", "label": "x"}\n{"input": "c"}'
    assert parse_rows(text).examples == (Example("a"), Example("b", "x"), Example("c"))


def test_plain_names_win_over_synonyms() -> None:
    rows = list(
        parse_rows('{"text": "no", "input": "yes", "label": "no", "output": "yes"}').examples
    )
    assert rows == [Example("yes", "yes")]


def test_a_quoted_line_break_stays_in_its_cell() -> None:
    rows = list(parse_rows('input,output\n"two\nlines","say ""hi"", please"\n', "csv").examples)
    assert rows == [Example("two\nlines", 'say "hi", please')]


@pytest.mark.parametrize(
    ("text", "kind"),
    [('{"input": "a"}', "jsonl"), ("input,output\na,b", "csv"), ("what, input?", "text")],
)
def test_pasted_text_is_told_apart_by_its_first_line(text: str, kind: str) -> None:
    assert parse_rows(text, "auto") == parse_rows(text, kind)


def test_only_the_first_arrow_splits_a_line() -> None:
    assert parse_rows("a => b => c", "text").examples == (Example("a", "b => c"),)


def test_ten_bad_rows_are_named_by_number_and_nothing_is_taken() -> None:
    lines = ['{"input": "good"}'] + ['{"output": "no input"}'] * 30
    with pytest.raises(IntakeError) as caught:
        parse_rows("\n".join(lines), "jsonl", where="seeds.jsonl")
    sentence = str(caught.value)
    assert sentence.startswith("seeds.jsonl: row 2: ")
    assert "row 11" in sentence and "row 12" not in sentence


def test_a_few_bad_rows_are_skipped_counted_and_three_are_named() -> None:
    lines = [f'{{"input": "good {n}"}}' for n in range(20)]
    lines[4] = "{"
    lines[6:9] = ['{"input": ""}'] * 3
    rows = parse_rows("\n".join(lines), "jsonl")
    assert len(rows.examples) == 16 and rows.skipped == 4
    (note,) = [note for note in rows.notes if "skipped" in note]
    assert note.startswith("4 of 20 rows were skipped: row 5: it is not valid JSON")
    assert "row 8: the input is empty" in note and "row 9" not in note


def test_a_bad_row_in_the_table_is_named_for_the_person_is_at_it() -> None:
    with pytest.raises(IntakeError, match="row 3: the input is empty"):
        table_rows([["a", "x"], ["b", "y"], ["", "z"]])


def test_rows_without_outputs_are_bad_where_outputs_are_wanted() -> None:
    text = "input,output\na,x\nb,y\nc,\n"
    assert parse_rows(text, "csv", outputs=REQUIRED).skipped == 1
    assert parse_rows(text, "csv").examples[2] == Example("c", None)
    with pytest.raises(IntakeError, match="has no outputs: its columns are input"):
        parse_rows("input,output\na,\n", "csv", outputs=REQUIRED)


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("", "text", "no rows"),
        ("\n \n", "jsonl", "no rows"),
        ('{"input": 5}', "jsonl", "a number instead of a text"),
        ('{"input": null}', "jsonl", "its rows are empty"),
        ('{"input": "  "}', "jsonl", "its rows are empty"),
        ('{"input": "  ", "output": "x"}', "jsonl", "which column is the input"),
        ("[1]", "jsonl", "not an object"),
        ('{"input": "a"', "jsonl", "not valid JSON"),
        ("a,b\nc,d", "csv", "which the output? It has a, b."),
        ("input,output\na,b,c", "csv", "3 columns instead of 2"),
        ('input\n"never ends', "csv", "a quotation mark that nobody closes"),
        ("input,input\na,b", "csv", "twice"),
        ("x" * (LIMITS.input_characters + 1), "text", "200001 characters"),
        ("a => " + "x" * (LIMITS.output_characters + 1), "text", "the output has 50001"),
        ("a", "xml", '"jsonl", "json", "csv" or "text"'),
        (
            '[\n{"input": "a",\n"output": "b"}\n]\xa0',
            "json",
            "not valid JSON (extra data at line 4",
        ),
    ],
)
def test_refusals_say_what_is_wrong(text: str, kind: str, words: str) -> None:
    with pytest.raises(IntakeError) as caught:
        parse_rows(text, kind)
    assert words in str(caught.value)


def test_more_rows_than_asked_for_are_refused() -> None:
    with pytest.raises(IntakeError, match="more than 15 rows"):
        parse_rows("a\n" * 16, "text", at_most=15)
    assert len(parse_rows("a\n" * 15, "text", at_most=15).examples) == 15


def test_files_of_unknown_kind_are_refused(tmp_path: Path) -> None:
    (tmp_path / "seeds.docx").write_bytes(b"PK\x03\x04")
    with pytest.raises(IntakeError, match=r"\.jsonl, \.json, \.csv, \.tsv, \.parquet or \.txt"):
        read_rows(tmp_path / "seeds.docx")
    with pytest.raises(IntakeError, match=r'is a spreadsheet\. Save it as "CSV UTF-8"'):
        read_rows(tmp_path / "seeds.xlsx")


def test_table_cells_come_as_anything() -> None:
    table = [["a", "b"], [None, None], [float("nan"), ""], [3, 4.5], ["only input"], []]
    examples = (Example("a", "b"), Example("3", "4.5"), Example("only input", None))
    assert table_rows(table).examples == examples


def test_table_names_rows_as_the_person_sees_them() -> None:
    with pytest.raises(IntakeError, match="row 2: the input is empty"):
        table_rows([["a", "b"], ["", "an output alone"]])


def test_a_list_of_nothing_among_objects_is_an_empty_cell() -> None:
    text = '{"pair": [""]}\n{"pair": {"en": "a", "fr": "b"}}\n{"pair": {"en": "c", "fr": "d"}}'
    rows = parse_rows(text, "jsonl", choice=Choice(("pair.en",), "pair.fr"))
    assert [(row.input, row.output) for row in rows.examples] == [("a", "b"), ("c", "d")]
    assert rows.skipped == 1


def test_an_index_without_a_name_is_neither_output_nor_system_turn() -> None:
    (row,) = parse_rows('{"": "7", "text": "a"}', "jsonl").examples
    assert (row.input, row.output) == ("a", None)


def test_the_line_that_is_no_utf8_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'\n{"input": "a"}\n{"input": "\x81\xfe"}\n')
    with pytest.raises(IntakeError, match=r"line 3"):
        read_rows(path)


def test_a_quotation_mark_between_tabs_goes_on_in_no_other_line() -> None:
    assert [cells for cells, _ in cells_of('a\t"b\nc"\td', "\t")] == [["a", '"b'], ['c"', "d"]]
    assert [cells for cells, _ in cells_of('a\t"b\nc"', "\t")] == [["a", "b\nc"]]


def test_an_object_in_a_column_with_a_meaning_stays_whole() -> None:
    rows = parse_rows(json.dumps({"input": {"text": "hi"}, "foo": "x"}), "jsonl")
    assert rows.input_columns == ("input",) and rows.examples[0].input == '{"text": "hi"}'


def test_a_column_is_chosen_by_its_number() -> None:
    table = table_of(iter([Record(1, {"column 1": "a", "column 2": "b"})]))
    assert _chosen(table, "2", "It") == _chosen(table, "column 2", "It") == "column 2"
    with pytest.raises(IntakeError, match="has no column"):
        _chosen(table, "3", "It")


def test_what_an_instruction_is_about_belongs_to_the_input() -> None:
    row = {"instruction": "Name the topic.", "description": "a cab", "output": "travel"}
    rows = parse_rows(json.dumps(row), "jsonl")
    assert rows.examples == (Example("Name the topic.\n\na cab", "travel"),)


def test_the_answer_to_a_question_is_its_output_whatever_else_is_said_of_it() -> None:
    row = {"question": "a cab?", "answer": "yes", "category": "travel"}
    assert parse_rows(json.dumps(row), "jsonl").examples == (Example("a cab?", "yes"),)


def test_columns_whose_cells_are_lists_are_columns() -> None:
    columns = {
        "question": ["a?", "b?"],
        "choices": [["x", "y"], ["y", "z"]],
        "answers": [{"text": ["x"]}, {"text": ["z"]}],
    }
    rows = parse_rows(json.dumps(columns), "json")
    assert [row.output for row in rows.examples] == ["x", "z"]


def test_only_rows_within_rows_have_a_bound_of_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_tables, "_MOST_CELLS", 6)
    flat = [{"input": f"{n}", "output": "x"} for n in range(20)]
    assert len(parse_rows(json.dumps(flat), "json").examples) == 20
    within = json.dumps([{"instances": flat[:3]}])
    assert len(parse_rows(within, "json").examples) == 3
    with pytest.raises(IntakeError, match="rows within rows"):
        parse_rows(json.dumps([{"instances": flat[:4]}]), "json")


def test_an_instruction_and_its_input_are_one_turn_behind_what_stands_before() -> None:
    text = "Below is a task.\n\n### Instruction:\n{}\n\n### Input:\na cab\n\n### Response:\ntravel"
    texts = [{"text": text.format(asked)} for asked in ("Name the topic.", "Say what it is.")]
    rows = parse_rows("\n".join(map(json.dumps, texts)), "jsonl")
    assert [row.input for row in rows.examples] == [
        "Name the topic.\n\na cab",
        "Say what it is.\n\na cab",
    ]


def test_an_empty_line_of_a_table_ends_nothing_and_empty_cells_behind_a_row_are_none() -> None:
    rows = parse_rows("input,output\na,x\n , \nb,y,,\n", "csv")
    assert rows.examples == (Example("a", "x"), Example("b", "y"))


def test_a_history_is_pairs_of_texts() -> None:
    assert [turn.text for turn in history_turns([["a", "b"], ["c", "d"]])] == list("abcd")
    for other in (["ab"], [["a"]], [["a", "b", "c"]], [["a", 1]]):
        with pytest.raises(NotText, match="pairs"):
            list(history_turns(other))


def test_a_chosen_output_keeps_the_other_right_answers() -> None:
    rows = [{"question": f"q{n}", "reply": "a", "references": ["a", "b"]} for n in range(3)]
    text = "\n".join(map(json.dumps, rows))
    chosen = parse_rows(text, "jsonl", choice=Choice(("question",), "reply")).examples
    assert chosen[0] == Example("q0", "a", ("a", "b"))
    rows = [{"question": f"q{n}", "answers": {"text": ["a", "b"]}} for n in range(3)]
    text = "\n".join(map(json.dumps, rows))
    assert parse_rows(text, "jsonl", choice=Choice(output="answers")).examples[0].output == "a"


def test_objects_by_row_are_put_together_by_their_keys() -> None:
    text = '{"text": {"0": "a", "1": "b"}, "label": {"1": "of b", "0": "of a"}}'
    assert parse_rows(text, "json").examples == (Example("a", "of a"), Example("b", "of b"))
    others = text.replace('"1": "of b"', '"2": "of b"')  # of no row that has a text
    assert len(parse_rows(others, "json").examples) == 1
