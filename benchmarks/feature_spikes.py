"""How many spikes the features have after one step with η ≍ n^s: `python -m benchmarks.feature_spikes [N …]`.

Moniri, Lee, Hassani & Dobriban (2310.07891): with n, d, h in proportion, a step of descent with η ≍ n^s leaves ℓ spikes
in the feature matrix of fresh points for (ℓ−1)/(2ℓ) < s < ℓ/(2ℓ+2). So the learning rate from which the k-th spike is
there grows as n^((k−1)/(2k)): as a constant, n^(1/4), n^(1/3). Of each size and seed a grid of learning rates is taken,
and the rate found at which the k-th eigenvalue of the conjugate kernel passes 1.3 times the edge of the untrained law.
"""

from __future__ import annotations

import math
import sys

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spectail.experiments.experiment import Experiment
from spectail.experiments.kernel_law import kernel_law
from spectail.experiments.two_layer.kernels import eigenvalues_of_gram
from spectail.experiments.two_layer.networks import make_network
from spectail.experiments.two_layer.problem import Problem
from spectail.spectra.gram import lower_gram

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


def spectra(e: Experiment) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Learning rates, each over d, and the leading eigenvalues after one step at each: (rates), (rates × 6)."""
    problem = Problem.draw(e)
    network = make_network(e, problem)
    x, y = problem.train.x, problem.train.y
    network.put_gradients(network.residual(x, y), x, 1.0)
    w0, gradient = problem.w0.clone(), network.trained[0].grad
    assert gradient is not None, "it was put there"
    beta = float((x.double().T @ y / e.n).norm())
    rates, leading = SHIFTS * math.sqrt(e.h) / (LINEAR * beta), []
    for rate in rates:
        network.matrices[0].copy_(w0 - float(rate * e.d) * gradient)
        features = network.hidden(problem.holdout.x, 1.0).double().T / e.h**0.5
        leading.append(eigenvalues_of_gram(lower_gram([features]))[::-1][:6])
    return rates, np.array(leading)


def first_rate(rates: NDArray[np.float64], ratios: NDArray[np.float64]) -> float:
    """The rate from which on a ratio to the edge stays above `PAST`, interpolated; NaN where the grid lacks it."""
    below = np.flatnonzero(ratios < PAST)
    if not len(below) or below[-1] == len(rates) - 1:
        return math.nan
    at = below[-1]
    share = math.log(PAST / ratios[at]) / math.log(ratios[at + 1] / ratios[at])
    return float(rates[at] * (rates[at + 1] / rates[at]) ** share)


def main() -> None:
    torch.set_num_threads(1)
    sizes = [int(word) for word in sys.argv[1:]] or SIZES
    onsets = np.zeros((len(sizes), len(SEEDS), SPIKES))
    print("| n | most spikes | η/d of spike 1 | 2 | 3 | shift τ there |\n|---|---|---|---|---|---|")
    for i, n in enumerate(sizes):
        law = kernel_law(experiment(n, 0))
        edge = law.points[np.searchsorted(law.cumulative, 1 - 1e-6)]
        most, shifts = 0, np.zeros((len(SEEDS), SPIKES))
        for j, seed in enumerate(SEEDS):
            rates, leading = spectra(experiment(n, seed))
            most = max(most, int((leading > PAST * edge).sum(1).max()))
            onsets[i, j] = [first_rate(rates, leading[:, k] / edge) for k in range(SPIKES)]
            shifts[j] = onsets[i, j] / rates[0] * SHIFTS[0]
        cells = [f"{m:.3g} ± {s:.2g}" for m, s in zip(onsets[i].mean(0), onsets[i].std(0, ddof=1), strict=True)]
        words = ", ".join(f"{shift:.2f}" for shift in shifts.mean(0))
        print(f"| {n} | {most} | {' | '.join(cells)} | {words} |", flush=True)
    if len(sizes) > 1:
        slopes = np.array([np.polyfit(np.log(sizes), np.log(onsets[:, j]), 1)[0] for j in range(len(SEEDS))])
        for k, (mean, std) in enumerate(zip(slopes.mean(0), slopes.std(0, ddof=1), strict=True)):
            print(f"spike {k + 1}: η ∝ n^({mean:.3f} ± {std:.3f}), theory {k / (2 * (k + 1)):.3f}")


if __name__ == "__main__":
    main()
