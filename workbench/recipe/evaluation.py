"""The part of a recipe that says how the models are compared, and what checks answers."""

from typing import Annotated

from workbench.recipe.declaring import checked, setting

AUTO = "auto"  # the metric that fits the kind of task
CHECKER = "checker"  # metric or filter: whether the answer passes the checker
METRICS = {
    "exact": "it is the same text",
    "number": "its last number is the same",
    "json": "it is the same JSON value",
    "chrf": "free text: shared characters (chrF)",
    "rouge": "free text: shared words (ROUGE-L)",
}
# What reads a field of a checker.
_SCHEMA = {"evaluation.checker": ("schema",)}
_PATTERN = {"evaluation.checker": ("pattern",)}
_SQL = {"evaluation.checker": ("sql",)}
_ROWS = {"evaluation.checker": ("rows",)}


@checked
class EvaluationSettings:
    """How the models are compared."""

    metric: Annotated[
        str,
        setting(
            "An answer is right when",
            "For free text: how near it comes to what was expected.",
            choices={
                AUTO: "what fits the kind of answers",
                **METRICS,
                CHECKER: "it passes the checker",
            },
        ),
    ] = AUTO
    checker: Annotated[
        str,
        setting(
            "Checker of answers",
            "Used where the metric or the filter is the checker. It runs in a process of its own; "
            "an answer that takes it longer than 5 seconds does not pass.",
            choices={
                "none": "None",
                "schema": "JSON that follows a schema",
                "pattern": "Text that a regular expression matches",
                "sql": "SQL that parses",
                "rows": "SQL that gives the same rows on a SQLite file",
            },
        ),
    ] = "none"
    json_schema: Annotated[
        str,
        setting(
            "JSON schema",
            "The schema itself, as JSON; a $ref points inside of it.",
            longest=20_000,
            read_by=_SCHEMA,
        ),
    ] = ""
    pattern: Annotated[
        str,
        setting(
            "Regular expression",
            "Of Python; it has to match the whole answer.",
            longest=2_000,
            read_by=_PATTERN,
        ),
    ] = ""
    sql_dialect: Annotated[
        str,
        setting(
            "SQL dialect",
            "One SELECT, INSERT, CREATE or the like has to parse in it.",
            choices={
                "": "Any",
                "bigquery": "BigQuery",
                "duckdb": "DuckDB",
                "mysql": "MySQL",
                "oracle": "Oracle",
                "postgres": "PostgreSQL",
                "redshift": "Redshift",
                "snowflake": "Snowflake",
                "spark": "Spark",
                "sqlite": "SQLite",
                "tsql": "SQL Server",
            },
            read_by=_SQL,
        ),
    ] = ""
    database: Annotated[
        str,
        setting(
            "SQLite file",
            "Where queries are executed, read-only, on your own machine. Rows may come in any "
            "order unless the expected query orders them; as a filter, the query has to run.",
            longest=4096,
            read_by=_ROWS,
        ),
    ] = ""
    max_rows: Annotated[
        int,
        setting(
            "Evaluation rows used",
            "0 is all; fewer are drawn at random, the same ones in every run.",
            unit="rows",
            least=0,
            most=1_000_000,
        ),
    ] = 0
    answer_tokens: Annotated[
        int,
        setting(
            "Longest answer",
            "For the teacher's answers as well; 0 makes room for half as much again as the "
            "longest known answer.",
            unit="tokens",
            least=0,
            most=1024,
        ),
    ] = 0
    margin_points: Annotated[
        float,
        setting(
            "Margin",
            "Loss of accuracy (or of the score, of 100) that you would accept.",
            unit="percentage points",
            above=0,
            most=50,
        ),
    ] = 3.0
    base_arms: Annotated[
        bool,
        setting(
            "Compare the bare bases too",
            "Both bases without an adapter, and the target with examples in its prompt; else only "
            "the source adapter and the new one.",
        ),
    ] = True
    base_rows: Annotated[
        int,
        setting(
            "Rows for the bare bases",
            "So many of the evaluation rows, drawn at random, show what the bases can do without "
            "an adapter; 0 is all.",
            unit="rows",
            least=0,
            most=1_000_000,
            read_by={"evaluation.base_arms": (True,)},
        ),
    ] = 50
