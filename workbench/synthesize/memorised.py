"""How much a writer gives away: written texts that are rows it was trained on."""

from collections.abc import Sequence

from rapidfuzz import fuzz, process

from workbench.inputs import Memorised
from workbench.samples import normalise

TEXTS = 2000  # that are written to find out
NEAR = 90  # similarity in 0..100 (rapidfuzz's normalised Indel ratio) that counts as nearly
PAIRS = 10  # that the owner is shown


def memorised(texts: Sequence[str], rows: Sequence[str]) -> Memorised:
    """Compare what a writer wrote with the inputs that it was trained on."""
    folded = list({normalise(text): text for text in texts if text}.items())
    known = [normalise(row) for row in rows]
    found = []
    for text, original in folded:
        match = process.extractOne(text, known, scorer=fuzz.ratio)
        if match is not None:
            found.append((original, rows[match[2]], float(match[1])))
    found.sort(key=lambda pair: -pair[2])
    copied = sum(similarity == 100 for _, _, similarity in found)
    near = sum(NEAR <= similarity < 100 for _, _, similarity in found)
    return Memorised(len(folded), copied, near, tuple(found[:PAIRS]))
