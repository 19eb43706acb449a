import numpy as np
import pytest
import torch

from references import truncated as reference
from spectail.spectra.tails import ks_fit
from spectail.spectra.truncated_power_law import truncated_power_law_fit


def truncated_sample(size, alpha, rate, seed=0):
    """By rejection of Pareto numbers."""
    rng = np.random.default_rng(seed)
    drawn = (1 - rng.random(20 * size)) ** (-1 / (alpha - 1))
    return drawn[rng.random(len(drawn)) < np.exp(-rate * (drawn - 1))][:size]


SAMPLES = {
    "truncated": truncated_sample(9, 1.5, 0.1),
    "power law": np.random.default_rng(1).pareto(1.2, 9) + 1,
    "bulk": np.linalg.svd(np.random.default_rng(2).normal(size=(14, 9)), compute_uv=False) ** 2,
}


@pytest.mark.parametrize("name", SAMPLES)
def test_it_is_the_fit_of_a_general_optimizer(name):
    alpha, rate, xmin, distance = reference.fit(SAMPLES[name])
    fit = truncated_power_law_fit(SAMPLES[name])
    assert fit.xmin == pytest.approx(xmin, rel=1e-12)
    tail = np.sort(SAMPLES[name])[-fit.tail_size :]
    ours = reference.log_likelihood(tail, fit.alpha + 1e-13, max(fit.rate, 1e-13))
    assert ours >= reference.log_likelihood(tail, alpha, rate) - 1e-9  # nothing is likelier
    assert fit.alpha == pytest.approx(alpha, abs=1e-3)  # the optimizer stops where the likelihood is flat
    assert fit.ks_distance == pytest.approx(distance, abs=1e-4)


def test_its_distance_is_that_of_the_law():
    fit = truncated_power_law_fit(SAMPLES["truncated"])
    tail = np.sort(SAMPLES["truncated"])[-fit.tail_size :]
    law = [1 - reference.share_above(x, fit.xmin, fit.alpha, fit.rate) for x in tail]
    assert fit.ks_distance == pytest.approx(np.abs(np.array(law) - np.arange(len(tail)) / len(tail)).max(), abs=1e-9)


def test_parameters_of_many_numbers_are_recovered_within_their_error():
    fits = [truncated_power_law_fit(truncated_sample(1000, 1.8, 0.05, seed), highest=1.02) for seed in range(20)]
    alphas = np.array([fit.alpha for fit in fits])
    assert abs(alphas.mean() - 1.8) < 3 * alphas.std() / np.sqrt(20)
    rates = np.array([fit.rate for fit in fits])
    assert abs(rates.mean() - 0.05) < 3 * rates.std() / np.sqrt(20)
    assert np.mean([fit.stderr for fit in fits]) == pytest.approx(alphas.std(), rel=0.5)  # of 20 draws


def test_where_no_rate_is_likelier_than_none_it_is_the_power_law():
    values = np.append(np.geomspace(1.0, 10.0, 60) ** 0.5, 1e4)  # one value far beyond any exponential
    fit, plain = truncated_power_law_fit(values), ks_fit(values)
    assert fit.rate == 0
    assert fit.alpha == pytest.approx(1 + fit.tail_size / np.log(values[-fit.tail_size :] / fit.xmin).sum(), rel=1e-12)
    assert fit.ks_distance >= plain.ks_distance - 1e-12


def test_it_has_no_scale():
    values = SAMPLES["bulk"]
    one, other = truncated_power_law_fit(values), truncated_power_law_fit(1e-8 * values)
    assert other.alpha == pytest.approx(one.alpha, abs=1e-7)
    assert other.rate == pytest.approx(1e8 * one.rate, rel=1e-7)
    assert other.ks_distance == pytest.approx(one.ks_distance, abs=1e-9)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ([0.0, 1.0, 2.0], "three positive"),
        ([1.0, float("nan"), 2.0], "NaN"),
        ([3.0] * 10, "all equal"),
    ],
)
def test_where_there_is_no_fit_it_says_why(values, why):
    fit = truncated_power_law_fit(torch.tensor(values))
    assert np.isnan(fit.alpha)
    assert why in fit.note


def test_a_tail_may_be_told_where_to_start():
    values = np.sort(SAMPLES["power law"])
    fit = truncated_power_law_fit(values, lowest=values[4], highest=values[4])
    assert (fit.xmin, fit.tail_size) == (pytest.approx(values[4]), 5)
