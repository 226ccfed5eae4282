"""Inputs for an adapter that has learned its answers only: a plain base continues seeds.

Where answers form a set it writes label by label, thin labels first: blocks of "label, input" are
continued with an input for the label that is asked for, and the teacher is asked back. Where they
do not, blocks of inputs are continued. Everything is a function of its arguments and a seed.
"""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from workbench.models.batches import for_device
from workbench.models.decoding import Sampling, decode
from workbench.models.formats import BoundFormat, bind
from workbench.models.resident import Resident
from workbench.recipe import PromptFormat
from workbench.samples import Example
from workbench.synthesize.vocabulary import frequent_words

# Probes by which the teacher tells its labels: two random words each.
PROBES = {"cpu": 2048, "cuda": 8192}
DEMONSTRATIONS = 8  # blocks in a prompt
OWN_DEMONSTRATIONS = 2  # of them at most of the label that is asked for, last
MOST_TRIES = 24  # texts for a label that the teacher has not given back yet, before it is given up
# Prompts that share their demonstrations (read once) and are decoded together.
GROUP = {"cpu": 96, "cuda": 256}
_MARKS = ("###", "===", "@@@", "%%%", "<<<>>>")  # begin a block; the first that no example holds


@dataclass(frozen=True)
class Text:
    """One text of a writer: "" when nothing usable came; the label that it was written for."""

    text: str
    written_for: str | None = None


def probe_labels(
    resident: Resident, adapter: str, form: BoundFormat, like: Sequence[str], tokens: int, seed: int
) -> list[Example]:
    """What the teacher answers, by sampling, to two random words of its vocabulary.

    Outside its task a teacher falls back on what it was trained to say: of 77 labels that were
    codes 8,192 probes named all.

    Args:
        like: inputs of the task; words are taken in their scripts.
        tokens: of an answer at most.
    """
    words = frequent_words(resident.tokenizer, like)
    if not words:
        return []
    draw = random.Random(f"{seed}:probes")
    inputs = [
        " ".join(draw.choices(words, k=2)) for _ in range(for_device(PROBES, resident.device))
    ]
    with resident.using(adapter):
        drawn = decode(
            resident,
            [form.prompt_ids(text) for text in inputs],
            new_tokens=tokens,
            stop_ids=form.stop_ids,
            sampling=Sampling(),
            seed=seed,
        )
        found = {at: form.read(each.ids) for at, each in drawn if each.finished}
    return [Example(inputs[at], text) for at, text in sorted(found.items()) if text]


def plan(
    labels: Sequence[str],
    given: Mapping[str, int],
    asked: Mapping[str, int],
    share: int,
    prompts: int,
    seed: int,
) -> list[str]:
    """Labels that a round writes for, one a prompt, those that lack most most often.

    Args:
        given: samples by the label that the teacher gave them.
        asked: samples by the label that they were written for.
        share: samples wanted of each label.
    """
    lacking = {
        label: share - given.get(label, 0)
        for label in labels
        if given.get(label, 0) < share and (given.get(label) or asked.get(label, 0) < MOST_TRIES)
    }
    targets = [label for label, missing in lacking.items() for _ in range(missing)]
    draw = random.Random(f"{seed}:plan")
    return draw.sample(targets, prompts) if len(targets) > prompts else targets


def write(
    generator: Resident,
    seeds: Sequence[Example],
    accepted: Sequence[Example],
    targets: Sequence[str | None],
    *,
    new_tokens: int,
    sampling: Sampling,
    seed: int,
) -> list[Text]:
    """One text per target, in order.

    Args:
        generator: a plain language model, no adapter in use.
        seeds: with the teacher's answers.
        accepted: synthetic inputs with the teacher's answers, shown beside the seeds.
        targets: the label to write for; None continues a list of inputs.
    """
    examples = [*seeds, *accepted]
    mark = next((m for m in _MARKS if not any(m in e.input for e in examples)), _MARKS[-1])
    one_line = not any("\n" in seed.input.strip() for seed in seeds)
    by_label: dict[str, list[Example]] = {}
    for example in examples:
        by_label.setdefault(example.output or "", []).append(example)
    form = bind(PromptFormat(kind="text", template="{input}"), generator.tokenizer)
    stop_text = "\n" if one_line else f"\n{mark}"
    draw = random.Random(f"{seed}:write")
    texts = [Text("", target) for target in targets]
    size = for_device(GROUP, generator.device)
    # Free ones apart: their blocks have no labels.
    order = sorted(range(len(targets)), key=lambda at: targets[at] is None)
    for start in range(0, len(order), size):
        members = order[start : start + size]
        shown = _demonstrations(draw, seeds, accepted)
        prompts = [_prompt(draw, mark, shown, targets[at], by_label) for at in members]
        for position, drawn in decode(
            generator,
            [form.prompt_ids(prompt) for prompt in prompts],
            new_tokens=new_tokens,
            stop_ids=form.stop_ids,
            sampling=sampling,
            seed=seed * 1009 + start,
            rows=len(members),
            stop_text=stop_text,
        ):
            at = members[position]
            text = str(generator.tokenizer.decode(drawn.ids, skip_special_tokens=True))
            if drawn.finished:
                texts[at] = Text(_body(text.partition(stop_text)[0], mark), targets[at])
    return texts


def _demonstrations(
    draw: random.Random, seeds: Sequence[Example], accepted: Sequence[Example]
) -> list[Example]:
    """Half of them seeds, once there is more; no label twice while there are others."""
    from_accepted = min(DEMONSTRATIONS // 2, len(accepted))
    pool = draw.sample(list(seeds), min(len(seeds), DEMONSTRATIONS - from_accepted))
    pool += draw.sample(list(accepted), min(len(accepted), 4 * from_accepted))
    turns: Counter[str] = Counter()
    ranked = []
    for at, example in enumerate(pool):
        turns[example.output or ""] += 1
        ranked.append((turns[example.output or ""], at))
    shown = [pool[at] for _, at in sorted(ranked)[:DEMONSTRATIONS]]
    draw.shuffle(shown)
    return shown


def _prompt(
    draw: random.Random,
    mark: str,
    shown: Sequence[Example],
    target: str | None,
    by_label: Mapping[str, Sequence[Example]],
) -> str:
    if target is None:
        return "".join(f"{mark}\n{each.input}\n\n" for each in shown) + f"{mark}\n"
    own = by_label.get(target, [])
    # Last, where they count most.
    blocks = [*shown, *draw.sample(list(own), min(OWN_DEMONSTRATIONS, len(own)))]
    return "".join(f"{mark} {b.output}\n{b.input}\n\n" for b in blocks) + f"{mark} {target}\n"


def _body(text: str, mark: str) -> str:
    text = text.strip()
    return text if mark not in text and any(char.isalnum() for char in text) else ""
