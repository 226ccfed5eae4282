"""Prompts and parsing of the paper's generator."""

from workbench.samples import Example
from workbench.synthesize.numbered_list import draw_seeds, parse_items, write_prompt

SEEDS = [Example(f"seed {letter}") for letter in "abcdefg"]


def test_prompt_shows_five_seeds_and_leaves_the_sixth_item_open() -> None:
    prompt = write_prompt("bank requests", SEEDS[:5])
    assert "10 different examples of bank requests" in prompt
    assert prompt.endswith("5. seed e\n6.")


def test_every_seed_is_drawn_equally_often_and_never_twice_in_a_round() -> None:
    drawn = [draw_seeds(SEEDS, 5, seed=3, round_number=number) for number in range(7)]
    assert all(len({seed.input for seed in shown}) == 5 for shown in drawn)
    counts = [sum(seed in shown for shown in drawn) for seed in SEEDS]
    assert max(counts) - min(counts) <= 2
    assert drawn == [draw_seeds(SEEDS, 5, seed=3, round_number=number) for number in range(7)]
    assert drawn != [draw_seeds(SEEDS, 5, seed=4, round_number=number) for number in range(7)]


def test_fewer_seeds_than_asked_are_all_shown() -> None:
    assert len(draw_seeds(SEEDS[:3], 5, 0, 0)) == 3


def test_items_are_read_in_order_and_the_cut_off_one_is_dropped() -> None:
    text = " how much is left\n7. pay my bill\n8) send mon"
    assert parse_items(text, 6, multiline=False, finished=False) == [
        "how much is left",
        "pay my bill",
    ]
    assert parse_items(text, 6, multiline=False, finished=True)[-1] == "send mon"


def test_list_ends_where_numbers_jump_or_pass_the_last_item() -> None:
    assert parse_items(" one\n9. nine", 6, False, False) == ["one"]
    text = " f\n7. g\n8. h\n9. i\n10. j\n11. k"
    assert parse_items(text, 6, False, True) == ["f", "g", "h", "i", "j"]


def test_text_after_an_item_is_no_part_of_it() -> None:
    text = " transfer 5 dollars\n\nThese are examples.\n7. next"
    assert parse_items(text, 6, multiline=False, finished=True) == ["transfer 5 dollars", "next"]


def test_items_with_several_lines_are_kept_whole_when_seeds_have_them() -> None:
    text = " Q: a\nOptions:\n(A) x\n7. Q: b\nOptions"
    assert parse_items(text, 6, multiline=True, finished=False) == ["Q: a\nOptions:\n(A) x"]


def test_items_without_a_letter_or_digit_are_empty() -> None:
    assert parse_items(" ...\n7. ???\n8. ok\n", 6, False, True) == ["", "", "ok"]


def test_numbers_inside_an_item_do_not_split_it() -> None:
    assert parse_items(" add 7. and 8. please\n", 6, False, True) == ["add 7. and 8. please"]
