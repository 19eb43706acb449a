"""How far the strongest directions of a matrix turned, beside what independent directions would have."""

import numpy as np
import pandas as pd
import pytest
import torch

from spectail import compare
from spectail.analysis.pair import direction_overlaps
from spectail.weights.matrix import WeightMatrix

N, D = 60, 40


def of_weights(weights):
    return WeightMatrix("w", "linear", *weights.shape, 1, lambda: weights[None])


def turned(before, after):
    return compare({"w": before}, {"w": after}, nulls=False).frame.iloc[0]


def orthonormal(rows, cols, seed):
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((rows, cols)))[0]


def test_independent_matrices_have_the_nulls():
    stream = torch.Generator().manual_seed(0)
    pairs = torch.randn(150, 2, N, D, generator=stream)
    frame = pd.DataFrame([direction_overlaps(of_weights(before), of_weights(after)) for before, after in pairs])
    for side, n in (("left", N), ("right", D)):
        for name, k in ((f"top_overlap_{side}", 1), (f"leading_overlap_{side}", 10)):
            null, spread = frame[f"null_{name}"][0], frame[f"null_spread_{name}"][0]
            assert null == pytest.approx(k / n)
            assert frame[name].mean() == pytest.approx(null, abs=4 * spread / 150**0.5)
            assert frame[name].std() == pytest.approx(spread, rel=0.3)  # of a skewed number, of 150 draws


def test_directions_that_change_places_turn_the_top_and_not_their_span():
    """As neighbours in a bulk do at the least update."""
    u, v = orthonormal(N, D, 1), orthonormal(D, D, 2)
    strengths = np.linspace(2.0, 1.0, D)
    exchanged = strengths.copy()
    exchanged[[0, 1]] = strengths[[1, 0]]
    row = turned(torch.from_numpy(u * strengths @ v.T), torch.from_numpy(u * exchanged @ v.T))
    assert row["top_overlap_left"] < 1e-12
    assert row["leading_overlap_left"] == pytest.approx(1)
    assert row["leading_overlap_right"] == pytest.approx(1)


def test_a_subspace_that_turns_by_an_angle_has_its_squared_cosine():
    u, v = orthonormal(N, 20, 3), orthonormal(D, 10, 4)
    strengths, angle = np.linspace(2.0, 1.0, 10), 0.3
    moved = np.cos(angle) * u[:, :10] + np.sin(angle) * u[:, 10:]
    row = turned(torch.from_numpy(u[:, :10] * strengths @ v.T), torch.from_numpy(moved * strengths @ v.T))
    assert row["leading_overlap_left"] == pytest.approx(np.cos(angle) ** 2)
    assert row["leading_overlap_right"] == pytest.approx(1)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_only_directions_that_are_not_rounding_are_compared(dtype):
    """Of a matrix of rank 3 the further ones are arbitrary, and would make the span seem to turn."""
    stream = torch.Generator().manual_seed(5)
    before = (torch.randn(N, 3, generator=stream) @ torch.randn(3, D, generator=stream)).to(dtype)
    row = turned(before, (2 * before.double() + 1e-12 * torch.randn(N, D, generator=stream).double()).to(dtype))
    assert row["null_leading_overlap_left"] == pytest.approx(3 / N)
    assert row["leading_overlap_left"] == pytest.approx(1, abs=1e-6)


def test_a_small_matrix_is_told_by_half_of_its_directions():
    """All of them would span everything, before and after."""
    stream = torch.Generator().manual_seed(6)
    row = turned(torch.randn(30, 6, generator=stream), torch.randn(30, 6, generator=stream))
    assert row["null_leading_overlap_right"] == pytest.approx(3 / 6)
    assert row["leading_overlap_right"] < 0.95


def test_slices_are_averaged_and_so_are_their_nulls():
    stream = torch.Generator().manual_seed(7)
    before, after = torch.randn(2, 20, 24, 3, 3, generator=stream)
    row = turned(before, after)
    one = turned(before[:, :, 0, 0], after[:, :, 0, 0])
    assert row["null_top_overlap_left"] == pytest.approx(one["null_top_overlap_left"])
    assert row["null_spread_top_overlap_left"] == pytest.approx(one["null_spread_top_overlap_left"] / 3)
    zero = after.clone()
    zero[:, :, 1, 1] = 0
    for name in ("top_overlap_left", "leading_overlap_right", "null_leading_overlap_right"):
        assert np.isnan(turned(before, zero)[name])
