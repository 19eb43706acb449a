"""Ours: what makes the late tails of Tables 1 and 4. Adam's ε, interpolation, and the update's own instability."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spectail.experiments.experiment import Experiment
from spectail.experiments.protocols import NO_EPSILON
from spectail.experiments.two_layer.sharpness import growth, step_of_instability
from spectail.plots.bands import draw_band, draw_untrained_hill
from spectail.plots.colours import LAW, SERIES
from spectail.plots.look import figure_title, new_figure, panel_title, shared_legend
from spectail.study.artifact import Artifact
from spectail.study.claims import Claim, Outcome
from spectail.study.criteria import BROADENED, EARLY, first_broadened, in_words
from spectail.study.panels import draw_baselines, settings_line
from spectail.study.runs import Runs, Values
from spectail.study.settings import ADAM_SCALED, QUARTER, TABLE1_RUNS
from spectail.study.verdicts import UNTESTED, Verdict, clear, in_every_repeat

EPSILONS = (NO_EPSILON, 1e-8, 1e-5, 1e-3)

RUNS = {e.lr: [e.replace(epsilon=epsilon) for epsilon in EPSILONS] for e in TABLE1_RUNS}

MIDDLE = RUNS[0.1]

INTERPOLATED = 1e-6
"""An objective below which the labels are fitted, noise and all: 1e-5 of that at the start."""

AT_THE_EDGE = 0.95
"""From this share of what the update bears on, it is at the edge: it is measured from below, and hovers around 1."""

ROWS = {
    "pl_alpha_hill": "PL_Alpha_Hill",
    "stability": r"$\eta\lambda_{\max}(P^{-1}H)$ / bearable",
    "objective": "objective",
    "test_loss_large": "test loss",
}


def name_of(epsilon: float) -> str:
    """An ε for legends and sentences."""
    return "ε → 0" if epsilon == NO_EPSILON else f"ε = 1e{math.log10(epsilon):.0f}"


def measured_steps(runs: Runs, experiment: Experiment) -> list[int]:
    """The steps at which its runs were measured, at their scale."""
    return list(runs.as_run(experiment).recorded_steps)


def along(runs: Runs, variable: str, experiment: Experiment) -> Values:
    """A variable at all measured steps: (seeds × steps)."""
    if variable == "stability":
        return runs.beside(variable, experiment)
    return np.array([
        [_at(run[variable], step) for step in measured_steps(runs, experiment)]
        for run in runs.repeats(experiment)
    ])  # fmt: skip


def _at(values: xr.DataArray, step: int) -> float:
    """The value at a step; NaN where the run diverged before."""
    return float(values.sel(step=step)) if step in values.step else math.nan


def draw_growth(ax: Axes, runs: Runs, experiment: Experiment) -> None:
    """The closed form of the stability, from the step where the labels are just fitted up to where it reaches 1."""
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


def draw(by_rate: Mapping[float, Sequence[Experiment]], runs: Runs) -> Figure:
    drawn = [experiment for experiments in by_rate.values() for experiment in experiments]
    stable = any(np.isfinite(along(runs, "stability", experiment)).any() for experiment in drawn)
    rows = {name: label for name, label in ROWS.items() if stable or name != "stability"}  # not measured in all runs
    figure, axes = new_figure(len(rows), len(by_rate), 1.65 * len(rows))
    for column, (lr, experiments) in enumerate(by_rate.items()):
        for row, (variable, label) in enumerate(rows.items()):
            place = row * len(by_rate) + column
            ax = panel_title(axes[place], place, rf"$\eta$ = {lr:g}" if row == 0 else "")
            for experiment, (colour, marker) in zip(experiments, SERIES, strict=False):
                values = along(runs, variable, experiment)
                steps = np.array(measured_steps(runs, experiment))
                known = np.isfinite(values).any(0) & (steps > 0)
                if known.any():
                    draw_band(
                        ax, steps[known], values[:, known], color=colour, marker=marker, linestyle="-",
                        label=name_of(runs.as_run(experiment).epsilon) if row == 0 else "_",
                    )  # fmt: skip
            ax.set_xscale("log")
            if variable == "test_loss_large":
                draw_baselines(ax, [runs.as_run(experiments[0])])
            if variable in ("objective", "stability"):
                ax.set_yscale("log")
            if variable == "stability":
                ax.axhline(1.0, color=LAW, linewidth=0.8, linestyle=":")
                draw_growth(ax, runs, experiments[0])
            if variable == "pl_alpha_hill":
                draw_untrained_hill(ax, runs.law(experiments[0]).hill())
                ax.set_ylim(min(1.65, ax.dataLim.ymin - 0.05), 2.55)
            ax.set_ylabel(label if column == 0 else "")
            ax.set_xlabel("step $t$" if row == len(rows) - 1 else "")
    shared_legend(figure, [axes[0], axes[len(by_rate)], axes[-1]])
    figure_title(figure, f"Long runs of FB-Adam. {settings_line(runs, drawn[0])}")
    return figure


def table(by_rate: Mapping[float, Sequence[Experiment]], runs: Runs) -> list[tuple[str, ...]]:
    """The first broadened step of each repeat."""
    rows = [("first broadened step", *(name_of(epsilon) for epsilon in EPSILONS))]
    for lr, experiments in by_rate.items():
        rows.append((f"η = {lr:g}", *(in_words(first_broadened(runs, e)) for e in experiments)))
    return rows


def later(number: str, middle: Sequence[Experiment], note: str = "") -> Claim:
    """Claim E1 at one size: whether the first broadened step comes later with a larger ε."""
    lr = middle[0].lr

    def test(runs: Runs) -> Outcome:
        first = np.stack([first_broadened(runs, e) for e in middle], axis=1)
        ordered = [all(a <= b for a, b in pairwise(steps)) and steps[0] < steps[-1] for steps in first.tolist()]
        text = "; ".join(f"{name_of(e.epsilon)}: {in_words(steps)}" for e, steps in zip(middle, first.T, strict=True))
        return Outcome(in_every_repeat(ordered), f"first broadened step at η={lr:g}: {text}")

    return Claim(
        number,
        "ours",
        f"A larger ε of Adam delays the tails, or prevents them{note}.",
        f"at η={lr:g} the first broadened step of those measured does not fall from no ε to 1e-8, 1e-5, 1e-3, and "
        f"is later at the last than at the first, in every repeat; {BROADENED}",
        test,
    )


def _late(runs: Runs, experiment: Experiment) -> list[tuple[int, float]]:
    """The repeats that broaden after step 100, by place, and the first measured step at which they are broadened."""
    return [(i, t) for i, t in enumerate(first_broadened(runs, experiment)) if np.isfinite(t) and t > EARLY]


def _before_tails(runs: Runs, variable: str) -> Values:
    """Up to each late tail, the least objective after step 0, or the largest stability after step 100."""
    extremes = []
    for experiment in LATE:
        steps, values = np.array(measured_steps(runs, experiment)), along(runs, variable, experiment)
        for i, first in _late(runs, experiment):
            part = values[i][(steps <= first) & (steps > (EARLY if variable == "stability" else 0))]
            extremes.append(np.nanmin(part) if variable == "objective" else np.nanmax(part))
    return np.array(extremes)


LATE = TABLE1_RUNS[:2]

NONE_LATE = Outcome(UNTESTED[Verdict.UNDECIDED], "nothing broadened after step 100")


def after_interpolation(runs: Runs) -> Outcome:
    least = _before_tails(runs, "objective")
    if not len(least):
        return NONE_LATE
    return Outcome(
        clear(np.log(INTERPOLATED / least)), f"least objective before: {', '.join(f'{v:.1e}' for v in least)}"
    )


def after_instability(runs: Runs) -> Outcome:
    largest = _before_tails(runs, "stability")
    if not len(largest):
        return NONE_LATE
    return Outcome(clear(largest - AT_THE_EDGE), f"largest stability before: {', '.join(f'{v:.3g}' for v in largest)}")


def no_help(runs: Runs) -> Outcome:
    ends = []
    for experiment in LATE:
        steps, test = measured_steps(runs, experiment), along(runs, "test_loss_large", experiment)
        ends += [(test[i, steps.index(int(first)) - 1], test[i, -1]) for i, first in _late(runs, experiment)]
    if not ends:
        return NONE_LATE
    text = ", ".join(f"{before:.3f} → {end:.3f}" for before, end in ends)
    return Outcome(clear([end - before for before, end in ends]), f"test loss before the tail and at t=10,000: {text}")


EPSILON = Artifact(
    name="epsilon",
    title="What makes late tails: FB-Adam, η=0.01, 0.1, 1, with Adam's ε from none to 1e-3 (not in the paper)",
    repeats=3,
    experiments=[e for experiments in RUNS.values() for e in experiments],
    draw=partial(draw, RUNS),
    table=partial(table, RUNS),
    epsilon="own",
    in_all=False,
    claims=(later("E1", MIDDLE),),
)

QUARTERS = {QUARTER(experiments[0]).lr: [QUARTER(e) for e in experiments] for experiments in RUNS.values()}

EPSILON_QUARTER = Artifact(
    name="epsilon-quarter",
    title=f"What makes late tails: FB-Adam, η=0.02, 0.2, 2, with Adam's ε from none to 1e-3{ADAM_SCALED} "
    "(not in the paper)",
    repeats=5,
    experiments=[e for experiments in QUARTERS.values() for e in experiments],
    draw=partial(draw, QUARTERS),
    table=partial(table, QUARTERS),
    epsilon="own",
    in_all=False,
    claims=(later("E1b", QUARTERS[0.2], ADAM_SCALED),),
)

LATE_TAILS = Artifact(
    name="late-tails",
    title="What comes before late tails: FB-Adam, η=0.01, 0.1, 1 (not in the paper)",
    repeats=3,
    experiments=TABLE1_RUNS,
    draw=partial(draw, {e.lr: [e] for e in TABLE1_RUNS}),
    epsilon="text",
    in_all=False,
    claims=(
        Claim(
            "E2",
            "ours",
            "Tails that come late come after the labels are fitted, noise and all.",
            f"the objective was clearly below {INTERPOLATED:g} at a measured step up to the first broadened one, "
            f"wherever that is after step {EARLY}, η=0.01 and 0.1",
            after_interpolation,
        ),
        Claim(
            "E3",
            "ours",
            "Tails that come late come after the update reached the edge of stability.",
            f"η·λ_max(P⁻¹H) was clearly above {AT_THE_EDGE:g} of what Adam bears, 38, at a measured step after {EARLY} "
            f"and up to the first broadened one, wherever that is after step {EARLY}, η=0.01 and 0.1",
            after_instability,
        ),
        Claim(
            "E4",
            "ours",
            "Tails that come late make the test loss worse.",
            "the test loss at t=10,000 is clearly above that at the last measured step before the tail, η=0.01 and 0.1",
            no_help,
        ),
    ),
)

ARTIFACTS = (EPSILON, EPSILON_QUARTER, LATE_TAILS)
