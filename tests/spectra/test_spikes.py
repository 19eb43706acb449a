import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spectail.spectra.bulk import MarchenkoPastur
from spectail.spectra.eigen import eigenvalues_and_top_direction
from spectail.spectra.norms import frobenius_norm, spectral_norm
from spectail.spectra.spikes import (
    count_spikes,
    critical_strength,
    spectral_gap,
    spike_eigenvalue,
    spike_overlap_left,
    spike_overlap_right,
)

H, D = 900, 600


def spiked(theta, seed=0):
    generator = torch.Generator().manual_seed(seed)
    w = torch.randn(H, D, generator=generator, dtype=torch.float64)
    p = torch.nn.functional.normalize(torch.randn(H, generator=generator, dtype=torch.float64), dim=0)
    v = torch.nn.functional.normalize(torch.randn(D, generator=generator, dtype=torch.float64), dim=0)
    return w + theta * torch.outer(p, v), p, v


@pytest.mark.parametrize("factor", [1.5, 2.0, 4.0])
def test_a_rank_one_perturbation_puts_the_spike_and_its_directions_where_theory_says(factor):
    theta = factor * critical_strength(H, D)
    matrix, p, v = spiked(theta)
    values, direction = eigenvalues_and_top_direction(matrix)
    left = torch.linalg.svd(matrix).U[:, 0]
    # fluctuations of a spike and its overlaps are of order 1/√d = 0.04 of themselves
    assert float(values[-1]) == pytest.approx(spike_eigenvalue(theta, H, D), rel=0.05)
    assert float((direction @ v) ** 2) == pytest.approx(spike_overlap_right(theta, H, D), abs=0.08)
    assert float((left @ p) ** 2) == pytest.approx(spike_overlap_left(theta, H, D), abs=0.08)


def test_below_the_critical_strength_there_is_no_spike():
    law = MarchenkoPastur(H, D)
    weak, strong = (eigenvalues_and_top_direction(spiked(f * critical_strength(H, D))[0])[0] for f in (0.7, 1.6))
    assert count_spikes(weak, law) == 0
    assert count_spikes(strong, law) == 1
    assert spectral_gap(weak, law) == pytest.approx(1.0, abs=0.03)  # the edge fluctuates by its Tracy-Widom scale
    assert spectral_gap(strong, law) > 1.1


def test_prediction_is_continuous_at_the_critical_strength_and_ends_there():
    theta = critical_strength(H, D)
    assert spike_eigenvalue(theta * 1.0001, H, D) == pytest.approx(MarchenkoPastur(H, D).edges[1], rel=1e-6)
    assert spike_eigenvalue(0.5 * theta, H, D) == pytest.approx(MarchenkoPastur(H, D).edges[1])
    assert spike_overlap_left(0.9 * theta, H, D) == spike_overlap_right(0.9 * theta, H, D) == 0.0


@settings(deadline=None, max_examples=25)
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


def test_spectral_gap_of_a_bulk_without_width_is_nan():
    assert math.isnan(spectral_gap(torch.tensor([0.0, 0.0, 4.0]), MarchenkoPastur(4, 3, 0.0)))
