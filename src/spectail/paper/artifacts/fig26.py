"""Figure 26: losses, spectrum and overlaps over ten FB-Adam steps, label noise 0.7."""

from __future__ import annotations

import numpy as np

from spectail.paper.artifacts.fig25 import RUN as LOW
from spectail.paper.catalogue import Artifact
from spectail.paper.claims import Claim, Outcome, all_of, mean_inside, rises, summary
from spectail.paper.figures import repeated, trajectory_spectrum_overlaps
from spectail.paper.runs import Runs, Values

HIGH = LOW.replace(label_noise=0.7)


def largest(runs: Runs) -> dict[str, Values]:
    """Largest overlaps (seeds × the two noises), by side."""
    return {
        "left": np.stack([runs.largest_overlap(e, (10, 9), "left") for e in (LOW, HIGH)], axis=1),
        "right": np.stack([runs.largest_overlap(e, (10, 9), "right") for e in (LOW, HIGH)], axis=1),
    }


def larger(runs: Runs) -> Outcome:
    found = largest(runs)
    text = "; ".join(f"{side} {summary(v[:, 0], 2)} and {summary(v[:, 1], 2)}" for side, v in found.items())
    return Outcome(all_of([rises(v) for v in found.values()]), f"largest overlap at ρ=0.3 and 0.7: {text}")


def half(runs: Runs) -> Outcome:
    ratios = {side: v[:, :1] / v[:, 1:] for side, v in largest(runs).items()}
    text = ", ".join(f"{side} {summary(v[:, 0], 2)}" for side, v in ratios.items())
    return Outcome(all_of([mean_inside(v, 0.4, 0.6) for v in ratios.values()]), f"ratio of largest overlaps: {text}")


ARTIFACT = Artifact(
    name="fig26",
    title="Losses, spectrum and overlaps over 10 FB-Adam steps, η=1, n=8000, ρ_e=0.7",
    repeats=5,
    experiments=repeated([HIGH, LOW]),
    draw=trajectory_spectrum_overlaps("Fig. 26 – label noise 0.7", HIGH, (10, 9)),
    claims=(
        Claim(
            "26a",
            "App. F.2, Figs. 25, 26",
            "The largest overlaps are larger with label noise 0.7 than with 0.3.",
            "larger by 3 standard errors, left and right",
            larger,
        ),
        Claim(
            "26b",
            "App. F.4, Figs. 25, 26",
            "The largest overlaps with label noise 0.3 are almost half of those with 0.7.",
            "the mean ratio lies in 0.5 ± 0.1 by 3 standard errors, left and right",
            half,
        ),
    ),
)
