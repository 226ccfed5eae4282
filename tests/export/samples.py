"""Samples with texts that break careless writers."""

from workbench.samples import KEPT, Sample, sample_id

HARD = [
    'plain, with "quotes" and; separators',
    "two\nlines and a\ttab",
    '=HYPERLINK("http://evil")',
    "  =1+1",
    "-5",
    "@SUM(A1)",
    "+49 30 123456",
    "\tstarts with a tab",
    "\rstarts with a return",
    "\uff1dfull width equals",
    "\u200b=hidden behind a zero-width space",
    "|pipe",
    "%percent",
    "'already quoted",
    "Ümläute, 中文, 🙂, \u202ereversed",
    "<img src=x onerror=alert(1)>",
    "half a pair \ud83d",
    "",
]


def hard_samples() -> list[Sample]:
    """One kept sample for each text, with it as input, answer and label."""
    return [
        Sample(
            sample_id(f"{number}"),
            text,
            "target",
            round=number,
            written_for=text,
            status=KEPT,
            teacher_output=text,
            discriminator_score=number / 20,
            excess=-0.5,
        )
        for number, text in enumerate(HARD)
    ]
