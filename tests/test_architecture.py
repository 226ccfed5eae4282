"""The house rules that a reader relies on: who may import whom, and how large things get."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "workbench").rglob("*.py"))
APP = [path for path in [ROOT / "app.py"] if path.exists()]

# Every room, lowest first; a room may import those of lower levels. Rooms of one level are
# strangers to each other, except where ``NEIGHBOURS`` says so.
LEVELS: dict[str, int] = {
    **dict.fromkeys(
        ("errors", "limits", "samples", "stages", "inputs", "recipe", "events", "students"), 0
    ),
    **dict.fromkeys(
        ("__init__", "activity", "memory", "machine", "adapter_settings", "synthesis_plan"), 0
    ),
    **dict.fromkeys(("models", "runs"), 1),
    **dict.fromkeys(("synthesize", "discriminate", "teach", "distill", "evaluate"), 2),
    **dict.fromkeys(("export", "intake", "fit"), 2),
    "steps": 3,
    **dict.fromkeys(("pipeline", "prepare"), 4),
    **dict.fromkeys(("jobs", "consult"), 5),
    **dict.fromkeys(("ui", "__main__", "terminal", "transfer_inputs", "chains", "bench"), 6),
    **dict.fromkeys(
        ("inspection", "measuring", "runs_command", "prepare_command", "recipe_options", "fleet"), 6
    ),
}
# Plain data builds on plain data; jobs run consult; the command line is several modules.
NEIGHBOURS = (0, 5, 6)
# Importing these must not import torch: the page, the parsers and the run folder stay light.
WITHOUT_TORCH = (
    "ui",
    "fit",
    "intake",
    "runs",
    "recipe",
    "jobs",
    *(n for n, v in LEVELS.items() if v == 0),
)
HEAVY = {"torch", "transformers", "peft", "bitsandbytes", "accelerate"}
VAGUE = ("utils", "util", "helpers", "helper", "manager", "common", "misc", "base", "core")


def dotted(path: Path) -> str:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


def room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def imports(path: Path, top_level_only: bool = False) -> Iterator[tuple[str, int]]:
    """(module, line) of every import; at module level also inside if, try and with."""
    pending: list[ast.AST] = [tree_of(path)]
    while pending:
        node = pending.pop()
        if top_level_only and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if (
            top_level_only
            and isinstance(node, ast.If)
            and "TYPE_CHECKING" in ast.unparse(node.test)
        ):
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute here"
            # "from workbench import jobs" imports a room as well as a name.
            yield from (
                (
                    known
                    if (known := f"{node.module}.{alias.name}") in NAMES
                    else str(node.module),
                    node.lineno,
                )
                for alias in node.names
            )
        pending.extend(ast.iter_child_nodes(node))


NAMES = {dotted(path): path for path in MODULES}


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_imports_go_down_the_levels(path: Path) -> None:
    own = room(dotted(path))
    assert own in LEVELS, f'Give the room "{own}" a level in LEVELS, and a line in ARCHITECTURE.md.'
    for module, line in imports(path):
        if not module.startswith("workbench."):
            continue
        other = room(module)
        assert other in LEVELS, f'Give the room "{other}" a level in LEVELS.'
        allowed = (
            other == own
            or LEVELS[other] < LEVELS[own]
            or (LEVELS[other] == LEVELS[own] and LEVELS[own] in NEIGHBOURS)
        )
        assert allowed, f"{path}:{line}: {own} must not import {other}"


@pytest.mark.parametrize("path", MODULES + APP, ids=dotted)
def test_gradio_lives_in_one_room(path: Path) -> None:
    if room(dotted(path)) == "ui" or path in APP:
        return
    for module, line in imports(path):
        assert module.split(".")[0] != "gradio", f"{path}:{line}: gradio outside ui/"


def reachable(start: str) -> dict[str, str]:
    """Modules that importing ``start`` imports as well, each with the one that asked for it."""
    found = {start: ""}
    pending = [start]
    while pending:
        module = pending.pop()
        parts = module.split(".")
        packages = [".".join(parts[:end]) for end in range(1, len(parts))]
        asked = [name for name, _ in imports(NAMES[module], top_level_only=True)]
        for name in asked + packages:
            if name not in found:
                found[name] = module
                if name in NAMES:
                    pending.append(name)
    return found


@pytest.mark.parametrize("module", [name for name in NAMES if room(name) in WITHOUT_TORCH])
def test_light_rooms_do_not_import_torch(module: str) -> None:
    """Neither themselves, not even inside a function, nor through what they import on top."""
    for name, line in imports(NAMES[module]):
        assert name.split(".")[0] not in HEAVY, f"{module}:{line}: {name}"
    for name, by in reachable(module).items():
        assert name.split(".")[0] not in HEAVY, f"{module} imports {name} through {by}"


def test_the_page_does_not_import_torch() -> None:
    for path in APP:
        for name, _ in imports(path, top_level_only=True):
            if name in NAMES:
                heavy = {n.split(".")[0] for n in reachable(name)} & HEAVY
                assert not heavy, f"app.py imports {heavy} through {name}"


@pytest.mark.parametrize("path", MODULES + APP, ids=dotted)
def test_sizes(path: Path) -> None:
    lines = path.read_text().count("\n")
    assert lines <= 400, f"{path} has {lines} lines; 300 is the aim, 400 the end"
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= 80, f"{path}:{node.lineno}: {node.name} has {length} lines"


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_names_say_something(path: Path) -> None:
    words = path.stem.strip("_").split("_")
    assert not set(words) & set(VAGUE), f"{path}: say what is in it"
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ClassDef):
            assert not node.name.endswith(("Manager", "Helper", "Util", "Utils", "Base")), node.name


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_every_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(tree_of(path)), f"{path} has no docstring"


# The command line talks to a terminal; everything else returns values or yields events.
MAY_PRINT = {
    "workbench.__main__",
    "workbench.bench.command",
    "workbench.fleet.command",
    "workbench.prepare_command",
    "workbench.runs_command",
    "workbench.terminal",
}


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_only_the_command_line_prints(path: Path) -> None:
    if dotted(path) in MAY_PRINT:
        return
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "print", f"{path}:{node.lineno}"


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_no_module_tells_where_it_was_written(path: Path) -> None:
    text = path.read_text()
    for trace in ("/" + "work/", "/" + "root/", "/tmp/" + "whl"):
        assert trace not in text, f"{path} mentions {trace}"
