"""Files as people have them, one of each kind and of each trainer, and how they are read.

The files of ``corpus/`` are our own. Whatever is read otherwise than this table says is read
wrongly, and what a column holds is never dropped in silence.
"""

from dataclasses import dataclass
from pathlib import Path

import pytest

from workbench.errors import IntakeError
from workbench.intake.column_questions import Choice, ColumnsUnclear
from workbench.intake.columns import NONE, OPTIONAL, REQUIRED
from workbench.intake.rows import read_rows

CORPUS = Path(__file__).parent / "corpus"
TAXI, TABLE = ("call me a cab", "taxi"), ("any tables at 8?", "table")
BOTH = (TAXI, TABLE)
INPUTS = ((TAXI[0], None), (TABLE[0], None))
SYSTEM = "Name the intent."
BONN = "Bonn lies on the Rhine."


@dataclass(frozen=True)
class Read:
    """How a file is read; ``asks`` is the proposal where a person has to choose columns."""

    rows: tuple[tuple[str, str | None], ...] = BOTH
    left_out: str = ""
    system: str = ""
    template: str = ""
    said: str = ""  # in a note, or in the sentence of a refusal
    wanted: str = REQUIRED
    refused: bool = False
    asks: Choice | None = None


def refused(said: str) -> Read:
    return Read(refused=True, said=said)


def history(first: str, answer: str, then: str) -> str:
    return f"User: {first}\n\nAssistant: {answer}\n\nUser: {then}"


