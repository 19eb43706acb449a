import numpy as np
import pytest
import torch

from spectail.errors import SpectailError
from spectail.spectra.localisation import vector_localisation


def gaussian(rows, cols, seed=0):
    return torch.randn(rows, cols, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("shape", [(40, 30), (300, 200), (150, 400)])
def test_it_is_the_formula_for_numpys_vectors(shape):
    w = gaussian(*shape)
    u, _, vh = np.linalg.svd(w.numpy(), full_matrices=False)
    one = vector_localisation(w, top=4)
    assert one.participation_left == pytest.approx(tuple(1 / (u[:, :4] ** 4).sum(0)), rel=1e-6)
    assert one.participation_right == pytest.approx(tuple(1 / (vh[:4] ** 4).sum(1)), rel=1e-6)
    assert one.excess_left == pytest.approx(tuple((u[:, :4] ** 4).sum(0) * (shape[0] + 2) / 3), rel=1e-6)


def test_vectors_of_noise_have_the_mean_and_the_spread_of_random_directions():
    """By the moments of a point of the sphere: 200 draws, so 5 % and 10 % are two to three standard errors."""
    draws = [vector_localisation(gaussian(40, 25, seed), top=1) for seed in range(200)]
    for side in ("left", "right"):
        z = np.array([getattr(one, f"z_{side}")[0] for one in draws])
        excess = np.array([getattr(one, f"excess_{side}")[0] for one in draws])
        assert abs(z.mean()) < 0.15
        assert z.std() == pytest.approx(1, abs=0.2)  # of a skewed law
        assert excess.mean() == pytest.approx(1, abs=0.05)


def test_a_strong_row_or_column_is_seen_on_its_side():
    w = gaussian(300, 200)
    w[7] *= 10
    one = vector_localisation(w, top=3)
    assert one.participation_left[0] < 1.1
    assert one.excess_left[0] > 80
    assert one.z_left[0] > 100
    assert abs(one.z_right[0]) < 5
    turned = vector_localisation(w.T, top=3)
    assert turned.participation_right == pytest.approx(one.participation_left, rel=1e-6)


def test_equally_strong_directions_and_zeros_are_no_error():
    assert len(vector_localisation(torch.eye(200), top=5).excess_left) == 5
    assert len(vector_localisation(torch.zeros(200, 100), top=2).excess_left) == 2


def test_what_has_no_vectors_is_refused():
    with pytest.raises(SpectailError, match="NaN"):
        vector_localisation([[1.0, float("nan")]])
    with pytest.raises(SpectailError, match="top"):
        vector_localisation([[1.0, 2.0]], top=0)
