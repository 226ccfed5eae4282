"""What is in a file before anything is started: adapters, kits and rows, as the page's cards say.

Each report is plain data for ``--json``; ``as_text`` says the same to a person.
"""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from workbench import fit
from workbench.errors import IntakeError, ModelError
from workbench.inputs import AdapterFiles, Inputs
from workbench.intake.adapter import Inspection, inspect_adapter
from workbench.intake.archive import holds
from workbench.intake.column_questions import Choice, ColumnsUnclear, Question
from workbench.intake.columns import OPTIONAL
from workbench.intake.hub import fetch_adapter, read_given
from workbench.intake.kit import read_kit
from workbench.intake.kit_about import writer_words
from workbench.intake.rows import FILE_TYPES, JOIN, read_rows
from workbench.intake.wording import size_words
from workbench.models.folders import check_folder
from workbench.recipe import PromptFormat, TransferRecipe, override
from workbench.recipe.prompt_format import source_changes
from workbench.samples import Example

_ROWS_SHOWN = 3
_CELL_SHOWN = 200
_LABELS_SHOWN = 12
_OF_ADAPTER = (".safetensors", ".bin", ".pt", ".pth", ".npz")

Report = dict[str, Any]


def inspect(paths: Sequence[Path], choice: Choice) -> Iterator[Report]:
    """A report of each file, folder or hub:owner/name; the loose files of one adapter are one.

    A report has ``file``, ``kind`` ("adapter", "model", "kit" or "rows"), ``problem`` ("" where
    it would be taken), and what was found by name.
    """
    if loose := [path for path in paths if _is_part_of_adapter(path)]:
        yield _guarded(_adapter, loose if len(loose) > 1 else loose[0], loose[0])
    for path in paths:
        if path in loose:
            continue
        if str(path).startswith("hub:"):
            yield _guarded(_on_hub, path, path)
            continue
        of_rows = path.is_file() or path.suffix.lower() in FILE_TYPES
        if of_rows and not path.is_dir() and path.suffix.lower() != ".zip":
            yield _rows(path, choice)
        elif _is_model(path):
            yield _model(path)
        elif path.suffix.lower() == ".zip" and holds(path, "kit.json"):
            yield _guarded(_kit, path, path)
        else:
            yield _guarded(_adapter, path, path)


def ask_base(
    paths: Sequence[Path], base: str, form: PromptFormat | None, count: int, *, find: bool = False
) -> Report:
    """What an adapter or the adapter of a kit does on its base: whether it has learned its inputs,
    and ``count`` inputs that it writes itself, which may be rows that it was trained on.

    Args:
        paths: of one adapter or kit, see ``of_one``.
        base: reference of the base model; "" where a kit names it.
        form: prompt format; None for the kit's, or the base's chat template.
        find: look for the format instead, and tell those that are possible, best first.

    Raises:
        WorkbenchError: the adapter is refused, or does not fit the base.
    """
    from workbench.consult import own_inputs, propose_format  # noqa: PLC0415  brings torch
    from workbench.models import references  # noqa: PLC0415
    from workbench.models.pair import Pair  # noqa: PLC0415
    from workbench.runs.folder import create  # noqa: PLC0415
    from workbench.steps.writer_choice import gain_words, learned_inputs  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as scratch:
        recipe = TransferRecipe()
        if paths[0].suffix.lower() == ".zip" and holds(paths[0], "kit.json"):
            kit = read_kit(paths[0], Path(scratch))
            inputs, recipe = kit.inputs, kit.recipe_from(recipe)
        else:
            inputs = Inputs(read_given(paths, Path(scratch)))
        changes = {"source_base": base or recipe.source_base}
        recipe = replace(override(recipe, changes), source_format=form or recipe.source_format)
        references.fetch(recipe.source_base)
        run = create(Path(scratch) / "runs", recipe, inputs=inputs)
        report: Report = {}
        if find:
            found = propose_format(run, {})["formats"]
            run.change_recipe(source_changes(found[0]))
            told = ("kind", "template", "score")
            report["prompt_formats"] = [{name: form[name] for name in told} for form in found]
        gain = learned_inputs(run, Pair(run.recipe, run.inputs))
        report |= {"learned_inputs": gain_words(run, gain), "nats_per_token": round(gain, 3)}
        if count:
            report["may_be_training_rows"] = own_inputs(run, {"count": count})["texts"]
        return report


