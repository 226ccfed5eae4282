"""The model card: what the adapter is, how it was made, what was measured, how to load it.

Plain Markdown from numbers and names; no text that a model wrote is put into it, and names that
people gave are escaped. ``base_model`` is a Hub id or is left out, never a local path.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from workbench.models import references
from workbench.recipe import MODEL, PromptFormat, TransferRecipe
from workbench.stages import ARM_WORDS
from workbench.students import LORA_KINDS, STUDENTS, TOKEN_KINDS

ARMS = {**ARM_WORDS, "transferred": "Target + this adapter"}
_FILTERS = {
    "discriminator": "the owner's discriminator, trained to tell real inputs from synthetic ones",
    "excess": "contrastive excess: how much likelier the teacher's answer is with its adapter",
    "checker": "a checker of the source model's answers",
    "none": "no filter",
}
_COUNTS = {
    "seeds": "seed examples",
    "samples": "synthetic inputs",
    "mixed": "of them mixed from two inputs (span swap)",
    "kept": "of them kept and trained on",
    "edited": "of them edited by a person",
    "labels": "different answers of the teacher",
    "training_steps": "training steps",
    "evaluation_rows": "held-out evaluation rows",
}
_LICENCES = {"Apache-2.0": "apache-2.0", "Gemma Terms of Use": "gemma", "MIT": "mit"}
SCORES = ("chrF", "ROUGE-L", "similarity to the teacher")
# What the card says of the synthetic rows, where they lie beside it and where not.
WITH_SAMPLES = "- Every choice is in recipe.json, every synthetic row in samples.jsonl."
WITHOUT_SAMPLES = "- Every choice is in recipe.json."
_MARKUP = re.compile(r"([\\`*_{}\[\]<>|~#!&])")


def model_card(recipe: TransferRecipe, result: Mapping[str, Any], hashes: Mapping[str, str]) -> str:
    """The text of README.md.

    Args:
        result: the content of result.json; parts that are missing are left out.
        hashes: file name -> SHA-256 of what lies beside the card.
    """
    sections = [
        _front_matter(recipe),
        f"# {_plain(recipe.task_name)}",
        _summary(recipe),
        _scores(result),
        _making(recipe, result, "samples.jsonl" in hashes),
        _lineage(result),
        _loading(recipe, result),
        _hashes(result, hashes),
        _notices(recipe),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def merged_card(recipe: TransferRecipe, result: Mapping[str, Any]) -> str:
    """README.md beside the merged model: what it is made of, and the bases' notices.

    Args:
        result: with "answer_tokens" and "answering" (``BoundFormat.for_people``).
    """
    head = _front_matter(recipe).replace("library_name: peft", "library_name: transformers")
    head = head.replace("base_model_relation: adapter", "base_model_relation: finetune")
    text = (
        f"{_plain(base_name(recipe.target_base))} with the adapter of this run merged into its "
        "16-bit weights: loads with plain transformers. The adapter's own card says how it was "
        "made and what was measured."
    )
    code = f"""from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("the folder of this card")
model = AutoModelForCausalLM.from_pretrained("the folder of this card", dtype="auto")
{_answering(recipe, result)}"""
    end = result["answering"]["stop_ids"][0]
    gguf = (
        "python convert_hf_to_gguf.py FOLDER --outfile model.gguf --outtype bf16\n"
        f"llama-cli -m model.gguf --override-kv tokenizer.ggml.eot_token_id=int:{end} "
        "--temp 0 -no-cnv -p PROMPT"
    )
    sections = [
        head,
        f"# {_plain(recipe.task_name)}, merged",
        text,
        f"## How to load it\n\n```python\n{code}\n```",
        f"With llama.cpp, whose own converter writes the GGUF file:\n\n```sh\n{gguf}\n```",
        _notices(recipe),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def base_name(reference: str) -> str:
    """A base as it may be named outside: its Hub id, or the last part of a folder's path."""
    return (
        references.hub_id(reference) or references.parse(reference).name.rstrip("/").split("/")[-1]
    )


def _front_matter(recipe: TransferRecipe) -> str:
    lines = ["---", "library_name: peft", "pipeline_tag: text-generation"]
    # JSON strings are YAML strings, so no name can end its line and begin another field.
    if base := references.hub_id(recipe.target_base):
        lines += [f"base_model: {json.dumps(base)}", "base_model_relation: adapter"]
    entry = references.entry(recipe.target_base)
    if entry is not None and entry.licence in _LICENCES:
        lines.append(f"license: {_LICENCES[entry.licence]}")
    tag = recipe.student.method.replace("_", "-")
    lines += ["tags:", f"- {tag}", "- peft", "- trans-lora", "- synthetic-data", "---"]
    return "\n".join(lines)


