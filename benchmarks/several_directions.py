"""Spikes of W after one step of descent on a teacher of K directions, and where those beyond K come from.

    python -m benchmarks.several_directions

Of a quadratic link the gradient has one direction for each of the teacher's in expectation. Beside them n points leave
Xᵀy/n, which is of the order of √(d/n) and not 0: a further direction, that of a linear teacher. Damian et al. (2022)
take the linear fit off the labels first. The student's output before training, f₀, is another part of the residual.

Beside it: how much of the teacher's K directions the K strongest of W span while it trains, and the spectra of both
layers of a deeper student.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import product

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from benchmarks.kept_numbers import Row, draw, kept_table, print_verdicts
from spectail.experiments.experiment import Experiment
from spectail.experiments.run import simulate
from spectail.experiments.two_layer.networks import make_network
from spectail.experiments.two_layer.problem import Problem
from spectail.plots.bands import draw_band
from spectail.plots.colours import LAW, SERIES
from spectail.plots.look import figure_title, new_figure, panel_title, shared_legend
from spectail.plots.spectrum_plot import draw_spectrum
from spectail.spectra.fixed_phases import classify_by_fixed_thresholds
from spectail.study.claims import Outcome
from spectail.study.verdicts import all_of, clear, in_every_repeat, mean_std

DIRECTIONS = (1, 2, 3, 5)
SEEDS = range(5)
RATES = (200.0, 400.0)

BASE = Experiment(
    n=4000, d=60, h=120, n_test=5, n_test_large=5, label_noise=0.0, teacher="he2", activation="gelu",
    initialization="mean_field", optimizer="gd", steps=1, protocol="published",
)  # fmt: skip

AS_TRAINED, NO_FIT = "as trained", "without the labels' linear fit"

WITHOUT = {AS_TRAINED: "", "without f₀": "f", NO_FIT: "l", "without both": "fl"}

STEPS, LAST = (0, 1, 2, 3, 5, 10, 20), 20

DEEPER = BASE.replace(
    layers=(240, 240), h=240, d=120, directions=3, initialization="mup", lr=1.5, steps=100, record=(0, 1, 20, 100)
)
"""A student of two hidden layers."""


def spikes(directions: int, lr: float, seed: int) -> Iterator[Row]:
    """How many spikes W₁ has, of the whole residual or without f₀ ("f") and the labels' linear fit ("l")."""
    experiment = BASE.replace(directions=directions, lr=lr, seed=seed)
    problem = Problem.draw(experiment)
    x, y = problem.train.x, problem.train.y.to(problem.w0.dtype)
    linear = x @ torch.linalg.lstsq(x, y[:, None]).solution[:, 0]
    for name, without in WITHOUT.items():
        network = make_network(experiment, problem)  # its residual and its activations are for one gradient
        whole = network.residual(x, y)
        residual = (y if "f" in without else whole) - (linear if "l" in without else 0)
        network.put_gradients(residual, x, 2 * experiment.loss_factor)
        gradient = network.matrices[0].grad
        assert gradient is not None
        weights = network.matrices[0].detach() - lr * gradient
        eigenvalues = torch.linalg.svdvals(weights.double()).square().flip(0)
        yield {"residual": name, "spikes": classify_by_fixed_thresholds(eigenvalues, *weights.shape).n_spikes}


def overlap(directions: int, seed: int) -> Iterator[Row]:
    """How much of the teacher's span the K strongest directions of W have, over steps at the smaller rate."""
    e = BASE.replace(directions=directions, lr=RATES[0], seed=seed, steps=LAST, record=STEPS)
    run = simulate(e)
    of = run.teacher_overlap if directions > 1 else run.alignment**2
    for step in STEPS:
        yield {"step": step, "overlap": float(of.sel(step=step))}


def spectra(matrix: str) -> Iterator[Row]:
    """The eigenvalues of one layer of the deeper student."""
    run = simulate(DEEPER)
    for step in DEEPER.recorded_steps:
        values = run.eigenvalues.sel(step=step, matrix=matrix).values
        yield from ({"step": step, "eigenvalue": float(value)} for value in values[np.isfinite(values)])


def counts(table: pd.DataFrame, lr: float, residual: str) -> NDArray[np.float64]:
    """Spikes: (seeds × numbers of directions)."""
    rows = table[(table.lr == lr) & (table.residual == residual)]
    return np.asarray(rows.pivot_table("spikes", "seed", "directions"), dtype=np.float64)


