import math

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spectail.errors import SpectailError
from spectail.spectra.overlaps import (
    leading_overlap,
    overlap_entropy,
    participation_ratio,
    principal_angles,
    rounding_level,
    singular_overlaps,
    singular_vectors,
    squared_overlaps,
    window_overlap,
)


def gaussian(rows, cols, seed):
    return torch.randn(rows, cols, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("shape", [(30, 20), (20, 30), (25, 25)])
def test_overlaps_of_a_matrix_with_itself_are_the_identity(shape):
    matrix = gaussian(*shape, 0)
    identity = torch.eye(min(shape), dtype=torch.float64)
    for overlap in singular_overlaps(matrix, matrix):
        torch.testing.assert_close(overlap, identity, atol=1e-10, rtol=0)


@settings(max_examples=20)
@given(rows=st.integers(2, 20), cols=st.integers(2, 20), seed=st.integers(0, 1000))
def test_rows_and_columns_of_overlaps_sum_to_at_most_one_and_to_one_on_the_full_side(rows, cols, seed):
    left, right = singular_overlaps(gaussian(rows, cols, seed), gaussian(rows, cols, seed + 1))
    for overlap in (left, right):
        assert float(overlap.sum(0).max()) <= 1 + 1e-12
        assert float(overlap.sum(1).max()) <= 1 + 1e-12
    full = right if cols <= rows else left
    torch.testing.assert_close(full.sum(1), torch.ones(len(full), dtype=torch.float64))


def test_the_signs_of_singular_vectors_do_not_matter():
    w, m = singular_vectors(gaussian(12, 8, 0)), singular_vectors(gaussian(12, 8, 1))
    signs = torch.tensor([1.0, -1.0] * 4, dtype=torch.float64)
    torch.testing.assert_close(squared_overlaps(w.left * signs, m.left), squared_overlaps(w.left, m.left))


def test_scale_and_sign_of_the_update_do_not_matter():
    w, m = gaussian(12, 8, 0), gaussian(12, 8, 1)
    for one, other in zip(singular_overlaps(w, m), singular_overlaps(3 * w, -0.01 * m), strict=True):
        torch.testing.assert_close(one, other)


def test_participation_ratio_counts_directions():
    assert float(participation_ratio(torch.tensor([0.0, 1.0, 0.0]))) == 1.0
    assert float(participation_ratio(torch.full((8,), 0.125))) == pytest.approx(8.0)
    haar = singular_overlaps(gaussian(300, 300, 0), gaussian(300, 300, 1))[1]
    # of squares of Gaussians: (E z²)² / E z⁴ = 1/3 of all directions
    assert float(participation_ratio(haar).mean()) == pytest.approx(100.0, rel=0.03)


def test_shapes_that_do_not_match_and_values_that_are_not_finite_are_refused():
    with pytest.raises(SpectailError, match="different shapes"):
        singular_overlaps(gaussian(4, 3, 0), gaussian(3, 4, 0))
    with pytest.raises(SpectailError, match="no overlaps"):
        squared_overlaps(gaussian(4, 3, 0), gaussian(5, 3, 0))
    with pytest.raises(SpectailError, match="NaN or inf"):
        singular_vectors(torch.tensor([[float("nan")]]))


def low_rank(rows, cols, rank, seed, dtype=torch.float64):
    return (gaussian(rows, rank, seed) @ gaussian(rank, cols, seed + 1)).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(60, 40), (40, 60), (50, 50)])
def test_directions_past_the_rank_of_an_update_have_no_overlaps_and_a_reason(shape, dtype):
    """A bfloat16 product of rank 3 has rounding of 0.4 % of its entries in every direction."""
    w, m = gaussian(*shape, 0), low_rank(*shape, 3, 1, dtype)
    both = singular_overlaps(w, m)
    for overlaps in both:
        assert overlaps[:, :3].isfinite().all()
        assert overlaps[:, 3:].isnan().all()
    assert both.note == "M has numerical rank 3: its further directions are arbitrary, their overlaps NaN"
    turned = singular_overlaps(m, w)
    assert turned.left[3:].isnan().all()
    assert turned.left[:3].isfinite().all()
    assert "W has numerical rank 3" in turned.note


