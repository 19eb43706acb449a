import numpy as np
import pytest
import torch

from references import naive
from spectail.errors import SpectailError
from spectail.spectra.bulk import MarchenkoPastur
from spectail.spectra.subsampling import farms_hill, windowed_eigenvalues
from spectail.spectra.tails import hill


def gaussian(rows, cols, seed=0):
    return torch.randn(rows, cols, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("shape", "aspect", "side"), [((50, 20), 1.0, None), ((30, 40), 1.0, 12), ((60, 25), 2.0, 10)])
def test_windows_are_those_of_a_loop(shape, aspect, side):
    w = gaussian(*shape)
    expected = naive.windowed_eigenvalues(w.numpy(), aspect, side)
    np.testing.assert_allclose(windowed_eigenvalues(w, aspect=aspect, side=side).numpy(), expected, rtol=1e-8)
    assert farms_hill(w, aspect=aspect, side=side) == pytest.approx(hill(expected), rel=1e-8)


@pytest.mark.parametrize("shape", [(200, 200), (200, 500), (1500, 200), (250, 200)])
def test_an_untrained_matrix_of_any_shape_has_the_exponent_of_a_window(shape):
    """Where the exponent of the whole goes from 2.1 to 5.4."""
    alphas = [farms_hill(gaussian(*shape, seed)) for seed in range(3)]
    assert np.mean(alphas) == pytest.approx(MarchenkoPastur(200, 200).hill(), abs=0.03)  # of 600 eigenvalues


def test_the_transpose_is_the_same_and_so_is_another_call():
    w = gaussian(90, 40)
    assert farms_hill(w) == farms_hill(w.T) == farms_hill(w)


def test_a_square_matrix_is_its_own_window():
    w = gaussian(60, 60)
    assert farms_hill(w) == pytest.approx(hill(w), rel=1e-12)


def test_every_entry_is_in_a_window():
    w = torch.zeros(1000, 30)
    w[-1, -1] = 2.0
    assert windowed_eigenvalues(w)[-1] == 4.0
    long = torch.zeros(100, 30)
    for row in range(0, 100, 9):
        long.zero_()[row, 3] = 1.0
        assert windowed_eigenvalues(long)[-1] == 1.0


def test_rounding_of_a_lower_rank_has_no_exponent():
    assert np.isnan(farms_hill(torch.outer(gaussian(1, 50)[0], gaussian(1, 20, seed=1)[0])))


def test_windows_that_do_not_fit_are_refused():
    with pytest.raises(SpectailError, match="no window of 50 × 50 fits into 60 × 40"):
        windowed_eigenvalues(gaussian(60, 40), side=50)
    with pytest.raises(SpectailError, match="aspect"):
        windowed_eigenvalues(gaussian(60, 40), aspect=0.5)
