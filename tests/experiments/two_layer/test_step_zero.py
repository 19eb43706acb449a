"""The first update by itself, beside that of a run."""

import math

import pytest
import torch

from spectail.experiments.experiment import Experiment
from spectail.experiments.run import simulate
from spectail.experiments.two_layer.problem import Problem
from spectail.experiments.two_layer.step_zero import update_of_first_step

TINY = Experiment(n=40, n_test=5, n_test_large=5, d=12, h=18, steps=1, dtype="float64", lr=0.1)


@pytest.mark.parametrize(
    "fields",
    [
        {"optimizer": "gd"},
        {"optimizer": "adam", "protocol": "published"},
        {"optimizer": "Muon"},
        {"optimizer": "shampoo"},
        {"optimizer": "LBFGS"},
        {"layers": (18, 10), "optimizer": "lion"},
    ],
)
def test_it_is_that_of_a_run_whatever_the_optimizer(fields):
    experiment = TINY.replace(**fields)
    run = simulate(experiment).sel(step=1)
    update = update_of_first_step(experiment)
    assert float(update.norm()) == pytest.approx(float(run.update_norm_fro.values.ravel()[0]), rel=1e-12)
    if not experiment.layers:
        moved = Problem.draw(experiment).w0 + update
        torch.testing.assert_close(
            torch.linalg.svdvals(moved).square().flip(0), torch.from_numpy(run.eigenvalues.values), rtol=1e-9, atol=0
        )


def test_shampoo_without_epsilon_turns_all_directions_alike_in_float32_too():
    # rounding makes eigenvalues of GGᵀ negative where ε does not hide it; 12 of 18 rows' directions have none at all
    update = update_of_first_step(TINY.replace(optimizer="shampoo", optimizer_options={"eps": 1e-20}, dtype="float32"))
    values = torch.linalg.svdvals(update.double())
    assert math.isfinite(float(values.sum()))
    torch.testing.assert_close(values[:10], torch.full((10,), 0.1, dtype=torch.float64), rtol=0.02, atol=0)