def test_a_full_matrix_has_its_full_rank_in_its_own_dtype():
    """The smallest singular value of a square Gaussian is 1/n of the largest, far above rounding."""
    for dtype in (torch.float64, torch.float32):
        assert singular_vectors(gaussian(300, 300, 5).to(dtype)).rank == 300
    assert singular_overlaps(gaussian(30, 30, 0), gaussian(30, 30, 1)).note == ""
    assert singular_vectors(torch.zeros(4, 3)).rank == 0


def test_rounding_is_below_its_level_and_not_far_below():
    for shape in ((200, 100), (30, 400)):
        m = gaussian(*shape, 2)
        rounded = m.to(torch.bfloat16)
        error = float(torch.linalg.matrix_norm(rounded.double() - m, 2))
        assert 0.3 < error / rounding_level(rounded) < 1


def test_a_difference_of_stored_weights_has_their_rounding():
    w = gaussian(60, 40, 0).float()
    m = (w + 1e-4 * low_rank(60, 40, 2, 3).float()) - w
    assert singular_vectors(m).rank == 40
    assert singular_vectors(m, rounding=rounding_level(w)).rank == 2


def test_principal_angles_are_those_of_scipy_small_ones_too():
    j = singular_vectors(gaussian(30, 5, 0)).left
    for q in (singular_vectors(gaussian(30, 7, 1)).left, singular_vectors(j + 1e-9 * gaussian(30, 5, 2)).left):
        expected = np.sort(scipy.linalg.subspace_angles(j.numpy(), q.numpy()))
        np.testing.assert_allclose(principal_angles(j, q), expected, rtol=1e-5, atol=1e-14)
        np.testing.assert_allclose(principal_angles(q, j), expected, rtol=1e-5, atol=1e-14)
    with pytest.raises(SpectailError, match="without a dimension"):
        principal_angles(j, j[:, :0])


def test_a_subspace_that_turns_within_itself_does_not_turn():
    """Neighbours that change places fool the diagonal, and neither the subspace nor the window."""
    j = singular_vectors(gaussian(30, 10, 0)).left
    q = j[:, [1, 0, 3, 2, 4, 5, 6, 7, 8, 9]]
    overlaps = squared_overlaps(j, q)
    assert float(overlaps.diagonal()[:4].max()) < 1e-12
    assert float(leading_overlap(overlaps, 4)) == pytest.approx(1)
    assert principal_angles(j[:, :4], q[:, :4]).max() < 1e-7
    np.testing.assert_allclose(window_overlap(overlaps, 1), 1)
    squares = principal_angles(j[:, :3], q[:, :3]).cos().square()
    assert float(leading_overlap(overlaps, 3)) == pytest.approx(float(squares.mean()))


def test_a_window_takes_a_share_of_its_row_and_leaves_out_what_is_nan():
    overlaps = squared_overlaps(singular_vectors(gaussian(90, 30, 0)).left, singular_vectors(gaussian(90, 30, 1)).left)
    sums, shares = window_overlap(overlaps, 2), window_overlap(overlaps, 2, share=True)
    np.testing.assert_allclose(sums[10], overlaps[10, 8:13].sum())
    np.testing.assert_allclose(shares, sums / overlaps.sum(1))
    np.testing.assert_allclose(window_overlap(overlaps, 29), overlaps.sum(1))
    overlaps[:, 9:] = math.nan
    overlaps[20] = math.nan
    assert window_overlap(overlaps, 2)[10] == pytest.approx(float(overlaps[10, 8]))
    for measure in (window_overlap, participation_ratio, overlap_entropy):
        assert measure(overlaps)[20].isnan()
        assert measure(overlaps)[10].isfinite()
    assert leading_overlap(overlaps, 9).isfinite()
    assert leading_overlap(overlaps, 10).isnan()


def test_entropy_counts_directions():
    assert float(overlap_entropy([0.0, 0.4, 0.0])) == 0.0
    assert float(overlap_entropy(torch.full((8,), 0.01))) == pytest.approx(math.log(8))
    assert overlap_entropy([0.0, 0.0]).isnan()


@pytest.mark.usefixtures("unchecked")
def test_windows_and_blocks_that_do_not_exist_are_refused():
    with pytest.raises(SpectailError, match="no leading block of k=3"):
        leading_overlap(torch.eye(2), 3)
    with pytest.raises(SpectailError, match="no window"):
        window_overlap(torch.eye(2), -1)
    with pytest.raises(SpectailError, match="single number"):
        participation_ratio(torch.tensor(1.0))
