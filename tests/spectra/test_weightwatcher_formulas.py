import math

import numpy as np
import pytest

from references.weightwatcher import unit_product_tail as exactly
from spectail.spectra.tails import ks_fit
from spectail.spectra.weightwatcher_formulas import (
    clipped_fit,
    density_fit,
    ks_fit_within,
    log10_power_sum,
    matrix_entropy,
    matrix_rank,
    share_distance,
    unit_product_tail,
    vector_quantities,
)


def spectrum(rows, cols, spikes=(), seed=0):
    rng = np.random.default_rng(seed)
    w = rng.normal(size=(rows, cols))
    for strength in spikes:
        u, v = rng.normal(size=rows), rng.normal(size=cols)
        w += strength * np.outer(u / np.linalg.norm(u), v / np.linalg.norm(v))
    return np.sort(np.linalg.svd(w, compute_uv=False) ** 2)


def test_the_rank_is_numpys():
    w = np.random.default_rng(0).normal(size=(30, 5)) @ np.random.default_rng(1).normal(size=(5, 20))
    values = np.sort(np.linalg.svd(w, compute_uv=False) ** 2)
    assert matrix_rank(values) == np.linalg.matrix_rank(w) == 5


@pytest.mark.parametrize(("values", "entropy"), [([1.0, 1.0, 1.0], 1.0), ([0.0, 0.0, 5.0], 0.0)])
def test_entropy_is_one_for_equal_eigenvalues_and_zero_for_one_direction(values, entropy):
    assert matrix_entropy(np.array(values)) == pytest.approx(entropy, abs=1e-15)


def test_a_sum_of_powers_beyond_floats_has_a_logarithm():
    values = np.array([2.0, 30.0, 40.0])
    assert log10_power_sum(values, 3.5) == pytest.approx(math.log10((values**3.5).sum()), rel=1e-14)
    assert log10_power_sum(values, 1e6) == pytest.approx(1e6 * math.log10(40.0), rel=1e-12)


def test_the_tail_of_unit_product_is_exact_where_products_leave_the_range_of_floats():
    small, large = spectrum(60, 40), spectrum(3000, 10, seed=1)
    assert unit_product_tail(small) == exactly(small.tolist())
    wide = np.sort(np.concatenate([large * 10.0**p for p in range(-20, 20)]))
    wide = np.concatenate([wide, np.full(600, wide[-1])])  # the mean is large, so products underflow
    assert unit_product_tail(wide) == exactly(wide.tolist())


def test_equal_eigenvalues_have_no_tail_of_unit_product():
    assert unit_product_tail(np.ones(20)) == 0


def test_share_distance_is_zero_alike_and_has_its_bound_where_nothing_is_shared():
    assert share_distance(np.array([1.0, 3.0]), np.array([1.0, 3.0])) == 0
    assert share_distance(np.array([0.0, 3.0]), np.array([2.0, 0.0])) == pytest.approx(math.sqrt(math.log(2)))


def test_fingers_are_clipped_no_more_than_it_takes():
    population = (1 - (np.arange(400) + 0.5) / 400) ** (-1 / 2.0)  # evenly of α = 3
    with_fingers = np.concatenate([population[:-20], np.full(5, 40.0) + np.arange(5)])
    whole = ks_fit(with_fingers)
    fit, clipped = clipped_fit(with_fingers, whole, most=10, drop=0.05)
    fits = [ks_fit(with_fingers[: len(with_fingers) - n]).alpha for n in range(11)]
    first = next((n for n in range(1, 11) if fits[n] < fits[0] - 0.05), 0)
    assert clipped == first
    assert fit.alpha == (fits[first] if first else whole.alpha)


def test_a_fit_in_a_range_is_the_fit_where_the_range_holds_it_and_keeps_to_it_where_not():
    values = spectrum(120, 80, spikes=(40, 60))
    free = ks_fit(values)
    held = ks_fit_within(values, 0.9 * free.xmin, 1.1 * free.xmin)
    assert (held.alpha, held.ks_distance) == pytest.approx((free.alpha, free.ks_distance), rel=1e-12)
    elsewhere = ks_fit_within(values, values[3], values[9])
    assert values[3] <= elsewhere.xmin <= values[9]
    assert elsewhere.ks_distance >= free.ks_distance
    assert "no tail starts" in ks_fit_within(values, 1e9, 2e9).note


@pytest.mark.parametrize(("rows", "cols"), [(400, 200), (300, 300)])
def test_the_fitted_bulk_is_that_of_the_noise_whatever_spikes_carry(rows, cols):
    """Of a square matrix as well, where WeightWatcher's quarter circle is right for one variance only."""
    values = spectrum(rows, cols, spikes=(80, 120))
    fit = density_fit(values, rows, cols)
    noise = rows * cols * 1.0
    assert fit.sigma == pytest.approx(math.sqrt(noise / values.sum()), rel=0.05)  # smoothed by a tenth of it
    assert fit.edges[1] == pytest.approx((math.sqrt(rows) + math.sqrt(cols)) ** 2, rel=0.1)
    assert fit.spikes == 2


def test_the_density_fit_has_no_scale():
    values = spectrum(150, 100)
    one, other = density_fit(values, 150, 100), density_fit(1e-6 * values, 150, 100)
    assert other.sigma == pytest.approx(one.sigma, rel=1e-9)
    assert other.edges == pytest.approx(tuple(1e-6 * edge for edge in one.edges), rel=1e-9)


def test_vectors_are_between_one_entry_and_all():
    n = 500
    vectors = np.stack([np.eye(n)[0], np.full(n, n**-0.5)], 1)
    quantities = vector_quantities(vectors)
    assert quantities["part_ratio"].tolist() == pytest.approx([1.0, n**0.25])
    assert quantities["loc_ratio"].tolist() == pytest.approx([1.0, n])
    assert quantities["vec_entropy"][1] == 0  # all in one bin
