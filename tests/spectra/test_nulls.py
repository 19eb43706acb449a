import json

import numpy as np
import pytest
import torch

from spectail.analysis import null_cache as cache
from spectail.spectra.bulk import MarchenkoPastur
from spectail.spectra.eigen import eigenvalues
from spectail.spectra.nulls import ExponentNull, gaussian_spectrum, simulate_nulls
from spectail.spectra.tail_tests import bootstrap_p_value
from spectail.spectra.tails import ks_fit, pl_alpha_hill


def spectrum_of_fresh_gaussians(rows, cols, slices, generator):
    return torch.cat([eigenvalues(torch.randn(rows, cols, generator=generator)) for _ in range(slices)])


@pytest.mark.parametrize(("rows", "cols", "slices"), [(150, 100, 1), (60, 60, 1), (40, 200, 1), (32, 16, 9)])
def test_z_of_fresh_gaussian_matrices_has_mean_zero_and_deviation_one(rows, cols, slices):
    nulls, generator, draws = simulate_nulls(rows, cols, slices), torch.Generator().manual_seed(7), 150
    spectra = [spectrum_of_fresh_gaussians(rows, cols, slices, generator) for _ in range(draws)]
    hill = np.array([nulls.hill.z(float(pl_alpha_hill(s))) for s in spectra])
    ks = np.array([nulls.ks.z(ks_fit(s).alpha) for s in spectra])
    for z in (hill, ks):
        # 4 standard errors of a difference of two means, of 150 and of 200 draws
        assert abs(z.mean()) < 4 * np.sqrt(1 / draws + 1 / 200)
        # 4 standard errors of the ratio of two standard deviations, each known to 1/√(2·draws)
        assert abs(np.log(z.std(ddof=1))) < 4 * np.sqrt(1 / (2 * draws) + 1 / 400)


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
    with pytest.raises(ValueError, match="three eigenvalues"):
        simulate_nulls(2, 5)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "cache_folder", lambda: tmp_path / "nulls")
    cache._nulls_of_shape.cache_clear()
    yield tmp_path / "nulls"
    cache._nulls_of_shape.cache_clear()


def simulations(monkeypatch):
    calls = []
    monkeypatch.setattr(cache, "simulate_nulls", lambda *shape: calls.append(shape) or simulate_nulls(*shape, draws=20))
    return calls


def test_a_shape_is_simulated_once_and_found_by_the_next_process(folder, monkeypatch):
    calls = simulations(monkeypatch)
    first = cache.nulls_of_shape(20, 30)
    cache._nulls_of_shape.cache_clear()  # as in another process
    assert cache.nulls_of_shape(30, 20) == first
    assert calls == [(30, 20, 1)]


@pytest.mark.parametrize("damage", ["", "{", '{"hill": 1}', "[]", '{"hill": {}, "ks": {}}', "NaN", "\x00\xff"])
def test_a_damaged_file_is_simulated_again(folder, monkeypatch, damage):
    calls = simulations(monkeypatch)
    first = cache.nulls_of_shape(20, 10)
    (path,) = folder.iterdir()
    path.write_text(damage, encoding="utf-8")
    cache._nulls_of_shape.cache_clear()
    assert cache.nulls_of_shape(20, 10) == first
    assert len(calls) == 2
    assert json.loads(path.read_text())["ks"]["draws"] == 20  # and it is whole again


def test_a_spread_of_zero_or_nan_in_a_file_is_not_believed(folder, monkeypatch):
    calls = simulations(monkeypatch)
    cache.nulls_of_shape(20, 10)
    (path,) = folder.iterdir()
    told = json.loads(path.read_text())
    for spread in (0.0, float("nan")):
        path.write_text(json.dumps({**told, "ks": {**told["ks"], "spread": spread}}))
        cache._nulls_of_shape.cache_clear()
        assert cache.nulls_of_shape(20, 10).ks.spread > 0
    assert len(calls) == 3


def test_a_folder_that_cannot_be_written_to_costs_only_time(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(cache, "cache_folder", lambda: tmp_path / "file" / "nulls")
    calls = simulations(monkeypatch)
    cache._nulls_of_shape.cache_clear()
    assert cache.nulls_of_shape(20, 10).hill.spread > 0
    cache._nulls_of_shape.cache_clear()
    assert len(calls) == 1


def power_law(size, alpha, seed):
    uniform = np.random.default_rng(seed).random(size)
    return torch.from_numpy((1 - uniform) ** (-1 / (alpha - 1)))


def test_p_values_of_power_laws_are_uniform_and_of_an_exponential_small():
    found = []
    for seed in range(12):
        values = power_law(150, 2.5, seed)
        found.append(bootstrap_p_value(values, ks_fit(values), resamples=60, seed=seed).p_value)
    assert np.mean(found) == pytest.approx(0.5, abs=4 * np.sqrt(1 / 12 / 12))  # 4 standard errors of 12 uniforms
    assert np.mean(np.array(found) > 0.1) >= 0.6
    exponential = torch.from_numpy(np.random.default_rng(0).exponential(size=2000)) + 1.0
    fit = ks_fit(exponential, min_tail=1000)  # a tail long enough to tell
    assert bootstrap_p_value(exponential, fit, resamples=40).p_value < 0.1


def test_a_p_value_is_the_same_for_the_same_seed_and_says_how_well_it_is_known():
    values = power_law(100, 2.0, 0)
    first, second = (bootstrap_p_value(values, ks_fit(values), resamples=30, seed=4) for _ in range(2))
    assert first == second
    assert first.stderr == pytest.approx(np.sqrt(first.p_value * (1 - first.p_value) / 30))
    assert np.isnan(bootstrap_p_value(torch.zeros(5), ks_fit(torch.zeros(5))).p_value)
