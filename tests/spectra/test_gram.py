import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.linalg import eigh

from spectail.errors import SpectailError
from spectail.spectra import gram
from spectail.spectra.gram import (
    add_gram,
    cholesky,
    gram_matrix,
    lower_gram,
    scipy_eigenvalues,
    symmetric_eigenvalues,
    symmetric_norm,
)


@pytest.fixture(params=[1, 2])
def threads(request):
    """On one thread SciPy computes, on several torch does."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.integers(0, 90), cols=st.integers(0, 40), block=st.integers(1, 50), cut=st.integers(0, 40))
def test_gram_matrix_is_the_product_in_any_blocks_and_parts(rows, cols, block, cut):
    exact = torch.randn(rows, cols, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    # on one thread from 65 rows on by SciPy, by torch, and by SciPy of columns; not as a part of anybody's graph
    for z in (exact.requires_grad_(), exact.float(), exact.T.contiguous().T):
        product = (z @ z.T).detach()
        torch.testing.assert_close(gram_matrix(z, block), product)
        torch.testing.assert_close(gram_matrix(z.detach().numpy(), block), product)
        torch.testing.assert_close(gram_matrix([z[:, :cut], z[:, cut:]], block), product)


def test_parts_that_are_no_matrix_or_none_are_refused_in_a_sentence():
    with pytest.raises(SpectailError, match="at least one part"):
        gram_matrix([])
    with pytest.raises(SpectailError, match=r"got shape \(2,\)"):
        gram_matrix([[1.0, 2.0], [3.0, 4.0]])


def test_a_product_cannot_get_lost_in_a_copy():
    with pytest.raises(AssertionError, match="copy"):
        add_gram(np.zeros((3, 3)), np.ones((3, 2)))


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("size", [1, 90, 300])
def test_eigenvalues_of_a_symmetric_matrix_are_those_of_its_lower_half(size, monkeypatch):
    for threshold in ("FAST_IN_TORCH", "_MANY_THREADS"):
        monkeypatch.setattr(gram, threshold, 300)  # so that both ways are gone, the second in milliseconds
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


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1.0, 0.0, 1e-30, 1e30])  # of float32, the last two are scaled first
def test_eigenvalues_are_those_of_lapacks_driver_bit_for_bit(dtype, scale):
    for size in (65, 200, 301):
        weights = np.random.default_rng(size).standard_normal((size + 9, size))
        matrix = np.asfortranarray(np.tril(weights.T @ weights) * scale, dtype)
        driver = eigh(matrix, lower=True, eigvals_only=True, driver="evd")
        assert np.array_equal(scipy_eigenvalues(matrix), driver)
        assert np.array_equal(scipy_eigenvalues(matrix.copy(order="F"), overwrite=True), driver)
