"""Spectra of the conjugate kernel and of the NTK against their laws at step 0, and over a run."""

import numpy as np
import pytest
import torch

from spectail.experiments.experiment import Experiment
from spectail.experiments.kernel_law import kernel_law
from spectail.experiments.resume import ResumeState, Suspended
from spectail.experiments.run import simulate
from spectail.experiments.two_layer.problem import Problem

BASE = Experiment(n=600, n_test=5, n_test_large=5, d=500, h=800, steps=0, kernels=("ck",))


@pytest.mark.parametrize(
    "fields",
    [
        {"activation": "tanh"},
        {"activation": "relu"},
        {"activation": "gelu", "h": 400},
        {"d": 300, "initialization": "mup"},
    ],
)
def test_features_before_training_have_the_spectrum_of_the_law(fields):
    experiment = BASE.replace(**fields)
    spectrum = simulate(experiment).ck_eigenvalues.sel(step=0).values
    assert len(spectrum) == min(experiment.n, experiment.h)
    assert kernel_law(experiment).distance(spectrum) < 0.01


def test_the_ntk_comes_near_its_law():
    experiment = BASE.replace(n=400, d=400, kernels=("ntk",))
    assert kernel_law(experiment, "ntk").distance(simulate(experiment).ntk_eigenvalues.sel(step=0).values) < 0.02


def test_the_law_of_the_ntk_follows_the_readout_that_was_drawn():
    """By its mean, which is the trace of the kernel over n: of gradients by W it has |a|²/h as a factor."""
    experiment = BASE.replace(n=200, d=200, h=200, kernels=("ntk",), seed=5)
    readout = float(Problem.draw(experiment).a.double().square().mean())
    trace = float(simulate(experiment).ntk_eigenvalues.sel(step=0).mean())

    def mean(law):
        return law.points[0] + np.trapezoid(1 - law.cumulative, law.points)

    drawn, typical = (mean(kernel_law(experiment, "ntk", of_a)) for of_a in (readout, 1.0))
    assert abs(trace / drawn - 1) < 0.02 < 0.05 < abs(trace / typical - 1)  # of six seeds the first is 0.005, ± 0.01


def test_a_law_of_linear_features_is_that_of_a_product_of_two_gaussian_matrices():
    generator = torch.Generator().manual_seed(0)
    one, other = (torch.randn(n, 500, dtype=torch.float64, generator=generator) for n in (300, 600))
    law = kernel_law(BASE.replace(n=300, d=500, h=600, activation="identity"))
    assert law.distance(torch.linalg.svdvals(one @ other.T).square() / (500 * 600)) < 0.012
    assert np.all(np.diff(law.cumulative) >= 0)


def test_the_ntk_is_the_gram_matrix_of_gradients():
    e = Experiment(n=12, n_test=5, n_test_large=5, d=7, h=9, steps=0, kernels=("ntk", "ck"), dtype="float64")
    problem, run = Problem.draw(e), simulate(e)
    w, a = (t.clone().requires_grad_() for t in (problem.w0, problem.a))
    rows = []
    for x in problem.holdout.x:
        gradients = torch.autograd.grad(a @ (w @ x / 7**0.5).tanh() / 3, (w, a))
        rows.append(torch.cat([g.flatten() for g in gradients]))
    kernel = torch.stack(rows) @ torch.stack(rows).T
    np.testing.assert_allclose(run.ntk_eigenvalues[0], torch.linalg.eigvalsh(kernel), rtol=1e-9, atol=1e-12)
    features = (problem.w0 @ problem.holdout.x.T / 7**0.5).tanh()
    np.testing.assert_allclose(run.ck_eigenvalues[0], torch.linalg.eigvalsh(features @ features.T / 9), atol=1e-12)


def test_a_large_step_puts_the_teachers_direction_outside_the_bulk_of_features():
    e = BASE.replace(n=400, d=200, h=300, optimizer="gd", lr=3000, steps=1, protocol="published", teacher="tanh")
    edge = kernel_law(e)
    top = edge.points[np.searchsorted(edge.cumulative, 1 - 1e-6)]
    spectra = simulate(e).ck_eigenvalues.values
    assert (spectra[0] > 1.1 * top).sum() == 0
    assert 1 <= (spectra[1] > 1.1 * top).sum() <= 3


def test_a_run_with_kernels_goes_on_to_the_same_bits():
    e = Experiment(n=20, n_test=5, n_test_large=5, d=7, h=9, steps=2, kernels=("ck", "ntk"))
    kept = []
    with pytest.raises(Suspended):
        simulate(e, resume=ResumeState(lambda: None, kept.append, seconds=0, stopping=lambda: len(kept) == 1))
    again = simulate(e, resume=ResumeState(lambda: kept[-1], lambda content: None, seconds=0))
    assert again.checksum == simulate(e).checksum


def test_a_law_that_is_not_known_is_said():
    with pytest.raises(ValueError, match=r"^a law is known of kernels with one hidden layer"):
        kernel_law(BASE.replace(layers=(30, 20)))
    with pytest.raises(ValueError, match=r"^kernels='ntk' is of a student with one hidden layer"):
        BASE.replace(layers=(30, 20), kernels=("ntk",))
