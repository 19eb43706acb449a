"""Figure 25: losses, spectrum and overlaps over ten FB-Adam steps, label noise 0.3."""

from __future__ import annotations

from spectail.paper.catalogue import Artifact
from spectail.paper.figures import repeated, trajectory_spectrum_overlaps
from spectail.paper.setups import S8

RUN = S8.replace(optimizer="adam", lr=1.0, steps=10, record=tuple(range(11)), overlaps=((10, 9),))

ARTIFACT = Artifact(
    name="fig25",
    title="Losses, spectrum and overlaps over 10 FB-Adam steps, η=1, n=8000, ρ_e=0.3",
    repeats=5,
    experiments=repeated([RUN]),
    draw=trajectory_spectrum_overlaps("Fig. 25 – label noise 0.3", RUN, (10, 9)),
)
