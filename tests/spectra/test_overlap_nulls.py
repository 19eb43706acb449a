"""Formulas of independent directions against draws of them."""

import math

import numpy as np
import pytest
from scipy.special import gammaln

from spectail.errors import SpectailError
from spectail.spectra.overlap_nulls import (
    alignment_null,
    largest_overlap_null,
    leading_overlap_null,
    overlap_entropy_null,
    overlap_null,
    participation_ratio_null,
    simulate_principal_angles,
)
from spectail.spectra.overlaps import (
    leading_overlap,
    overlap_entropy,
    participation_ratio,
    principal_angles,
    squared_overlaps,
    window_overlap,
)

N, B, DRAWS = 40, 30, 1500


def orthonormal(stream, n, b, count):
    """Leading columns of Haar matrices."""
    return np.linalg.qr(stream.standard_normal((count, n, b)))[0]


@pytest.fixture(scope="module")
def pairs():
    stream = np.random.default_rng(3)
    return orthonormal(stream, N, B, DRAWS), orthonormal(stream, N, B, DRAWS)


@pytest.fixture(scope="module")
def blocks(pairs):
    j, q = pairs
    return (j.transpose(0, 2, 1) @ q) ** 2


def agrees(draws, null, mean=0.01, spread=0.08):
    """Within the error of draws: mean and spread of this share of themselves, and 2.3 % past each end."""
    assert draws.mean() == pytest.approx(null.mean, rel=mean)
    assert draws.std() == pytest.approx(null.spread, rel=spread)
    assert np.quantile(draws, 0.9772) == pytest.approx(null.high, rel=0.08)


def test_an_entry_and_a_window_of_entries(blocks):
    agrees(blocks[:, 0, :8].ravel(), overlap_null(N), mean=0.04)
    window = window_overlap(blocks, 3)[:, 10].numpy()
    agrees(window, overlap_null(N, 7), mean=0.02)
    assert np.quantile(window, 0.0228) == pytest.approx(overlap_null(N, 7).low, rel=0.15)


def test_a_share_of_a_row_is_one_of_its_entries_not_of_the_dimensions(blocks):
    agrees(window_overlap(blocks, 3, share=True)[:, 10].numpy(), overlap_null(B, 7), mean=0.02)


def test_the_largest_entry(blocks):
    null, largest = largest_overlap_null(N, B * B), blocks.max((1, 2))
    agrees(largest, null, mean=0.02, spread=0.12)  # the entries of a row are not quite independent
    assert np.mean(largest > null.high) < 0.03


def test_the_largest_entry_is_what_documents_and_criteria_say():
    """About 4 log(b)/n, 0.03 at the paper's b = n = 1000, where an outlier of the claims is above 0.1."""
    for n in (1000, 1500):
        assert largest_overlap_null(n, 1000**2).mean == pytest.approx(4 * math.log(1000) / n, rel=0.15)
    assert largest_overlap_null(1000, 1000**2).high < 0.1 / 3
    assert alignment_null(1000).mean == pytest.approx(0.025, abs=5e-4)


def test_a_subspace(blocks):
    agrees(leading_overlap(blocks, 6).numpy(), leading_overlap_null(N, 6))
    assert leading_overlap_null(N, 1) == overlap_null(N)
    assert leading_overlap_null(N, N).spread == 0


@pytest.mark.parametrize("b", [B, 10])
def test_how_far_a_row_spreads_whatever_it_sums_to(blocks, b):
    rows = blocks[:, 4, :b]
    agrees(participation_ratio(rows).numpy(), participation_ratio_null(b), mean=0.015)
    agrees(overlap_entropy(rows).numpy(), overlap_entropy_null(b))


def test_long_rows_have_a_formula_that_agrees_with_the_draws_of_shorter_ones():
    below, above = participation_ratio_null(1999), participation_ratio_null(2000)
    assert above.mean == pytest.approx(below.mean, rel=0.005)
    assert above.spread == pytest.approx(below.spread, rel=0.05)  # of 2,000 draws, known to 1.6 %


@pytest.mark.parametrize(("n", "k"), [(N, 6), (10, 6)], ids=["rest is larger", "rest is smaller"])
def test_principal_angles_of_independent_subspaces(n, k):
    stream = np.random.default_rng(5)
    drawn = simulate_principal_angles(n, k, draws=1000)
    j, q = orthonormal(stream, n, k, 300), orthonormal(stream, n, k, 300)
    measured = np.array([principal_angles(a, b) for a, b in zip(j, q, strict=True)])
    # 300 draws of angles that spread by 0.1: a standard error of 0.006
    np.testing.assert_allclose(measured.mean(0), drawn.mean(0), atol=0.03)
    assert np.cos(drawn) ** 2 @ np.ones(k) / k == pytest.approx(leading_overlap_null(n, k).mean, abs=0.2)
    assert np.mean(np.cos(drawn) ** 2) == pytest.approx(k / n, rel=0.02)
    if n < 2 * k:  # they share directions
        assert np.abs(drawn[:, : 2 * k - n]).max() < 1e-7


def test_an_alignment(pairs):
    j, q = pairs
    cosines = np.abs(np.einsum("nik,nik->nk", j[..., :6], q[..., :6])).ravel()
    agrees(cosines, alignment_null(N), mean=0.015, spread=0.04)
    exact = math.exp(gammaln(N / 2) - gammaln((N + 1) / 2)) / math.sqrt(math.pi)
    assert alignment_null(N).mean == pytest.approx(exact)
    assert alignment_null(10**6).mean == pytest.approx(math.sqrt(2 / (math.pi * 10**6)), rel=1e-5)


def test_one_dimension_leaves_no_choice():
    for null in (overlap_null(1), largest_overlap_null(1, 1), alignment_null(1), participation_ratio_null(1)):
        assert (null.mean, null.high) == pytest.approx((1, 1))
    assert overlap_entropy_null(1).mean == pytest.approx(0, abs=1e-12)
    assert simulate_principal_angles(1, 1, draws=2).max() == 0


@pytest.mark.parametrize("null", [overlap_null, leading_overlap_null, simulate_principal_angles])
def test_more_directions_than_dimensions_are_refused(null):
    for n, k in ((3, 4), (3, 0), (0, 1)):
        with pytest.raises(SpectailError, match="dimensions, got"):
            null(n, k)


def test_draws_leave_the_global_state_alone():
    before = np.random.get_state()[1].copy()  # noqa: NPY002  # the global state is what is asked about
    simulate_principal_angles(20, 3, draws=5)
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002


def test_squared_overlaps_of_haar_matrices_have_the_null_on_both_sides(pairs):
    """The right side is full, n = b; the left has more dimensions, and its rows sum to b/h."""
    j, q = pairs
    left = squared_overlaps(j[0], q[0])
    assert float(left.sum(1).mean()) == pytest.approx(B / N, abs=0.03)
    assert float(left.mean()) == pytest.approx(overlap_null(N).mean, rel=0.05)
