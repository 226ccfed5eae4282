import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import plotly
import plotly.graph_objects as go
import pytest

from workbench.ui.chart_looks import shown
from workbench.ui.charts import (
    LABELS_SHOWN,
    POINTS_SHOWN,
    arms_chart,
    coverage_chart,
    map_chart,
    per_label_chart,
    score_histogram,
)

HOSTILE = '<a href="javascript:alert(1)">x</a> %{y} $\\alpha$\n\u202e<b>& bold</b>'


def arm(accuracy: float, low: float, high: float, n: int = 300) -> dict[str, float]:
    return {"accuracy": accuracy, "low": low, "high": high, "n": n}


ARMS = {
    "transferred": arm(0.93, 0.895, 0.954),
    "source_base": arm(0.12, 0.09, 0.16),
    "source_adapter": arm(0.935, 0.901, 0.958),
    "target_base": arm(0.0, 0.0, 0.013),
    "target_few_shot": arm(0.23, 0.19, 0.28),
}


def texts(figure: go.Figure) -> list[str]:
    """Every string of the figure that a reader could see or a renderer could interpret."""
    found: list[str] = []

    def walk(value: Any) -> None:
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, dict):
            for entry in value.values():
                walk(entry)
        elif isinstance(value, list):
            for entry in value:
                walk(entry)

    walk(json.loads(figure.to_json()))
    return found


def words(figure: go.Figure) -> list[str]:
    return [annotation.text for annotation in figure.layout.annotations]


def test_arms_come_in_fixed_order_with_numbers_and_intervals() -> None:
    figure = arms_chart(ARMS)
    assert words(figure)[::2] == [
        "Source base",
        "Source + adapter",
        "Target base",
        "Target base, few-shot",
        "<b>Target + new adapter</b>",
    ]
    assert words(figure)[3] == "<b>93.5 %</b>  90.1–95.8"
    last = figure.data[-1]
    assert last.x[0] - last.error_x.arrayminus[0] == pytest.approx(0.895)
    assert last.x[0] + last.error_x.array[0] == pytest.approx(0.954)
    assert "300 rows" in figure.layout.xaxis.title.text


def test_arms_with_and_without_adapter_differ_by_more_than_colour() -> None:
    patterns = [trace.marker.pattern.shape for trace in arms_chart(ARMS).data]
    assert patterns == ["/", "", "/", "/", ""]


def test_arms_on_different_numbers_of_rows_say_so() -> None:
    figure = arms_chart({**ARMS, "source_adapter": arm(0.5, 0.4, 0.6, 90)})
    assert "90 to 300 rows" in figure.layout.xaxis.title.text


def test_agreement_is_not_called_right() -> None:
    assert "right" not in arms_chart(ARMS, agreement=True).layout.xaxis.title.text


def test_labels_that_lost_most_come_first_and_the_rest_is_counted() -> None:
    rows = [(f"label {i}", 10, 0.9, 0.9 - i / 100) for i in range(LABELS_SHOWN + 6)]
    figure = per_label_chart(rows)
    assert words(figure)[0] == f"label {LABELS_SHOWN + 5}"
    assert words(figure)[1] == f"<b>−{LABELS_SHOWN + 5}</b>  n 10"
    assert "6 labels that lost less not shown" in figure.layout.xaxis.title.text
    assert [trace.marker.symbol for trace in figure.data] == ["circle", "diamond-open"]


def test_no_change_has_no_sign() -> None:
    assert words(per_label_chart([("a", 3, 0.901, 0.9)]))[1] == "<b>0</b>  n 3"


def test_histogram_heights_are_shares_of_real_and_of_samples() -> None:
    figure = score_histogram([0.9] * 5, [0.6, 0.7, 0.8], [0.1], threshold=0.5)
    kept, rejected, real = figure.data
    assert sum(kept.y) == pytest.approx(0.75)
    assert sum(rejected.y) == pytest.approx(0.25)
    assert sum(real.y) == pytest.approx(1.0)
    assert (kept.name, rejected.name, real.name) == ("kept (3)", "rejected (1)", "real (5)")
    assert "keep from 0.50" in words(figure)


def test_histogram_of_excess_spans_its_own_range_and_drops_what_is_not_finite() -> None:
    figure = score_histogram([], [1.5, 3.0, float("nan")], [-2.0], score="excess")
    assert figure.data[0].name == "kept (2)"
    assert min(figure.data[1].x) < -1.8 and max(figure.data[0].x) > 2.8


def test_coverage_marks_thin_labels_by_word_and_pattern() -> None:
    figure = coverage_chart([("balance", 30, False), ("transfer", 3, True)])
    assert words(figure) == ["balance", "30", "transfer", "3 · thin"]
    assert [(trace.marker.pattern.shape, tuple(trace.x)) for trace in figure.data] == [
        ("", (30,)),
        ("/", (3,)),
    ]


def test_coverage_of_many_labels_shows_both_ends() -> None:
    figure = coverage_chart([(f"l{i:03}", i, i < 20) for i in range(150)])
    assert words(figure)[0] == "l149" and words(figure)[-2] == "l000"
    assert "126 labels in between not shown" in figure.layout.xaxis.title.text


