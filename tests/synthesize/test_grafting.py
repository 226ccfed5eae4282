"""How many rows beyond the samples a run gets, and which."""

from dataclasses import replace
from pathlib import Path

from workbench.steps.grafting import (
    MANY_ANSWERS,
    MANY_TIMES,
    OBJECT_TIMES,
    decide_asked,
    grafts_wanted,
    words_that_tell,
)
from workbench.synthesize.answers import Pair
from workbench.synthesize.evidence import weigh

from workbench.events import RoundFinished
from workbench.recipe import SynthesisSettings, TransferRecipe, override
from workbench.runs.folder import create
from workbench.samples import KEPT, WORD, Sample, sample_id

SETTINGS = SynthesisSettings(samples=100, grafts=2.0)
BEGINNING = '{"intent": "Music", "song":'


def test_three_times_as_many_where_answers_are_objects_none_where_they_do_not_recur() -> None:
    assert grafts_wanted(SETTINGS, ["yes", "no"] * 5, ["yes", "no"]) == 200
    assert grafts_wanted(SETTINGS, [BEGINNING] * 5, []) == 200 * OBJECT_TIMES
    assert grafts_wanted(SETTINGS, [f"answer {i}" for i in range(9)], []) == 0
    many = [f"answer {i}" for i in range(MANY_ANSWERS + 1)]
    assert grafts_wanted(SETTINGS, many * 9, many) == 200 * MANY_TIMES
    assert grafts_wanted(SETTINGS, many * 9, many[1:]) == 200
    assert grafts_wanted(SynthesisSettings(samples=100, grafts=0), ["yes", "no"] * 5, []) == 0


def test_words_that_tell_an_answer_are_kept_before_others(tmp_path: Path) -> None:
    recipe = override(TransferRecipe(), {"synthesis.samples": 4, "synthesis.grafts": 2.0})
    run = create(tmp_path, recipe)
    seeds = [Pair("pay my bill", "pay bill"), Pair("my card is gone", "lost card")]

    def answered(text: str, origin: str, answer: str) -> Sample:
        sample = Sample(sample_id(text), text, origin, round=0, status=KEPT)
        return replace(sample, teacher_output=answer, confidence=0.9)

    usual = [f"usual{i}" for i in range(20)]
    texts = [" ".join(usual[i::4]) for i in range(4)]
    made = [answered(text, "target", "pay bill") for text in texts]
    made += [answered(f"pay {word}", WORD, "pay bill") for word in usual]
    telling = [answered(f"my {word}", WORD, "lost card") for word in ("purse", "wallet", "theft")]
    run.samples.commit_round(0, [*made, *telling], RoundFinished(0, 27, 27, 0))
    decide_asked(run, seeds)
    words = {s.id for s in run.samples.kept() if s.origin == WORD}
    assert len(words) == 4, "half of the eight rows beyond the samples"
    assert {sample.id for sample in telling} <= words
    told = words_that_tell(weigh(seeds, run.samples.all()))
    assert {answer: len(of) for answer, of in told.items()} == {"lost card": 3}
