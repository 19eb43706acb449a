"""Figure 17: overlaps of the weights before and after one FB-Adam step with the update."""

from __future__ import annotations

from spectail.paper.catalogue import Artifact
from spectail.paper.claims import Claim
from spectail.paper.figures import overlaps, repeated
from spectail.paper.runs import SIDES
from spectail.paper.setups import S2
from spectail.paper.spikes import OUTLIER, both, outliers

RUN = S2.replace(optimizer="adam", lr=0.1, steps=1, record=(0, 1), overlaps=((0, 0), (1, 0)))
PANELS = [(RUN, (pair, side)) for pair in RUN.overlaps for side in SIDES]

ARTIFACT = Artifact(
    name="fig17",
    title="Overlaps with the first FB-Adam update, η=0.1",
    repeats=3,
    experiments=repeated([RUN]),
    draw=overlaps("Fig. 17 – FB-Adam, η = 0.1", PANELS),
    claims=(
        Claim(
            "14e",
            "App. F.1, Fig. 17",
            "Overlaps with the update have outliers after the step, and none before.",
            OUTLIER,
            lambda runs: both(outliers(runs, RUN, (0, 0), expected=False), outliers(runs, RUN, (1, 0), expected=True)),
        ),
    ),
)
