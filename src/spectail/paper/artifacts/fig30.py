"""Figure 30: losses, kernel–target alignment and exponents after ten steps with weight normalisation."""

from __future__ import annotations

import numpy as np

from spectail.paper.artifacts.fig5 import TEN as PLAIN
from spectail.paper.catalogue import Artifact
from spectail.paper.claims import Claim, Outcome, Verdict, all_of, falls, listing, mean_inside, paired_score
from spectail.paper.figures import repeated, ten_step_sweep
from spectail.paper.runs import Runs
from spectail.paper.setups import OPTIMIZERS, over_learning_rates

TEN = PLAIN.replace(weight_normalization=True)
SWEEP = [e for optimizer in OPTIMIZERS for e in over_learning_rates(TEN, optimizer)]
COMPARED = [e for e in over_learning_rates(PLAIN, "adam") if 10 <= e.lr <= 100]


def lower_hill(runs: Runs) -> Outcome:
    normalized, plain = (runs.over_lr("pl_alpha_hill", setup, "adam", 10, 100) for setup in (TEN, PLAIN))
    verdict = all_of([falls(np.stack([p, n], axis=1)) for p, n in zip(plain.T, normalized.T, strict=True)])
    return Outcome(verdict, f"Hill at η=10, 100: {listing(normalized, 4)}; without {listing(plain, 4)}")


def benign(runs: Runs) -> Outcome:
    hill = runs.over_lr("pl_alpha_hill", TEN, "adam", 0.01, 100)
    test = runs.over_lr("test_loss_large", TEN, "adam", 0.01, 100)
    start = runs.values("test_loss_large", SWEEP[9:10], 0)
    worse = any(paired_score(column) > 3 for column in (test - start).T)
    verdict = all_of([mean_inside(hill, 1.0, 2.45), Verdict.DOES_NOT_HOLD if worse else Verdict.HOLDS])
    text = f"η=0.01 to 100: Hill {listing(hill, 4)}; test {listing(test)}, untrained {listing(start)}"
    return Outcome(verdict, text)


ARTIFACT = Artifact(
    name="fig30",
    title="Losses, KTA, Hill and KS after 10 steps with weight normalisation, n=8000",
    repeats=5,
    experiments=repeated([*SWEEP, *COMPARED]),
    draw=ten_step_sweep("Fig. 30 – weight normalisation", TEN),
    claims=(
        Claim(
            "33c",
            "App. F.4, Fig. 30",
            "For 10 ≤ η ≤ 100, Hill is lower with weight normalisation than without.",
            "lower by 3 standard errors at η=10 and 100, FB-Adam",
            lower_hill,
        ),
        Claim(
            "33d",
            "App. F.4, Fig. 30",
            "With weight normalisation, FB-Adam has heavy tails and generalises for 0.01 ≤ η ≤ 100.",
            "mean Hill below 2.45, the untrained value, at η=0.01 to 100 by 3 standard errors; no test loss above the "
            "untrained one by 3 standard errors",
            benign,
        ),
    ),
)
