import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import plotly
import plotly.graph_objects as go
import pytest

from workbench.ui.chart_looks import shown
from workbench.ui.charts import (
    CONFUSED_SHOWN,
    LABELS_SHOWN,
    POINTS_SHOWN,
    confusion_chart,
    coverage_chart,
    map_chart,
    per_label_chart,
    score_histogram,
)

HOSTILE = '<a href="javascript:alert(1)">x</a> %{y} $\\alpha$\n\u202e<b>& bold</b>'


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


def test_confusions_count_rows_and_show_the_worst_labels() -> None:
    pairs = [("a", "a")] * 3 + [("a", "b")] + [("b", "b")] * 2
    figure = confusion_chart(pairs)
    assert words(figure) == ["3", "1", "2"]
    assert [list(row) for row in figure.data[0].z] == [[0.75, 0.25], [0, 1]]
    many = [(f"label {n}", f"label {n}") for n in range(40)] + [("label 39", "label 38")]
    figure = confusion_chart(many)
    assert len(figure.data[0].z) == CONFUSED_SHOWN
    assert list(figure.layout.xaxis.ticktext)[:2] == ["label 38", "label 39"]
    assert "24 labels with fewer confusions not shown" in figure.layout.xaxis.title.text


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
        coverage_chart([("a", 0, True)]),
        score_histogram([0.5], [], []),
    ],
)
def test_a_single_thing_makes_a_chart(figure: go.Figure) -> None:
    assert figure.layout.annotations or figure.data
    json.loads(figure.to_json(), parse_constant=pytest.fail)


def hostile_figures() -> list[go.Figure]:
    return [
        confusion_chart([(HOSTILE, HOSTILE)]),
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
        "confusions": confusion_chart([("a", "a"), ("a", "b"), ("b", "b")]),
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


DRAW = """figure => Plotly.newPlot("chart", figure.data, {...figure.layout, autosize: true},
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