def spikes_panel(ax: Axes, table: pd.DataFrame, lr: float) -> None:
    for (name, shift), (colour, marker) in zip(((AS_TRAINED, -0.08), (NO_FIT, 0.08)), SERIES, strict=False):
        for place, of_k in zip(DIRECTIONS, counts(table, lr, name).T, strict=True):
            values, number = np.unique(of_k, return_counts=True)
            ax.scatter(np.full(len(values), place + shift), values, 7 * number, color=colour, marker=marker, lw=0,
                       label=name if place == 1 else "_")  # fmt: skip
    ax.plot(DIRECTIONS, DIRECTIONS, "--", color=LAW, lw=0.9, label="K")
    ax.set_xticks(DIRECTIONS)
    ax.set_yticks(range(1, 7))
    ax.set(xlabel="directions K of the teacher", ylabel="spikes of $W_1$")


def picture(table: pd.DataFrame, overlaps: pd.DataFrame, of_layers: pd.DataFrame) -> Figure:
    figure, axes = new_figure(2, 3, 4.8)
    for index, lr in enumerate(RATES):
        spikes_panel(panel_title(axes[index], index, rf"after one step, $\eta$ = {lr:g}"), table, lr)
    ax = panel_title(axes[2], 2, rf"overlap with the teacher, $\eta$ = {RATES[0]:g}")
    for k, (colour, marker) in zip(DIRECTIONS, SERIES[2:], strict=False):
        values = overlaps[overlaps.directions == k].pivot_table("overlap", "seed", "step")
        draw_band(ax, STEPS, values, color=colour, marker=marker, label=f"K = {k}")
        ax.axhline(k / BASE.d, color=colour, lw=0.7, ls=":")
    ax.set_xscale("symlog", linthresh=1)
    ax.set_xticks((0, 1, 2, 5, 10, 20), ["0", "1", "2", "5", "10", "20"])
    ax.minorticks_off()
    ax.set(xlabel="step $t$", ylabel="share of the span", xlim=(-0.1, 25), ylim=(0, 1.05))
    for index, (matrix, step) in enumerate((("W1", 1), ("W1", DEEPER.steps), ("W2", DEEPER.steps)), 3):
        of = of_layers[of_layers.matrix == matrix]
        before, after = (of[of.step == at].eigenvalue.to_numpy() for at in (0, step))
        ax = panel_title(axes[index], index, f"deeper student, {matrix}, $t$ = {step}")
        draw_spectrum(ax, after, initial=before, final_label="trained", initial_label="$t$ = 0")
    shared_legend(figure, axes)
    figure_title(
        figure,
        f"A teacher of K directions: n = {BASE.n}, d = {BASE.d}, h = {BASE.h}, {len(SEEDS)} repeats (area: how many); "
        f"dotted: by chance; (d)–(f): K = {DEEPER.directions}, d = {DEEPER.d}, two layers of {DEEPER.h}, µP, "
        f"η = {DEEPER.lr:g}",
    )
    return figure


def main() -> None:
    """Measure what is not kept, draw, and print tables and verdicts."""
    torch.set_num_threads(1)
    pieces: list[Row] = [{"directions": k, "lr": lr, "seed": seed} for lr, k, seed in product(RATES, DIRECTIONS, SEEDS)]
    table = kept_table("directions", pieces, spikes)
    of_span: list[Row] = [{"directions": k, "seed": seed} for k, seed in product(DIRECTIONS, SEEDS)]
    overlaps = kept_table("directions-overlap", of_span, overlap)
    of_layers = kept_table("directions-layers", [{"matrix": "W1"}, {"matrix": "W2"}], spectra)
    draw("directions", partial(picture, table, overlaps, of_layers))
    print("| K | η | " + " | ".join(WITHOUT) + " |\n|---|---|" + "---|" * len(WITHOUT))
    for lr, (place, k) in product(RATES, enumerate(DIRECTIONS)):
        cells = [", ".join(f"{int(n)}" for n in counts(table, lr, name)[:, place]) for name in WITHOUT]
        print(f"| {k} | {lr:g} | " + " | ".join(cells) + " |")
    print()
    outcomes = {}
    for lr, name in product(RATES, (AS_TRAINED, NO_FIT)):
        more = counts(table, lr, name) - np.array(DIRECTIONS)
        text = f"{int((more <= 0).sum())} of {more.size} runs; most beyond K: {int(more.max())}"
        outcomes[f"η = {lr:g}, {name}: at most K"] = Outcome(in_every_repeat((more <= 0).all(axis=1)), text)
    spans = [np.asarray(overlaps[overlaps.directions == k].pivot_table("overlap", "seed", "step")) for k in DIRECTIONS]
    outcomes["the K strongest directions turn to the teacher's, t = 20 over t = 0"] = Outcome(
        all_of([clear(of[:, -1] - of[:, 0]) for of in spans]),
        ", ".join(f"K = {k}: {mean_std(of[:, -1], 2)}" for k, of in zip(DIRECTIONS, spans, strict=True)),
    )
    print_verdicts(outcomes)


if __name__ == "__main__":
    main()
