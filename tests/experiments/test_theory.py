"""Predictions against runs at the paper's own size, within the tolerances of their derivation."""

import math

import numpy as np
import pytest
import torch

from spectail.experiments.experiment import Experiment
from spectail.experiments.run import simulate, simulate_many
from spectail.experiments.theory import caveat, critical_lr, gaussian_moments, predict_one_step, untrained_law
from spectail.experiments.two_layer.problem import Problem
from spectail.experiments.two_layer.student import Student
from spectail.spectra.norms import frobenius_norm, spectral_norm

ONE = Experiment(
    steps=1, record=(1,), overlaps=((1, 0),), n_test=10, n_test_large=10, loss_factor=0.5, bias_correction=True
)
CASES = {
    "GD, ntk": ONE.replace(optimizer="gd", lr=4000),
    "FB-Adam, ntk, η=0.1": ONE.replace(lr=0.1),
    "FB-Adam, ntk, η=1": ONE.replace(lr=1.0),
    "GD, mean-field": ONE.replace(optimizer="gd", lr=200, initialization="mean_field"),
    "FB-Adam, mean-field, η=0.005": ONE.replace(lr=0.005, initialization="mean_field"),
    "FB-Adam, mean-field, η=0.04": ONE.replace(lr=0.04, initialization="mean_field"),
}


@pytest.mark.parametrize("name", CASES)
def test_one_step_puts_the_spike_and_the_alignment_where_theory_says(name):
    experiment = CASES[name]
    predicted, run = predict_one_step(experiment), simulate(experiment)
    # corrections of order 1/√d, and the spread over seeds: 10 % of λ₁, 0.08 of sim
    assert run.eigenvalues.values[0, -1] == pytest.approx(predicted.top_eigenvalue, rel=0.10)
    assert run.alignment.item() == pytest.approx(predicted.alignment, abs=0.08)
    # the same corrections: measured within 0.02 of theory over these cases, 0.06 leaves room for GD's seeds
    assert run.overlap_left.values[0, 0, 0] == pytest.approx(predicted.left_overlap, abs=0.06)
    assert run.overlap_right.values[0, 0, 0] == pytest.approx(predicted.right_overlap, abs=0.06)
    assert predicted.has_spike
    assert run.n_spikes.item() >= 1


@pytest.mark.parametrize("optimizer", ["gd", "adam"])
@pytest.mark.parametrize("initialization", ["ntk", "mean_field"])
def test_a_spike_is_visible_a_quarter_above_the_critical_learning_rate_and_not_below(optimizer, initialization):
    base = ONE.replace(optimizer=optimizer, initialization=initialization, overlaps=())
    critical = critical_lr(base)
    below, above = (run for _, run in simulate_many([base.replace(lr=f * critical) for f in (0.75, 1.35)]))
    assert below.n_spikes.item() == 0
    assert above.n_spikes.item() >= 1


@pytest.mark.parametrize(("initialization", "lr_gd", "lr_adam"), [("ntk", 2520, 0.0466), ("mean_field", 82.7, 0.00114)])
def test_critical_learning_rates_of_the_papers_sizes(initialization, lr_gd, lr_adam):
    base = ONE.replace(initialization=initialization)
    assert critical_lr(base.replace(optimizer="gd")) == pytest.approx(lr_gd, rel=1e-3)
    assert critical_lr(base) == pytest.approx(lr_adam, rel=2e-3)
    # without bias correction the first step is 3.162 times as long; with loss 1/n GD's is twice
    assert critical_lr(base) / critical_lr(base.replace(bias_correction=False)) == pytest.approx(
        math.sqrt(10), rel=1e-3
    )
    gd = base.replace(optimizer="gd")
    assert critical_lr(gd) / critical_lr(gd.replace(loss_factor=1.0)) == pytest.approx(2.0, rel=1e-6)


@pytest.mark.parametrize("initialization", ["ntk", "mean_field"])
def test_the_sign_of_the_gradient_is_as_nearly_rank_one_as_the_arcsine_law_says(initialization):
    e = ONE.replace(initialization=initialization)
    problem = Problem.draw(e)
    student = Student(problem.a, e.d, e.activation, initialization)
    residual = student.residual(problem.w0, problem.train.x, problem.train.y)
    sign = student.gradient(residual, problem.train.x).sign()
    ratio = spectral_norm(sign) / math.sqrt(e.h * e.d)
    assert ratio == pytest.approx(predict_one_step(e).norm_ratio, abs=0.02)
    assert frobenius_norm(sign) == pytest.approx(math.sqrt(e.h * e.d))  # no entry of G₀ is zero (Prop. B.6)


