"""Figure 27: the spike falls between steps 5 and 6 of GD."""

from __future__ import annotations

from matplotlib.figure import Figure

from spectail.drawing.style import new_figure, shared_legend
from spectail.paper.catalogue import Artifact
from spectail.paper.claims import Claim, Outcome, in_every_repeat, summary
from spectail.paper.figures import repeated
from spectail.paper.panels import describe, esd_panel, overlap_panel
from spectail.paper.runs import Runs, eigenvalues
from spectail.paper.setups import S2

RUN = S2.replace(optimizer="gd", lr=2000, steps=6, record=(0, 5, 6), overlaps=((5, 5), (6, 5)))


def draw(runs: Runs) -> Figure:
    figure, axes = new_figure(2, 2, 4.6)
    for row, (step, pair) in enumerate(zip((5, 6), RUN.overlaps, strict=True)):
        esd_panel(axes[2 * row], 2 * row, runs, RUN, step, "log10")
        image = overlap_panel(axes[2 * row + 1], 2 * row + 1, runs, RUN, pair, "left")
        if image is not None:
            figure.colorbar(image, ax=axes[2 * row + 1], label="squared overlap", extend="min")
    shared_legend(figure, axes)
    figure.suptitle(f"Fig. 27. {describe(runs, RUN)}", fontsize=8)
    return figure


def top(runs: Runs, factor: float) -> Outcome:
    before = runs.measure(lambda run: float(eigenvalues(run, 5)[-1]), [RUN], 5)[:, 0]
    after = runs.measure(lambda run: float(eigenvalues(run, 6)[-1]), [RUN], 6)[:, 0]
    text = f"λ₁ at t=5, 6: {summary(before)}, {summary(after)}; a factor of {summary(before / after, 2)}"
    return Outcome(in_every_repeat(before >= factor * after), text)


def rotated(runs: Runs) -> Outcome:
    before, after = (runs.largest_overlap(RUN, pair, "left") for pair in RUN.overlaps)
    text = f"largest overlap of M₅ with W₅, W₆: {summary(before, 2)}, {summary(after, 2)}"
    return Outcome(in_every_repeat(before > after), text)


ARTIFACT = Artifact(
    name="fig27",
    title="Spectrum and overlaps at steps 5 and 6 of GD, η=2000",
    repeats=3,
    experiments=repeated([RUN]),
    draw=draw,
    claims=(
        Claim(
            "25a",
            "App. F.3, Fig. 27a,c",
            "λ₁ falls strongly between steps 5 and 6.",
            "by a factor of 3 or more, in every repeat",
            lambda runs: top(runs, 3.0),
        ),
        Claim(
            "25b",
            "App. F.3, Fig. 27a,c",
            "λ₁ falls by an order of magnitude between steps 5 and 6.",
            "by a factor of 8 or more, in every repeat",
            lambda runs: top(runs, 8.0),
        ),
        Claim(
            "25c",
            "App. F.3, Fig. 27b,d",
            "With it the largest left overlap with the update falls.",
            "the largest entry of O(U_W5, U_M5) is above that of O(U_W6, U_M5), in every repeat",
            rotated,
        ),
    ),
)
