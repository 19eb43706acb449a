"""Spectra of the kernels of a student's features and gradients against their laws: `python -m benchmarks.features`.

Before training the law is the deterministic equivalent of Pennington & Worah and of Fan & Wang (2005.11879). How far an
untrained student is from it (KS) is measured over sizes, n, d, h in proportion, for the conjugate kernel and the NTK.
Beside it one step of descent, after which some eigenvalues stand outside of the law; how many: `feature_spikes.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from benchmarks.kept_numbers import Row, draw, kept_table, print_verdicts
from spectail.experiments.experiment import Experiment
from spectail.experiments.kernel_law import Kernel, kernel_law
from spectail.experiments.run import simulate
from spectail.experiments.two_layer.problem import Problem
from spectail.plots.bands import draw_band
from spectail.plots.colours import FINAL, INITIAL, LAW, SERIES
from spectail.plots.look import figure_title, new_figure, panel_title, plain_numbers, shared_legend
from spectail.study.claims import Outcome
from spectail.study.verdicts import all_of, clear, mean_std

KERNELS: dict[Kernel, str] = {"ck": "conjugate kernel", "ntk": "NTK"}

SIZES, ACTIVATIONS, SEEDS = (240, 480, 960), ("tanh", "relu"), range(3)

NEAR = 0.01


def experiment(n: int, activation: str, seed: int) -> Experiment:
    """A student of n hold-out points, with d = 5n/6 and h = 4n/3."""
    return Experiment(
        n=n, n_test=5, n_test_large=5, d=5 * n // 6, h=4 * n // 3, steps=0, kernels=tuple(KERNELS),
        activation=activation, optimizer="gd", seed=seed,
    )  # fmt: skip


def distances(seed: int, n: int, activation: str) -> Iterator[Row]:
    """The KS distance of each kernel from its law before training, given the readout."""
    e = experiment(n, activation, seed)
    run, readout = simulate(e), float(Problem.draw(e).a.double().square().mean())
    for kernel in KERNELS:
        values = run[f"{kernel}_eigenvalues"].sel(step=0)
        yield {"kernel": kernel, "distance": kernel_law(e, kernel, readout).distance(values)}


STEPPED = Experiment(
    n=600, n_test=5, n_test_large=5, d=300, h=500, kernels=tuple(KERNELS), optimizer="gd", lr=3000, steps=1,
    protocol="published", teacher="tanh",
)  # fmt: skip


def spectra(kernel: Kernel) -> Iterator[Row]:
    """The eigenvalues of a kernel before training and after one step of descent."""
    run = simulate(STEPPED)
    for step in (0, 1):
        for value in run[f"{kernel}_eigenvalues"].sel(step=step).values:
            yield {"step": step, "eigenvalue": float(value)}


def at(table: pd.DataFrame, kernel: str, activation: str) -> NDArray[np.float64]:
    """KS distances: (seeds × sizes)."""
    rows = table[(table.kernel == kernel) & (table.activation == activation)]
    return np.asarray(rows.pivot_table("distance", "seed", "n")[list(SIZES)])


def spectrum_panel(ax: Axes, of_kernel: pd.DataFrame, kernel: Kernel) -> None:
    before, after = (of_kernel[of_kernel.step == step].eigenvalue.to_numpy() for step in (0, 1))
    law = kernel_law(STEPPED, kernel, float(Problem.draw(STEPPED).a.double().square().mean()))
    bins = np.geomspace(before.min() / 1.1, after.max() * 1.1, 50).tolist()
    widths = np.diff(bins)
    for values, colour, style, label in (
        (before, INITIAL, "stepfilled", "$t$ = 0"), (after, FINAL, "step", "$t$ = 1"),
    ):  # fmt: skip
        weights = np.full(len(values), 1.0 / len(values))
        counts, _ = np.histogram(values, bins, weights=weights)
        ax.stairs(counts / np.log(1 + widths / bins[:-1]), bins, color=colour, fill=style == "stepfilled",
                  alpha=0.45 if style == "stepfilled" else 1.0, lw=1.0, label=label)  # fmt: skip
    shown = np.geomspace(bins[0], bins[-1], 400)
    known = law.density(shown) > 1e-4 / shown
    ax.plot(shown[known], (law.density(shown) * shown)[known], color=LAW, lw=1.1, label="law of $t$ = 0")
    ax.set(xscale="log", yscale="log", xlabel=r"$\lambda$", ylabel=r"density of $\log\lambda$", ylim=(1e-3, 5))


def picture(table: pd.DataFrame, of_spectra: pd.DataFrame) -> Figure:
    figure, axes = new_figure(1, 3, 2.9, abreast=1)
    for index, (kernel, name) in enumerate(KERNELS.items()):
        ax = panel_title(axes[index], index, name)
        spectrum_panel(ax, of_spectra[of_spectra.kernel == kernel], kernel)
    ax = panel_title(axes[2], 2, "distance from the law, $t$ = 0")
    places = iter(SERIES)
    for kernel, name in KERNELS.items():
        for activation in ACTIVATIONS:
            colour, marker = next(places)
            values = at(table, kernel, activation)
            draw_band(ax, SIZES, values, color=colour, marker=marker, label=f"{name}, {activation}")
    ax.axhline(NEAR, color=LAW, lw=0.8, ls=":", label=f"{NEAR:g}")
    ax.set(xscale="log", yscale="log", xlabel="$n$", ylabel="KS distance")
    ax.set_xticks(SIZES, [str(n) for n in SIZES])
    ax.minorticks_off()
    plain_numbers(ax.yaxis)
    shared_legend(figure, axes)
    e = STEPPED
    figure_title(
        figure,
        f"Kernels of a student. (a), (b): n = {e.n}, d = {e.d}, h = {e.h}, one step, η = {e.lr:g}; "
        f"(c): d = 5n/6, h = 4n/3, {len(SEEDS)} repeats",
    )
    return figure


def main() -> None:
    """Measure what is not kept, draw, and print tables and verdicts."""
    pieces: list[Row] = [
        {"seed": seed, "n": n, "activation": activation} for n in SIZES for seed in SEEDS for activation in ACTIVATIONS
    ]
    of_spectra = kept_table("feature-spectra", [{"kernel": kernel} for kernel in KERNELS], spectra)
    table = kept_table("features", pieces, distances)
    draw("features", partial(picture, table, of_spectra))
    print("| KS distance from the law | " + " | ".join(f"n = {n}" for n in SIZES) + " |\n|---|" + "---|" * len(SIZES))
    for kernel, name in KERNELS.items():
        for activation in ACTIVATIONS:
            cells = (mean_std(of_size, 2) for of_size in at(table, kernel, activation).T)
            print(f"| {name}, {activation} | {' | '.join(cells)} |")
    print()
    outcomes = {}
    for kernel, name in KERNELS.items():
        by_activation = {a: at(table, kernel, a) for a in ACTIVATIONS}
        text = ", ".join(f"{a} {mean_std(values[:, -1], 2)}" for a, values in by_activation.items())
        near = all_of([clear(NEAR - values[:, -1]) for values in by_activation.values()])
        outcomes[f"{name}, n = {SIZES[-1]}: KS ≤ {NEAR:g}"] = Outcome(near, text)
        slopes = {a: np.polyfit(np.log(SIZES), np.log(values).T, 1)[0] for a, values in by_activation.items()}
        text = ", ".join(f"{a} {mean_std(slope, 2)}" for a, slope in slopes.items())
        falls = all_of([clear(-slope) for slope in slopes.values()])
        outcomes[f"{name}: the distance falls with n (its exponent)"] = Outcome(falls, text)
    print_verdicts(outcomes)


if __name__ == "__main__":
    main()
