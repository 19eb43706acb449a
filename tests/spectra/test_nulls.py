import numpy as np
import pytest
import torch

from spectail.errors import SpectailError
from spectail.spectra.bulk import MarchenkoPastur, fit_marchenko_pastur
from spectail.spectra.eigen import eigenvalues
from spectail.spectra.finite_size import Ensemble
from spectail.spectra.norms import effective_rank, stable_rank
from spectail.spectra.nulls import ExponentNull, StatisticNull, gaussian_spectrum, simulate_nulls
from spectail.spectra.tails import hill


def spectrum_of_fresh_gaussians(rows, cols, slices, generator):
    return torch.cat([eigenvalues(torch.randn(rows, cols, generator=generator)) for _ in range(slices)])


def z_of_fresh_matrices(rows, cols, slices, draws, *, of=gaussian_spectrum, seed=7, **options):
    """z of every statistic that has a null, over matrices that the null has not seen, and the null."""
    nulls, stream = simulate_nulls(rows, cols, slices, **options), np.random.default_rng(seed)
    z = {name: [] for name in ("hill", "edge", "distance", "effective_rank", "stable_rank")}
    for _ in range(draws):
        spectra = torch.stack([of(rows, cols, stream) for _ in range(slices)])
        spectrum = (spectra / spectra.mean(1, keepdim=True) if options.get("normalised") else spectra).flatten()
        law = fit_marchenko_pastur(spectrum, rows, cols)
        z["hill"].append(nulls.hill.z(hill(spectrum)))
        z["edge"].append(nulls.edge.z((float(spectrum.max()) - law.edges[1]) / law.edge_fluctuation))
        z["distance"].append(nulls.distance.z(law.distance(spectrum)))
        z["effective_rank"].append(nulls.effective_rank.z(effective_rank(spectrum) / len(spectrum)))
        z["stable_rank"].append(nulls.stable_rank.z(float(stable_rank(spectrum)) / len(spectrum)))
    return {name: np.array(values) for name, values in z.items()}, nulls


def of_a_matrix(rows, cols, stream):
    return eigenvalues(torch.from_numpy(stream.standard_normal((rows, cols))))


@pytest.mark.parametrize(
    ("rows", "cols", "slices", "normalised"),
    [(60, 60, 1, False), (40, 200, 1, False), (9, 3, 9, False), (24, 16, 4, True), (5, 1, 20, False)],
)
def test_every_statistic_of_fresh_gaussian_matrices_follows_its_null(rows, cols, slices, normalised):
    draws = 200
    z, _ = z_of_fresh_matrices(rows, cols, slices, draws, normalised=normalised, of=of_a_matrix)
    for values in z.values() if cols > 1 else [z["hill"]]:
        # 4 standard errors of the mean and of the logarithm of the standard deviation, of these draws and of
        # the 400 spectra or more that the null comes from
        assert abs(values.mean()) < 4 * np.sqrt(1 / draws + 1 / 400)
        assert abs(np.log(values.std(ddof=1))) < 4 * np.sqrt(1 / (2 * draws) + 1 / 800)


@pytest.mark.parametrize(("rows", "cols", "slices"), [(401, 401, 1), (250, 1000, 1), (220, 160, 4)])
def test_a_null_that_is_carried_over_from_smaller_matrices_is_that_of_the_shape(rows, cols, slices):
    assert Ensemble(max(rows, cols), min(rows, cols), slices).reduced(140).shorter < min(rows, cols)
    draws = 150
    z, _ = z_of_fresh_matrices(rows, cols, slices, draws)
    for values in z.values():  # 4 standard errors, as above
        assert abs(values.mean()) < 4 * np.sqrt(1 / draws + 1 / 400)
        assert abs(np.log(values.std(ddof=1))) < 4 * np.sqrt(1 / (2 * draws) + 1 / 800)


