"""Runs side by side: the same runs as one by one, in another order of sums."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from spectail.errors import SettingError
from spectail.experiments.experiment import Experiment
from spectail.experiments.protocols import NO_EPSILON
from spectail.experiments.run import simulate
from spectail.experiments.two_layer.problem import Problem
from spectail.experiments.two_layer.stack import Stack, simulate_stack
from spectail.recording.layout import beside

TINY = Experiment(n=40, n_test=10, n_test_large=20, d=12, h=18, steps=6, dtype="float64")
GD = [TINY.replace(optimizer="gd", lr=lr, protocol=p) for p in ("published", "equations") for lr in (1.0, 20.0)]
ADAM = [
    *[TINY.replace(lr=0.3, protocol=protocol) for protocol in ("published", "equations")],
    *[TINY.replace(lr=0.3, epsilon=epsilon) for epsilon in (NO_EPSILON, 1e-3)],
    TINY.replace(lr=0.3, optimizer_options={"betas": [0.9, 0.99]}),
]
OTHER = [e.replace(activation="gelu", initialization="mean_field") for e in ADAM]  # whose slope comes from the input


@pytest.mark.parametrize("experiments", [GD, ADAM, OTHER], ids=["gd", "adam", "another activation"])
def test_runs_side_by_side_are_those_of_one_by_one(experiments):
    for run in simulate_stack(experiments):
        alone = simulate(run.experiment)
        assert run.recording.attrs["key"] == alone.attrs["key"]
        for name in alone.data_vars:
            if alone[name].dtype.kind == "f":
                # the sums are in another order, which six steps of float64 do not magnify
                np.testing.assert_allclose(run.recording[name], alone[name], rtol=1e-7, atol=1e-9, err_msg=str(name))
            else:
                assert run.recording[name].values.tolist() == alone[name].values.tolist(), name
        np.testing.assert_allclose(run.objective[alone.step], alone.objective, rtol=1e-6)


def test_processes_that_measure_find_the_same():
    with ThreadPoolExecutor(2) as pool:
        beside_each_other = simulate_stack(ADAM[:2], pool=pool)
    for run, other in zip(beside_each_other, simulate_stack(ADAM[:2]), strict=True):
        assert run.recording.identical(other.recording.assign_attrs(run.recording.attrs))


def test_a_run_that_diverges_is_left_where_it_did_and_the_others_go_on():
    wild, tame = (
        TINY.replace(optimizer="gd", activation="he4", lr=1e3),
        TINY.replace(optimizer="gd", activation="he4", lr=1e-3),
    )
    first, second = simulate_stack([wild, tame])
    alone = simulate(wild)
    assert first.recording.attrs["diverged_at"] == alone.attrs["diverged_at"]
    assert first.recording.step.values.tolist() == alone.step.values.tolist()
    assert second.recording.step.values[-1] == TINY.steps


def test_what_cannot_be_side_by_side_is_refused_in_a_sentence():
    with pytest.raises(SettingError, match="have one problem, but here it differs"):
        simulate_stack([TINY, TINY.replace(seed=1)])
    with pytest.raises(SettingError, match="weight_normalization=True cannot be run side by side"):
        simulate_stack([TINY.replace(weight_normalization=True)])
    with pytest.raises(SettingError, match=r"optimizer_options=.*amsgrad.* cannot be run side by side"):
        simulate_stack([TINY.replace(optimizer_options={"amsgrad": True})])


@pytest.mark.parametrize("experiments", [GD, ADAM], ids=["gd", "adam"])
def test_stability_is_the_largest_curvature_by_all_of_the_hessian(experiments):
    runs = simulate_stack(experiments, stability_at=(3,))
    stack = Stack(experiments, Problem.draw(TINY))
    x, y, a, s = stack.problem.train.x, stack.problem.train.y, stack.problem.a, TINY.d**-0.5
    for run in runs:
        e = run.experiment
        weights = stack.problem.w0.clone().requires_grad_()
        output = torch.tanh(s * x @ weights.T) @ a / TINY.h**0.5
        slopes = torch.stack([torch.autograd.grad(o, weights, retain_graph=True)[0].flatten() for o in output])
        hessian = 2 * e.loss_factor / e.n * slopes.T @ slopes
        largest = float(torch.linalg.eigvalsh(hessian)[-1])
        assert beside(run.recording, "sharpness")[0] == pytest.approx(largest, rel=1e-2), "Lanczos stops early"
        gradient = -2 * e.loss_factor / e.n * slopes.T @ (y - output).detach()
        if e.optimizer == "adam":  # after the first update V is G², or 1 − β₂ of it
            _, beta2 = e.optimizer_options.get("betas", (0.9, 0.999))
            root = (gradient.square() * (1 if e.bias_correction else 1 - beta2)).sqrt() + e.epsilon
            seen = e.lr * float(torch.linalg.eigvalsh(hessian / (root[:, None] * root).sqrt())[-1]) / 38
        else:
            seen = e.lr * largest / 2
        assert beside(run.recording, "stability")[0] == pytest.approx(seen, rel=1e-2)
        assert set(run.stability) == {*run.recording.step.values, 3}
