"""The paper's generator: continue a numbered list that starts with seeds (section 3, figure 2).

A prompt announces ten examples, shows up to five seeds as items and leaves the next number open,
so that one continuation holds about five new items. Inputs only: answers come from the teacher.
"""

import random
import re
from collections.abc import Sequence

from workbench.samples import Example

ITEMS = 10
_NUMBER = re.compile(r"^[ \t]*(\d{1,2})[.)][ \t]+", re.MULTILINE)


def draw_seeds(seeds: Sequence[Example], count: int, seed: int, round_number: int) -> list[Example]:
    """The seeds of one round: all prompts of a round share them, so their prefix is read once.

    Rounds walk through shuffled passes over all seeds, so every seed is shown equally often.
    """
    count = min(count, len(seeds))
    shown: list[Example] = []
    position = round_number * count
    while len(shown) < count:
        turn, index = divmod(position, len(seeds))
        order = list(range(len(seeds)))
        random.Random(f"{seed}:{turn}").shuffle(order)
        candidate = seeds[order[index]]
        if candidate not in shown:
            shown.append(candidate)
        position += 1
    return shown


def write_prompt(task_name: str, shown: Sequence[Example]) -> str:
    """Prompt text that ends with the open item, e.g. ``... 5. <seed>\\n6.``."""
    lines = [
        f"Here is a list of {max(ITEMS, len(shown) + 5)} different examples of {task_name}:",
        "",
    ]
    lines += [f"{number}. {seed.input}" for number, seed in enumerate(shown, start=1)]
    return "\n".join([*lines, f"{len(shown) + 1}."])


def last_item(shown_count: int) -> int:
    """Number of the last item that a prompt with this many seeds asks for."""
    return max(ITEMS, shown_count + 5)


def parse_items(text: str, first: int, multiline: bool, finished: bool) -> list[str]:
    """The items of one continuation, in order; "" for an item with nothing usable in it.

    Args:
        text: what followed the open number ``first``.
        multiline: the seeds have line breaks, so an item ends at the next number only.
        finished: the generator ended by itself; otherwise the last item is cut off and dropped.
    """
    pieces = _NUMBER.split(f"{first}. {text}")
    items: list[str] = []
    for expected, (number, body) in enumerate(
        zip(pieces[1::2], pieces[2::2], strict=True), start=first
    ):
        if int(number) != expected or expected > last_item(first - 1):
            finished = True  # the list is over: what precedes is complete
            break
        items.append(body)
    if not finished and items and (multiline or "\n" not in items[-1]):
        items.pop()
    return [_clean(item, multiline) for item in items]


def _clean(item: str, multiline: bool) -> str:
    item = item.strip()
    if not multiline:
        item = item.split("\n", 1)[0].strip()
    return item if any(character.isalnum() for character in item) else ""
