"""T1: nothing in the program can run code from data. Read from the syntax tree of every module."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "workbench").rglob("*.py")) + sorted(ROOT.glob("app.py"))

FORBIDDEN_IMPORTS = {"pickle", "cPickle", "_pickle", "joblib", "dill", "cloudpickle", "shelve"} | {
    "marshal",
    "code",
    "codeop",
}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_NAMES = {
    ("torch", "load"),
    ("torch", "save"),
    ("os", "system"),
    ("os", "popen"),
    ("pandas", "read_pickle"),
    ("pd", "read_pickle"),
    ("yaml", "load"),
    ("zipfile", "extractall"),
    ("tarfile", "open"),
}


def findings(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                if name.name.split(".")[0] in FORBIDDEN_IMPORTS:
                    yield f"line {node.lineno}: import {name.name}"
        elif isinstance(node, ast.ImportFrom):
            module = (node.module or "").split(".")[0]
            if module in FORBIDDEN_IMPORTS:
                yield f"line {node.lineno}: from {node.module}"
            for name in node.names:
                if (module, name.name) in FORBIDDEN_NAMES:
                    yield f"line {node.lineno}: from {module} import {name.name}"
        elif isinstance(node, ast.Call):
            yield from in_call(node)


def in_call(node: ast.Call) -> Iterator[str]:
    function = node.func
    if isinstance(function, ast.Name) and function.id in FORBIDDEN_CALLS:
        yield f"line {node.lineno}: {function.id}()"
    if isinstance(function, ast.Attribute):
        owner = function.value.id if isinstance(function.value, ast.Name) else ""
        if (owner, function.attr) in FORBIDDEN_NAMES or function.attr in (
            "extractall",
            "unpack_archive",
        ):
            yield f"line {node.lineno}: {owner}.{function.attr}()"
        # One call of PEFT's own config reader on an upload would undo T3.
        if function.attr == "from_pretrained" and owner in ("PeftConfig", "LoraConfig"):
            yield f"line {node.lineno}: {owner}.from_pretrained()"
    for keyword in node.keywords:
        true = isinstance(keyword.value, ast.Constant) and bool(keyword.value.value)
        if keyword.arg in ("shell", "allow_pickle") and (true or not is_constant(keyword.value)):
            yield f"line {node.lineno}: {keyword.arg}="
        if keyword.arg in ("trust_remote_code", "code_revision"):
            yield f"line {node.lineno}: {keyword.arg}="
        if keyword.arg == "weights_only" and not true:
            yield f"line {node.lineno}: weights_only=False"


def is_constant(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_t01_no_module_runs_code_from_data(path: Path) -> None:
    assert list(findings(ast.parse(path.read_text()))) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import joblib.numpy_pickle",
        "torch.load(path)",
        "torch.load(path, weights_only=True)",
        "from torch import load",
        "numpy.load(path, allow_pickle=True)",
        "numpy.load(path, allow_pickle=flag)",
        "subprocess.run(command, shell=True)",
        "eval('1')",
        "exec(text)",
        "AutoModel.from_pretrained(name, trust_remote_code=True)",
        "AutoModel.from_pretrained(name, trust_remote_code=flag)",
        "archive.extractall(folder)",
        "PeftConfig.from_pretrained(folder)",
        "os.system(command)",
    ],
)
def test_t01_the_search_finds_what_it_looks_for(source: str) -> None:
    assert list(findings(ast.parse(source)))


def test_t01_there_are_modules_to_search() -> None:
    assert len(MODULES) > 30
