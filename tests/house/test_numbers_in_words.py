"""Numbers that sentences say again are those of the code."""

from pathlib import Path

import pytest

from spectail.recording.quantities import quantity
from spectail.spectra.inhomogeneity import GAUSSIAN_KURTOSIS, HEAVY_ENTRIES, UNEQUAL_NORMS
from spectail.spectra.spikes import FALSE_SPIKES, VISIBLE_TRACY_WIDOM_SCALES

DOCS = Path(__file__).parents[2] / "docs"

ONE_IN = f"1 in {1 / FALSE_SPIKES:.0f} untrained"
SCALES = f"{ {2.0: 'two', 3.0: 'three', 4.0: 'four'}[VISIBLE_TRACY_WIDOM_SCALES] } Tracy–Widom scales"


@pytest.mark.parametrize(
    ("where", "words"),
    [
        (quantity("visible_edge").text, ONE_IN),
        (quantity("visible_edge").text, SCALES),
        (quantity("visible_edge").formula, ONE_IN),
        (quantity("visible_edge").formula, f"; {VISIBLE_TRACY_WIDOM_SCALES:g} without nulls"),
        (quantity("taken_out").formula, f"{UNEQUAL_NORMS:g} standard deviations more than shuffled ones"),
        (quantity("taken_out").formula, f"κ > {GAUSSIAN_KURTOSIS + HEAVY_ENTRIES:g}"),
        (DOCS / "analyze.md", ONE_IN),
        (DOCS / "understand" / "phases.md", ONE_IN),
        (DOCS / "understand" / "phases.md", SCALES),
        (DOCS / "understand" / "spikes.md", ONE_IN),
    ],
)
def test_a_threshold_in_words_is_that_of_the_code(where, words):
    text = where if isinstance(where, str) else where.read_text(encoding="utf-8")
    assert words in " ".join(text.split())
