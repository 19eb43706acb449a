"""How many spikes the features have after one step with η ≍ n^s: `python -m benchmarks.feature_spikes`.

Moniri, Lee, Hassani & Dobriban (2310.07891): with n, d, h in proportion, a step of descent with η ≍ n^s leaves ℓ spikes
in the feature matrix of fresh points for (ℓ−1)/(2ℓ) < s < ℓ/(2ℓ+2). So the learning rate from which the k-th spike is
there grows as n^((k−1)/(2k)): as a constant, n^(1/4), n^(1/3). Of each size and seed a grid of learning rates is taken,
and the rate found at which the k-th eigenvalue of the conjugate kernel passes 1.3 times the edge of the untrained law.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.kept_numbers import Row, draw, kept_table, print_verdicts
from spectail.experiments.experiment import Experiment
from spectail.experiments.kernel_law import kernel_law
from spectail.experiments.two_layer.kernels import eigenvalues_of_gram
from spectail.experiments.two_layer.networks import make_network
from spectail.experiments.two_layer.problem import Problem
from spectail.plots.bands import draw_band
from spectail.plots.colours import LAW, SERIES
from spectail.plots.look import figure_title, new_figure, panel_title, plain_numbers, shared_legend
from spectail.spectra.gram import lower_gram
from spectail.study.claims import Outcome
from spectail.study.verdicts import mean_inside, mean_std

SIZES, SEEDS, SPIKES, PAST = (500, 1000, 2000), range(5), 3, 1.3

SHIFTS = np.geomspace(0.02, 1.6, 16)
"""By how much the step shifts a unit's pre-activation, as standard deviation τ = η c₁ |β| / (d √h), β = Xᵀy/n."""


def centred_sine(x: Tensor) -> Tensor:
    """sin(x + π/4) − e^(−1/2)/√2: mean 0, all derivatives bounded, no Hermite coefficient 0 but the first."""
    return (x + math.pi / 4).sin() - math.exp(-0.5) / math.sqrt(2)


LINEAR = math.exp(-0.5) / math.sqrt(2)  # c₁ of it


def experiment(n: int, seed: int) -> Experiment:
    """The paper's setting: a step of all n points, features of as many fresh ones."""
    return Experiment(
        n=n, d=n // 2, h=n // 2, n_test=1, n_test_large=1, activation="benchmarks.feature_spikes:centred_sine",
        teacher="tanh", label_noise=0.1, optimizer="gd", seed=seed,
    )  # fmt: skip


def leading(n: int, seed: int) -> Iterator[Row]:
    """At each learning rate, the leading eigenvalues after one step, over the edge of the untrained law."""
    e = experiment(n, seed)
    law = kernel_law(e)
    edge = float(law.points[np.searchsorted(law.cumulative, 1 - 1e-6)])
    problem = Problem.draw(e)
    network = make_network(e, problem)
    x, y = problem.train.x, problem.train.y
    network.put_gradients(network.residual(x, y), x, 1.0)
    w0, gradient = problem.w0.clone(), network.trained[0].grad
    assert gradient is not None, "it was put there"
    beta = float((x.double().T @ y / e.n).norm())
    for shift in SHIFTS:
        rate = shift * math.sqrt(e.h) / (LINEAR * beta)
        network.matrices[0].copy_(w0 - float(rate * e.d) * gradient)
        features = network.hidden(problem.holdout.x, 1.0).double().T / e.h**0.5
        top = eigenvalues_of_gram(lower_gram([features]))[::-1][: SPIKES + 1] / edge
        yield {"shift": shift, "rate": rate, **{f"lambda_{k + 1}": float(ratio) for k, ratio in enumerate(top)}}


def onset(rates: NDArray[np.float64], ratios: NDArray[np.float64]) -> float:
    """The rate from which on a ratio to the edge stays above `PAST`, interpolated; NaN where the grid lacks it."""
    below = np.flatnonzero(ratios < PAST)
    if not len(below) or below[-1] == len(rates) - 1:
        return math.nan
    at = below[-1]
    share = math.log(PAST / ratios[at]) / math.log(ratios[at + 1] / ratios[at])
    return float(rates[at] * (rates[at + 1] / rates[at]) ** share)


