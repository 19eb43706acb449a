"""Figure 23: losses, kernel–target alignment and exponents after ten steps, n = 4000."""

from __future__ import annotations

from spectail.paper.catalogue import Artifact
from spectail.paper.figures import sweep_experiments, ten_step_sweep
from spectail.paper.setups import S2

TEN = S2.replace(n=4000, steps=10, record=(0, 10))

ARTIFACT = Artifact(
    name="fig23",
    title="Losses, KTA, Hill and KS after 10 steps over 9 learning rates, n=4000",
    repeats=5,
    experiments=sweep_experiments(TEN),
    draw=ten_step_sweep("Fig. 23", TEN),
)
