"""Spectra of the kernels of a student's features and gradients against their laws: `python -m benchmarks.features`.

Before training the law is the deterministic equivalent of Pennington & Worah and of Fan & Wang (2005.11879). How far an
untrained student is from it (KS) is measured over sizes, n, d, h in proportion, for the conjugate kernel and the NTK.
Beside it one step of descent, after which some eigenvalues stand outside of the law; how many: `feature_spikes.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import product

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from benchmarks.kept_numbers import Row, draw, kept_table, print_verdicts
from spectail.experiments.experiment import Experiment
from spectail.experiments.kernel_law import Kernel, kernel_law
from spectail.experiments.run import simulate
from spectail.experiments.two_layer.kernels import kernel_eigenvalues
from spectail.experiments.two_layer.networks import make_network
from spectail.experiments.two_layer.problem import Problem
from spectail.plots.bands import draw_band
from spectail.plots.colours import FINAL, INITIAL, LAW, SERIES
from spectail.plots.look import figure_title, new_figure, panel_title, plain_numbers, shared_legend
from spectail.study.claims import Outcome
from spectail.study.verdicts import all_of, clear, mean_std

KERNELS: dict[Kernel, str] = {"ck": "conjugate kernel", "ntk": "NTK"}

SIZES, ACTIVATIONS, SEEDS = (240, 480, 960, 1920), ("tanh", "relu"), range(3)

LARGEST = 3840
"""One activation and the NTK alone, which comes near its law more slowly."""

NEAR = 0.01


def experiment(n: int, activation: str, seed: int) -> Experiment:
    """A student of n hold-out points, with d = 5n/6 and h = 4n/3."""
    return Experiment(
        n=n, n_test=5, n_test_large=5, d=5 * n // 6, h=4 * n // 3, steps=0,
        kernels=tuple(KERNELS) if n < LARGEST else ("ntk",), activation=activation, optimizer="gd", seed=seed,
    )  # fmt: skip


def distances(seed: int, n: int, activation: str) -> Iterator[Row]:
    """The KS distance of each kernel from its law before training, given the readout."""
    e = experiment(n, activation, seed)
    problem = Problem.draw(e)
    readout = float(problem.a.double().square().mean())
    values = kernel_eigenvalues(e, problem, make_network(e, problem))  # as a run keeps them at step 0
    for kernel in e.kernels:
        distance = kernel_law(e, kernel, readout).distance(values[f"{kernel}_eigenvalues"])
        yield {"kernel": kernel, "distance": distance}


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


def at(table: pd.DataFrame, kernel: str, activation: str) -> tuple[list[int], NDArray[np.float64]]:
    """Sizes, and the KS distances there: (seeds × sizes)."""
    rows = table[(table.kernel == kernel) & (table.activation == activation)].pivot_table("distance", "seed", "n")
    return list(rows.columns), rows.to_numpy()


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
            sizes, values = at(table, kernel, activation)
            draw_band(ax, sizes, values, color=colour, marker=marker, label=f"{name}, {activation}")
    ax.axhline(NEAR, color=LAW, lw=0.8, ls=":", label=f"{NEAR:g}")
    ax.set(xscale="log", yscale="log", xlabel="$n$", ylabel="KS distance")
    ax.set_xticks((*SIZES, LARGEST), [str(n) for n in (*SIZES, LARGEST)])
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
    places = [*product(SIZES, SEEDS, ACTIVATIONS), *product((LARGEST,), SEEDS, ACTIVATIONS[:1])]
    pieces: list[Row] = [{"seed": seed, "n": n, "activation": activation} for n, seed, activation in places]
    of_spectra = kept_table("feature-spectra", [{"kernel": kernel} for kernel in KERNELS], spectra)
    table = kept_table("features", pieces, distances)
    draw("features", partial(picture, table, of_spectra))
    print("| KS distance from the law | " + " | ".join(f"n = {n}" for n in (*SIZES, LARGEST)) + " |")
    print("|---|" + "---|" * (len(SIZES) + 1))
    outcomes = {}
    for kernel, name in KERNELS.items():
        near, falls = {}, {}
        for activation in ACTIVATIONS:
            sizes, values = at(table, kernel, activation)
            print(f"| {name}, {activation} | {' | '.join(mean_std(of_size, 2) for of_size in values.T)} |")
            near[activation] = dict(zip(sizes, values.T, strict=True))
            falls[activation] = -np.polyfit(np.log(sizes), np.log(values).T, 1)[0]
        for n in (SIZES[-1], LARGEST):
            there = {activation: of_sizes[n] for activation, of_sizes in near.items() if n in of_sizes}
            if there:
                text = ", ".join(f"{activation} {mean_std(values, 2)}" for activation, values in there.items())
                finding = all_of([clear(NEAR - values) for values in there.values()])
                outcomes[f"{name}, n = {n}: KS ≤ {NEAR:g}"] = Outcome(finding, text)
        text = ", ".join(f"{activation} −{mean_std(slopes, 2)}" for activation, slopes in falls.items())
        outcomes[f"{name}: falls with n"] = Outcome(all_of([clear(slopes) for slopes in falls.values()]), text)
    print()
    print_verdicts(outcomes)


if __name__ == "__main__":
    main()
