"""Intruder dimensions, beside a full SVD of both matrices."""

import pytest
import torch

from spectail.errors import SpectailError
from spectail.spectra.intruders import intruder_dimensions, strongest_vectors, subspace_overlap
from spectail.spectra.low_rank import vectors_of_kronecker, vectors_of_product


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed + sum(shape)), dtype=torch.float64)


def directly(base, tuned, k):
    """Algorithm 1 of the paper as it stands there, but for signs."""
    of_base = torch.linalg.svd(base, full_matrices=False).U
    of_tuned = torch.linalg.svd(tuned, full_matrices=False).U[:, :k]
    return (of_base.T @ of_tuned).abs().amax(0)


SHAPES = [(30, 40), (40, 30), (90, 120), (120, 90), (300, 260), (1, 7), (7, 1)]  # small ones are solved another way


@pytest.mark.parametrize("shape", SHAPES)
def test_cosines_are_those_of_two_svds(shape):
    base = random(*shape)
    tuned = base + 3 * random(shape[0], 1, seed=1) @ random(1, shape[1], seed=2) / shape[0] ** 0.5
    found = intruder_dimensions(base, tuned, k=6)
    # the vectors of neighbours in the bulk are right to rounding over their gap, at least 1e-3 here
    torch.testing.assert_close(found.cosines, directly(base, tuned, 6), rtol=0, atol=1e-9)
    u, _, vh = torch.linalg.svd(base, full_matrices=False)
    for vectors, exact in ((found.base.left, u[:, :6]), (found.base.right, vh[:6].T)):
        assert float(((vectors.T @ exact).diagonal().abs() - 1).abs().max()) < 1e-9


@pytest.mark.parametrize("shape", SHAPES[:5])
def test_a_planted_direction_is_an_intruder_and_one_that_was_there_is_none(shape):
    base = random(*shape)
    u, singular, vh = torch.linalg.svd(base, full_matrices=False)
    u2, v2 = (random(size, 1, seed=5) for size in shape)
    planted = base + 3 * singular[0] * (u2 / u2.norm()) @ (v2 / v2.norm()).T
    strengthened = base + 2 * (u[:, :3] * singular[:3]) @ vh[:3]
    assert intruder_dimensions(base, planted).count == 1
    assert intruder_dimensions(base, strengthened).count == 0
    assert float(intruder_dimensions(base, strengthened).cosines.min()) > 1 - 1e-9


@pytest.mark.parametrize("shape", SHAPES[2:4])
def test_of_a_base_of_low_rank_only_directions_that_it_has_are_compared(shape):
    base = random(shape[0], 20) @ random(20, shape[1])
    tuned = base + 100 * random(shape[0], 1, seed=1) @ random(1, shape[1], seed=2)
    u = torch.linalg.svd(base, full_matrices=False).U[:, :20]
    found = intruder_dimensions(base, tuned, k=5)
    exact = (u.T @ torch.linalg.svd(tuned, full_matrices=False).U[:, :5]).abs().amax(0)
    if shape[0] > shape[1]:  # in the other case any basis of its null space counts, as in the paper
        torch.testing.assert_close(found.cosines, exact, rtol=0, atol=1e-9)
    assert bool((found.cosines >= exact - 1e-9).all())


def test_scale_does_not_matter_and_float32_is_taken():
    base, tuned = random(70, 90), random(70, 90, seed=9)
    exact = intruder_dimensions(base, tuned).cosines
    torch.testing.assert_close(intruder_dimensions(1e-170 * base, 1e-170 * tuned).cosines, exact, rtol=0, atol=1e-9)
    single = intruder_dimensions(base.float(), tuned.float()).cosines
    torch.testing.assert_close(single, exact, rtol=0, atol=1e-4)  # float32 over gaps of the bulk


@pytest.mark.parametrize(
    ("base", "tuned"),
    [(torch.zeros(4, 4), torch.eye(4)), (torch.eye(4) * float("nan"), torch.eye(4)), (torch.eye(4), torch.eye(5))],
)
def test_what_has_no_directions_is_refused(base, tuned):
    with pytest.raises(SpectailError):
        intruder_dimensions(base, tuned)


def test_vectors_of_factors_are_those_of_what_they_make():
    left, right = random(50, 6), random(6, 40)
    first, second = random(8, 5), random(6, 9)
    for found, matrix in (
        (vectors_of_product(left, right, 4), left @ right),
        (vectors_of_kronecker(first, second, 4), torch.kron(first, second)),
        (strongest_vectors(left @ right, 4), left @ right),
    ):
        u, _, vh = torch.linalg.svd(matrix, full_matrices=False)
        for vectors, exact in ((found.left, u[:, :4]), (found.right, vh[:4].T)):
            assert float(((vectors.T @ exact).diagonal().abs() - 1).abs().max()) < 1e-12
    assert vectors_of_product(left, right, 20).left.shape == (50, 6)
    assert vectors_of_product(0 * left, right, 20).left.shape == (50, 0)


def test_the_overlap_of_spaces_is_one_within_and_their_share_where_they_are_random():
    j = torch.linalg.qr(random(400, 10)).Q
    assert subspace_overlap(j, j[:, :3] @ torch.linalg.qr(random(3, 3)).Q) == pytest.approx(1.0, abs=1e-12)
    q = torch.linalg.qr(random(400, 4, seed=3)).Q
    assert subspace_overlap(j, q) == pytest.approx(10 / 400, abs=4 * (2 * 10 / 4) ** 0.5 / 400)  # 4 standard errors
    assert torch.tensor(subspace_overlap(j, q[:, :0])).isnan()