TRAINERS = {
    "trl-messages.jsonl": Read(),
    "trl-prompt-completion.jsonl": Read(),
    "trl-prompt-completion-chat.jsonl": Read(),
    "trl-preference.jsonl": Read(left_out="rejected"),
    "trl-preference-chat.jsonl": Read(left_out="prompt, rejected"),
    "trl-kto.jsonl": Read(left_out="label"),
    "unsloth-alpaca.jsonl": Read(
        (
            ("Which intent?\n\ncall me a cab", "taxi"),
            ("Which intent?\n\nany tables at 8?", "table"),
        ),
        left_out="text",
        said='"instruction" and "input" were joined into one input, with a blank line between.',
    ),
    "unsloth-sharegpt.jsonl": Read(left_out="source, score"),
    "llama-factory-alpaca.json": Read(system=SYSTEM),
    "llama-factory-history.json": Read(
        ((history("hello", "Hi! What can I do?", TABLE[0]), "table"), TAXI), said="several turns"
    ),
    "llama-factory-sharegpt.json": Read(system=SYSTEM, left_out="tools"),
    "axolotl-chat-template.jsonl": Read(
        system=SYSTEM, said="the same in all rows: it belongs to the prompt format"
    ),
    "axolotl-alpaca-question.jsonl": Read(),
    "axolotl-summarizetldr.jsonl": Read(
        (("A long\n\narticle.", "Short."), ("Another one.", "Same."))
    ),
    "ms-swift-messages.jsonl": Read(
        ((history("hello", "Hi!", TAXI[0]), "taxi"), TABLE), system=SYSTEM, said="several turns"
    ),
    "ms-swift-query-response.jsonl": Read(
        (TAXI, (history("hello", "Hi!", TABLE[0]), "table")), system=SYSTEM
    ),
    "torchtune-chat.json": Read(),
    "torchtune-instruct.json": Read(),
    "mlx-chat.jsonl": Read(),
    "mlx-completions.jsonl": Read(),
    "mlx-text.jsonl": Read(INPUTS, wanted=OPTIONAL),
    "openai-parts.jsonl": Read(),
    "gemini-contents.jsonl": Read(),
    "dolly.jsonl": Read(
        ((f"Where is it?\n\n{BONN}", "On the Rhine."), ("Say hello.", "Hello!")),
        left_out="category",
    ),
    "orca-system-prompt.jsonl": Read(
        ((f"Be brief.\n\n{TAXI[0]}", "taxi"), (f"Be polite.\n\n{TABLE[0]}", "table")),
        left_out="id",
        said="differs among rows: it was put before the input",
    ),
    "messages-in-csv.csv": Read((TAXI,), left_out="id"),
    "messages-without-answer.jsonl": refused("row 1: the output is empty"),
}
NAMES = {
    "category.csv": Read(said='"category" was read as the output.'),
    "upper-case.csv": Read(said='"INTENT" was read as the output.'),
    "utterance.tsv": Read(),
    "semicolons-bom.csv": Read(said='"Text" was read as the input.'),
    "excel-sep.csv": Read(),
    "bars.csv": Read(),
    "pandas-index.csv": Read(left_out="Unnamed: 0"),
    "pandas-unnamed.csv": Read(left_out="Unnamed: 0"),
    "pandas-index.parquet": Read(left_out="__index_level_0__"),
    "old-mac.csv": Read(),
    "quoted-newlines.csv": Read(
        (('call me\n\n"a cab", please', "taxi"), ("any tables, at 8?", "table"))
    ),
    "quoted-newline.tsv": Read((("call me\na cab", "taxi"), TABLE)),
    "unclosed-quote.tsv": Read(
        (('"call me a cab', "taxi"), ('any "tables" at 8?', "table"), ('6" nails', "shop"))
    ),
    "label-and-text.csv": Read(
        (TAXI, TABLE, ("another cab", "taxi")),
        left_out="label",
        said='"label" says the same in numbers and was left out.',
    ),
    "label-and-category.csv": Read((TAXI, TABLE, ("another cab", "taxi")), left_out="label"),
    "one-column.csv": Read(
        (("Ruf mir ein Taxi, bitte", None), ("Ist um 8 ein Tisch frei?", None)), wanted=NONE
    ),
    "one-bad-row.csv": Read(
        tuple((f"row number {n}", "a") for n in range(8)),
        said="1 of 9 rows was skipped: row 10: it has 3 columns instead of 2.",
    ),
    "lines.txt": Read(INPUTS, wanted=NONE),
    "pairs.txt": Read(said="2 of 2 lines were split at a tab into input and output."),
    "arrows.txt": Read((("xs.map(x => x + 1)", None), ("xs.filter(x => x)", None)), wanted=NONE),
    "separate.csv": Read(asks=Choice(("Frage",), "Antwort")),
    "two-texts.jsonl": Read(asks=Choice(("text",), "label")),
    "headless.csv": Read(asks=Choice(("column 3",), "column 1"), said="does not name its columns"),
    "translation.jsonl": Read(asks=Choice(("translation.en",), "translation.fr")),
    "translation.parquet": Read(asks=Choice(("translation.en",), "translation.fr")),
}
TWO_INPUTS = {
    "question-context.jsonl": Read(
        ((f"Where is it?\n\n{BONN}", "on the Rhine"), ("How old is it?\n\nBonn is old.", "old")),
        left_out="id, title",
        said="several right answers",
    ),
    "squad.json": Read(
        ((f"Where is it?\n\n{BONN}", "on the Rhine"),),
        left_out="title, id",
        said="What the file holds beside its rows was left out: version.",
    ),
    "answers.parquet": Read(((f"Where is it?\n\n{BONN}", "on the Rhine"),)),
    "sql-schema.jsonl": Read(
        (
            ("How many?\n\nCREATE TABLE t (x INTEGER)", "SELECT COUNT(*) FROM t"),
            ("Which?\n\nCREATE TABLE u (y TEXT)", "SELECT y FROM u"),
        )
    ),
    "premise-hypothesis.csv": Read(
        (("It rains.\n\nIt is wet.", "entailment"), ("It rains.\n\nIt is dry.", "contradiction")),
        left_out="idx",
    ),
    "sentence-pair.tsv": Read((("It rains.\n\nIt is wet.", "1"), ("It rains.\n\nIt is red.", "0"))),
    "title-content.csv": Read(
        (("Great\n\nI read it twice.", "positive"), ("Bad\n\nI threw it away.", "negative"))
    ),
    "shared-instruction.csv": Read(
        tuple(
            (f"Which intent?\n\n{text}", label) for text, label in (*BOTH, ("play jazz", "music"))
        )
    ),
    "bools.parquet": Read(((f"{TAXI[0]}\n\np", "true"), (f"{TABLE[0]}\n\nq", "false"))),
}
TYPED = {
    "numbers.jsonl": Read(((TAXI[0], "0"), (TABLE[0], "2"), ("hm", "true"))),
    "objects.jsonl": Read(
        ((TAXI[0], '{"intent": "taxi", "slots": []}'), (TABLE[0], '["table", "8"]'))
    ),
    "structured-inputs.jsonl": Read(
        (('{"name": "Fitz"}', "Fitz is a pub."), ('{"name": "Zizzi"}', "Zizzi is a pub."))
    ),
    "class-label.parquet": Read(said='The numbers of "label" became the names'),
    "categories.parquet": Read(),
    "integers.parquet": Read(((TAXI[0], "1"), (TABLE[0], "0"))),
    "floats.parquet": Read(((TAXI[0], "2"), (TABLE[0], "0.5"))),
    "lists.parquet": Read(((TAXI[0], '["taxi"]'), (TABLE[0], '["table", "taxi"]'))),
    "string-view.parquet": Read(),
    "plain-bytes.parquet": Read(),
    "conversations.parquet": Read(left_out="image (bytes)"),
}
APART = "The texts hold question and answer"
RENDERED = {
    "text-alpaca.jsonl": Read(
        template="Below is an instruction.\n\n### Instruction:\nName the intent.\n\n### Input:\n"
        "{input}\n\n### Response:\n",
        said="What stands around every question is the prompt template.",
    ),
    "text-guanaco.jsonl": Read(template="### Human: {input}### Assistant:", said=APART),
    "text-chatml.jsonl": Read(system=SYSTEM, said=APART),
    "text-llama-2.jsonl": Read(system=SYSTEM, said=APART),
    "text-llama-3.jsonl": Read(said=APART),
    "text-gemma.jsonl": Read(said=APART),
    "text-question-answer.jsonl": Read(template="Question: {input}\nAnswer:", said=APART),
    "text-without-answers.jsonl": refused("has no outputs"),
    "hh-preference.jsonl": Read(
        left_out="rejected", template="\n\nHuman: {input}\n\nAssistant:", said=APART
    ),
    "llama-factory-preference.jsonl": Read(left_out="rejected"),
    "trl-kto-bad.jsonl": Read(left_out="label", said="Left out: 2 rows whose label is false"),
    "tool-calls.jsonl": Read(
        (
            (
                TAXI[0],
                '<tool_call>\n{"name": "taxi", "arguments": {"when": 8}}\n</tool_call>',
            ),
        ),
        left_out="tools",
        said='Calls of tools stand as "<tool_call>"',
    ),
    "reasoning.jsonl": Read(said="Left out of the turns: reasoning_content, weight."),
    "python-cells.csv": Read(
        ((f"Where is it?\n\n{BONN}", "on the Rhine"),), said="several right answers"
    ),
    "python-messages.csv": Read((TAXI,), left_out="id"),
}
SHAPES = {
    "packed.jsonl.gz": Read(),
    "utf-16-no-mark.csv": Read(),
    "json-lines.txt": Read(),
    "table.txt": Read(),
    "remark.csv": Read(),
    "spaced.csv": Read(),
    "headless-labels.tsv": Read(
        asks=Choice(("column 2",), "column 1"), said="does not name its columns"
    ),
    "headless-texts.csv": Read(INPUTS, wanted=NONE),
    "by-name.json": Read(),
    "pairs.json": Read(asks=Choice(("column 1",), "column 2"), said="does not name its columns"),
    "intents.json": Read(left_out="responses"),
    "rasa.json": Read(left_out=""),
    "splits-of-pairs.json": refused("several lists of rows: train, val. Hand over one of them"),
    "error.json": refused("holds no list of rows"),
    "web-page.csv": refused("is a web page, not the file itself"),
    "sheet.xlsx": refused("is a spreadsheet"),
    "saved.arrow": refused("load_from_disk"),
    "choices.jsonl": Read(
        (('What is 2+2?\n\n["3", "4"]', "1"), ('What is 1+1?\n\n["2", "5"]', "0")),
        said='"question" and "choices" were joined into one input',
    ),
    "targets.jsonl": Read(),
    "written-by.csv": Read(left_out="user"),
    "data-key.json": Read(),
    "columns.json": Read(),
    "pandas-columns.json": Read(),
    "pandas-split.json": Read(),
    "dataset-api.json": Read(),
    "lines-in-json.json": Read(),
    "commas.jsonl": Read(),
    "texts.json": Read(INPUTS, wanted=OPTIONAL),
    "splits.json": refused("several lists of rows: train, test. Hand over one of them"),
    "pointer.csv": refused("is a Git LFS pointer, not the file itself: run `git lfs pull`"),
    "compressed.jsonl": refused("is compressed. Unpack it first."),
    "utf-16.csv": Read((("zwölf Bücher", "shop"),)),
    "latin-1.csv": Read(
        (("zwölf Bücher", "shop"),), said='was read as Windows-1252, for example "zwölf'
    ),
}
CHATS = {
    "xtuner-conversation.json": Read(system=SYSTEM),
    "texts-in-turn.jsonl": Read(
        left_out="source", said="the first is of the user, the second of the assistant"
    ),
    "exchanges.jsonl": Read(
        tuple((history("hello", "Hi!", text), label) for text, label in BOTH),
        left_out="conversation_id, category",
        said="several turns",
    ),
    "chat-log.jsonl": Read(),
    "task-dialogue.jsonl": Read(said="Left out of the turns: utterance."),
    "gemini-system.jsonl": Read(system=SYSTEM),
    "system-in-parts.jsonl": Read(system=SYSTEM, left_out="schemaVersion"),
    "trl-grpo.jsonl": Read(said='The turns in "prompt" were read as the input.'),
    "verl.jsonl": Read(
        left_out="data_source, ability, reward_model.style",
        said='"reward_model.ground_truth" was read as the output.',
    ),
    "openai-preference.jsonl": Read(left_out="non_preferred_output"),
    "evals-ideal.jsonl": Read(system=SYSTEM, said='"ideal" was read as the output.'),
}
NESTED = {
    "seed-tasks.jsonl": Read(
        tuple((f"Which intent?\n\n{text}", label) for text, label in BOTH),
        left_out="id, name, is_classification",
    ),
    "paragraphs-with-questions.json": Read(
        ((f"Where is it?\n\n{BONN}", "on the Rhine"),), left_out="id, is_impossible"
    ),
    "unanswerable.jsonl": Read(
        ((f"Where is it?\n\n{BONN}", "on the Rhine"), ("How old?\n\nBonn is old.", "old")),
        said="1 of 3 rows was skipped: row 3: the output is empty.",
    ),
    "answer-key.jsonl": Read(
        (('What is wet?\n\n{"text": ["rain", "sand"], "label": ["A", "B"]}', "A"),), left_out="id"
    ),
    "multiple-choice.csv": Read(
        (
            ("What is 2+2?\n\nA: 3\n\nB: 4\n\nC: 5\n\nD: 6", "B"),
            ("What is 1+1?\n\nA: 2\n\nB: 5\n\nC: 7\n\nD: 9", "A"),
        ),
        left_out="id",
    ),
    "two-options.jsonl": Read(
        (("The _ fits.\n\n1: cup\n\n2: lid", "2"), ("The _ leaks.\n\n1: cup\n\n2: lid", "1"))
    ),
    "object-answer.jsonl": Read(asks=Choice(("description",), "data")),
    "comment-source-target.jsonl": Read(asks=Choice(("Comment",), "Target")),
    "provenance.jsonl": Read(asks=Choice(("anchor",), "positive")),
    "title-category.csv": Read(),
    "doccano.jsonl": Read(((TAXI[0], '["taxi"]'), (TABLE[0], '["table"]')), left_out="id"),
    "beside.json": Read(said="What the file holds beside its rows was left out: task."),
    "named-lists.json": Read(),
    "on-one-line.jsonl": Read(),
    "over-several-lines.jsonl": Read(),
    "gaps.json": Read(),
    "data-sets.json": refused("is a list of data sets and holds no rows"),
    "features.json": refused("describes a data set and holds no rows"),
    "fasttext.txt": Read(said='What follows "__label__" was read as the output.'),
    "label-first.txt": Read(asks=Choice(("column 2",), "column 1")),
    "four-cells.txt": Read(asks=Choice(("column 2",), "column 4")),
    "remarks.csv": Read(),
    "with-language.csv": Read(left_out="answer_id"),
    "aliases.jsonl": Read(
        (("Where is Bonn?", "on the Rhine"), ("How old is it?", "old")),
        left_out="id",
        said="Where a row has several right answers, each counts (2 rows).",
    ),
    "contexts.jsonl": Read((('Where is it?\n\n["Bonn lies on the Rhine."]', "on the Rhine"),)),
    "conversations-in-a-list.json": Read(),
    "objects-in-and-out.jsonl": Read(asks=Choice(("features",), "output")),
    "text-with-meta.jsonl": Read(INPUTS, left_out="meta", wanted=OPTIONAL),
}
EXPECTED = {**TRAINERS, **NAMES, **TWO_INPUTS, **TYPED, **RENDERED, **SHAPES, **CHATS, **NESTED}