def of_one(paths: Sequence[Path], report: Report) -> list[Path]:
    """Those of the inspected paths that a report is of."""
    named = Path(report["file"])
    return [p for p in paths if _is_part_of_adapter(p)] if _is_part_of_adapter(named) else [named]


def _is_part_of_adapter(path: Path) -> bool:
    name = path.name.lower()
    named = name.startswith("adapter_config") and name.endswith(".json")
    return not path.is_dir() and (named or name.endswith(_OF_ADAPTER))


def _is_model(path: Path) -> bool:
    """A whole model's folder; a trainer's folder of an adapter may hold a config.json too."""
    return (path / "config.json").is_file() and not any(path.rglob("adapter_config*.json"))


def _model(path: Path) -> Report:
    about: Report = {"file": str(path), "kind": "model"}
    try:
        config = check_folder(path)
    except ModelError as error:
        return {**about, "problem": error.message}
    text = config.get("text_config") or config
    return {
        **about,
        "problem": "",
        "architecture": ", ".join(map(str, config.get("architectures") or [config["model_type"]])),
        "parameters": fit.parameters(f"folder:{path}"),
        "layers": text.get("num_hidden_layers"),
        "hidden_size": text.get("hidden_size"),
        "positions": text.get("max_position_embeddings"),
        "number_format": config.get("dtype") or config.get("torch_dtype"),
        "notes": [
            "A whole model: give it as a base, or as the teacher by itself with --source-model."
        ],
    }


def _guarded(read: Any, given: Any, path: Path) -> Report:
    kind = "kit" if read is _kit else "adapter"
    with tempfile.TemporaryDirectory() as scratch:
        try:
            return {"file": str(path), "kind": kind, "problem": "", **read(given, Path(scratch))}
        except IntakeError as error:
            return {"file": str(path), "kind": kind, "problem": error.message}


# ------------------------------------------------------------------------- adapters, kits


def _adapter(given: Path | list[Path], scratch: Path) -> Report:
    inspection = inspect_adapter(given, scratch, links=True)
    checks = [{"check": c.words, "ok": not c.problem, "problem": c.problem}
              for c in inspection.checks]  # fmt: skip
    found = _adapter_facts(inspection.adapter) if inspection.adapter else {}
    return {"problem": inspection.problem, "checks": checks, **found, **_files(inspection)}


def _on_hub(given: Path, scratch: Path) -> Report:
    (scratch / "hub").mkdir()
    return _adapter(fetch_adapter(str(given), scratch / "hub"), scratch)


def _files(inspection: Inspection) -> Report:
    if inspection.adapter is None:
        return {}
    return {
        "modules": dict(inspection.modules),
        "number_formats": list(inspection.dtypes),
        "ignored_files": list(inspection.ignored),
    }


def _adapter_facts(adapter: AdapterFiles) -> Report:
    return {
        "method": adapter.settings.title,
        "shape": adapter.settings.shape,
        "parameters": adapter.parameters,
        "bytes": adapter.weights.stat().st_size,
        "base_it_names": adapter.base_hint,
        "sha256": adapter.sha256,
    }


def _kit(path: Path, scratch: Path) -> Report:
    kit = read_kit(path, scratch)
    assert kit.inputs.adapter is not None, "a kit without adapter is refused"
    return {
        "task_name": kit.task_name,
        "source_base": kit.source_base,
        "prompt": _prompt(kit.source_format),
        "metric": kit.metric,
        "seeds": len(kit.inputs.seeds),
        "evaluation_rows": len(kit.inputs.evaluation),
        "writer": kit.inputs.writer is not None,
        "writer_repeats": writer_words(kit.memorised) if kit.memorised else "",
        "discriminator": kit.inputs.discriminator is not None,
        "discriminator_auc": kit.discriminator_auc,
        "attribution": kit.attribution,
        "first_rows": _shown(kit.inputs.seeds),
        **_adapter_facts(kit.inputs.adapter),
    }


