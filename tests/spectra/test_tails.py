import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from references import naive
from spectail.errors import SpectailError
from spectail.spectra.eigen import eigenvalues
from spectail.spectra.nulls import gaussian_spectrum, simulate_nulls
from spectail.spectra.tails import KS_SPREAD, hill, hill_fit, ks_fit, pl_alpha_hill

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from weightwatcher.WW_powerlaw import WWFit


def pareto(alpha, size, seed):
    """Exact samples of p(x) ∝ x^(−alpha), x ≥ 1."""
    uniform = np.random.default_rng(seed).random(size)
    return torch.from_numpy((1 - uniform) ** (-1 / (alpha - 1)))


def spectra():
    generator = torch.Generator().manual_seed(0)
    bulk = eigenvalues(torch.randn(300, 200, generator=generator))
    spiked = torch.cat([bulk[:-1], bulk[-1:] * 30])
    return {
        "bulk": bulk,
        "bulk and spike": spiked,
        "pareto": pareto(2.3, 400, 1),
        "lognormal": torch.randn(150, generator=generator, dtype=torch.float64).exp(),
        "with ties": torch.tensor([1.0] * 10 + [2.0] * 10 + [5.0] * 10 + [9.0], dtype=torch.float64),
        "uniform": torch.rand(1000, generator=generator, dtype=torch.float64) + 0.1,
    }


@pytest.mark.parametrize("name", spectra())
def test_ks_is_weightwatchers_fit(name):
    values = spectra()[name]
    reference, fit = WWFit(values.numpy()), ks_fit(values)
    assert fit.alpha == pytest.approx(reference.alpha, rel=1e-9)
    assert fit.xmin == pytest.approx(reference.xmin, rel=1e-12)
    assert fit.ks_distance == pytest.approx(reference.D, rel=1e-9)
    with pytest.deprecated_call(match="independent values"):
        assert fit.stderr == pytest.approx(reference.sigma, rel=1e-9)


def test_eigenvalues_that_differ_in_their_last_bit_are_no_tail():
    fit = ks_fit(torch.tensor([1e-3, 1e-3 * (1 + 2.0**-52)], dtype=torch.float64))
    assert math.isnan(fit.alpha)
    assert "not all equal" in fit.note


