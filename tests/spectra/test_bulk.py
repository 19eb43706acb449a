import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from spectail.errors import SpectailError
from spectail.spectra.bulk import MarchenkoPastur, fit_marchenko_pastur
from spectail.spectra.eigen import eigenvalues
from spectail.spectra.tails import hill

SHAPES = [(1500, 1000), (1000, 1500), (700, 700), (3000, 500), (5, 2000)]


def density_at(law):
    return lambda x: float(law.density(torch.tensor(x, dtype=torch.float64)))


def gaussian(rows, cols, seed=0):
    return torch.randn(rows, cols, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("variance", [1.0, 0.3])
def test_density_has_mass_one_and_the_known_moments(shape, variance):
    law = MarchenkoPastur(*shape, variance)
    p, b = max(shape), min(shape)
    low, high = law.edges
    moments = [quad(lambda x, k=k: x**k * density_at(law)(x), low, high, limit=400)[0] for k in range(3)]
    assert moments[0] == pytest.approx(1.0, abs=1e-5)  # quad's accuracy at the pole of a square matrix
    assert moments[1] == pytest.approx(variance * p, rel=1e-6)  # E λ = v p
    assert moments[2] == pytest.approx(variance**2 * p * (p + b), rel=1e-6)  # E λ² = v² p (p + b)


@pytest.mark.parametrize("shape", SHAPES)
def test_zero_eigenvalues_and_the_bulk_make_up_the_whole(shape):
    law = MarchenkoPastur(*shape)
    assert law.mass_at_zero == pytest.approx(max(0.0, 1 - shape[0] / shape[1]))
    assert law.mass_at_zero + min(shape) / shape[1] == pytest.approx(1.0)


@pytest.mark.parametrize("shape", SHAPES)
def test_cdf_is_the_integral_of_the_density(shape):
    law = MarchenkoPastur(*shape, 2.0)
    low, high = law.edges
    for share in (0.01, 0.2, 0.5, 0.9, 0.999):
        x = low + share * (high - low)
        assert float(law.cdf(torch.tensor(x))) == pytest.approx(quad(density_at(law), low, x, limit=400)[0], abs=1e-5)
    outside = torch.tensor([low - 1, high + 1], dtype=torch.float64)
    torch.testing.assert_close(law.cdf(outside), torch.tensor([0.0, 1.0], dtype=torch.float64), atol=1e-9, rtol=0)


@pytest.mark.parametrize("shape", SHAPES)
def test_quantile_inverts_the_cdf(shape):
    law = MarchenkoPastur(*shape)
    q = torch.linspace(0.001, 0.999, 41, dtype=torch.float64)
    torch.testing.assert_close(law.cdf(law.quantile(q)), q, atol=1e-9, rtol=0)


def test_edges_and_median_of_the_papers_shape():
    law = MarchenkoPastur(1500, 1000)
    assert law.edges == pytest.approx((50.51, 4949.49), abs=0.01)
    assert float(law.quantile(torch.tensor(0.5))) == pytest.approx(1158.6, abs=0.1)
    assert law.median() == float(law.quantile(torch.tensor(0.5)))
    assert law.edge_fluctuation == pytest.approx(27.1, abs=0.05)


@pytest.mark.parametrize("shape", [(600, 400), (400, 600), (400, 400), (900, 150)])
def test_gaussian_matrices_follow_the_law(shape):
    values = eigenvalues(gaussian(*shape))
    # eigenvalues are rigid: their distance is a few times 1/b, not 1/sqrt(b)
    assert MarchenkoPastur(*shape).distance(values) < 6 / min(shape)


@pytest.mark.parametrize(("shape", "expected"), [((1500, 1000), 2.449), ((3000, 500), 4.009)])
def test_hill_of_the_law_is_the_known_value_and_what_large_gaussians_show(shape, expected):
    law = MarchenkoPastur(*shape)
    assert law.hill() == pytest.approx(expected, abs=6e-4)
    quantiles = law.quantile((torch.arange(4000, dtype=torch.float64) + 0.5) / 4000)
    assert hill(quantiles) == pytest.approx(law.hill(), rel=2e-3)  # 1/N of the discrete median


@pytest.mark.parametrize("shape", [(300, 200), (200, 300), (250, 250)])
def test_fit_recovers_the_variance_of_the_entries(shape):
    fitted = fit_marchenko_pastur(eigenvalues(0.7 * gaussian(*shape)), *shape)
    assert fitted.variance == pytest.approx(0.49, rel=0.03)  # the median fluctuates by about 1/b


@pytest.mark.parametrize("size", [1e2, 1e4, 1e8])
def test_a_spike_of_any_size_does_not_widen_the_fitted_bulk(size):
    values = eigenvalues(gaussian(300, 200))
    clean = fit_marchenko_pastur(values, 300, 200)
    spiked = values.clone()
    spiked[-1] *= size
    assert fit_marchenko_pastur(spiked, 300, 200).edges[1] == pytest.approx(clean.edges[1], rel=1e-12)
    mean_based = float(spiked.mean()) / 300  # what a fit of the mean would say
    assert mean_based > 1.5 or size < 1e4


def test_fit_follows_the_scale_of_the_spectrum():
    values = eigenvalues(gaussian(90, 60))
    one, other = fit_marchenko_pastur(values, 90, 60), fit_marchenko_pastur(values * 1e-12, 90, 60)
    assert other.variance == pytest.approx(one.variance * 1e-12, rel=1e-12)


def test_degenerate_spectra_have_a_degenerate_bulk_not_an_error():
    assert fit_marchenko_pastur(torch.zeros(10), 20, 10).variance == 0.0
    assert math.isnan(fit_marchenko_pastur(torch.tensor([1.0, math.nan]), 3, 2).variance)
    assert np.isfinite(fit_marchenko_pastur(torch.ones(1), 4, 1).variance)


def test_a_matrix_without_rows_is_refused():
    with pytest.raises(SpectailError, match="at least one row"):
        MarchenkoPastur(0, 4)
