"""Spikes of W after one step of descent on a teacher of K directions, and where those beyond K come from.

    python -m benchmarks.several_directions

Of a quadratic link the gradient has one direction for each of the teacher's in expectation. Beside them n points leave
Xᵀy/n, which is of the order of √(d/n) and not 0: a further direction, that of a linear teacher. Damian et al. (2022)
take the linear fit off the labels first. The student's output before training, f₀, is another part of the residual.
"""

from __future__ import annotations

import torch

from spectail.experiments.experiment import Experiment
from spectail.experiments.two_layer.networks import make_network
from spectail.experiments.two_layer.problem import Problem
from spectail.spectra.fixed_phases import classify_by_fixed_thresholds

DIRECTIONS = (1, 2, 3, 5)
SEEDS = range(5)
RATES = (100.0, 200.0, 400.0)

BASE = Experiment(
    n=4000, d=60, h=120, n_test=5, n_test_large=5, label_noise=0.0, teacher="he2", activation="gelu",
    initialization="mean_field", optimizer="gd", steps=1, protocol="published",
)  # fmt: skip


WITHOUT = {"as trained": "", "without f₀": "f", "without the labels' linear fit": "l", "without both": "fl"}


def spikes(experiment: Experiment, without: str) -> int:
    """How many spikes W₁ has, of the whole residual or without f₀ ("f") and the labels' linear fit ("l")."""
    problem = Problem.draw(experiment)
    network, x, y = make_network(experiment, problem), problem.train.x, problem.train.y.to(problem.w0.dtype)
    residual = network.residual(x, y)
    residual = y.clone() if "f" in without else residual
    if "l" in without:
        residual -= x @ torch.linalg.lstsq(x, y[:, None]).solution[:, 0]
    network.put_gradients(residual, x, 2 * experiment.loss_factor)
    gradient = network.matrices[0].grad
    assert gradient is not None
    weights = network.matrices[0].detach() - experiment.lr * gradient
    eigenvalues = torch.linalg.svdvals(weights.double()).square().flip(0)
    return classify_by_fixed_thresholds(eigenvalues, *weights.shape).n_spikes


def main() -> None:
    """Print a row for each number of directions and learning rate."""
    print("| K | η | " + " | ".join(WITHOUT) + " |")
    print("|---|---|" + "---|" * len(WITHOUT))
    for k in DIRECTIONS:
        for lr in RATES:
            runs = [BASE.replace(directions=k, lr=lr, seed=seed) for seed in SEEDS]
            counts = [", ".join(str(spikes(e, without)) for e in runs) for without in WITHOUT.values()]
            print(f"| {k} | {lr:g} | " + " | ".join(counts) + " |", flush=True)


if __name__ == "__main__":
    main()
