"""The program that checks answers for ``checkers``, in a process of its own.

A schema, a pattern or a query can take any time and memory, and the answers are a model's. So they
are tried where they can hurt nobody: in a child with little memory that writes no file, and that
its parent ends when an answer takes too long.

    python -m workbench.evaluate.checking  # a line of JSON in, a line of JSON out
"""

import json
import re
import resource
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

MEMORY_BYTES = 1024**3  # of this process, address space
MOST_ROWS = 100_000  # that a query may give
VALUE_BYTES = 1_000_000  # of one value of a query
DIGITS = 6  # after the point in which numbers of two queries have to agree

Check = Callable[[str, list[str]], bool]


def main() -> None:
    """The first line is what to check by; each other one an answer with the expected ones."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    settings = json.loads(sys.stdin.readline())
    try:
        check = CHECKS[settings["checker"]](settings)
    except Exception as error:  # whatever a stranger's schema or pattern may raise
        words = "".join(mark if mark.isprintable() else " " for mark in str(error))
        _say({"problem": " ".join(words.split())[:300].rstrip(".") or type(error).__name__})
        return
    _say({"problem": ""})
    for line in sys.stdin:
        text, expected = json.loads(line)
        try:
            passes = check(text, expected)
        except (Exception, RecursionError):
            passes = False
        _say({"passes": passes})


def _say(answer: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def _schema(settings: Mapping[str, str]) -> Check:
    from jsonschema.validators import validator_for  # noqa: PLC0415  what is needed and no more
    from jsonschema_specifications import REGISTRY  # noqa: PLC0415

    schema: Any = json.loads(settings["json_schema"])
    if not isinstance(schema, dict):
        raise ValueError("a JSON schema is an object")
    for reference in _references(schema):
        if not reference.startswith("#"):
            raise ValueError(f'"$ref": "{reference[:80]}" points outside of the schema')
    kind = validator_for(schema)
    kind.check_schema(schema)
    # With a registry of its own it fetches nothing.
    validator = kind(schema, registry=REGISTRY)

    def check(text: str, expected: list[str]) -> bool:
        value = json.loads(text, parse_constant=_refuse, object_pairs_hook=_object)
        return bool(validator.is_valid(value))

    return check


def _references(schema: Any) -> list[str]:
    if isinstance(schema, dict):
        here = [schema[name] for name in ("$ref", "$dynamicRef") if name in schema]
        inner = [found for value in schema.values() for found in _references(value)]
        return [name for name in here if isinstance(name, str)] + inner
    if isinstance(schema, list):
        return [found for value in schema for found in _references(value)]
    return []


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a key is repeated")
    return dict(pairs)


def _pattern(settings: Mapping[str, str]) -> Check:
    compiled = re.compile(settings["pattern"])
    return lambda text, expected: compiled.fullmatch(text) is not None


def _sql(settings: Mapping[str, str]) -> Check:
    import sqlglot  # noqa: PLC0415
    from sqlglot import exp  # noqa: PLC0415

    # A bare word parses too, as an expression; these are statements.
    changes = (exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Create, exp.Drop, exp.Alter)

    def check(text: str, expected: list[str]) -> bool:
        parsed = [one for one in sqlglot.parse(text, read=settings["sql_dialect"]) if one]
        return len(parsed) == 1 and isinstance(parsed[0], (exp.Query, *changes))

    return check


def _rows(settings: Mapping[str, str]) -> Check:
    path = Path(settings["database"]).expanduser().resolve(strict=True)
    # Opened before the authorizer is set: reading the schema is no business of a query's.
    database = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None)
    database.execute("SELECT count(*) FROM sqlite_schema").fetchall()
    database.execute("PRAGMA temp_store = MEMORY")
    database.execute("PRAGMA query_only = ON")
    database.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, VALUE_BYTES)
    database.text_factory = lambda raw: raw.decode(errors="replace")
    database.set_authorizer(_may_read)

    def run(query: str) -> list[tuple[Any, ...]]:
        rows = database.execute(query).fetchmany(MOST_ROWS + 1)
        if len(rows) > MOST_ROWS:
            raise ValueError("too many rows")
        return [tuple(map(_folded, row)) for row in rows]

    def check(text: str, expected: list[str]) -> bool:
        found = run(text)
        return not expected or any(_same(found, run(query), query) for query in expected)

    return check


def _may_read(action: int, first: Any, second: Any, *where: Any) -> int:
    reading = (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE)
    function = action == sqlite3.SQLITE_FUNCTION and str(second).lower() != "load_extension"
    return sqlite3.SQLITE_OK if action in reading or function else sqlite3.SQLITE_DENY


def _folded(value: Any) -> Any:
    return round(value, DIGITS) if isinstance(value, float) else value


def _same(found: list[Any], wanted: list[Any], query: str) -> bool:
    """Rows in any order, unless the expected query as a whole orders them."""
    import sqlglot  # noqa: PLC0415

    if sqlglot.parse_one(query, read="sqlite").args.get("order"):
        return found == wanted
    return Counter(found) == Counter(wanted)


CHECKS: dict[str, Callable[[Mapping[str, str]], Check]] = {
    "schema": _schema,
    "pattern": _pattern,
    "sql": _sql,
    "rows": _rows,
}

if __name__ == "__main__":
    main()
