"""Writing label by label: what is asked for, what a prompt shows, where a text ends."""

from collections import Counter
from pathlib import Path

import pytest

from workbench.models.decoding import Decoded, Sampling
from workbench.models.resident import Resident, load
from workbench.samples import Example, Sample
from workbench.synthesis_plan import recur
from workbench.synthesize import per_label
from workbench.synthesize.labels import perhaps_labels, task_labels
from workbench.synthesize.per_label import plan, write

SEEDS = [Example(f"put {n} coins away", f"box{n % 2}") for n in range(6)]


def test_thin_labels_are_asked_for_by_what_they_lack() -> None:
    targets = plan(["a", "b", "c"], {"a": 9, "b": 4}, {"c": 2}, 10, 100, 0)
    assert Counter(targets) == {"a": 1, "b": 6, "c": 10}
    assert len(plan(["a", "b", "c"], {}, {}, 100, 24, 0)) == 24


def test_a_label_that_the_teacher_never_gives_is_given_up() -> None:
    assert plan(["made up"], {}, {"made up": per_label.MOST_TRIES}, 10, 50, 0) == []
    assert len(plan(["rare"], {"rare": 1}, {"rare": 99}, 10, 50, 0)) == 9


def _answered(text: str, answer: str, confidence: float = 0.9, asked: str | None = None) -> Sample:
    return Sample(
        text, text, "target", teacher_output=answer, confidence=confidence, written_for=asked
    )


def test_labels_are_what_seeds_have_and_what_comes_twice_with_confidence() -> None:
    samples = [_answered("1", "x"), _answered("2", "x"), _answered("3", "once")]
    samples += [_answered("4", "unsure", 0.2), _answered("5", "unsure", 0.3)]
    probes = [Example("w", "probed")] * 2 + [Example("w", "rarely")]
    assert task_labels(SEEDS, samples, probes) == ["box0", "box1", "probed", "x"]
    assert recur(["a", "b"] * 9)
    assert not recur([f"text {n}" for n in range(9)])


def test_what_a_teacher_makes_up_is_no_label_however_often_it_was_written_for() -> None:
    """The example's adapter says "CreativeWork" 8 times to probes and 86 times where asked for."""
    samples = [_answered(f"a{n}", "CreativeWork", asked="CreativeWork") for n in range(86)]
    samples += [_answered(f"f{n}", "CreativeWork") for n in range(3)]
    probes = [Example("w", "box0")] * 549 + [Example("w", "box1")] * 163
    probes += [Example("w", "CreativeWork")] * 8
    assert task_labels(SEEDS, samples, probes) == ["box0", "box1"]
    # A label that the seeds lack is rarer than theirs, and still one.
    probes += [Example("w", "box2")] * 18
    assert task_labels(SEEDS, samples, probes) == ["box0", "box1", "box2"]
    # Nothing is known of how common labels are where the seeds have none.
    assert "CreativeWork" in task_labels([], samples, probes)


def test_what_the_teacher_was_sure_of_twice_is_a_label_whatever_was_asked_for() -> None:
    """Of 45 labels that were codes seven were seldom said to random words: never written for."""
    samples = [_answered(f"s{n}", "seldom", 0.97, asked="box0") for n in range(2)]
    samples += [_answered("o", "once", 0.99, asked="box1"), _answered("n", "box1", 0.99)]
    samples += [_answered(f"d{n}", "doubted", 0.9, asked="box1") for n in range(9)]
    probes = [Example("w", "box0")] * 300 + [Example("w", "box1")] * 300
    labels = task_labels(SEEDS, samples, probes)
    assert labels == ["box0", "box1", "seldom"]
    assert perhaps_labels(samples, labels) == ["once"]
    # Whoever has held-out rows names labels: said once they are the teacher's, else looked for.
    named = ["box1", "doubted", "rarely", "never"]
    labels = task_labels(SEEDS, samples, [*probes, Example("w", "rarely")], named)
    assert labels == ["box0", "box1", "seldom", "doubted", "rarely"]
    assert perhaps_labels(samples, labels, named) == ["never", "once"]


def _scripted(monkeypatch: pytest.MonkeyPatch, generator: Resident, texts: list[str]) -> list[str]:
    """Let the base "write" these texts, up to the stop text; returns the prompts that it gets."""
    prompts: list[str] = []

    def decode(_resident: Resident, ids: list[list[int]], **asked: object) -> object:
        for prompt in ids:
            text = texts[len(prompts)]
            prompts.append(generator.tokenizer.decode(prompt, skip_special_tokens=True))
            finished = str(asked["stop_text"]) in text
            written = generator.tokenizer(text, add_special_tokens=False)["input_ids"]
            yield len(prompts) - 1, Decoded(written, [], finished)

    monkeypatch.setattr(per_label, "decode", decode)
    return prompts


def test_a_prompt_ends_with_the_label_that_is_asked_for(
    tiny_target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = load(tiny_target, device="cpu")
    prompts = _scripted(monkeypatch, generator, ["new text\nmore", "cut off", "other\n"])
    targets = ["box1", "box0", None]
    texts = write(generator, SEEDS, [], targets, new_tokens=8, sampling=Sampling(), seed=3)
    assert [text.text for text in texts] == ["new text", "", "other"]
    assert [text.written_for for text in texts] == targets
    assert prompts[0].endswith("### box1\n")
    assert prompts[0].split("### ")[-2].startswith("box1\n"), "an example of the label comes last"
    assert prompts[2].endswith("\n\n###\n")
    assert "box" not in prompts[2]


def test_an_input_may_be_any_text_of_several_paragraphs(
    tiny_target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = load(tiny_target, device="cpu")
    seeds = [Example(f"Hi,\n\n### {n}\nI paid twice.\n\nBob", f"box{n % 2}") for n in range(4)]
    letter = "Hi,\n\nwhere is it?\n\nAnn"
    prompts = _scripted(monkeypatch, generator, [f"{letter}\n\n=== box0", "no end"])
    texts = write(generator, seeds, [], ["box1", "box1"], new_tokens=8, sampling=Sampling(), seed=3)
    assert prompts[0].endswith("=== box1\n"), "the mark is one that no input holds"
    assert [text.text for text in texts] == [letter, ""]
