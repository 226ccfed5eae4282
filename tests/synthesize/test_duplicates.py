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


def test_a_round_is_judged_as_its_texts_would_be_one_by_one() -> None:
    seeds = ["what is my current balance", "add 12 and 30 to my sum"]
    there = [f"please freeze my savings account {i}" for i in range(70)]
    texts = [
        "what is my current balance?",
        "please freeze my savings account 3",
        "please freeze my savings account 300",
        "unfreeze the card of my wife",
        "unfreeze the cards of my wife",
        "add 13 and 30 to my sum",
        "unfreeze the card of my wife",
        *(f"a text of its own, number {i}, about {'x' * i}" for i in range(80)),
    ]
    together, one_by_one = Written(seeds, there, 0.9), Written(seeds, there, 0.9)
    verdicts = []
    for text in texts:
        verdicts.append(one_by_one.verdict(text))
        if not verdicts[-1]:
            one_by_one.add(text)
    assert together.add_new(texts) == verdicts
    assert verdicts[:7] == ["copied", "duplicate", "", "", "duplicate", "", "duplicate"]
    assert together.add_new(texts[:7]) == ["copied", *["duplicate"] * 6]
    assert Written([], [], 1.0).add_new(["one", "one", "two"]) == ["", "duplicate", ""]


def test_the_nearest_seed_is_found_in_scripts_without_spaces() -> None:
    seeds = ["播放一首轻松的音乐", "明天早上八点的闹钟取消掉", "พรุ่งนี้ฝนจะตกไหม"]
    assert nearest("请把明天早上八点的闹钟取消", seeds) == 1
    assert nearest("วันนี้ฝนจะตกไหม", seeds) == 2
