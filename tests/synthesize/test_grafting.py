"""How many rows beyond the samples a run gets."""

from workbench.recipe import SynthesisSettings
from workbench.steps.grafting import MANY_ANSWERS, MANY_TIMES, OBJECT_TIMES, grafts_wanted

SETTINGS = SynthesisSettings(samples=100, grafts=2.0)
BEGINNING = '{"intent": "Music", "song":'


def test_three_times_as_many_where_answers_are_objects_none_where_they_do_not_recur() -> None:
    assert grafts_wanted(SETTINGS, ["yes", "no"] * 5, ["yes", "no"]) == 200
    assert grafts_wanted(SETTINGS, [BEGINNING] * 5, []) == 200 * OBJECT_TIMES
    assert grafts_wanted(SETTINGS, [f"answer {i}" for i in range(9)], []) == 0
    many = [f"answer {i}" for i in range(MANY_ANSWERS + 1)]
    assert grafts_wanted(SETTINGS, many * 9, many) == 200 * MANY_TIMES
    assert grafts_wanted(SETTINGS, many * 9, many[1:]) == 200
    assert grafts_wanted(SynthesisSettings(samples=100), ["yes", "no"] * 5, []) == 0
