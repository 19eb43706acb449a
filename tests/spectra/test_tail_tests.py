import numpy as np
import pytest
import torch

from spectail.spectra.tail_tests import bootstrap_p_value
from spectail.spectra.tails import ks_fit


def power_law(size, alpha, seed):
    uniform = np.random.default_rng(seed).random(size)
    return torch.from_numpy((1 - uniform) ** (-1 / (alpha - 1)))


def test_p_values_of_power_laws_are_uniform_and_of_an_exponential_small():
    p_values = []
    for seed in range(12):
        values = power_law(150, 2.5, seed)
        p_values.append(bootstrap_p_value(values, ks_fit(values), resamples=60, seed=seed).p_value)
    assert np.mean(p_values) == pytest.approx(0.5, abs=4 * np.sqrt(1 / 12 / 12))  # 4 standard errors of 12 uniforms
    assert np.mean(np.array(p_values) > 0.1) >= 0.6
    exponential = torch.from_numpy(np.random.default_rng(0).exponential(size=2000)) + 1.0
    fit = ks_fit(exponential, min_tail=1000)  # a tail long enough to tell
    assert bootstrap_p_value(exponential, fit, resamples=40).p_value < 0.1


def test_a_p_value_is_the_same_for_the_same_seed_and_says_how_well_it_is_known():
    values = power_law(100, 2.0, 0)
    first, second = (bootstrap_p_value(values, ks_fit(values), resamples=30, seed=4) for _ in range(2))
    assert first == second
    assert first.stderr == pytest.approx(np.sqrt(first.p_value * (1 - first.p_value) / 30))
    assert np.isnan(bootstrap_p_value(torch.zeros(5), ks_fit(torch.zeros(5))).p_value)