def _summary(recipe: TransferRecipe) -> str:
    student = recipe.student
    kind = STUDENTS[student.method].title
    size = f"rank {student.rank}, alpha {student.alpha:g}"
    if student.method in TOKEN_KINDS:
        size = f"{student.virtual_tokens} virtual tokens"
    elif student.method not in LORA_KINDS:
        size = {"oft": f"blocks of {student.rank}", "miss": f"rank {student.rank}"}.get(
            student.method, "a factor per output"
        )
    source = "the fine-tuned model" if recipe.teacher == MODEL else "an adapter for"
    return (
        f"Adapter by {kind} ({size}) for "
        f"{_plain(base_name(recipe.target_base))}. "
        f"{STUDENTS[student.method].sentence} It was transferred from {source} "
        f"{_plain(base_name(recipe.source_base))} as in Trans-LoRA "
        "([arXiv 2405.17258](https://arxiv.org/abs/2405.17258)): synthetic inputs, answered by "
        "the source model, taught to the target model. The real training data was not used."
    )


def _scores(result: Mapping[str, Any]) -> str:
    arms = {name: arm for name, arm in (result.get("arms") or {}).items() if arm}
    if not arms:
        return "## Scores\n\nNothing was measured: there were no rows to compare on."
    measure = str(result.get("measure") or "accuracy")
    lines = ["## Scores", "", f"| model | {measure} | 95 % interval | rows |", "|---|---|---|---|"]
    # A score is no share of rows: its hundredths stand without a percent sign.
    show = _hundredths if measure in SCORES else _percent
    whole = result.get("source") == MODEL
    titles = {**ARMS, "source_adapter": "Source model"} if whole else ARMS
    for name, arm in arms.items():
        lines.append(
            f"| {titles.get(name, _plain(name))} | {show(arm['accuracy'])} | "
            f"{show(arm['low'])} to {show(arm['high'])} | {arm['n']} |"
        )
    if difference := result.get("difference"):
        lines += [
            "",
            f"This adapter minus the source {'model' if whole else 'adapter'}: "
            f"{_points(difference['mean'])} points, 95 % "
            f"interval {_points(difference['low'])} to {_points(difference['high'])} (paired).",
        ]
    if verdict := result.get("verdict"):
        lines += ["", _plain(str(verdict["sentence"]))]
    if copied := result.get("copied"):
        lines += ["", f"The source adapter copied as it is: {_plain(str(copied['sentence']))}"]
    return "\n".join(lines)


def _making(recipe: TransferRecipe, result: Mapping[str, Any], packed: bool) -> str:
    chosen = str(result.get("filter") or recipe.synthesis.filter)
    training, settled = recipe.training, result.get("training") or {}
    rate = settled.get("learning_rate") or training.learning_rate
    lines = [
        "## How it was made",
        "",
        f"- Preset: {_plain(recipe.preset)}. {_plain((result.get('writer') or {}).get('why', ''))}",
        f"- Selection: {_FILTERS.get(chosen, _plain(chosen))}.",
        f"- Labels: {_labels(recipe)}.",
        f"- Training: {training.epochs:g} epochs, rate {rate:.2g}, "
        f"{settled.get('batch_rows') or training.batch_rows} rows per step, target in "
        f"{'4-bit NF4' if recipe.quantize_target else 'bfloat16'}, seed {recipe.seed}.",
    ]
    counts = result.get("counts") or {}
    listed = [f"{counts[name]} {words}" for name, words in _COUNTS.items() if name in counts]
    if listed:
        lines.append(f"- Counts: {', '.join(listed)}.")
    versions = result.get("versions") or {}
    if versions:
        lines.append(
            f"- Versions: {', '.join(f'{k} {_plain(str(v))}' for k, v in versions.items())}."
        )
    lines.append(WITH_SAMPLES if packed else WITHOUT_SAMPLES)
    return "\n".join(lines)


