import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import gaussian_kde, wasserstein_distance

from spectail.spectra.distances import spectral_distances
from spectail.spectra.eigen import eigenvalues

SPECTRA = st.lists(st.floats(1e-4, 1e4), min_size=1, max_size=30)


def gaussian(rows, cols, seed=0):
    return eigenvalues(torch.randn(rows, cols, generator=torch.Generator().manual_seed(seed))).numpy()


@settings(max_examples=50)
@given(SPECTRA, SPECTRA)
def test_it_is_scipys_distance_of_logarithms_for_any_two_lengths(one, other):
    far = spectral_distances(one, other)
    assert far.wasserstein == pytest.approx(wasserstein_distance(np.log(one), np.log(other)), abs=1e-9)
    assert 0 <= far.wasserstein_shape <= far.wasserstein + 1e-12
    assert 0 <= far.jensen_shannon <= 1
    back = spectral_distances(other, one)
    assert back.wasserstein_shape == pytest.approx(far.wasserstein_shape, abs=1e-9)
    assert back.scale == pytest.approx(-far.scale, abs=1e-9)


@settings(max_examples=50)
@given(SPECTRA, SPECTRA, st.floats(1e-3, 1e3))
def test_no_scale_brings_two_spectra_closer_than_the_distance_of_their_shapes(one, other, factor):
    far = spectral_distances(one, other)
    scaled = spectral_distances([factor * value for value in one], other)
    assert scaled.wasserstein >= far.wasserstein_shape - 1e-9
    assert scaled.wasserstein_shape == pytest.approx(far.wasserstein_shape, abs=1e-9)
    best = spectral_distances([math.exp(far.scale) * value for value in one], other)
    assert best.wasserstein == pytest.approx(far.wasserstein_shape, abs=1e-9)


@pytest.mark.parametrize("factor", [1.0, 3.0, 1e-6])
def test_a_scale_is_all_the_distance_there_is_between_multiples(factor):
    values = gaussian(60, 40)
    far = spectral_distances(values, factor * values)
    assert far.wasserstein == pytest.approx(abs(math.log(factor)), abs=1e-9)
    assert far.scale == pytest.approx(math.log(factor), abs=1e-9)
    assert far.wasserstein_shape == pytest.approx(0, abs=1e-9)
    assert far.jensen_shannon_shape == pytest.approx(0, abs=1e-2)  # a point may fall into the next of 2,048 cells
    assert (far.jensen_shannon > 0.3) == (factor != 1.0)


def test_the_divergence_is_that_of_kernel_densities():
    one, other = np.log(gaussian(300, 200)), np.log(2 * gaussian(300, 120, seed=1))
    bandwidth = 1.06 * max(one.std(), other.std()) * 120**-0.2
    grid = np.linspace(min(one[0], other[0]) - 3, max(one[-1], other[-1]) + 3, 4000)
    densities = [gaussian_kde(values, bandwidth / values.std(ddof=1))(grid) for values in (one, other)]
    far = spectral_distances(np.exp(one), np.exp(other))
    assert far.jensen_shannon == pytest.approx(jensenshannon(*densities, base=2), rel=5e-3)  # of 2,048 cells


def test_spectra_without_a_place_in_common_are_one_apart():
    assert spectral_distances(gaussian(60, 40), 1e9 * gaussian(60, 40)).jensen_shannon == pytest.approx(1, abs=1e-6)


def test_zeros_are_left_out():
    values = gaussian(60, 40)
    assert spectral_distances(np.append(values, [0.0, 1e-30]), values).wasserstein == 0


@pytest.mark.parametrize("bad", [[], [0.0, 0.0], [1.0, math.nan], [1.0, math.inf]])
def test_what_is_no_spectrum_has_no_distance(bad):
    assert math.isnan(spectral_distances(torch.tensor(bad), [1.0, 2.0]).wasserstein)


def test_noise_of_one_shape_is_close_and_a_spectrum_that_changed_is_not():
    noise = [gaussian(300, 200, seed) for seed in range(3)]
    near = spectral_distances(noise[0], noise[1])
    broad = spectral_distances(noise[0], noise[2] ** 1.5)
    assert broad.wasserstein_shape > 10 * near.wasserstein_shape
    assert broad.jensen_shannon_shape > 3 * near.jensen_shannon_shape
