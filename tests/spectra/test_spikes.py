import math

import pytest
import torch

from spectail.errors import SpectailError
from spectail.spectra.bulk import MarchenkoPastur
from spectail.spectra.eigen import eigenvalues_and_top_direction
from spectail.spectra.spikes import (
    broader_than,
    count_spikes,
    critical_strength,
    spectral_gap,
    sphericity,
    spike_eigenvalue,
    spike_overlap_left,
    spike_overlap_right,
    spike_values,
    visible_edge,
)

H, D = 900, 600


def test_norms_that_were_made_equal_take_degrees_of_freedom_of_johns_statistic():
    plain, balanced = [], []
    for seed in range(40):
        noise = torch.randn(60, 40, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        for _ in range(20):  # rows, then columns, until both have one norm
            noise = noise / noise.norm(dim=1, keepdim=True)
            noise = noise / noise.norm(dim=0, keepdim=True)
        spectrum = torch.linalg.eigvalsh(noise.T @ noise)
        plain.append(sphericity(spectrum, 60, 40))
        balanced.append(sphericity(spectrum, 60, 40, balanced=True))
    # the mean of 40 is known to 0.16; beside the plain law, 79 of 819 degrees are missing: two standard deviations
    assert sum(balanced) / 40 == pytest.approx(0.0, abs=0.5)
    assert sum(plain) / 40 == pytest.approx(-2.0, abs=0.5)
    assert broader_than(0.01, 60, 40, balanced=True) == pytest.approx(broader_than(0.01, 60, 40), abs=0.02)


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


def test_spectral_gap_of_a_bulk_without_width_is_nan():
    assert math.isnan(spectral_gap(torch.tensor([0.0, 0.0, 4.0]), MarchenkoPastur(4, 3, 0.0)))


@pytest.mark.parametrize("overlap", [spike_overlap_left, spike_overlap_right])
@pytest.mark.parametrize("theta", [0.0, 1e-300, 5.0])
def test_what_makes_no_spike_has_no_overlap_with_it_also_at_zero(overlap, theta):
    assert overlap(theta, H, D) == 0.0


@pytest.mark.parametrize("shape", [(60, 40), (300, 200), (900, 600)])
def test_the_spikes_are_as_many_as_are_counted_and_the_largest(shape):
    law = MarchenkoPastur(*shape)
    values = visible_edge(law) * torch.tensor([1.5, 0.2, 1.0, 1.001, 0.999, 7.0], dtype=torch.float64)
    spikes = spike_values(values, law)
    assert len(spikes) == count_spikes(values, law) == 3  # what lies at the edge has not passed it
    assert torch.equal(spikes, values.sort().values[-3:])


def test_strengths_at_the_limits_have_the_limits_and_no_sense_is_refused():
    for overlap in (spike_overlap_left, spike_overlap_right):
        assert overlap(0, 100, 50) == overlap(0.0, 0, 50) == overlap(0, 0, 0) == 0
        assert overlap(math.inf, 100, 50) == 1
        assert overlap(1e200, 100, 50) == pytest.approx(1)
        assert math.isnan(overlap(math.nan, 100, 50))
    assert spike_overlap_left(2.0, 0, 50) == 1  # a matrix without rows adds no noise
    assert spike_eigenvalue(0, 0, 4) == 4
    assert spike_eigenvalue(math.inf, 100, 50) == math.inf
    for function in (spike_eigenvalue, spike_overlap_left, spike_overlap_right):
        for arguments in ((-1.0, 100, 50), (1.0, -100, 50), (1.0, 100, -50)):
            with pytest.raises(SpectailError, match="not negative, got"):
                function(*arguments)
    with pytest.raises(SpectailError, match="not negative, got"):
        critical_strength(-1, 4)