def test_map_is_thinned_out_and_says_the_whole_number() -> None:
    points = [(float(i), 0.0, "text") for i in range(POINTS_SHOWN * 3 + 1)]
    figure = map_chart([], points, [])
    kept = figure.data[1]
    assert len(kept.x) <= POINTS_SHOWN
    assert kept.name == f"kept ({len(points):,})"


def test_a_handful_of_points_is_not_thinned_out() -> None:
    assert len(map_chart([(0, 0, "a")], [(1, 1, "b"), (2, 2, "c")], []).data[1].x) == 2


@pytest.mark.parametrize(
    "figure",
    [
        arms_chart({}),
        per_label_chart([]),
        score_histogram([], [], []),
        coverage_chart([]),
        map_chart([], [], []),
        coverage_chart([("a", 0, True)]),
        score_histogram([0.5], [], []),
    ],
)
def test_nothing_to_show_is_a_sentence_or_an_empty_chart(figure: go.Figure) -> None:
    assert figure.layout.annotations or figure.data
    json.loads(figure.to_json(), parse_constant=pytest.fail)


def hostile_figures() -> list[go.Figure]:
    return [
        arms_chart({HOSTILE: arm(0.5, 0.4, 0.6)}),
        per_label_chart([(HOSTILE, 3, 0.5, 0.6)]),
        coverage_chart([(HOSTILE, 3, False)]),
        map_chart([(0, 0, HOSTILE)], [(0, 1, HOSTILE)], [(1, 1, HOSTILE)]),
    ]


@pytest.mark.parametrize("figure", hostile_figures())
def test_text_from_outside_is_never_markup_template_or_math(figure: go.Figure) -> None:
    """Plotly reads links, ``%{...}`` and ``$...$`` in any text it draws."""
    found = texts(figure)
    assert any("&lt;a href" in text for text in found)
    for text in found:
        assert "<a" not in text and "%{" not in text and "$" not in text
        assert "\n" not in text and "\u202e" not in text


def test_shown_cuts_long_text_before_escaping() -> None:
    assert shown("x" * 100, 10) == "xxxxxxxxx…"
    assert shown("&" * 100, 3) == "&amp;&amp;…"
    assert len(shown("y" * 10_000_000)) == 32


def all_figures() -> dict[str, go.Figure]:
    labels = ["transfer", "balance", "international_visa_request_abroad", "pin_change"]
    return {
        "arms": arms_chart(ARMS),
        "labels": per_label_chart(
            [(label, 20, 0.9, 0.5 + i / 10) for i, label in enumerate(labels)]
        ),
        "coverage": coverage_chart([(label, 5 + 30 * i, i == 0) for i, label in enumerate(labels)]),
        "scores": score_histogram([0.9, 0.8], [0.7, 0.6, 0.9], [0.1, 0.4], 0.5),
        "map": map_chart([(0, 0, "a")], [(1, 1, "b")], [(2, 0, "c")]),
    }


@pytest.mark.parametrize("figure", all_figures().values(), ids=all_figures().keys())
def test_backgrounds_are_transparent_and_a_finger_can_scroll_past(figure: go.Figure) -> None:
    assert figure.layout.paper_bgcolor == figure.layout.plot_bgcolor == "rgba(0,0,0,0)"
    assert figure.layout.dragmode is False
    assert figure.layout.xaxis.fixedrange and figure.layout.yaxis.fixedrange
    assert figure.layout.title.text is None


@pytest.fixture(scope="module")
def page(browser: Any) -> Iterator[Any]:
    """A page of the narrowest width we promise, with the plotly.js that belongs to our plotly."""
    page = browser.new_page(viewport={"width": 375, "height": 800})
    page.set_content("<!doctype html><body style='margin:0 14px'><div id='chart'></div>")
    page.add_script_tag(path=Path(plotly.__file__).parent / "package_data" / "plotly.min.js")
    yield page
    page.close()


DRAW = """figure => Plotly.react("chart", figure.data, {...figure.layout, autosize: true},
                                 {responsive: true}).then(() => undefined)"""
BOXES = """() => [...document.querySelectorAll("#chart text")].map(t => {
    const box = t.getBoundingClientRect();
    return [t.textContent, box.left, box.top, box.right, box.bottom];
})"""


@pytest.mark.browser
@pytest.mark.parametrize("name", all_figures())
def test_words_neither_collide_nor_leave_a_narrow_screen(page: Any, name: str) -> None:
    """At 375 pixels names ran into numbers and axis titles were cut at both sides."""
    page.evaluate(DRAW, json.loads(all_figures()[name].to_json()))
    boxes = page.evaluate(BOXES)
    assert boxes
    for index, (text, left, top, right, bottom) in enumerate(boxes):
        assert left >= 0 and right <= 375, f"{text} is cut"
        for other, left2, top2, right2, bottom2 in boxes[index + 1 :]:
            apart = right <= left2 or right2 <= left or bottom <= top2 + 2 or bottom2 <= top + 2
            assert apart, f"{text!r} and {other!r} collide"
