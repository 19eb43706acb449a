import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spectail.errors import SpectailError
from spectail.spectra.overlaps import participation_ratio, singular_overlaps, singular_vectors, squared_overlaps


def gaussian(rows, cols, seed):
    return torch.randn(rows, cols, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("shape", [(30, 20), (20, 30), (25, 25)])
def test_overlaps_of_a_matrix_with_itself_are_the_identity(shape):
    matrix = gaussian(*shape, 0)
    identity = torch.eye(min(shape), dtype=torch.float64)
    for overlap in singular_overlaps(matrix, matrix):
        torch.testing.assert_close(overlap, identity, atol=1e-10, rtol=0)


@settings(deadline=None, max_examples=20)
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