def test_the_table_names_every_file() -> None:
    assert set(EXPECTED) == {path.name for path in CORPUS.iterdir()}


@pytest.mark.parametrize("name", EXPECTED)
def test_it_is_read_as_the_table_says(name: str) -> None:
    expected = EXPECTED[name]
    if expected.refused:
        with pytest.raises(IntakeError) as caught:
            read_rows(CORPUS / name, outputs=expected.wanted)
        assert expected.said in str(caught.value)
        return
    if expected.asks:
        with pytest.raises(ColumnsUnclear) as unclear:
            read_rows(CORPUS / name, outputs=expected.wanted)
        question = unclear.value.question
        assert question is not None and question.proposal == expected.asks
        assert expected.said in str(unclear.value)
        assert all(len(row) == len(question.columns) for row in question.first_rows)
        chosen = read_rows(CORPUS / name, outputs=REQUIRED, choice=expected.asks)
        assert chosen.input_columns == expected.asks.inputs
        return
    rows = read_rows(CORPUS / name, outputs=expected.wanted)
    assert tuple((row.input, row.output) for row in rows.examples) == expected.rows
    assert ", ".join(rows.left_out) == expected.left_out
    assert rows.system == expected.system
    assert rows.template == expected.template
    assert expected.said in "\n".join(rows.notes)
    for column in rows.left_out:
        assert any(column in note for note in rows.notes)
