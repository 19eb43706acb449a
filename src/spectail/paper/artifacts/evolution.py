"""The whole evolution in one image (not in the paper): density of log λ at every step of Figure 4's run, and on."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from matplotlib.figure import Figure

from spectail.drawing.curves import draw_untrained_hill
from spectail.drawing.evolution import draw_evolution_and_phases, step_axis
from spectail.drawing.style import TEXT_WIDTH
from spectail.paper.catalogue import Artifact
from spectail.paper.panels import describe
from spectail.paper.runs import Runs
from spectail.paper.setups import S2
from spectail.teacher_student.experiment import Experiment

STEPS = 200
RECORD = sorted({0, *range(1, 13), *np.unique(np.geomspace(12, STEPS, 26).round().astype(int)).tolist()})
RUN = S2.replace(optimizer="adam", lr=0.2, steps=STEPS, record=RECORD)


def experiments(seed: int) -> Iterator[Experiment]:
    yield RUN.replace(seed=seed)


def draw(runs: Runs) -> Figure:
    run, law = runs[RUN.replace(seed=runs.seeds[0])], runs.law(RUN)
    figure = Figure(figsize=(TEXT_WIDTH, 4.6), layout="constrained")
    strip, density, below = figure.subplots(3, 1, sharex=True, height_ratios=[0.32, 4, 1.5])
    draw_evolution_and_phases(strip, density, run, law)
    position = np.log1p(run.step.values)
    below.plot(position, run.pl_alpha_hill.values, color="#0072B2", label="PL_Alpha_Hill")
    draw_untrained_hill(below, law.hill())
    below.set_ylabel("Hill exponent")
    below.legend(loc="lower left")
    step_axis(below, STEPS)
    lr = runs.scale(RUN).lr
    figure.suptitle(
        rf"FB-Adam, $\eta$ = {lr:.3g}. {describe(runs, S2)}"
        "\n"
        r"dots: eigenvalues past the bulk's edge; dotted lines: edges of the initial Marchenko–Pastur law",
        fontsize=8,
    )
    return figure


def table(runs: Runs) -> list[tuple[str, ...]]:
    run = runs[RUN.replace(seed=runs.seeds[0])]
    phases = [str(phase) for phase in run.phase.values]
    starts = [0] + [i for i, (a, b) in enumerate(pairwise(phases), 1) if a != b] + [len(phases)]
    rows: list[tuple[str, ...]] = [("phase", "steps", "Hill", "past λ₊")]
    for start, stop in pairwise(starts):
        first, last = run.isel(step=start), run.isel(step=stop - 1)
        steps = f"{first.step.item()} – {last.step.item()}" if stop - start > 1 else f"{first.step.item()}"
        hill = f"{first.pl_alpha_hill.item():.3f} → {last.pl_alpha_hill.item():.3f}"
        rows.append((phases[start], steps, hill, f"{first.n_spikes.item()} → {last.n_spikes.item()}"))
    return rows


ARTIFACT = Artifact(
    name="evolution",
    title="The whole evolution in one image: FB-Adam, η=0.2, 200 steps (not in the paper)",
    repeats=1,
    experiments=experiments,
    draw=draw,
    table=table,
)
