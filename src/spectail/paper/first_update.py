"""Overlaps of the weights with the first update, before and after it: Figures 12, 16, 17 and 18."""

from __future__ import annotations

from spectail.drawing.style import OPTIMIZER_NAME
from spectail.paper.catalogue import Artifact
from spectail.paper.claims import Claim
from spectail.paper.figures import overlaps, repeated
from spectail.paper.runs import SIDES
from spectail.paper.setups import S2
from spectail.paper.spikes import OUTLIER, both, outliers

BEFORE, AFTER = (0, 0), (1, 0)
ONE = S2.replace(steps=1, record=(0, 1), overlaps=(BEFORE, AFTER))


def first_update(
    figure: int, claim: str, section: str, optimizer: str, lr: float, *, expected: bool, initialization: str = "ntk"
) -> Artifact:
    """The figure of one optimizer and learning rate.

    Args:
        figure: its number.
        claim: the number of its claim.
        section: where the paper shows it.
        optimizer: gd or adam.
        lr: learning rate.
        expected: whether the overlaps are to have outliers after the step; before it they never are.
        initialization: ntk or mean_field.
    """
    run = ONE.replace(optimizer=optimizer, lr=lr, initialization=initialization)
    name, mean_field = OPTIMIZER_NAME[optimizer], initialization == "mean_field"
    return Artifact(
        name=f"fig{figure}",
        title=f"{'Mean-field: overlaps' if mean_field else 'Overlaps'} with the first {name} update, η={lr:g}",
        repeats=3,
        experiments=repeated([run]),
        draw=overlaps(
            f"Fig. {figure} – {'mean-field, ' if mean_field else ''}{name}, η = {lr:g}",
            [(run, (pair, side)) for pair in run.overlaps for side in SIDES],
        ),
        claims=(
            Claim(
                claim,
                f"{section}, Fig. {figure}",
                "Overlaps with the update have outliers after the step, and none before."
                if expected
                else "The overlaps with the update have no outlier, before or after the step.",
                OUTLIER,
                lambda runs: both(
                    outliers(runs, run, BEFORE, expected=False), outliers(runs, run, AFTER, expected=expected)
                ),
            ),
        ),
    )
