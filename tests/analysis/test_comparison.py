"""What changed: how far the strongest directions of a matrix turned, beside what independent ones would have."""

import numpy as np
import pandas as pd
import pytest
import torch

from spectail import analyze, compare
from spectail.analysis.comparison import direction_overlaps
from spectail.weights.matrix import Factors, WeightMatrix

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


# of matrices that are known by their factors

ROWS, COLS = 48, 40


def adapter(rank, seed):
    generator = torch.Generator().manual_seed(seed)
    a, b = torch.randn(rank, COLS, generator=generator), torch.randn(ROWS, rank, generator=generator)
    return {"q.lora_A.weight": a, "q.lora_B.weight": b}


def delta(state):
    return state["q.lora_B.weight"].double() @ state["q.lora_A.weight"].double()


@pytest.mark.parametrize("ranks", [(4, 4), (4, 6)])
def test_the_change_between_two_adapters_is_that_of_what_they_add_which_is_not_formed(ranks, monkeypatch):
    before, after = (adapter(rank, seed) for seed, rank in enumerate(ranks))
    change = delta(after) - delta(before)
    monkeypatch.setattr(Factors, "product", lambda factors: pytest.fail("it was formed"))
    comparison = compare(before, after, nulls=False)
    found = torch.from_numpy(comparison.spectra["q.weight"].copy()).flip(0).double().sqrt()
    expected = torch.linalg.svdvals(change)[: sum(ranks)]
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)  # spectra are kept in float32
    (u, _, vh), (u2, _, vh2) = (torch.linalg.svd(delta(one)) for one in (before, after))
    row = comparison.frame.iloc[0]
    assert row["top_overlap_left"] == pytest.approx(float(u[:, 0] @ u2[:, 0]) ** 2)
    assert row["top_overlap_right"] == pytest.approx(float(vh[0] @ vh2[0]) ** 2)


def test_a_change_of_any_rank_is_formed():
    before, after = (adapter(COLS, seed) for seed in range(2))
    comparison = compare(before, after, nulls=False)
    expected = float(torch.linalg.matrix_norm(delta(after) - delta(before), 2))
    assert comparison.frame["spectral_norm"].item() == pytest.approx(expected)
    kronecker = [{"q.lokr_w1": torch.randn(4, 4), "q.lokr_w2": torch.randn(8, 8)} for _ in range(2)]
    products = [torch.kron(one["q.lokr_w1"].double(), one["q.lokr_w2"].double()) for one in kronecker]
    comparison = compare(*kronecker, nulls=False)
    expected = float(torch.linalg.matrix_norm(products[1] - products[0], 2))
    assert comparison.frame["spectral_norm"].item() == pytest.approx(expected)


def test_an_adapter_that_is_the_same_is_unchanged():
    assert compare(adapter(4, 0), adapter(4, 0), nulls=False).frame["note"].tolist() == ["unchanged"]
    assert analyze(adapter(4, 0), nulls=False).frame["frobenius_norm"].item() > 0


def low_rank_merged_in_bfloat16(rank):
    generator = torch.Generator().manual_seed(0)
    base = (0.02 * torch.randn(200, 160, generator=generator)).bfloat16()
    left, right = (torch.randn(*shape, generator=generator) for shape in ((200, rank), (rank, 160)))
    return base, (base.float() + 1e-3 * left @ right).bfloat16()


def test_the_rounding_of_a_merged_adapter_has_no_exponent():
    row = compare(*({"w": weights} for weights in low_rank_merged_in_bfloat16(5))).frame.iloc[0]
    assert row["note"].endswith("155 of 160 eigenvalues are zero to the rounding of the stored weights")
    assert row["phase"] == "rank-collapse"
    assert np.isnan(row["pl_alpha_hill"])
    assert np.isnan(row["z_hill"])


def test_a_change_that_is_nothing_but_rounding_is_noise():
    weights = torch.randn(200, 160, generator=torch.Generator().manual_seed(0))
    row = compare({"w": weights}, {"w": weights.bfloat16()}).frame.iloc[0]
    assert row["phase"] == "random-like"
    assert "rounding" not in row["note"]