@pytest.mark.parametrize("shape", [(256, 256), (300, 200), (2000, 30)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_orthogonal_matrix_has_no_exponent_but_a_reason(shape, dtype):
    torch.manual_seed(0)
    weights = torch.nn.init.orthogonal_(torch.empty(*shape)).to(dtype)  # float64 holds what float32 rounded
    spectrum = eigenvalues(weights)
    assert math.isnan(hill(weights))
    assert math.isnan(ks_fit(spectrum).alpha)
    assert "not all equal" in ks_fit(spectrum).note
    assert math.isnan(hill_fit(spectrum).alpha)
    assert hill_fit(spectrum).note == "the upper half of the eigenvalues are all equal but for rounding"


def test_two_groups_of_equal_eigenvalues_have_no_exponent_of_their_rounding():
    noise = 1e-7 * torch.rand(60, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    spectrum = torch.cat([1 + noise, 4 + noise])
    assert math.isnan(hill(spectrum))  # the upper half are one group
    assert ks_fit(spectrum).alpha < 10  # the step from one group to the other is a spread, if no law


@settings(max_examples=60)
@given(  # four digits: what differs by a rounding of float32 counts as equal, which the exhaustive search does not know
    st.lists(st.floats(1e-3, 1e3).map(lambda v: float(f"{v:.4g}")), min_size=2, max_size=60).filter(
        lambda v: len(set(v)) > 1
    ),
)
def test_the_pruned_search_finds_what_the_exhaustive_one_does(values):
    alpha, start, distance = naive.ks_exponent(values)
    fit = ks_fit(torch.tensor(values, dtype=torch.float64))
    assert fit.ks_distance == pytest.approx(distance, abs=1e-9)
    if fit.tail_size != len(values) - start:  # two tails within rounding of each other
        assert fit.ks_distance == pytest.approx(distance, rel=1e-9)
    else:
        assert fit.alpha == pytest.approx(alpha, rel=1e-6)


def test_hill_is_weightwatchers_exponent_at_the_median():
    values = spectra()["lognormal"]
    ordered = values.sort().values
    reference = WWFit(values.numpy())  # alphas[i] is the exponent with xmin the i-th eigenvalue
    assert hill(values) == pytest.approx(reference.alphas[len(values) // 2], rel=1e-12)
    assert hill_fit(values).xmin == ordered[len(values) // 2]


@pytest.mark.parametrize("alpha", [1.5, 2.0, 3.0, 5.0])
def test_hill_recovers_the_exponent_of_a_pareto_within_its_standard_error(alpha):
    fits = [hill_fit(pareto(alpha, 4000, seed)) for seed in range(20)]
    z = np.array([(fit.alpha - alpha) / (alpha - 1) * math.sqrt(fit.tail_size) for fit in fits])
    assert np.abs(z).max() < 4  # 20 draws of a normal
    assert 0.5 < z.std() < 1.6  # and the error is neither too small nor too large: chi-square, 19 degrees


@pytest.mark.parametrize("alpha", [1.5, 2.5, 4.0])
def test_ks_recovers_the_exponent_of_a_pareto(alpha):
    fits = [ks_fit(pareto(alpha, 2000, seed)) for seed in range(10)]
    z = [(fit.alpha - alpha) / (alpha - 1) * math.sqrt(fit.tail_size) for fit in fits]
    assert np.median(np.abs(z)) < 2  # xmin is chosen on the data, so single fits stray further than the error
    assert all(fit.ks_distance < 1.6 / math.sqrt(fit.tail_size) for fit in fits)  # Kolmogorov's 1 % point


@settings(max_examples=40)
@given(exponent=st.floats(-6, 6))
def test_exponents_do_not_change_with_the_scale_of_the_weights(exponent):
    values, factor = spectra()["lognormal"], 10.0**exponent
    assert hill_fit(values * factor).alpha == pytest.approx(hill_fit(values).alpha, rel=1e-10)
    assert ks_fit(values * factor).alpha == pytest.approx(ks_fit(values).alpha, rel=1e-8)
    assert ks_fit(values * factor).tail_size == ks_fit(values).tail_size


def test_the_first_editions_name_of_hill_still_works_also_of_a_batch():
    batch = torch.stack([spectra()["bulk"], spectra()["bulk"].square()])
    with pytest.deprecated_call(match="now called hill"):
        assert pl_alpha_hill(batch).tolist() == [hill(row) for row in batch]


def test_hill_of_a_matrix_is_that_of_its_spectrum():
    matrix = torch.randn(60, 90, generator=torch.Generator().manual_seed(3))
    assert hill(matrix) == hill(eigenvalues(matrix)) == hill_fit(eigenvalues(matrix)).alpha


def test_a_minimum_tail_keeps_the_fit_off_a_handful_of_points():
    values = spectra()["bulk"]
    assert ks_fit(values).tail_size < 50
    assert ks_fit(values, min_tail=60).tail_size >= 60


DEGENERATE = {
    "zeros": (torch.zeros(5), "two positive"),
    "all equal": (torch.full((6,), 3.0), "all equal"),
    "one value": (torch.tensor([2.0]), "two positive"),
    "one positive": (torch.tensor([0.0, 0.0, 0.0, 2.0]), "two positive"),
    "NaN": (torch.tensor([1.0, math.nan, 2.0]), "NaN or inf"),
    "inf": (torch.tensor([1.0, math.inf, 2.0]), "NaN or inf"),
    "rounding left of a rank-one matrix": (torch.tensor([1e-17, 2e-17, 1.0], dtype=torch.float64), "two positive"),
}


@pytest.mark.parametrize("name", DEGENERATE)
def test_a_fit_that_cannot_be_made_is_nan_and_says_why(name):
    values, reason = DEGENERATE[name]
    for fit in (hill_fit(values), ks_fit(values)):
        assert math.isnan(fit.alpha)
        assert fit.tail_size == 0
        assert reason in fit.note
    if name != "rounding left of a rank-one matrix":
        assert math.isnan(hill(values))


def test_a_spectrum_half_of_zeros_has_no_hill_exponent_but_a_ks_one():
    values = torch.tensor([0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 5.0], dtype=torch.float64)
    assert "half" in hill_fit(values).note
    assert ks_fit(values).alpha > 1


def test_a_negative_eigenvalue_beyond_rounding_is_refused():
    with pytest.raises(SpectailError, match="not negative"):
        hill(torch.tensor([-1.0, 2.0, 3.0]))
    assert hill(torch.tensor([-1e-14, 1.0, 2.0, 3.0], dtype=torch.float64)) > 1


@pytest.mark.parametrize(("rows", "cols", "less", "more"), [(64, 64, 3.9, 2.4), (300, 200, 6.4, 2.7)])
def test_over_untrained_matrices_exponents_spread_as_the_page_says(rows, cols, less, more):
    """docs/alpha.md: Hill's less than (α − 1)/√k of independent values, that of the KS fit more, on few eigenvalues."""
    stream = np.random.default_rng(1)
    spectra = [gaussian_spectrum(rows, cols, stream) for _ in range(120)]
    hills, fits = np.array([hill(one) for one in spectra]), [ks_fit(one) for one in spectra]
    alphas, sizes = np.array([fit.alpha for fit in fits]), np.array([fit.tail_size for fit in fits])
    # a standard deviation of 120 draws is known to 6.5 %; five of it, as that of the KS fit is skewed
    textbook = (hills.mean() - 1) / math.sqrt(min(rows, cols) / 2)
    assert textbook / hills.std() == pytest.approx(less, rel=0.33)
    spread = np.log(alphas - 1).std() * np.median(alphas - 1)
    assert spread / np.median((alphas - 1) / np.sqrt(sizes)) == pytest.approx(more, rel=0.33)
    if rows == 300:
        error = 4 * math.sqrt(0.9 * 0.1 / 120)
        assert np.mean((sizes >= 8) & (sizes <= 56)) == pytest.approx(0.9, abs=error)
        assert np.mean((alphas >= 3.9) & (alphas <= 17.4)) == pytest.approx(0.9, abs=error)


@pytest.mark.parametrize(("law", "steadier"), [("power law", 10.0), ("exponential", 1.5)])
def test_how_exponents_of_a_tail_spread_depends_on_what_is_drawn_anew(law, steadier):
    """docs/alpha.md: so that no standard error is printed unless the kind of tail is asked for."""
    stream, rows, cols = np.random.default_rng(2), 300, 200

    def population():
        return 1.0 / (1.0 - stream.random(cols)) if law == "power law" else stream.exponential(size=cols)

    def spectrum(variances):
        weights = stream.standard_normal((rows, cols)) * np.sqrt(variances)
        return np.linalg.eigvalsh(weights.T @ weights)

    same = population()
    noise_anew = [ks_fit(spectrum(same)).alpha for _ in range(25)]
    population_anew = [hill(spectrum(population())) for _ in range(25)]
    null = simulate_nulls(rows, cols, draws=100).hill
    assert KS_SPREAD / np.log(np.array(noise_anew) - 1).std() > steadier
    assert 1.5 < np.log(np.array(population_anew) - 1).std() / null.spread < 7  # 2 to 5, each known to 15 %
