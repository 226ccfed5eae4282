from pathlib import Path

from tests.bench.test_results import result
from workbench.bench.report import chart, markdown, write_report
from workbench.bench.results import BEST, ORACLE, PAPER, SOURCE, ZERO_SHOT


def results() -> list:
    rows = 40

    def marks(right: int) -> str:
        return "1" * right + "0" * (rows - right)

    found = []
    for seed in (0, 1):
        found += [
            result(SOURCE, marks(36), seed, "intents"),
            result(ZERO_SHOT, marks(4), seed, "intents"),
            result(ORACLE, marks(38), seed, "intents"),
            result(PAPER, marks(20 + 4 * seed), seed, "intents", counts={"made": 100, "kept": 40}),
            result(BEST, marks(36), seed, "intents", mmd=0.125, effective_labels=6.5),
            result(SOURCE, marks(20), seed, "json"),
            result(BEST, marks(19), seed, "json"),
        ]
    return found


def line(text: str, start: str) -> str:
    return next(row for row in text.splitlines() if row.startswith(start))


def section(text: str, title: str) -> str:
    return next(part for part in text.split("### ") if part.startswith(title))


def test_accuracy_table_and_its_mean() -> None:
    table = section(markdown(results()), "Accuracy")
    assert line(table, "| task") == "| task | source | target_zero_shot | oracle | paper | best |"
    assert line(table, "| intents") == "| intents | 90.0 | 10.0 | 95.0 | 55.0 | 90.0 |"
    assert line(table, "| json") == "| json | 50.0 | – | – | – | 47.5 |"
    # No mean over tasks of which one is missing: it could not be compared with the others.
    assert line(table, "| **mean**") == "| **mean** | 70.0 | – | – | – | 68.8 |"


def test_retention_and_recovery_tables() -> None:
    text = markdown(results())
    assert line(section(text, "Retention"), "| intents") == "| intents | 1.056 | 0.611 | 1.000 |"
    assert line(section(text, "Retention"), "| **mean**").endswith("| 0.975 |")
    assert line(section(text, "Recovery"), "| task") == "| task | paper | best |"
    assert line(section(text, "Recovery"), "| intents") == "| intents | 0.529 | 0.941 |"


def test_differences_have_intervals() -> None:
    differences = section(markdown(results()), "Paired differences")
    best = line(differences, "| intents | best − source")
    assert "| 0.0 | −8.8 to +8.8 | 40 | 2 |" in best
    assert "| +35.0 |" in line(differences, "| intents | best − paper")
    assert "−2.5" in line(differences, "| json | best − source")


def test_what_was_made() -> None:
    made = section(markdown(results()), "The data")
    assert line(made, "| intents | paper") == "| intents | paper | 40.0 | – | – |"
    assert line(made, "| intents | best") == "| intents | best | – | 6.5 | 0.125 |"


def test_no_results() -> None:
    assert markdown([]) == "No results yet.\n"


def test_chart_has_the_main_arms_by_shape_and_the_tasks_as_words() -> None:
    figure = chart(results())
    assert [trace.name for trace in figure.data] == ["best", "paper", "oracle", "source"]
    assert len({trace.marker.symbol for trace in figure.data}) == 4
    assert list(figure.layout.yaxis.ticktext) == ["intents", "json"]
    assert list(figure.data[-1].x) == [0.9, 0.5]


def test_report_is_written(tmp_path: Path) -> None:
    path = write_report(tmp_path / "report", results())
    assert path.read_text(encoding="utf-8").startswith("### Accuracy")
    assert "plotly" in (tmp_path / "report" / "results.html").read_text(encoding="utf-8")[:20000]
