"""Figure 11: spectra after one FB-Adam step in the mean-field setting."""

from __future__ import annotations

from spectail.paper.catalogue import Artifact
from spectail.paper.claims import Claim
from spectail.paper.figures import repeated, spectra
from spectail.paper.setups import S2
from spectail.paper.spikes import SPIKE, spikes_only

ALL = [
    S2.replace(initialization="mean_field", optimizer="adam", lr=lr, steps=1, record=(0, 1))
    for lr in (5e-5, 5e-3, 0.04, 0.5)
]


ARTIFACT = Artifact(
    name="fig11",
    title="Mean-field: spectrum after 1 FB-Adam step, η=5e-5, 5e-3, 0.04, 0.5",
    repeats=5,
    experiments=repeated(ALL),
    draw=spectra("Fig. 11 – mean-field", [(e, 1) for e in ALL]),
    claims=(
        Claim(
            "15b",
            "App. D.1, Fig. 11",
            "In mean-field, one FB-Adam step makes a spike at η=0.04, and none at η=5e-5.",
            f"{SPIKE}, at η=0.04; in no repeat at 5e-5",
            lambda runs: spikes_only(runs, [ALL[2]], ALL[:1]),
        ),
    ),
)