def _lineage(result: Mapping[str, Any]) -> str:
    """Earlier transfers of an adapter that was moved more than once."""
    hops = result.get("lineage") or []
    if not hops:
        return ""
    lines = ["## Where it comes from", "", "Moved more than once, the first time first:", ""]
    for hop in hops:
        kept = ""
        if hop.get("source") and hop.get("transferred") is not None:
            show = _hundredths if hop["measure"] in SCORES else _percent
            kept = (
                f"; {_plain(str(hop['measure']))} {show(hop['transferred'])} against "
                f"{show(hop['source'])} of its source"
            )
        lines.append(
            f"- {_plain(base_name(hop['source_base']))} → "
            f"{_plain(base_name(hop['target_base']))}, {_plain(str(hop['method']))}, "
            f"{hop.get('samples') or 'no'} samples{kept}."
        )
    if first := result.get("against_first_source"):
        lines += [
            "",
            f"This adapter minus the first source: {_points(first['mean'])} points, 95 % interval "
            f"{_points(first['low'])} to {_points(first['high'])} (paired).",
        ]
    return "\n".join(lines)


def _labels(recipe: TransferRecipe) -> str:
    if recipe.training.soft_labels:
        return (
            "the source model's answers; where it was not sure and answers form a closed set, its "
            "probabilities over several answers"
        )
    return "the source model's answers"


def _loading(recipe: TransferRecipe, result: Mapping[str, Any]) -> str:
    base = base_name(recipe.target_base)
    code = f"""from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

base = {base!r}
tokenizer = AutoTokenizer.from_pretrained(base)
model = AutoModelForCausalLM.from_pretrained(base, dtype="auto")
model = PeftModel.from_pretrained(model, "the folder of this card")
{_answering(recipe, result)}"""
    made_of = recipe.source_format.input_columns
    told = f"\n\nAn input is made of columns of a row: `{made_of!r}`." if made_of else ""
    return f"## How to load it\n\n```python\n{code}\n```{told}"


def _answering(recipe: TransferRecipe, result: Mapping[str, Any]) -> str:
    """Prompt, generation and reading. A turn may end with another token than the base's eos."""
    tokens = result.get("answer_tokens") or recipe.evaluation.answer_tokens or 256
    known = result.get("answering") or {}
    stops = f", eos_token_id={known['stop_ids']}" if known else ""
    if known.get("stop_text"):
        stops += f", stop_strings=[{known['stop_text']!r}], tokenizer=tokenizer"
    return f"""{_prompting(recipe.target_format, known)}
output = model.generate(**inputs, max_new_tokens={tokens}, do_sample=False{stops})
answer = tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
print(answer.strip())"""


def _prompting(form: PromptFormat, known: Mapping[str, Any]) -> str:
    text = f'text = {form.template!r}.replace("{{input}}", "your input")'
    if known and not known["begins"]:
        strip = ".strip()" if known["trims"] else ""
        return (
            f"{text}{strip}\nprompt = {known['before']!r} + text + {known['after']!r}\n"
            'inputs = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")'
        )
    if form.kind == "text":
        return f'{text}\ninputs = tokenizer(text, return_tensors="pt")'
    system = "" if form.system is None else f'{{"role": "system", "content": {form.system!r}}}, '
    return (
        f'{text}\nmessages = [{system}{{"role": "user", "content": text}}]\n'
        "inputs = tokenizer.apply_chat_template(\n"
        '    messages, add_generation_prompt=True, return_dict=True, return_tensors="pt"\n)'
    )


def _hashes(result: Mapping[str, Any], hashes: Mapping[str, str]) -> str:
    rows = [(name, sha256) for name, sha256 in hashes.items()]
    if source := result.get("adapter_sha256"):
        rows.append(("source adapter's weights", str(source)))
    if recipe := result.get("recipe_hash"):
        rows.append(("recipe (short hash)", str(recipe)))
    lines = ["## Hashes", "", "| what | SHA-256 |", "|---|---|"]
    return "\n".join(lines + [f"| {name} | `{sha256}` |" for name, sha256 in rows])


def _notices(recipe: TransferRecipe) -> str:
    found = [references.entry(base) for base in (recipe.target_base, recipe.source_base)]
    notices = [
        f"- {entry.title}: {entry.licence}. {entry.notice}".strip() for entry in found if entry
    ]
    return "## Licences of the bases\n\n" + "\n".join(notices) if notices else ""


def _hundredths(score: float) -> str:
    return f"{100 * score:.1f}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _points(share: float) -> str:
    return f"{100 * share:+.1f}".replace("-", "−")


def _plain(text: str) -> str:
    """One line without Markdown or HTML."""
    return _MARKUP.sub(r"\\\1", " ".join(text.split()))
