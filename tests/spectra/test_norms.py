import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spectail.spectra.eigen import eigenvalues
from spectail.spectra.norms import frobenius_norm, spectral_norm, stable_rank


@settings(max_examples=25)
@given(rows=st.integers(1, 30), cols=st.integers(1, 30), seed=st.integers(0, 99), exponent=st.integers(-30, 30))
def test_spectral_norm_is_the_largest_singular_value(rows, cols, seed, exponent):
    matrix = torch.randn(rows, cols, generator=torch.Generator().manual_seed(seed)) * 10.0**exponent
    exact = float(torch.linalg.matrix_norm(matrix.double(), 2))
    # the products are float32: a few units of its rounding
    assert spectral_norm(matrix) == pytest.approx(exact, rel=2e-6)


def test_spectral_norm_of_matrices_that_trap_an_iteration():
    identity = torch.eye(6)
    assert spectral_norm(identity) == pytest.approx(1.0)
    assert spectral_norm(torch.zeros(4, 3)) == 0.0
    assert spectral_norm(-torch.ones(4, 3)) == pytest.approx(math.sqrt(12), rel=1e-6)
    cancelling = torch.tensor([[1.0, 2.0], [-1.0, -2.0]])  # its columns sum to zero
    assert spectral_norm(cancelling) == pytest.approx(math.sqrt(10), rel=1e-6)
    assert math.isnan(spectral_norm(torch.tensor([[1.0, math.nan]])))


def test_frobenius_norm_does_not_overflow_float32():
    assert frobenius_norm(torch.full((2, 2), 3e30)) == pytest.approx(6e30)


def test_stable_rank_counts_equal_directions_and_ignores_scale():
    assert float(stable_rank(eigenvalues(3 * torch.eye(7)))) == pytest.approx(7.0)
    assert float(stable_rank(torch.tensor([0.0, 0.0, 5.0]))) == 1.0
