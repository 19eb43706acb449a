"""Figure 14: overlaps of the weights with the tenth FB-Adam update in the mean-field setting."""

from __future__ import annotations

from spectail.paper.artifacts.fig13 import ALL
from spectail.paper.catalogue import Artifact
from spectail.paper.claims import Claim
from spectail.paper.figures import overlaps, repeated
from spectail.paper.runs import SIDES
from spectail.paper.spikes import OUTLIER, both, outliers

SMALL, LARGE = ALL[0], ALL[2]
PANELS = [(e, ((10, 9), side)) for e in (SMALL, LARGE) for side in SIDES]

ARTIFACT = Artifact(
    name="fig14",
    title="Mean-field: overlaps of W₁₀ with M₉, FB-Adam η=5e-5, 0.04",
    repeats=3,
    experiments=repeated([SMALL, LARGE]),
    draw=overlaps("Fig. 14 – mean-field, FB-Adam, η = 5e-5 (a, b) and 0.04 (c, d)", PANELS),
    claims=(
        Claim(
            "14g",
            "App. D, Fig. 14",
            "After ten steps the overlaps have outliers at η=0.04, and look random at η=5e-5.",
            OUTLIER,
            lambda runs: both(
                outliers(runs, SMALL, (10, 9), expected=False), outliers(runs, LARGE, (10, 9), expected=True)
            ),
        ),
    ),
)
