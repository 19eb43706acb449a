"""Figure 21: losses, spectrum and overlaps along ten GD steps."""

from __future__ import annotations

from spectail.paper.catalogue import Artifact
from spectail.paper.claims import Claim, Outcome, all_of, in_every_repeat, summary
from spectail.paper.figures import repeated, trajectory_spectrum_overlaps
from spectail.paper.first_update import AFTER, ONE
from spectail.paper.runs import SIDES, Runs
from spectail.paper.setups import S2

FIRST = ONE.replace(optimizer="gd", lr=2000)  # of Fig. 18
RUN = S2.replace(optimizer="gd", lr=2000, steps=10, record=tuple(range(11)), overlaps=((10, 9),))


def overlaps_shrink(runs: Runs) -> Outcome:
    verdicts, text = [], []
    for side in SIDES:
        first, last = (runs.largest_overlap(e, p, side) for e, p in ((FIRST, AFTER), (RUN, (10, 9))))
        verdicts.append(in_every_repeat(last < 0.5 * first))
        text.append(f"{side} {summary(first, 2)} → {summary(last, 2)}")
    return Outcome(all_of(verdicts), f"largest overlap at t=1 and 10: {', '.join(text)}")


ARTIFACT = Artifact(
    name="fig21",
    title="Losses, spectrum and overlaps over 10 GD steps, η=2000",
    repeats=3,
    experiments=repeated([RUN, FIRST]),
    draw=trajectory_spectrum_overlaps("Fig. 21", RUN, (10, 9)),
    claims=(
        Claim(
            "24",
            "App. F.2, Fig. 21",
            "The outliers of the overlaps after one GD step (Fig. 18) are much smaller after ten.",
            "the largest overlap at t=10 is below half of that at t=1, in every repeat, both sides",
            overlaps_shrink,
        ),
    ),
)
