"""Rows of the test that turn up among the samples."""

from tests.timing import computes_at_most
from workbench.intake.overlap import overlap
from workbench.samples import Example, Sample, sample_id

LONG = "please move four hundred dollars from my savings account to my checking account tomorrow"


def made(*texts: str) -> list[Sample]:
    return [Sample(sample_id(text), text, "target") for text in texts]


def test_planted_overlap_and_exact_duplicates_are_found() -> None:
    rows = [Example("what is the weather", "weather"), Example(LONG, "transfer")]
    samples = made(
        "an unrelated sentence about nothing in particular that is long enough",
        LONG.upper() + "!",
        "could you " + LONG.replace("tomorrow", "on friday"),
        "What  is the weather",
        "what is the weather like",
    )
    found = overlap(samples, rows)
    assert [(hit.sample, hit.row) for hit in found] == [(1, 1), (2, 1), (3, 0)]
    assert found[0].shared == 1
    assert 0.5 < found[1].shared < 1
    assert found[2].shared == 1


def test_the_words_that_every_row_begins_with_are_no_overlap() -> None:
    form = "Read the following review and say whether it is positive or negative: "
    rows = [Example(f"{form} film number {index} was fine") for index in range(100)]
    samples = made(f"{form} a very different book", rows[42].input)
    assert [(hit.sample, hit.row) for hit in overlap(samples, rows)] == [(1, 42)]


def test_large_sets_are_compared_quickly() -> None:
    rows = [Example(f"{LONG} reference number {index} of the list") for index in range(5_000)]
    samples = made(*(f"{LONG} with reference {index} of another list" for index in range(5_000)))
    with computes_at_most(10):
        assert overlap(samples, rows) == []


def test_nothing_overlaps_with_nothing() -> None:
    assert overlap([], [Example("a")]) == []
    assert overlap(made("a"), []) == []
    assert overlap(made("..."), [Example("!!!")]) == []


def test_scripts_without_spaces_are_compared_by_characters() -> None:
    row = Example("请帮我把明天早上八点的闹钟取消掉谢谢", "x")
    other = Example("今天北京的天气怎么样会不会下雨呢", "x")
    near = Sample(sample_id("a"), "你好请帮我把明天早上八点的闹钟改到九点", "target")
    far = Sample(sample_id("b"), "播放一首轻松的音乐", "target")
    found = overlap([far, near], [other, row])
    assert [(one.sample, one.row) for one in found] == [(1, 1)]