def test_gaussian_moments_are_the_known_constants():
    tanh, softplus = gaussian_moments("tanh"), gaussian_moments("softplus")
    assert tanh.linear == pytest.approx(0.605706, abs=1e-6)
    assert tanh.square == pytest.approx(0.394294, abs=1e-6)
    assert tanh.slope_variance == pytest.approx(0.097524, abs=1e-6)
    assert (softplus.mean, softplus.square) == pytest.approx((0.806059, 0.921246), abs=1e-6)
    assert softplus.linear == pytest.approx(0.5, abs=1e-9)


@pytest.mark.parametrize("name", ["tanh", "gelu", "he3", "sine", "softplus"])
def test_stein_the_first_hermite_coefficient_is_the_mean_slope(name):
    from spectail.experiments.activations import ACTIVATIONS

    nodes, weights = np.polynomial.hermite_e.hermegauss(180)
    slope = ACTIVATIONS[name].slope(torch.from_numpy(nodes)).numpy() @ weights / math.sqrt(2 * math.pi)
    assert gaussian_moments(name).linear == pytest.approx(slope, abs=1e-9)


def test_an_activation_without_a_linear_part_never_makes_a_spike():
    assert critical_lr(ONE.replace(activation="he2")) == math.inf


@pytest.mark.parametrize(
    ("optimizer", "activation", "initialization", "words"),
    [
        ("gd", "tanh", "ntk", ""),
        ("gd", "relu", "ntk", "not odd"),
        ("gd", "relu", "mean_field", ""),
        ("adam", "relu", "mean_field", "0 to 17 %"),
        ("sign", "relu", "ntk", "1 to 8 %"),
        ("adam", "he2", "ntk", "3.3 and 11 times the edge"),
    ],
)
def test_where_the_prediction_is_not_good_it_says_so(optimizer, activation, initialization, words):
    said = caveat(ONE.replace(optimizer=optimizer, activation=activation, initialization=initialization))
    assert words in said
    assert bool(said) == bool(words)


def test_without_a_linear_part_the_bulk_moves_by_what_the_caveat_says():
    small = ONE.replace(n=400, d=200, h=300, activation="he2", lr=1.0, overlaps=())
    runs = [run for _, run in simulate_many([small.replace(seed=seed) for seed in range(3)])]
    tops = [run.eigenvalues.values[-1, -1] / untrained_law(small).edges[1] for run in runs]
    # 3.3 at more than twice the size, 3.2 to 3.5 over seeds; in smaller matrices they differ by twice as much
    assert np.mean(tops) == pytest.approx(3.3, rel=0.15)


def test_gd_of_a_student_that_is_not_odd_is_below_the_prediction_by_what_the_caveat_says():
    small = ONE.replace(n=400, d=200, h=300, optimizer="gd", activation="softplus", overlaps=())
    runs = [small.replace(lr=2 * critical_lr(small), seed=seed) for seed in range(6)]
    tops = [run.eigenvalues.values[0, -1] for _, run in simulate_many(runs)]
    # 33 ± 8 % in three draws of more than twice the size; it depends on the sum of a, which differs from seed to seed
    assert -0.4 < np.mean(tops) / predict_one_step(runs[0]).top_eigenvalue - 1 < -0.1


def test_critical_learning_rate_scales_with_size_as_theory_says():
    def ratio(e):
        return critical_lr(e.replace(n=8000, d=4000, h=6000)) / critical_lr(e)

    assert ratio(ONE.replace(optimizer="gd")) == pytest.approx(4.0, rel=1e-6)  # ∝ d
    assert ratio(ONE) == pytest.approx(0.5, rel=2e-3)  # ∝ d^(-1/2)
    mean_field = ONE.replace(initialization="mean_field")
    assert ratio(mean_field.replace(optimizer="gd")) == pytest.approx(2.0, rel=0.01)  # ∝ √d, and terms of 1/h
    assert ratio(mean_field) == pytest.approx(0.25, rel=0.01)  # ∝ 1/d, and terms of 1/h


def test_other_optimizers_have_no_prediction():
    with pytest.raises(ValueError, match="gd, adam and sign"):
        predict_one_step(ONE.replace(optimizer="AdamW"))
