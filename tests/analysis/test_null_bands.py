"""Where quantities lie by chance: nulls of ranks, of exponents, of sim and KTA, in one form."""

import numpy as np
import pytest
import torch

import spectail
from spectail.analysis.null_bands import null_band, word_of_null
from spectail.analysis.null_cache import nulls_of_shape
from spectail.recording.quantities import quantity


@pytest.fixture(scope="module")
def noise():
    """Of 120 Gaussian matrices of one shape, and one of another."""
    stream = torch.Generator().manual_seed(0)
    weights = {f"w{i}": torch.randn(60, 40, generator=stream) for i in range(120)}
    return spectail.analyze(weights | {"other": torch.randn(30, 90, generator=stream)})


@pytest.mark.parametrize("name", ["pl_alpha_hill", "pl_alpha_ks", "stable_rank", "effective_rank"])
def test_gaussian_matrices_lie_within_the_band_of_their_shape(noise, name):
    at = noise.recording.isel(step=-1)
    low, typical, high = null_band(at, quantity(name))
    values = at[name].values
    inside = np.mean((low < values) & (values < high))
    assert 0.89 < inside < 1  # 95.4 % of 121, with a standard error of 2 %; the KS exponent is skewed
    # the median of 120 draws has a standard error of 0.11 of their spread, which is a quarter of the band
    assert np.median(values[:120]) == pytest.approx(typical[0], abs=0.1 * (high[0] - low[0]))


def test_ranks_of_pooled_slices_have_the_null_of_all_of_them():
    kernel = torch.randn(20, 16, 2, 2, generator=torch.Generator().manual_seed(1))
    row = spectail.analyze({"conv.weight": kernel}).frame.iloc[0]
    for name in ("stable_rank", "effective_rank"):
        assert abs(np.log(row[name] / row[f"null_{name}"])) < 4 * row[f"null_spread_{name}"]


def test_ranks_spread_as_little_as_the_documents_say():
    nulls = nulls_of_shape(300, 200)
    assert nulls.stable_rank.spread == pytest.approx(0.02, abs=0.005)
    assert nulls.effective_rank.spread == pytest.approx(0.001, abs=0.0005)


def test_a_collapsed_matrix_lies_far_below_the_null_of_its_rank():
    stream = torch.Generator().manual_seed(2)
    low_rank = torch.randn(60, 4, generator=stream) @ torch.randn(4, 40, generator=stream)
    row = spectail.analyze({"w": low_rank + 0.01 * torch.randn(60, 40, generator=stream)}).frame.iloc[0]
    assert np.log(row["effective_rank"] / row["null_effective_rank"]) < -50 * row["null_spread_effective_rank"]


def test_where_there_is_no_null_there_is_no_band(noise):
    assert null_band(noise.recording, quantity("z_hill")) is None
    without = spectail.analyze({"w": torch.eye(20)}, nulls=False)
    assert np.isnan(null_band(without.recording, quantity("stable_rank"))).all()
    assert null_band(without.recording.drop_vars("null_stable_rank"), quantity("stable_rank")) is None


def test_a_recording_without_the_nulls_of_ranks_is_completed_with_them(noise):
    names = [f"null_{kind}{name}" for kind in ("", "spread_") for name in ("stable_rank", "effective_rank")]
    older = noise.recording.isel(matrix=[0, 120]).drop_vars(names)
    for name in names:
        np.testing.assert_array_equal(spectail.complete(older)[name], noise.recording[name][[0, 120]])


def test_sim_and_kta_have_bands_over_steps_that_are_not_negative():
    e = spectail.Experiment(n=200, n_test=20, n_test_large=20, d=30, h=40, steps=2)
    run = spectail.complete(spectail.simulate(e))
    for name in ("alignment", "kta"):
        low, typical, high = null_band(run, quantity(name))
        assert low.shape == (3,)
        assert (low >= 0).all()
        np.testing.assert_allclose(high - typical, 2 * run[f"null_spread_{name}"])
    assert (word_of_null(quantity("kta")), word_of_null(quantity("stable_rank"))) == ("by chance", "untrained")
