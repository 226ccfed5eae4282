"""How often the prompt format of an adapter is found when nobody names it.

    python -m scripts.check_formats --data DATA                         # one after the other
    python -m scripts.check_formats --data DATA --only 3 --out lines.jsonl   # one, a line added
    python -m scripts.check_formats --out lines.jsonl --show             # what is in the lines

Trains source adapters on rows of the benchmark's tasks, each in another of the known formats and
every second one on its answers alone, and asks as the page does: of the former nothing is given
but the adapter, of the latter seeds with outputs besides. The loss of the former is on all tokens,
those of the format too, as trainers have it. Prints each with the three best formats, wrong ones
first; ends with 1 when fewer than nine in ten are right.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from workbench import consult
from workbench.bench.tasks import Sizes, choose_tasks, split
from workbench.errors import WorkbenchError
from workbench.inputs import AdapterFiles, Inputs
from workbench.intake.adapter import read_adapter
from workbench.models import references
from workbench.models.format_choice import CANDIDATES, known_formats
from workbench.models.formats import BoundFormat, bind
from workbench.models.resident import load
from workbench.models.training import TrainingRow, train
from workbench.recipe import PromptFormat, TransferRecipe, for_preparing, override
from workbench.runs.folder import create
from workbench.samples import Example

BASE = "package:smollm2-135m-instruct"
TASKS = ("snips-intent", "clinc150-two", "rnnlg", "clinc150-all", "snips-json")
INSTRUCTION = "Handle this request of a user."
ENOUGH = 0.9
Line = dict[str, Any]


def main() -> int:
    """Check adapters, or show what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="the benchmark's folder of data")
    parser.add_argument("--adapters", type=int, default=10)
    parser.add_argument("--only", type=int, nargs="+", help="of these, from 0")
    parser.add_argument("--base", default=BASE)
    parser.add_argument("--rows", type=int, default=600)
    parser.add_argument("--epochs", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="JSON lines, added to")
    parser.add_argument("--show", action="store_true", help="only show what is in --out")
    options = parser.parse_args()
    if options.show:
        lines = [json.loads(line) for line in options.out.read_text().splitlines()]
    else:
        if options.data is None:
            parser.error("--data says where the benchmark's data is.")
        lines = []
        for index in options.only or range(options.adapters):
            lines.append(checked(index, options))
            if options.out:
                with options.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(lines[-1], ensure_ascii=False) + "\n")
            print(as_text(lines[-1:]), flush=True)
    right = sum(line["right"] for line in lines)
    print(f"{as_text(lines)}\n\n{right} of {len(lines)} right")
    return 0 if right >= ENOUGH * len(lines) else 1


def chosen(index: int, seed: int) -> tuple[PromptFormat, str, bool]:
    """(format, task, whether on whole rows) of an adapter; of each kind every format in turn."""
    whole = index % 2 == 0
    # An instruction is found by what an adapter writes; without that, rows have to name it.
    known = (*CANDIDATES, known_formats(INSTRUCTION)[-1]) if whole else CANDIDATES
    turn, at = divmod(index // 2, len(known))
    formats = random.Random(f"formats {seed} {whole} {turn}").sample(known, len(known))
    return formats[at], random.Random(f"task {seed} {index}").choice(TASKS), whole


def checked(index: int, options: argparse.Namespace) -> Line:
    """Train an adapter, ask for its format; a line of what came of it."""
    form, name, whole = chosen(index, options.seed)
    (task,) = choose_tasks(options.data, [name])
    rows = split(task, options.data, options.seed, Sizes(train_rows=options.rows))
    recipe = override(TransferRecipe(), {"source_base": options.base, "seed": options.seed})
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        adapter = trained(options, form, rows.train, whole, folder)
        middle = time.monotonic()
        inputs = Inputs(adapter, seeds=() if whole else rows.seeds)
        run = create(folder / "runs", recipe, inputs=inputs)
        try:
            answer = consult.answer_question("propose_format", {"run": str(run.folder)})
            found, problem = answer["formats"], ""
        except WorkbenchError as error:
            found, problem = [], error.message
        run.database.close()
    kept = ("kind", "template", "system", "score")
    best = [{name: entry[name] for name in kept} for entry in found[:3]]
    wanted = {name: value for name, value in asdict(form).items() if name in kept}
    return {
        "index": index,
        "task": name,
        "whole": whole,
        "format": wanted,
        "right": bool(best) and all(best[0][name] == value for name, value in wanted.items()),
        "best": best,
        "problem": problem,
        "seconds": {"training": middle - began, "asking": time.monotonic() - middle},
    }


def trained(
    options: argparse.Namespace,
    form: PromptFormat,
    rows: Sequence[Example],
    whole: bool,
    folder: Path,
) -> AdapterFiles:
    """An adapter of the base, trained in a format."""
    source, made = load(references.fetch(options.base)), for_preparing()
    bound = bind(form, source.tokenizer)
    source.attach_new("new", made.student, options.seed)
    settings = replace(made.training, epochs=options.epochs)
    of_task = [training_row(bound, row, whole) for row in rows]
    for _ in train(source, "new", of_task, settings, seed=options.seed):
        pass
    source.save_adapter("new", folder / "adapter", "")
    return read_adapter(folder / "adapter", folder)


def training_row(form: BoundFormat, row: Example, whole: bool) -> TrainingRow:
    """A row whose loss is on its answer, or on everything behind its first token."""
    prompt, answer = form.prompt_ids(row.input), form.answer_ids(row.output or "")
    cut = 1 if whole else len(prompt)
    return TrainingRow(prompt[:cut], prompt[cut:] + answer)


def as_text(lines: Sequence[Line]) -> str:
    """Wrong ones first, then those whose lead over the second format is smallest."""

    def lead(line: Line) -> float:
        scores = [entry["score"] for entry in line["best"]]
        return scores[0] - scores[1] if len(scores) > 1 else 0.0

    text = []
    for line in sorted(lines, key=lambda line: (line["right"], lead(line))):
        kind = "whole rows" if line["whole"] else "answers   "
        word = "right" if line["right"] else "WRONG"
        text.append(f"{word} {line['index']:2} {kind} {line['task']:13} {shown(line['format'])}")
        text += [f"      {entry['score']:7.2f} {shown(entry)}" for entry in line["best"]]
        text += [f"      {line['problem']}"] if line["problem"] else []
    return "\n".join(text)


def shown(form: Line) -> str:
    """A format in a line."""
    return f"{form['kind']} {form['template']!r}"


if __name__ == "__main__":
    sys.exit(main())
