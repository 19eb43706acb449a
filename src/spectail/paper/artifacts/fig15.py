"""Figure 15: further spectra after one step."""

from __future__ import annotations

from spectail.paper.catalogue import Artifact
from spectail.paper.claims import Claim
from spectail.paper.figures import repeated, spectra
from spectail.paper.setups import S2
from spectail.paper.spikes import SPIKE, humps, spikes_only

GD = [S2.replace(optimizer="gd", lr=lr, steps=1, record=(0, 1)) for lr in (1, 10)]
ADAM = [S2.replace(optimizer="adam", lr=lr, steps=1, record=(0, 1)) for lr in (1, 2000)]
ALL = [*GD, *ADAM]


ARTIFACT = Artifact(
    name="fig15",
    title="Spectrum after 1 step: GD η=1, 10; FB-Adam η=1, 2000",
    repeats=5,
    experiments=repeated(ALL),
    draw=spectra("Fig. 15 – after one step", [(e, 1) for e in ALL]),
    claims=(
        Claim(
            "4b",
            "App. F.1, Fig. 15d",
            "One FB-Adam step with η=2000 makes the spectrum clearly bimodal.",
            "the density of log λ has two humps, in every repeat",
            lambda runs: humps(runs, ADAM[1], 2),
        ),
        Claim(
            "1b",
            "App. F.1, Fig. 15a,b",
            "One GD step with η=1 or 10 makes no spike, one FB-Adam step with η=1 does.",
            f"{SPIKE}, for FB-Adam; in no repeat for GD",
            lambda runs: spikes_only(runs, ADAM[:1], GD),
        ),
    ),
)
