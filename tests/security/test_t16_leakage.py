"""T16: evaluation rows among the samples are flagged before an accuracy is believed."""

from workbench.intake.overlap import overlap
from workbench.samples import Example, Sample, sample_id

ROWS = [
    Example(f"my card number {index} was charged twice at the {place} yesterday evening", "dispute")
    for index, place in enumerate(("bakery", "hotel", "airport", "cinema") * 25)
]


def test_t16_every_planted_row_is_flagged() -> None:
    texts = [
        f"how do I open account number {n} at your branch in the city centre" for n in range(50)
    ]
    planted = {
        7: ROWS[3].input,
        20: ROWS[40].input.upper() + "!!",
        33: "hello, " + ROWS[77].input + " and I want my money back",
    }
    for place, text in planted.items():
        texts[place] = text
    samples = [Sample(sample_id(text), text, "target") for text in texts]
    found = {hit.sample: hit.row for hit in overlap(samples, ROWS)}
    assert found == {7: 3, 20: 40, 33: 77}
