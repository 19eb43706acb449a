"""Ours: what makes the late tails of Tables 1 and 4. Adam's ε, interpolation, and the update's own instability."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spectail.experiments.experiment import Experiment
from spectail.experiments.protocols import NO_EPSILON
from spectail.experiments.two_layer.sharpness import growth, step_of_instability
from spectail.plots.bands import draw_band, draw_untrained_hill
from spectail.plots.colours import LAW, SERIES
from spectail.plots.look import new_figure, panel_title, shared_legend
from spectail.study.artifact import Artifact
from spectail.study.claims import Claim, Outcome
from spectail.study.criteria import HEAVY, first_heavy, in_words
from spectail.study.panels import settings_line
from spectail.study.runs import Runs, Values
from spectail.study.settings import TABLE1_RUNS
from spectail.study.verdicts import Verdict, all_of, in_every_repeat

EPSILONS = (NO_EPSILON, 1e-8, 1e-5, 1e-3)

RUNS = {e.lr: [e.replace(epsilon=epsilon) for epsilon in EPSILONS] for e in TABLE1_RUNS}

MIDDLE = RUNS[0.1]

INTERPOLATED = 1e-6
"""An objective below which the labels are fitted, noise and all: 1e-5 of that at the start."""

EARLY = 100
"""A tail up to this step is of the first large steps, and so is their instability."""

AT_THE_EDGE = 0.95
"""Of what the update bears: measured from below, and at the edge it hovers around 1."""

ROWS = {
    "pl_alpha_hill": "PL_Alpha_Hill",
    "stability": r"$\eta\lambda_{\max}(P^{-1}H)$ / bearable",
    "objective": "objective",
    "test_loss_large": "test loss",
}


def name_of(epsilon: float) -> str:
    """An ε for legends and sentences."""
    return "ε → 0" if epsilon == NO_EPSILON else f"ε = 1e{math.log10(epsilon):.0f}"


def along(runs: Runs, variable: str, experiment: Experiment) -> Values:
    """A variable at all measured steps: (seeds × steps)."""
    if variable == "stability":
        return runs.beside(variable, experiment)
    return runs.over_steps(variable, experiment, experiment.recorded_steps)


def draw_growth(ax: Axes, runs: Runs, experiment: Experiment) -> None:
    """What the closed form makes of the stability where the labels are just fitted, up to where it says 1."""
    e, values = runs.as_run(experiment), along(runs, "stability", experiment).mean(0)
    fitted = along(runs, "objective", experiment).mean(0) < INTERPOLATED
    if not (fitted & np.isfinite(values)).any():
        return
    at = int(np.argmax(fitted & np.isfinite(values)))
    start, factor = e.recorded_steps[at], values[at] / growth(e.recorded_steps[at], corrected=e.bias_correction)
    end = step_of_instability(values[at], start, corrected=e.bias_correction)
    steps = np.geomspace(start, max(end, start + 1), 60)
    label = (
        r"closed form, $\propto\sqrt{\beta_2^{-t}-1}$" if e.bias_correction else r"closed form, $\propto\beta_2^{-t/2}$"
    )
    ax.plot(steps, [factor * growth(t, corrected=e.bias_correction) for t in steps], color=LAW, lw=1.2, label=label)


def draw(runs: Runs) -> Figure:
    figure, axes = new_figure(len(ROWS), len(RUNS), 6.6)
    for column, (lr, experiments) in enumerate(RUNS.items()):
        for row, (variable, label) in enumerate(ROWS.items()):
            place = row * len(RUNS) + column
            ax = panel_title(axes[place], place, rf"$\eta$ = {lr:g}" if row == 0 else "")
            for experiment, (colour, marker) in zip(experiments, SERIES, strict=False):
                values, steps = along(runs, variable, experiment), np.array(experiment.recorded_steps)
                known = np.isfinite(values).any(0) & (steps > 0)
                if known.any():
                    draw_band(
                        ax, steps[known], values[:, known], color=colour, marker=marker, linestyle="-",
                        label=name_of(experiment.epsilon) if row == 0 else "_",
                    )  # fmt: skip
            ax.set_xscale("log")
            if variable in ("objective", "stability"):
                ax.set_yscale("log")
            if variable == "stability":
                ax.axhline(1.0, color=LAW, linewidth=0.8, linestyle=":")
                draw_growth(ax, runs, experiments[0])
            if variable == "pl_alpha_hill":
                draw_untrained_hill(ax, runs.law(experiments[0]).hill())
                ax.set_ylim(1.65, 2.55)
            ax.set_ylabel(label if column == 0 else "")
            ax.set_xlabel("step $t$" if row == len(ROWS) - 1 else "")
            ax.tick_params(labelsize=6)
    shared_legend(figure, [axes[0], axes[len(RUNS)]])
    figure.suptitle(f"Long runs of FB-Adam. {settings_line(runs, TABLE1_RUNS[0])}", fontsize=8)
    return figure


def table(runs: Runs) -> list[tuple[str, ...]]:
    """The first heavy-tailed step of each repeat."""
    rows = [("first heavy-tailed step", *(name_of(epsilon) for epsilon in EPSILONS))]
    for lr, experiments in RUNS.items():
        rows.append((f"η = {lr:g}", *(in_words(first_heavy(runs, e)) for e in experiments)))
    return rows


def later(runs: Runs) -> Outcome:
    first = np.stack([first_heavy(runs, e) for e in MIDDLE], axis=1)
    ordered = [all(a <= b for a, b in pairwise(steps)) and steps[0] < steps[-1] for steps in first.tolist()]
    text = "; ".join(f"{name_of(e.epsilon)}: {in_words(steps)}" for e, steps in zip(MIDDLE, first.T, strict=True))
    return Outcome(in_every_repeat(ordered), f"first heavy-tailed step at η=0.1: {text}")


def _before_tails(runs: Runs, variable: str, experiments: Sequence[Experiment]) -> list[tuple[str, float]]:
    """The least objective, or the largest stability, before each late tail: after step 100, and not at the first."""
    found = []
    for experiment in experiments:
        steps, values = np.array(experiment.recorded_steps), along(runs, variable, experiment)
        for first, of_run in zip(first_heavy(runs, experiment), values, strict=True):
            if np.isfinite(first) and first > EARLY:
                part = of_run[(steps <= first) & (steps > (EARLY if variable == "stability" else 0))]
                extreme = np.nanmin(part) if variable == "objective" else np.nanmax(part)
                found.append((name_of(experiment.epsilon), float(extreme)))
    return found


LATE = [e for experiments in (RUNS[0.01], MIDDLE) for e in experiments]


def after_interpolation(runs: Runs) -> Outcome:
    least = _before_tails(runs, "objective", LATE)
    if not least:
        return Outcome(Verdict.UNDECIDED, "no tail came after step 100")
    text = ", ".join(f"{value:.1e} ({name})" for name, value in least)
    return Outcome(in_every_repeat([value < INTERPOLATED for _, value in least]), f"least objective before: {text}")


def after_instability(runs: Runs) -> Outcome:
    largest = _before_tails(runs, "stability", LATE)
    if not largest or not np.isfinite([value for _, value in largest]).all():
        return Outcome(Verdict.UNDECIDED, "no tail came after step 100, or stability was not measured")
    text = ", ".join(f"{value:.3g} ({name})" for name, value in largest)
    return Outcome(in_every_repeat([value > AT_THE_EDGE for _, value in largest]), f"largest stability before: {text}")


def no_help(runs: Runs) -> Outcome:
    verdicts, text = [], []
    for experiment in MIDDLE:
        steps = list(experiment.recorded_steps)
        test, first = along(runs, "test_loss_large", experiment), first_heavy(runs, experiment)
        late = [(i, steps.index(int(t))) for i, t in enumerate(first) if np.isfinite(t) and t > EARLY]
        if late:
            ends = [(test[i, at - 1], test[i, -1]) for i, at in late]
            verdicts.append(in_every_repeat([end >= before for before, end in ends]))
            pairs = ", ".join(f"{before:.3f} → {end:.3f}" for before, end in ends)
            text.append(f"{name_of(experiment.epsilon)}: {pairs}")
    if not verdicts:
        return Outcome(Verdict.UNDECIDED, "no tail came after step 100")
    return Outcome(all_of(verdicts), f"test loss before the tail and at t=10,000, η=0.1: {'; '.join(text)}")


EPSILON = Artifact(
    name="epsilon",
    title="What makes late tails: FB-Adam, η=0.01, 0.1, 1, with Adam's ε from none to 1e-3 (not in the paper)",
    repeats=3,
    experiments=[e for experiments in RUNS.values() for e in experiments],
    draw=draw,
    table=table,
    epsilon="own",
    in_all=False,
    claims=(
        Claim(
            "E1",
            "ours",
            "A larger ε of Adam delays the tails, or prevents them.",
            "at η=0.1 the first heavy-tailed step of those measured does not fall from no ε to 1e-8, 1e-5, 1e-3, and "
            f"is later at the last than at the first, in every repeat; {HEAVY}",
            later,
        ),
        Claim(
            "E2",
            "ours",
            "Tails that come late come after the labels are fitted, noise and all.",
            f"the objective was below {INTERPOLATED:g} at a measured step up to the first heavy-tailed one, wherever "
            "that is after step 100, in every repeat, η=0.01 and 0.1 and any ε",
            after_interpolation,
        ),
        Claim(
            "E3",
            "ours",
            "Tails that come late come after the update reached the edge of stability.",
            f"η·λ_max(P⁻¹H) was above {AT_THE_EDGE:g} of what Adam bears, 38, at a measured step after 100 and up to "
            "the first heavy-tailed one, wherever that is after step 100, in every repeat, η=0.01 and 0.1 and any ε",
            after_instability,
        ),
        Claim(
            "E4",
            "ours",
            "Tails that come late do not help.",
            "at η=0.1 the test loss at t=10,000 is not below that at the last measured step before the tail, in every "
            "repeat",
            no_help,
        ),
    ),
)

ARTIFACTS = (EPSILON,)
