"""Ours: overlaps of singular vectors, all pairs against theory, and how they spread over time (App. H).

Theory takes W₁ as W₀ plus an independent matrix with the singular values of the first update (`sum_law`), and gives the
mean squared overlap of every direction of W₁ with every one of M₀. Single overlaps fluctuate as their mean times a χ²
of one degree of freedom; so blocks of many can be tested.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spectail.experiments.experiment import Experiment
from spectail.experiments.two_layer.step_zero import update_of_first_step
from spectail.plots.bands import draw_band, draw_null
from spectail.plots.colours import SERIES
from spectail.plots.look import figure_title, new_figure, panel_title, shared_legend
from spectail.spectra.overlap_nulls import leading_overlap_null, participation_ratio_null
from spectail.spectra.overlaps import LEADING, leading_overlap, participation_ratio
from spectail.spectra.sums import SumLaw, sum_law
from spectail.study.artifact import Artifact
from spectail.study.claims import Claim, Outcome
from spectail.study.panels import settings_line
from spectail.study.runs import SIDES, Runs, Side, Values
from spectail.study.verdicts import UNTESTED, Verdict, all_of, clear, mean_std, yes_or_no

PAIRS = ((0, 0), (1, 0), (2, 1), (5, 4), (10, 9), (20, 19))

BASE = Experiment(
    n=500, d=250, h=375, n_test=100, n_test_large=500, steps=20, record=(0, 20), overlaps=PAIRS, protocol="published"
)

RUNS = {"GD": BASE.replace(optimizer="gd", lr=700.0), "FB-Adam": BASE.replace(optimizer="adam", lr=0.2)}

AT_ONE = (1, 0)

BLOCKS = 10

ERRORS = 3.0

BEYOND = 0.01
"""The largest share of blocks that may lie more than three standard errors off; by chance 0.27 % of them do."""


class Blocks(NamedTuple):
    """Mean overlaps in blocks of ranks: mean over repeats, what theory says, and the difference in standard errors."""

    measured: Values
    theory: Values
    errors: Values


def bounds_of(b: int) -> list[int]:
    """Blocks of ranks: the strongest direction by itself, then `BLOCKS` of about equally many."""
    return [0, *np.unique(np.linspace(1, b, BLOCKS + 1).astype(int)).tolist()]


@lru_cache(maxsize=32)
def _law(experiment: Experiment) -> SumLaw:
    values = torch.linalg.svdvals(update_of_first_step(experiment).double()).numpy()
    return sum_law(values, experiment.h, experiment.d)


def blocks(runs: Runs, experiment: Experiment, side: Side) -> Blocks:
    """The overlaps of W₁ with M₀, in blocks.

    The standard error of a block is that of a mean of so many χ². The overlap of the two strongest directions does not
    fluctuate so: its error is that of the mean over repeats.
    """
    measured, theory = [], []
    for seed in runs.seeds:
        one = experiment.replace(seed=seed)
        overlaps = runs.overlaps(one, AT_ONE, side)
        bounds = np.array(bounds_of(len(overlaps)))
        sums = np.add.reduceat(np.add.reduceat(overlaps, bounds[:-1], 0), bounds[:-1], 1)
        measured.append(sums / np.outer(np.diff(bounds), np.diff(bounds)))
        theory.append(_law(runs.as_run(one)).overlaps(side, bounds, bounds))
    count = np.outer(np.diff(bounds), np.diff(bounds)) * len(runs.seeds)
    mean, expected = np.mean(measured, 0), np.mean(theory, 0)
    error = expected * np.sqrt(2 / count)
    of_strongest = [m[0, 0] - t[0, 0] for m, t in zip(measured, theory, strict=True)]
    if len(of_strongest) > 1 and (spread := float(np.std(of_strongest, ddof=1))) > 0:
        error[0, 0] = spread / np.sqrt(len(of_strongest))
    return Blocks(mean, expected, (mean - expected) / error)


def over_time(runs: Runs, experiment: Experiment, side: Side) -> tuple[Values, Values]:
    """How W lies to the update M in each pair; both (seeds × pairs).

    First, over how many directions of M the strongest one of W spreads; then, how much of the ten strongest directions
    of W the ten strongest of M span.
    """
    spread, leading = [], []
    for seed in runs.seeds:
        of_seed = [torch.from_numpy(runs.overlaps(experiment.replace(seed=seed), pair, side)) for pair in PAIRS]
        spread.append([float(participation_ratio(one[0])) for one in of_seed])
        leading.append([float(leading_overlap(one, min(LEADING, len(one) // 2))) for one in of_seed])
    return np.array(spread), np.array(leading)


def are_known(runs: Runs) -> bool:
    """Whether every run has all of its overlaps."""
    of_all = [
        runs.overlaps(experiment.replace(seed=seed), pair, side)
        for experiment in RUNS.values()
        for seed in runs.seeds
        for pair in PAIRS
        for side in SIDES
    ]
    return all(one.size and np.isfinite(one[0]).all() for one in of_all)


def within_errors(runs: Runs, first: int = 0) -> Outcome:
    """Whether the blocks from the first on agree with theory."""
    if not are_known(runs):
        return Outcome(UNTESTED[Verdict.UNDECIDED], "0 blocks are known of every run")
    findings, text = [], []
    for name, experiment in RUNS.items():
        for side in SIDES:
            errors = np.abs(blocks(runs, experiment, side).errors[first:, first:])
            share = float((errors > ERRORS).mean())
            findings.append(yes_or_no(share <= BEYOND))
            text.append(f"{name} {side} {share:.1%} of {errors.size} (largest {errors.max():.1f})")
    return Outcome(all_of(findings), f"blocks further off than three errors: {', '.join(text)}")


def narrows_and_widens(runs: Runs) -> Outcome:
    if not are_known(runs):
        return Outcome(UNTESTED[Verdict.UNDECIDED], "0 overlaps are known of every run")
    findings, text = [], []
    before, after, last = (PAIRS.index(pair) for pair in (PAIRS[0], AT_ONE, PAIRS[-1]))
    for name, experiment in RUNS.items():
        for side in SIDES:
            spread, _ = over_time(runs, experiment, side)
            falls, rises = np.log(spread[:, before] / spread[:, after]), np.log(spread[:, last] / spread[:, after])
            findings += [clear(falls), clear(rises)]
            numbers = " → ".join(mean_std(spread[:, at]) for at in (before, after, last))
            text.append(f"{name} {side} {numbers}")
    return Outcome(all_of(findings), f"directions at t = 0 → 1 → {PAIRS[-1][0]}: {'; '.join(text)}")


def draw(runs: Runs) -> Figure:
    figure, axes = new_figure(2, 4, 4.6)
    maps: dict[str, dict[str, Any]] = {
        "measured": {"vmin": -4, "vmax": 0, "cmap": "cividis"},
        "theory": {"vmin": -4, "vmax": 0, "cmap": "cividis"},
        "errors off": {"vmin": -5, "vmax": 5, "cmap": "RdBu"},
    }
    for row, (name, experiment) in enumerate(RUNS.items()):
        overlaps = blocks(runs, experiment, "left")
        values = (np.log10(overlaps.measured), np.log10(overlaps.theory), overlaps.errors)
        for column, ((title, look), shown) in enumerate(zip(maps.items(), values, strict=True)):
            ax = panel_title(axes[4 * row + column], 4 * row + column, f"{name}, {title}" if column == 0 else title)
            image = ax.imshow(shown, aspect="auto", **look)
            ax.set_xticks([0, BLOCKS], ["1", "last"])
            ax.set_yticks([0, BLOCKS], ["1", "last"])
            ax.set_xlabel("rank in $M_0$")
            ax.set_ylabel("rank in $W_1$" if column == 0 else "")
            if column:
                label = r"$\log_{10}$ overlap" if column == 1 else "standard errors"
                figure.colorbar(image, ax=ax, label=label, extend="neither" if column == 1 else "both")
        panel_title(axes[4 * row + 3], 4 * row + 3, "spread")
        _over_time_panel(axes[4 * row + 3], runs, experiment)
    shared_legend(figure, axes)
    figure_title(
        figure,
        "Left overlaps of $W_1$ with $M_0$ in blocks of ranks, and how $W_t$'s strongest direction spreads. "
        f"{settings_line(runs, BASE)}",
    )
    return figure


def _over_time_panel(ax: Axes, runs: Runs, experiment: Experiment) -> None:
    e = runs.as_run(experiment)
    steps = [runs.scale.step(s) for s, _ in PAIRS]
    for side, (colour, marker) in zip(SIDES, SERIES, strict=False):
        spread, _ = over_time(runs, experiment, side)
        draw_band(ax, steps, spread, color=colour, marker=marker, label=side)
    chance = participation_ratio_null(min(e.h, e.d))
    draw_null(ax, steps, (chance.low, chance.mean, chance.high), label="by chance")
    ax.set_xscale("symlog", linthresh=1)
    ax.set_xticks(steps, ["" if step == 10 else str(step) for step in steps])  # 10 and 20 would touch
    ax.minorticks_off()
    ax.set_yscale("log")
    ax.set_ylabel("directions of $M_{t-1}$", labelpad=0)
    ax.set_xlabel("step $t$")


def table(runs: Runs) -> list[tuple[str, ...]]:
    """How much of their ten strongest directions W_t and the update before it share: mean cos² of principal angles."""
    rows: list[tuple[str, ...]] = [("ten strongest of W_t in those of M_{t−1}", *(f"t = {s}" for s, _ in PAIRS))]
    for name, experiment in RUNS.items():
        e = runs.as_run(experiment)
        for side in SIDES:
            _, leading = over_time(runs, experiment, side)
            rows.append((f"{name}, {side}", *(mean_std(values, 2) for values in leading.T)))
        chance = " / ".join(f"{leading_overlap_null(n, LEADING).mean:.2g}" for n in (e.h, e.d))
        rows.append(("by chance, left / right", *(chance,) * len(PAIRS)))
    return rows


ARTIFACTS = (
    Artifact(
        name="overlaps",
        title="Overlaps after one step, all pairs against theory, and their spread over 20 steps (not in the paper)",
        repeats=5,
        experiments=list(RUNS.values()),
        draw=draw,
        table=table,
        protocols=("published",),
        epsilon="own",
        in_all=False,
        claims=(
            Claim(
                "O1",
                "ours, App. H",
                "All overlaps of W₁ with M₀ are those of W₀ plus an independent matrix with M₀'s singular values.",
                f"of the blocks of ranks, 11 × 11 a side, at most {BEYOND:.0%} are further than {ERRORS:g} standard "
                "errors from theory, for GD and FB-Adam, left and right",
                within_errors,
            ),
            Claim(
                "O1b",
                "ours, App. H",
                "Those of all but the strongest direction are.",
                "as O1, without the blocks of the strongest direction of W₁ or of M₀, 10 × 10 a side; written after a "
                "first look at O1",
                lambda runs: within_errors(runs, 1),
            ),
            Claim(
                "O2",
                "ours, App. H",
                "The strongest direction of W follows the update after one step, and spreads again later.",
                "over how many directions of the last update it spreads (participation ratio) is clearly less at t=1 "
                "than before, and clearly more at t=20 than at t=1, for GD and FB-Adam, left and right",
                narrows_and_widens,
            ),
        ),
    ),
)
