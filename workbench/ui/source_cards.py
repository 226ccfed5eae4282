"""What the Source tab says about the inputs of a run; text only, nothing is changed here."""

from collections.abc import Sequence

from workbench import fit
from workbench.inputs import AdapterFiles
from workbench.intake.adapter import Inspection
from workbench.limits import LIMITS
from workbench.models import references
from workbench.recipe import PromptFormat
from workbench.runs.folder import Run
from workbench.ui import plain, words
from workbench.ui.snapshot import Snapshot

SEEDS_WANTED = 3
ROWS_SHOWN = 5


def base_choices() -> list[tuple[str, str]]:
    """(title with size and licence, reference) of the catalogue."""
    return [(f"{entry.title} · {entry.licence}", entry.reference) for entry in references.CATALOGUE]


def missing(now: Snapshot) -> tuple[str, bool]:
    """Words of the primary button, and whether one can go on."""
    if now.inputs.adapter is None:
        return "Add an adapter", False
    short = SEEDS_WANTED - len(now.inputs.seeds)
    if short > 0:
        more = " more" if now.inputs.seeds else ""
        return f"Add at least {words.count(short, f'{more} seed'.strip())}", False
    return "Continue to Synthesize", True


def adapter_card(now: Snapshot, asked: Sequence[tuple[str, str]] = ()) -> str:
    """The inspection card of the adapter; ``asked`` are checks that the base itself answered."""
    adapter = now.inputs.adapter
    if adapter is None:
        return plain.empty(
            "No adapter yet. Upload one, or load the example: it is inspected at once."
        )
    facts = [*_adapter_facts(adapter), ("Prompt", _prompt_words(now.recipe.source_format))]
    card = plain.facts(facts, "Adapter")
    return card + plain.checks(
        [
            (plain.GOOD, "Weights are readable and every layer is complete"),
            (
                plain.GOOD,
                "All numbers are finite and the adapter changes something (B is not zero)",
            ),
            _base_check(now, adapter),
            *(asked or [(plain.UNSURE, "Its layers match the base: not checked yet")]),
        ]
    )


def refused(inspection: Inspection) -> str:
    """What of a refused adapter was as it should be, and what was not."""
    rows = [
        (plain.BAD, c.problem) if c.problem else (plain.GOOD, c.words) for c in inspection.checks
    ]
    return plain.sentence("This adapter was not taken.", "problem") + plain.checks(rows)


def _base_check(now: Snapshot, adapter: AdapterFiles) -> tuple[str, str]:
    if not adapter.base_hint:
        return plain.UNSURE, "It names no base model"
    chosen = references.hub_id(now.recipe.source_base) or now.recipe.source_base
    if adapter.base_hint in (chosen, now.recipe.source_base):
        return plain.GOOD, "The base that it names is the one chosen"
    return plain.UNSURE, f"It names another base than the one chosen ({adapter.base_hint[:80]})"


def _adapter_facts(adapter: AdapterFiles) -> list[tuple[str, str]]:
    settings = adapter.settings
    return [
        ("Method", settings.title),
        ("Shape", settings.shape),
        ("Parameters", f"{adapter.parameters:,}"),
        ("Size", words.size(adapter.weights.stat().st_size)),
        ("Base it names", adapter.base_hint[:200] or "none"),
        ("SHA-256", adapter.sha256[:16] + "…"),
    ]


def _prompt_words(form: PromptFormat) -> str:
    around = "" if form.template == "{input}" else f": {form.template!r}"
    return ("chat template of the base" if form.kind == "chat" else "plain text") + around


def _filter_sentence(now: Snapshot) -> str:
    if now.recipe.synthesis.settled().writer == "label":
        return "Samples are kept by what the teacher answers; a discriminator has no say"
    if now.inputs.discriminator:
        return "Discriminator: samples are kept by how real they look"
    return "No discriminator: samples are ranked by how much the adapter matters"


def optional_card(now: Snapshot) -> str:
    """What of the optional inputs is there."""
    inputs = now.inputs
    answered = sum(row.output is not None for row in inputs.evaluation)
    rows = [
        (
            plain.GOOD if inputs.discriminator else plain.UNSURE,
            _filter_sentence(now),
        ),
        (
            plain.GOOD if answered else plain.UNSURE,
            f"{words.count(answered, 'evaluation row')} with answers: accuracy is measured"
            if answered
            else "No evaluation rows: only agreement with the teacher can be measured",
        ),
    ]
    if inputs.unlabelled:
        count = words.count(len(inputs.unlabelled), "own input")
        rows.append((plain.GOOD, f"{count}: used before any are made up"))
    return plain.checks(rows)


def uploaded_rows(now: Snapshot) -> list[list[str]]:
    """The first rows of each uploaded file, as they were understood."""
    found = (("to judge by", now.inputs.evaluation), ("own input", now.inputs.unlabelled))
    return [
        [word, row.input, row.output or ""] for word, rows in found for row in rows[:ROWS_SHOWN]
    ]


def seeds_sentence(now: Snapshot) -> str:
    """How many seeds there are."""
    seeds = now.inputs.seeds
    if not seeds:
        return plain.sentence(
            f"No seeds yet. Type into the table, paste or upload {SEEDS_WANTED} to {LIMITS.seeds}."
        )
    answered = sum(seed.output is not None for seed in seeds)
    rest = len(seeds) - answered
    note = f"; the teacher answers {rest}" if rest else ""
    return plain.sentence(f"{words.count(len(seeds), 'seed')}, {answered} with outputs{note}.")


def seed_table(now: Snapshot | Run) -> list[list[str]]:
    """Rows of the editable table; three empty ones to begin with."""
    rows = [[seed.input, seed.output or ""] for seed in now.inputs.seeds]
    return rows or [["", ""] for _ in range(SEEDS_WANTED)]


def prompt_preview(now: Snapshot) -> str:
    """The first seed in the source prompt; a chat template is filled in by the base itself."""
    seeds = now.inputs.seeds
    return render(now.recipe.source_format, seeds[0].input if seeds else "{input}")


def render(form: PromptFormat, text: str) -> str:
    """A prompt as text, with the turns of a chat in brackets."""
    filled = form.template.replace("{input}", text)
    if form.kind == "text":
        return filled
    system = f"[system] {form.system}\n" if form.system else ""
    return f"{system}[user] {filled}\n[assistant]"


def fit_card(now: Snapshot) -> str:
    """Downloads, disk, memory and time, against what this machine has."""
    if now.inputs.adapter is None:
        return plain.empty("Shown as soon as there is an adapter.")
    estimate = fit.estimate(now.recipe, now.inputs)
    head = ("Step", "Memory", "GPU memory", "Time") if estimate.gpu else ("Step", "Memory", "Time")
    rows = []
    for need in estimate.stages:
        known = need.seconds is not None
        amounts = [need.memory, need.gpu_memory] if estimate.gpu else [need.memory]
        time = f"about {words.duration(need.seconds)}" if known else words.duration(None)
        rows.append((need.name, *map(words.size, amounts), time))
    table = plain.table(head, rows, "What each step needs, estimated")
    # What is free while the run's own worker holds its models says nothing.
    return table if now.busy else table + plain.checks(estimate.checks)
