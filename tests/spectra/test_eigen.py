import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spectail.spectra import eigen as density
from spectail.spectra.density import histogram
from spectail.spectra.eigen import eigenvalues, eigenvalues_and_top_direction
from spectail.spectra.gram import (
    FAST_IN_TORCH,
    add_gram,
    cholesky,
    gram_matrix,
    lower_gram,
    symmetric_eigenvalues,
    symmetric_norm,
)
from spectail.spectra.norms import stable_rank


def with_singular_values(values, rows, cols, seed=0):
    """A matrix with given singular values and Haar-random singular vectors, in float64."""
    generator = torch.Generator().manual_seed(seed)
    k = min(rows, cols)
    u = torch.linalg.qr(torch.randn(rows, k, generator=generator, dtype=torch.float64)).Q
    v = torch.linalg.qr(torch.randn(cols, k, generator=generator, dtype=torch.float64)).Q
    return u * torch.as_tensor(values, dtype=torch.float64) @ v.T


@pytest.mark.parametrize("shape", [(60, 40), (40, 60), (50, 50), (1, 7), (7, 1), (1, 1)])
def test_eigenvalues_are_the_squared_singular_values_of_any_shape(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    expected = np.sort(np.linalg.svd(matrix.double().numpy(), compute_uv=False) ** 2)
    np.testing.assert_allclose(eigenvalues(matrix), expected, rtol=1e-6)  # a square one has condition 1e3


@pytest.mark.parametrize("condition", [1e2, 1e4, 3e4, 1e5, 1e7])
@pytest.mark.parametrize("shape", [(300, 200), (200, 300), (200, 200)])
def test_every_eigenvalue_above_1e_10_of_the_largest_is_right_to_1e_6(condition, shape):
    singular = np.geomspace(1.0, 1 / condition, 200)
    found = np.asarray(eigenvalues(with_singular_values(singular, *shape)))[::-1]
    counted = singular**2 > 1e-10
    np.testing.assert_allclose(found[counted], singular[counted] ** 2, rtol=1e-6)


def test_float32_weights_keep_small_eigenvalues_that_a_float32_gram_matrix_loses():
    matrix = with_singular_values(np.geomspace(1.0, 1e-5, 100), 150, 100).float()
    exact = np.sort(np.linalg.svd(matrix.double().numpy(), compute_uv=False) ** 2)
    counted = exact > 1e-10 * exact[-1]
    np.testing.assert_allclose(np.asarray(eigenvalues(matrix))[counted], exact[counted], rtol=1e-6)
    in_float32 = np.linalg.eigvalsh((matrix.T @ matrix).numpy())
    assert np.max(np.abs(in_float32[counted] / exact[counted] - 1)) > 0.1


@settings(deadline=None, max_examples=25)
@given(exponent=st.integers(-140, 140))
def test_eigenvalues_scale_with_the_square_of_any_power_of_two(exponent):
    matrix = torch.randn(12, 8, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    scaled = eigenvalues(matrix * 2.0**exponent)
    torch.testing.assert_close(scaled, eigenvalues(matrix) * 4.0**exponent, rtol=1e-12, atol=0.0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_any_floating_dtype_gives_the_eigenvalues_of_its_own_values(dtype):
    matrix = torch.randn(30, 20, generator=torch.Generator().manual_seed(3)).to(dtype)
    torch.testing.assert_close(eigenvalues(matrix), eigenvalues(matrix.double()))


@pytest.mark.parametrize("shape", [(80, 50), (50, 80)])
@pytest.mark.parametrize("spike", [0.0, 3.0, 1e4])
def test_top_direction_is_the_first_right_singular_vector_with_and_without_a_spike(shape, spike):
    generator = torch.Generator().manual_seed(4)
    matrix = torch.randn(shape, generator=generator)
    matrix += spike * torch.outer(
        torch.randn(shape[0], generator=generator), torch.randn(shape[1], generator=generator)
    )
    _, direction = eigenvalues_and_top_direction(matrix)
    exact = torch.linalg.svd(matrix.double()).Vh[0]
    assert abs(float(direction @ exact)) == pytest.approx(1.0, abs=1e-9)


def test_top_direction_of_the_identity_and_of_zero_is_a_unit_vector():
    for matrix in (torch.eye(5), torch.zeros(5, 3)):
        _, direction = eigenvalues_and_top_direction(matrix)
        assert float(direction.norm()) == pytest.approx(1.0) or not matrix.any()
        assert direction.isfinite().all()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_have_no_spectrum(bad):
    matrix = torch.ones(3, 2)
    matrix[1, 1] = bad
    with pytest.raises(ValueError, match="NaN or inf"):
        eigenvalues(matrix)


def test_an_empty_matrix_is_refused():
    with pytest.raises(ValueError, match="not empty"):
        eigenvalues(torch.empty(0, 4))


@pytest.fixture(params=[1, 2])
def threads(request):
    """On one thread SciPy computes, on several torch does."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.integers(0, 90), cols=st.integers(0, 40), block=st.integers(1, 50), cut=st.integers(0, 40))
def test_gram_matrix_is_the_product_in_any_blocks_and_parts(rows, cols, block, cut):
    exact = torch.randn(rows, cols, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    # on one thread from 65 rows on by SciPy, by torch, and by SciPy of columns; not as a part of anybody's graph
    for z in (exact.requires_grad_(), exact.float(), exact.T.contiguous().T):
        product = (z @ z.T).detach()
        torch.testing.assert_close(gram_matrix(z, block), product)
        torch.testing.assert_close(gram_matrix([z[:, :cut], z[:, cut:]], block), product)


def test_a_product_cannot_get_lost_in_a_copy():
    with pytest.raises(AssertionError, match="copy"):
        add_gram(np.zeros((3, 3)), np.ones((3, 2)))


@pytest.mark.parametrize("scale", [1e-140, 1e-80, 1.0, 1e80, 1e140])
def test_the_top_direction_does_not_depend_on_the_scale(scale):
    matrix = torch.randn(90, 70, generator=torch.Generator().manual_seed(8), dtype=torch.float64)
    exact = torch.linalg.svd(matrix).Vh[0]
    _, direction = eigenvalues_and_top_direction(scale * matrix)
    assert float((direction @ exact).abs()) == pytest.approx(1, abs=1e-12)


def test_the_top_direction_is_found_from_farther_away_where_rounding_asks_for_it(monkeypatch):
    matrix = torch.randn(90, 70, generator=torch.Generator().manual_seed(8), dtype=torch.float64)
    refused = []

    def fails_twice(shifted):
        refused.append(shifted)
        return None if len(refused) < 3 else cholesky(shifted)

    monkeypatch.setattr(density, "cholesky", fails_twice)
    _, direction = eigenvalues_and_top_direction(matrix)
    assert len(refused) == 3
    assert float((direction @ torch.linalg.svd(matrix).Vh[0]).abs()) == pytest.approx(1, abs=1e-12)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("size", [1, 90, FAST_IN_TORCH])
def test_eigenvalues_of_a_symmetric_matrix_are_those_of_its_lower_half(size):
    matrix = gram_matrix(torch.randn(size, 40, generator=torch.Generator().manual_seed(6), dtype=torch.float64))
    lower, before = matrix.tril(), matrix.clone()
    exact = torch.linalg.eigvalsh(matrix)
    for half in (matrix, lower, lower.T.contiguous().T):
        torch.testing.assert_close(symmetric_eigenvalues(half), exact, rtol=0, atol=1e-13 * float(exact[-1]))
    torch.testing.assert_close(matrix, before, rtol=0, atol=0)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("size", [1, 30, 200])
def test_the_lower_half_is_enough_for_norm_and_factor(size):
    z = torch.randn(size, 300, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    lower, full = lower_gram(z), z @ z.T
    assert not lower.triu(1).any()
    torch.testing.assert_close(symmetric_norm(lower), torch.linalg.matrix_norm(full))
    factor = cholesky(lower)
    torch.testing.assert_close(factor.tril(), torch.linalg.cholesky(full))
    lower[-1, -1] = -1.0
    assert cholesky(lower) is None


def test_stable_rank_counts_equal_directions_and_ignores_scale():
    assert float(stable_rank(eigenvalues(3 * torch.eye(7)))) == pytest.approx(7.0)
    assert float(stable_rank(torch.tensor([0.0, 0.0, 5.0]))) == 1.0


@pytest.mark.parametrize("axis", ["linear", "log10"])
def test_histogram_has_area_one(axis):
    density, edges = histogram(eigenvalues(torch.randn(60, 40, generator=torch.Generator().manual_seed(6))), 30, axis)
    assert float((density * edges.diff()).sum()) == pytest.approx(1.0)


def test_histogram_of_zeros_on_a_log_axis_is_refused():
    with pytest.raises(ValueError, match="positive, finite"):
        histogram(torch.zeros(4))
