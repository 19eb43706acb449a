"""What loss panels are compared with: closed forms, beside what is measured."""

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from spectail.experiments.experiment import Experiment
from spectail.experiments.two_layer.problem import Problem
from spectail.study.baselines import baselines, odd_and_even_squares
from spectail.study.panels import BELOW, draw_baselines

WIDE = Experiment(n=900, d=300, h=2, n_test=2, n_test_large=20_000, dtype="float64")


@pytest.mark.parametrize("teacher", ["softplus", "tanh"])
def test_linear_ridge_and_a_constant_reach_what_is_said(teacher):
    e = WIDE.replace(teacher=teacher)
    problem, said = Problem.draw(e), baselines(e)
    x, y, test = problem.holdout.x.numpy(), problem.holdout.y.numpy(), problem.test_large
    losses = []
    for ridge in np.geomspace(0.01, 10, 40) * e.n:
        beta = np.linalg.solve(x.T @ x + ridge * np.eye(e.d), x.T @ y)
        losses.append(float((test.y - test.x @ torch.from_numpy(beta)).square().mean()))
    # the best of one draw of 900 points: its loss varies by 2 %
    assert min(losses) == pytest.approx(said["linear ridge"], rel=0.04)
    assert float(test.y.var()) == pytest.approx(said["a constant"], rel=0.04)


def test_the_odd_part_of_softplus_is_half_its_argument_and_a_student_that_is_not_odd_is_bound_by_noise_alone():
    odd, even = odd_and_even_squares("softplus")
    assert odd == pytest.approx(0.25)
    assert baselines(Experiment())["any odd student"] == pytest.approx(even + 0.09)
    assert baselines(Experiment(activation="relu"))["any student"] == pytest.approx(0.09)


def test_a_baseline_that_one_panel_shows_is_named_once():
    """Panels of GD and of FB-Adam have other ranges, and one legend."""
    for order in ((0, 1), (1, 0)):
        panels = Figure().subplots(1, 2)
        panels[0].plot([0, 1], [0.85, 0.95])  # a constant's loss, of 0.36, lies below
        panels[1].plot([0, 1], [0.2, 2.5])
        for at in order:
            draw_baselines(panels[at], [WIDE])
        names = [[label.partition(",")[0] for label in ax.get_legend_handles_labels()[1]] for ax in panels]
        assert names == [["linear ridge"], ["linear ridge", "any odd student", "a constant"]]
    alone = Figure().subplots()
    alone.plot([0, 1], [0.85, 0.95])
    draw_baselines(alone, [WIDE])
    assert alone.get_legend_handles_labels()[1][-1].endswith(BELOW), "said where no panel shows it"
