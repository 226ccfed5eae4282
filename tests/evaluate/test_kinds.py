"""The kind of a task, told from its answers alone."""

import pytest

from workbench.evaluate.kinds import FREE_TEXT, JSON, LABELS, NUMBERS, metric_for, task_kind

INTENTS = [
    "GetWeather", "PlayMusic", "AddToPlaylist", "BookRestaurant", "RateBook", "SearchCreativeWork",
]  # fmt: skip
BANKING = [
    "card_payment_fee_charged",
    "lost or stolen card",
    "pin blocked",
    "Refund not showing up",
]
HEADLINES = [
    "gunman kills three in attack on court in northern province",
    "oil prices rise on fears about supply",
    "prime minister survives vote of confidence",
    "striker out for six weeks with knee injury",
]
DATA_TO_TEXT = [
    "the slanted door is the name of the restaurant",
    "would you prefer it near the civic center or does it not matter",
    "there are 72 televisions in all families in the cheap price range",
]
SQL = [
    "SELECT name FROM players WHERE goals > 10",
    "SELECT COUNT(*) FROM games WHERE team = 'reds'",
    "SELECT MAX(points) FROM table WHERE year = 1999",
]


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        ([], LABELS),
        (["", "  "], LABELS),
        (["positive", "negative", "neutral"], LABELS),
        (INTENTS, LABELS),
        (BANKING, LABELS),
        (["C576", "C12", "C77", "C103"] * 1, LABELS),  # codes, none twice
        ([f"C{n}" for n in range(200)], LABELS),  # a word each
        (["(A)", "(B)", "(A)", "(C)"], LABELS),
        (["0", "1", "1", "0", "1"], LABELS),
        (["5", "4", "1", "2", "3", "5", "4", "4", "1", "5"], LABELS),  # stars
        (["True", "False", "True"], LABELS),
        (["I cannot help you with this request, please call us."] * 3 + ["Done."] * 3, LABELS),
        (["体育新闻", "财经", "娱乐", "科技"], LABELS),
        (["42", "7", "1,300", "-5"], NUMBERS),
        (["$18", "3.5 km", "12 %", "200 apples"], NUMBERS),
        (
            ["She has 3 + 4 = 7 eggs.\n#### 7", "So 12 / 2 = 6\n#### 6", "The answer is 40."],
            NUMBERS,
        ),
        ([str(n % 17) for n in range(200)], NUMBERS),  # counted, and they recur
        (['{"intent": "a"}', '{"intent": "b", "slots": []}', "[1, 2]"], JSON),
        (['{"label": "a"}'] * 10, JSON),
        (HEADLINES, FREE_TEXT),
        (DATA_TO_TEXT, FREE_TEXT),
        (SQL, FREE_TEXT),
        ([f"title number {n}" for n in range(100)], FREE_TEXT),  # short, but all different
        (["多名枪手袭击北部省份法院死三人警方调查", "受供应担忧油价上涨创新高"], FREE_TEXT),
        (["Dear Ms Smith,\n\nthank you.\n\nYours, A.", "Hello Bob, see you soon!"], FREE_TEXT),
    ],
)  # fmt: skip
def test_kind(answers: list[str], kind: str) -> None:
    assert task_kind(answers) == kind


def test_a_few_odd_answers_change_nothing() -> None:
    assert task_kind(['{"a": 1}'] * 19 + ["sorry"]) == JSON
    assert task_kind([str(n) for n in range(19)] + ["unknown"]) == NUMBERS


@pytest.mark.parametrize(
    ("answers", "metric"),
    [(INTENTS, "exact"), (HEADLINES, "chrf"), (["3", "40", "7"], "number"), (["{}"], "json")],
)
def test_the_metric_follows_unless_a_person_chose(answers: list[str], metric: str) -> None:
    assert metric_for("auto", answers) == metric
    assert metric_for("rouge", answers) == "rouge"
