"""Figure 10: spectra after one GD step in the mean-field setting."""

from __future__ import annotations

from spectail.paper.catalogue import Artifact
from spectail.paper.claims import Claim
from spectail.paper.figures import repeated, spectra
from spectail.paper.setups import S2
from spectail.paper.spikes import SPIKE, spikes_only

ALL = [
    S2.replace(initialization="mean_field", optimizer="gd", lr=lr, steps=1, record=(0, 1)) for lr in (0.1, 1, 100, 2000)
]


ARTIFACT = Artifact(
    name="fig10",
    title="Mean-field: spectrum after 1 GD step, η=0.1, 1, 100, 2000",
    repeats=5,
    experiments=repeated(ALL),
    draw=spectra("Fig. 10 – mean-field", [(e, 1) for e in ALL]),
    claims=(
        Claim(
            "15a",
            "App. D, Fig. 10",
            "In mean-field, one GD step makes a spike at η=100, and none at η=0.1 or 1.",
            f"{SPIKE}, at η=100; in no repeat at the others",
            lambda runs: spikes_only(runs, [ALL[2]], ALL[:2]),
        ),
    ),
)
