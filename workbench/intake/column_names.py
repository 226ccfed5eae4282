"""Names of columns in the data sets and trainers that people use, by what they usually hold.

All are in lower case with "_" between words, as ``normal`` gives them.
"""

import re
from collections.abc import Sequence

# An input is an instruction, a question and a content, in this order, where a file has several.
INSTRUCTION = ("instruction", "instructions")
SPEAKERS = ("user", "human")  # beside a text it is who wrote it
QUESTION = ("question", "query", "prompt", "user_query", "user_input", *SPEAKERS, "problem")
CONTENT = (
    *("input", "inputs", "input_text", "text", "sentence", "utterance", "context", "document"),
    *("passage", "article", "dialogue", "dialog", "schema", "table_schema", "story", "evidence"),
    *("review", "tweet", "message", "comment", "sentence_text", "transcript", "comment_text"),
    *("premise", "paragraph", "contexts"),
)
# Possible answers, put behind a question whose answer is one of them.
CHOICES = ("choices", "options", "endings", "candidates")
# The same in columns of their own: A, B, C or option_1, option_2 or choice_a, choice_b.
CHOICE = re.compile(r"(?:option|opt|choice|ending|sol|op)_?(?P<mark>[1-9a-h])|(?P<letter>[a-h])")
_FEWEST_CHOICES = 2
# Inputs where nothing above is there; beside one of the above they are about it.
LESSER = ("source", "src", "source_text", "content", "body", "description", "abstract")
# Of a pair: beside an output of the other list they are what is to be changed.
ORIGINALS, CHANGED = ("source", "src", "source_text"), ("target", "tgt", "target_text")
HEADING = ("title", "subject", "headline")
SYSTEM = (
    *("system", "system_prompt", "system_message", "systeminstruction", "system_instruction"),
)
ANSWERS = (
    *("output", "outputs", "answer", "answers", "response", "completion", "target", "summary"),
    *("sql", "highlights", "chosen", "reply", "output_text", "target_text", "final_answer"),
    *("expected", "expected_output", "reference", "ground_truth", "solution", "best_answer"),
    *("targets", "tgt", "assistant", "bot", "canonical_solution", "code", "chosen_response"),
    *(
        "answerkey",
        "answer_key",
        "correct_answer",
        "correct_option",
        "gold_answer",
        "gold",
        "ideal",
    ),
    *("preferred_output", "reference_answer", "expected_answer", "expected_response"),
)
CLASSES = (
    *("label", "labels", "category", "intent", "class", "class_label", "class_name"),
    *("sentiment", "emotion", "topic", "label_text", "label_name", "intent_name", "category_name"),
    "gold_label",
)
INPUTS = (*INSTRUCTION, *QUESTION, *CONTENT, *LESSER)
OUTPUTS = (*ANSWERS, *CLASSES)
APART = frozenset(name for name in OUTPUTS if name != "chosen")  # where an answer stands apart
KNOWN = frozenset((*INPUTS, *OUTPUTS, *HEADING))
# Of these nobody has to be asked whether they are the output.
ABOUT = (
    *("", "id", "idx", "index", "uid", "uuid", "guid", "row", "split", "url", "lang", "language"),
    *("__index_level_0__", "date", "timestamp", "created_at", "dataset", "source", "rejected"),
    *("user_id", "example_id", "prompt_id", "tools", "weight", "license", "licence"),
    *("written_for", "origin", "status", "confidence", "model", "domain"),
    *("meta", "metadata"),
)
# Further right answers, beside the one that is the output.
ALIASES = ("references", "answer_aliases", "aliases", "acceptable_answers", "alternative_answers")
CONVERSATIONS = ("messages", "conversations", "conversation", "dialogue", "dialog", "turns")
_LANGUAGES = (
    *("ar", "bn", "cn", "cs", "da", "de", "el", "en", "es", "fa", "fi"),
    *("fr", "he", "hi", "hu", "it", "ja", "jp", "ko", "kr", "nl", "pl"),
    *("pt", "ro", "ru", "sv", "ta", "th", "tr", "uk", "ur", "vi", "zh"),
)
# The first of two of a kind, as in tasks that compare: sentence1 and sentence2.
FIRST = re.compile(r"(text|sentence|question|input|document|paragraph|premise)_?(1|a)")


def without_language(names: Sequence[str]) -> dict[str, str]:
    """Known names that one column has with the code of a language: question of question_ru."""
    found: dict[str, list[str]] = {}
    for name in names:
        stem, _, code = normal(name).rpartition("_")
        if code in _LANGUAGES and stem in KNOWN:
            found.setdefault(stem, []).append(name)
    return {stem: columns[0] for stem, columns in found.items() if len(columns) == 1}


def choice_marks(names: Sequence[str]) -> dict[str, str]:
    """What stands before each of several choices, as "A: ", by the names of their columns."""
    found = {name: match for name in names if (match := CHOICE.fullmatch(normal(name)))}
    letters = [match["letter"] for match in found.values() if match["letter"]]
    if letters and sorted(letters)[:3] != ["a", "b", "c"]:  # Q and A are no choices
        found = {name: match for name, match in found.items() if match["mark"]}
    if len(found) < _FEWEST_CHOICES:
        return {}
    return {
        name: f"{(match['mark'] or match['letter']).upper()}: " for name, match in found.items()
    }


def is_about(name: str) -> bool:
    """Whether a name is of a column that is neither input nor output."""
    name = normal(name)
    return name in (*ABOUT, *SYSTEM, *ALIASES, "history") or name.startswith("unnamed:")


def normal(name: str) -> str:
    """A name without regard to letter case and to what stands between its words."""
    return re.sub(r"[\s_-]+", "_", name.strip().casefold())
