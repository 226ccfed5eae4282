"""What counts as written before."""

from workbench.synthesize.duplicates import Written, nearest


def test_case_space_and_unicode_form_make_no_difference() -> None:
    written = Written([], ["Pay my  bill"], 1.0)
    assert written.verdict("pay MY bill") == "duplicate"
    assert written.verdict("pay my bills") == ""


def test_near_duplicates_and_copied_seeds_are_told_apart() -> None:
    written = Written(["what is my current balance"], ["please freeze my savings account"], 0.9)
    assert written.verdict("what is my current balance?") == "copied"
    assert written.verdict("please freeze my saving account") == "duplicate"
    assert written.verdict("unfreeze the card of my wife") == ""


def test_other_numbers_make_another_input() -> None:
    written = Written([], ["what is 12 plus 30 minus 4"], 0.9)
    assert written.verdict("what is 17 plus 30 minus 4") == ""
    assert written.verdict("what is 12 plus 30 minus 4?") == "duplicate"


def test_added_texts_count() -> None:
    written = Written([], [], 0.9)
    assert written.verdict("new one") == ""
    written.add("new one")
    assert written.verdict("new one") == "duplicate"


def test_nearest_seed() -> None:
    assert nearest("freeze the account", ["pay a bill", "please freeze my account"]) == 1
    assert nearest("x", []) is None