def _prompt(form: PromptFormat) -> Report:
    return {
        "kind": form.kind,
        "template": form.template,
        "system": form.system,
        "input_columns": form.input_columns,
    }


# ---------------------------------------------------------------------------------- rows


def _rows(path: Path, choice: Choice) -> Report:
    about: Report = {"file": str(path), "kind": "rows", "problem": ""}
    try:
        rows = read_rows(path, outputs=OPTIONAL, choice=choice)
    except ColumnsUnclear as error:
        question = _question(error.question) if error.question else {}
        return {**about, "problem": error.message, **question}
    except IntakeError as error:
        return {**about, "problem": error.message}
    labels = list(dict.fromkeys(row.output for row in rows.examples if row.output))
    joined = JOIN.join(f"{{{name}}}" for name in rows.input_columns)
    return {
        **about,
        "rows": len(rows.examples),
        "with_outputs": sum(row.output is not None for row in rows.examples),
        "different_outputs": len(labels),
        "outputs": [label[:_CELL_SHOWN] for label in labels[:_LABELS_SHOWN]],
        "skipped": rows.skipped,
        "input_columns": list(rows.input_columns),
        "input": joined,
        "output_column": rows.output_column,
        "left_out": list(rows.left_out),
        "system": rows.system,
        "instruction": rows.instruction.strip(),
        "longest_input_characters": max(len(row.input) for row in rows.examples),
        "first_rows": _shown(rows.examples),
        "notes": list(rows.notes),
    }


def _shown(rows: Sequence[Example]) -> list[Report]:
    return [
        {"input": row.input[:_CELL_SHOWN], "output": row.output and row.output[:_CELL_SHOWN]}
        for row in rows[:_ROWS_SHOWN]
    ]


def _question(question: Question) -> Report:
    return {
        "columns": list(question.columns),
        "first_rows": [list(cells) for cells in question.first_rows],
        "proposal": {
            "input_columns": list(question.proposal.inputs),
            "output_column": question.proposal.output,
        },
    }


# ---------------------------------------------------------------------------------- text


def as_text(report: Report) -> str:
    """The report as lines of a terminal: what it is, what was found, what is wrong."""
    lines = [f"{report['file']}: {report['kind']}"]
    for check in report.get("checks", ()):
        lines.append(f"  {'ok ' if check['ok'] else 'BAD'} {check['problem'] or check['check']}")
    hidden = ("file", "kind", "problem", "checks", "notes", "first_rows", "proposal")
    for name, value in report.items():
        if name not in hidden and value not in ("", None, [], {}):
            lines.append(f"  {name.replace('_', ' '):<26} {_words(name, value)}")
    for row in report.get("first_rows", ()):
        cells = row.values() if isinstance(row, dict) else row
        lines.append("  | " + " | ".join(_one_line(cell) for cell in cells))
    lines += [f"  note: {note}" for note in report.get("notes", ())]
    if proposal := report.get("proposal"):
        named = [f'--input-column "{name}"' for name in proposal["input_columns"]]
        lines.append(f'  perhaps {" ".join(named)} --output-column "{proposal["output_column"]}"')
    if report["problem"] and not report.get("checks"):
        lines.append(f"  not taken: {report['problem']}")
    return "\n".join(lines)


def _words(name: str, value: Any) -> str:
    if name == "bytes":
        return size_words(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_one_line(inner)}" for key, inner in value.items() if inner)
    if name == "prompt_formats":
        return ", ".join(f"{f['kind']} {f['template']!r} ({f['score']:.2f})" for f in value[:3])
    if isinstance(value, list):
        return ", ".join(_one_line(entry) for entry in value)
    return f"{value:,}" if isinstance(value, int) else _one_line(value)


def _one_line(value: Any) -> str:
    text = "" if value is None else str(value)
    return "".join(mark if mark.isprintable() else "·" for mark in text)[:_CELL_SHOWN]
