import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spectail.errors import SpectailError
from spectail.spectra import eigen
from spectail.spectra.eigen import eigenvalues, eigenvalues_and_top_direction, singular_values
from spectail.spectra.gram import (
    cholesky,
)


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
    values = np.asarray(eigenvalues(with_singular_values(singular, *shape)))[::-1]
    counted = singular**2 > 1e-10
    np.testing.assert_allclose(values[counted], singular[counted] ** 2, rtol=1e-6)


def test_float32_weights_keep_small_eigenvalues_that_a_float32_gram_matrix_loses():
    matrix = with_singular_values(np.geomspace(1.0, 1e-5, 100), 150, 100).float()
    exact = np.sort(np.linalg.svd(matrix.double().numpy(), compute_uv=False) ** 2)
    counted = exact > 1e-10 * exact[-1]
    np.testing.assert_allclose(np.asarray(eigenvalues(matrix))[counted], exact[counted], rtol=1e-6)
    in_float32 = np.linalg.eigvalsh((matrix.T @ matrix).numpy())
    assert np.max(np.abs(in_float32[counted] / exact[counted] - 1)) > 0.1


@settings(max_examples=25)
@given(exponent=st.integers(-140, 140))
def test_eigenvalues_scale_with_the_square_of_any_power_of_two(exponent):
    matrix = torch.randn(12, 8, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    scaled = eigenvalues(matrix * 2.0**exponent)
    torch.testing.assert_close(scaled, eigenvalues(matrix) * 4.0**exponent, rtol=1e-12, atol=0.0)


@settings(max_examples=25)
@given(rows=st.integers(1, 12), cols=st.integers(1, 12), exponent=st.integers(-300, 140))
def test_singular_values_are_ascending_and_right_where_their_squares_vanish(rows, cols, exponent):
    matrix = torch.randn(rows, cols, generator=torch.Generator().manual_seed(2), dtype=torch.float64) * 10.0**exponent
    exact = torch.linalg.svdvals(matrix).flip(0)
    # of each above 1e-5 of the largest, half the relative error that its square may have
    torch.testing.assert_close(singular_values(matrix), exact, rtol=5e-7, atol=1e-5 * float(exact[-1]))


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
    with pytest.raises(SpectailError, match="NaN or inf"):
        eigenvalues(matrix)


def test_an_empty_matrix_is_refused():
    with pytest.raises(SpectailError, match="not empty"):
        eigenvalues(torch.empty(0, 4))


@pytest.mark.parametrize("scale", [1e-140, 1e-80, 1.0, 1e80, 1e140])
def test_the_top_direction_does_not_depend_on_the_scale(scale):
    matrix = torch.randn(90, 70, generator=torch.Generator().manual_seed(8), dtype=torch.float64)
    exact = torch.linalg.svd(matrix).Vh[0]
    _, direction = eigenvalues_and_top_direction(scale * matrix)
    assert float((direction @ exact).abs()) == pytest.approx(1, abs=1e-12)


def test_the_top_direction_is_values_from_farther_away_where_rounding_asks_for_it(monkeypatch):
    matrix = torch.randn(90, 70, generator=torch.Generator().manual_seed(8), dtype=torch.float64)
    refused = []

    def fails_twice(shifted):
        refused.append(shifted)
        return None if len(refused) < 3 else cholesky(shifted)

    monkeypatch.setattr(eigen, "cholesky", fails_twice)
    _, direction = eigenvalues_and_top_direction(matrix)
    assert len(refused) == 3
    assert float((direction @ torch.linalg.svd(matrix).Vh[0]).abs()) == pytest.approx(1, abs=1e-12)