@pytest.mark.parametrize(("rows", "cols", "draws"), [(20, 30, 200), (150, 75, 200), (16_000, 10, 50)])
def test_matrices_with_rows_and_columns_of_one_norm_have_a_null_of_their_own(rows, cols, draws):
    """That of a long one, such as an embedding, comes from the sums of products of its columns."""

    def of_a_balanced_matrix(rows, cols, stream):
        weights = stream.standard_normal((rows, cols))
        for _ in range(8):
            weights /= np.sqrt((weights**2).mean(0))
            weights /= np.sqrt((weights**2).mean(1, keepdims=True))
        return eigenvalues(torch.from_numpy(weights))

    z, nulls = z_of_fresh_matrices(rows, cols, 1, draws, of=of_a_balanced_matrix, balanced=True)
    for values in z.values():  # 4 standard errors, as above
        assert abs(values.mean()) < 4 * np.sqrt(1 / draws + 1 / 400)
        assert abs(np.log(values.std(ddof=1))) < 4 * np.sqrt(1 / (2 * draws) + 1 / 800)
    plain = simulate_nulls(rows, cols)
    assert plain.hill.z(nulls.hill.alpha) > 0.5  # beside the plain null they would all look lighter than untrained


def test_a_null_of_ten_million_rows_is_drawn_without_them():
    assert simulate_nulls(10**7, 64, balanced=True).hill.draws == 3000


@pytest.mark.paper
@pytest.mark.parametrize(
    ("rows", "cols", "slices", "draws"),
    [
        *[(16, 16, 1, 4000), (64, 64, 1, 4000), (2000, 30, 1, 4000), (300, 200, 1, 4000), (512, 512, 1, 2500)],
        *[(2048, 512, 1, 2500), (1024, 1024, 1, 1500), (1500, 1000, 1, 1500), (4096, 4096, 1, 800)],
        *[(14336, 4096, 1, 400), (8192, 8192, 1, 300), (7, 7, 64, 2500), (64, 3, 49, 2500), (256, 256, 9, 1200)],
    ],
)
def test_z_passes_two_in_its_nominal_share_at_every_shape(rows, cols, slices, draws):
    z, nulls = z_of_fresh_matrices(rows, cols, slices, draws, seed=11)
    # the mean is right to 0.1, and 4.6 % are past 2 but for one percent: each and 3 standard errors of these draws
    assert abs(z["hill"].mean()) < 0.1 + 3 / np.sqrt(draws)
    assert (np.abs(z["hill"]) > 2).mean() == pytest.approx(0.0455, abs=0.01 + 3 * np.sqrt(0.0455 / draws))
    past = nulls.edge.z(nulls.edge.upper(0.005))
    assert (z["edge"] > past).mean() < 0.01 + 3 * np.sqrt(0.005 / draws)


def test_a_null_is_drawn_of_enough_spectra_however_many_values_they_have():
    assert simulate_nulls(1, 1, 8000).hill.draws >= 100
    assert simulate_nulls(3, 3, 100, draws=17).hill.draws == 17


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


def test_normalised_slices_of_one_row_have_no_null():
    with pytest.raises(SpectailError, match="one eigenvalue each"):
        simulate_nulls(1, 2, 50, normalised=True)


def test_a_share_of_untrained_matrices_passes_the_upper_quantile():
    gamma = np.random.default_rng(0).gamma(9.0, 1.0, 100_000)
    skewed = StatisticNull(mean=9.0, spread=3.0, skewness=2 / 3, draws=100)
    mirrored = StatisticNull(mean=-9.0, spread=3.0, skewness=-2 / 3, draws=100, of_log=True)
    for share in (0.1, 0.01):  # 4 standard errors of a share of 100,000
        error = 4 * np.sqrt(share / 100_000)
        assert (gamma > skewed.upper(share)).mean() == pytest.approx(share, abs=error)
        assert (np.exp(-gamma) > mirrored.upper(share)).mean() == pytest.approx(share, abs=error)


def test_ranks_of_untrained_matrices_vary_as_little_as_the_page_says():
    """docs/analyze.md: by 2 % and 0.1 % at 300 × 200; a standard deviation of 200 draws is known to 5 %."""
    nulls = simulate_nulls(300, 200, draws=200)
    assert nulls.stable_rank.spread == pytest.approx(0.02, rel=0.2)
    assert nulls.effective_rank.spread == pytest.approx(0.0011, rel=0.2)
