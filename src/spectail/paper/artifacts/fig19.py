"""Figure 19: losses, kernel–target alignment and sim after one step, n = 4000."""

from __future__ import annotations

from spectail.paper.catalogue import Artifact
from spectail.paper.figures import one_step_sweep, sweep_experiments
from spectail.paper.setups import S2

ONE = S2.replace(n=4000, steps=1, record=(0, 1))

ARTIFACT = Artifact(
    name="fig19",
    title="Losses, KTA and sim after 1 step over 9 learning rates, n=4000",
    repeats=5,
    experiments=sweep_experiments(ONE),
    draw=one_step_sweep("Fig. 19", ONE),
)
