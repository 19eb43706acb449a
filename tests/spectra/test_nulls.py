import numpy as np
import pytest
import torch

from spectail.errors import SpectailError
from spectail.spectra.bulk import MarchenkoPastur, fit_marchenko_pastur
from spectail.spectra.eigen import eigenvalues
from spectail.spectra.norms import effective_rank, stable_rank
from spectail.spectra.nulls import ExponentNull, StatisticNull, drawn_together, gaussian_spectrum, simulate_nulls
from spectail.spectra.tails import hill, ks_fit


def spectrum_of_fresh_gaussians(rows, cols, slices, generator):
    return torch.cat([eigenvalues(torch.randn(rows, cols, generator=generator)) for _ in range(slices)])


@pytest.mark.parametrize(("rows", "cols", "slices"), [(150, 100, 1), (60, 60, 1), (40, 200, 1), (32, 16, 9)])
def test_z_of_fresh_gaussian_matrices_has_mean_zero_and_deviation_one(rows, cols, slices):
    nulls, generator, draws = simulate_nulls(rows, cols, slices), torch.Generator().manual_seed(7), 150
    spectra = [spectrum_of_fresh_gaussians(rows, cols, slices, generator) for _ in range(draws)]
    z_hill = np.array([nulls.hill.z(hill(s)) for s in spectra])
    z_ks = np.array([nulls.ks.z(ks_fit(s).alpha) for s in spectra])
    for z in (z_hill, z_ks):
        # 4 standard errors of a difference of two means, of 150 and of 200 draws
        assert abs(z.mean()) < 4 * np.sqrt(1 / draws + 1 / 200)
        # 4 standard errors of the ratio of two standard deviations, each known to 1/√(2·draws)
        assert abs(np.log(z.std(ddof=1))) < 4 * np.sqrt(1 / (2 * draws) + 1 / 400)


@pytest.mark.parametrize(("rows", "cols", "slices"), [(7, 7, 70), (30, 3, 90), (1, 1, 300), (5, 1, 100)])
def test_slices_that_are_drawn_together_have_the_null_of_slices_drawn_one_by_one(rows, cols, slices):
    assert drawn_together(min(rows, cols), slices)
    nulls, stream, draws = simulate_nulls(rows, cols, slices), np.random.default_rng(5), 150
    spectra = [torch.cat([gaussian_spectrum(rows, cols, stream) for _ in range(slices)]) for _ in range(draws)]
    for z in ([nulls.hill.z(hill(s)) for s in spectra], [nulls.ks.z(ks_fit(s).alpha) for s in spectra]):
        # 4 standard errors of a difference of two means and of a ratio of two deviations, of 150 and of 200 draws
        assert abs(np.mean(z)) < 4 * np.sqrt(1 / draws + 1 / 200)
        assert abs(np.log(np.std(z, ddof=1))) < 4 * np.sqrt(1 / (2 * draws) + 1 / 400)


def test_a_null_of_thousands_of_values_has_fewer_draws_but_never_too_few():
    assert 16 <= simulate_nulls(1, 1, 40_000).hill.draws < 50
    assert simulate_nulls(3, 3, 100, draws=17).ks.draws == 17


def test_the_bidiagonal_model_has_the_mean_and_variance_of_the_trace_of_a_gaussian_matrix():
    stream, rows, cols, draws = np.random.default_rng(0), 30, 20, 2000
    traces = np.array([float(gaussian_spectrum(rows, cols, stream).sum()) for _ in range(draws)])
    # ‖W‖_F² is χ² with 600 degrees; 4 standard errors
    assert traces.mean() == pytest.approx(600, abs=4 * np.sqrt(1200 / draws))
    assert traces.var() == pytest.approx(1200, rel=4 * np.sqrt(2 / draws))


def test_the_bidiagonal_model_follows_the_marchenko_pastur_law():
    spectrum = gaussian_spectrum(900, 300, np.random.default_rng(1))
    assert MarchenkoPastur(900, 300).distance(spectrum) < 5 / 300  # eigenvalues are rigid: a few of 300


def test_a_null_of_a_large_matrix_is_that_of_the_law():
    nulls = simulate_nulls(1000, 500, draws=20)
    # 1/b of finite size: the Hill exponent of 500 eigenvalues is a little above the law's
    assert nulls.hill.alpha == pytest.approx(MarchenkoPastur(1000, 500).hill(), rel=5 / 500)


def test_nulls_are_the_same_each_time_and_leave_the_global_random_state_alone():
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    before = (torch.get_rng_state(), np.random.get_state()[1])  # noqa: NPY002
    first, second = simulate_nulls(30, 20, draws=20), simulate_nulls(20, 30, draws=20)
    assert first == second  # rows and columns may be exchanged
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002
    assert simulate_nulls(30, 20, draws=20, seed=1) != first


def test_z_counts_standard_deviations_of_the_logarithm():
    null = ExponentNull(mean=np.log(2.0), spread=0.1, draws=100)
    assert null.alpha == pytest.approx(3.0)
    assert null.z(1 + 2.0 * np.exp(-0.3)) == pytest.approx(-3.0)
    assert np.isnan(null.z(float("nan")))


def test_a_spectrum_of_two_has_no_null():
    with pytest.raises(SpectailError, match="three eigenvalues"):
        simulate_nulls(2, 5)


@pytest.mark.parametrize(("slices", "normalised"), [(1, False), (9, True)])
def test_the_other_statistics_of_fresh_gaussian_matrices_follow_their_null(slices, normalised):
    nulls, generator, draws = (
        simulate_nulls(40, 24, slices, normalised=normalised),
        torch.Generator().manual_seed(7),
        150,
    )
    z = {name: [] for name in ("edge", "distance", "effective_rank", "stable_rank")}
    for _ in range(draws):
        spectra = torch.stack([eigenvalues(torch.randn(40, 24, generator=generator)) for _ in range(slices)])
        spectrum = (spectra / spectra.mean(1, keepdim=True) if normalised else spectra).flatten()
        law = fit_marchenko_pastur(spectrum, 40, 24)
        z["edge"].append(nulls.edge.z((float(spectrum.max()) - law.edges[1]) / law.edge_fluctuation))
        z["distance"].append(nulls.distance.z(law.distance(spectrum)))
        z["effective_rank"].append(nulls.effective_rank.z(effective_rank(spectrum) / len(spectrum)))
        z["stable_rank"].append(nulls.stable_rank.z(float(stable_rank(spectrum)) / len(spectrum)))
    for values in z.values():  # 4 standard errors, as above
        assert abs(np.mean(values)) < 4 * np.sqrt(1 / draws + 1 / 200)
        assert abs(np.log(np.std(values, ddof=1))) < 4 * np.sqrt(1 / (2 * draws) + 1 / 400)


def test_a_share_of_untrained_matrices_passes_the_upper_quantile():
    gamma = np.random.default_rng(0).gamma(9.0, 1.0, 100_000)
    skewed = StatisticNull(mean=9.0, spread=3.0, skewness=2 / 3, draws=100)
    mirrored = StatisticNull(mean=-9.0, spread=3.0, skewness=-2 / 3, draws=100, of_log=True)
    for share in (0.1, 0.01):  # 4 standard errors of a share of 100,000
        error = 4 * np.sqrt(share / 100_000)
        assert (gamma > skewed.upper(share)).mean() == pytest.approx(share, abs=error)
        assert (np.exp(-gamma) > mirrored.upper(share)).mean() == pytest.approx(share, abs=error)