def onsets(table: pd.DataFrame, along: str) -> NDArray[np.float64]:
    """Where each spike comes, on the scale of the learning rates or of the shifts: (sizes × seeds × spikes)."""
    of = dict(iter(table.groupby(["n", "seed"])))
    return np.array([
        [
            [onset(of[n, seed][along].to_numpy(), of[n, seed][f"lambda_{k + 1}"].to_numpy()) for k in range(SPIKES)]
            for seed in SEEDS
        ]
        for n in SIZES
    ])  # fmt: skip


def exponents(rates: NDArray[np.float64], spike: int) -> NDArray[np.float64]:
    """Of n, in the learning rate of a spike's onset, of each seed, over the sizes at which all seeds have it."""
    there = np.isfinite(rates[:, :, spike]).all(axis=1)
    slopes: NDArray[np.float64] = np.polyfit(np.log(SIZES)[there], np.log(rates[there, :, spike]), 1)[0]
    return slopes


def theory(spike: int) -> float:
    """The exponent of n from which on the spike is there, counted from 0."""
    return spike / (2 * (spike + 1))


def picture(table: pd.DataFrame) -> Figure:
    figure, axes = new_figure(1, 3, 2.9, abreast=1)
    for index, k in enumerate((0, 1)):
        ax = panel_title(axes[index], index, f"eigenvalue {k + 1} of the features")
        for n, (colour, marker) in zip(SIZES, SERIES, strict=False):
            rows = table[table.n == n]
            by_seed = rows.pivot_table(f"lambda_{k + 1}", "seed", "shift")
            rates = rows.groupby("shift").rate.mean()
            draw_band(ax, rates, by_seed, color=colour, marker=marker, label=f"n = {n}")
        ax.axhline(PAST, color=LAW, lw=0.8, ls=":", label=f"there from {PAST:g} on")
        ax.set(xscale="log", yscale="log", xlabel=r"$\eta/d$", ylabel=r"$\lambda$ over the edge")
    ax, rates = panel_title(axes[2], 2, "onset of each spike"), onsets(table, "rate")
    for k, (colour, marker) in zip(range(SPIKES), SERIES[4:], strict=False):
        draw_band(ax, SIZES, rates[:, :, k].T, color=colour, marker=marker, linestyle="", label=f"spike {k + 1}")
        first = np.nanmean(rates[:, :, k], axis=1)[0 if k < 2 else 1] / SIZES[0 if k < 2 else 1] ** theory(k)
        label = r"theory, $\propto n^{(k-1)/2k}$" if k == 0 else "_"
        ax.plot(SIZES, first * np.array(SIZES) ** theory(k), "--", color=LAW, lw=0.9, label=label)
    ax.set(xscale="log", yscale="log", xlabel="$n$", ylabel=r"$\eta/d$")
    ax.set_xticks(SIZES, [str(n) for n in SIZES])
    ax.minorticks_off()
    plain_numbers(ax.yaxis)
    shared_legend(figure, axes)
    figure_title(figure, f"Spikes of features after one step of descent, d = h = n/2, {len(SEEDS)} repeats")
    return figure


def nearest(values: NDArray[np.float64], spike: int) -> Outcome:
    """Whether an exponent is clearly nearer to that of its own spike than to those of the one before and after."""
    expected = theory(spike)
    text = f"{mean_std(values, 2)} where theory has {expected:.3g}"
    low = (expected + theory(spike - 1)) / 2 if spike else -(theory(1) + expected) / 2
    return Outcome(mean_inside(values[:, None], low, (expected + theory(spike + 1)) / 2), text)


def main() -> None:
    """Measure what is not kept, draw, and print tables and verdicts."""
    pieces: list[Row] = [{"n": n, "seed": seed} for n in SIZES for seed in SEEDS]
    table = kept_table("feature-spikes", pieces, leading)
    draw("feature-spikes", partial(picture, table))
    rates, shifts = onsets(table, "rate"), onsets(table, "shift")
    print("| n | η/d of spike 1 | 2 | 3 | shift τ there |\n|---|---|---|---|---|")
    for n, of_size, of_shift in zip(SIZES, rates, shifts, strict=True):
        cells = " | ".join(mean_std(k, 3) if np.isfinite(k).all() else "not in all" for k in of_size.T)
        print(f"| {n} | {cells} | {', '.join(f'{shift:.2f}' for shift in of_shift.mean(0))} |")
    print()
    claim = "onset of spike {}: its exponent of n is nearest to that of theory"
    print_verdicts({claim.format(k + 1): nearest(exponents(rates, k), k) for k in range(SPIKES)})


if __name__ == "__main__":
    main()
