"""Norms and entries taken out: independent entries become Gaussian noise, whatever is planted in them stays."""

import math

import pytest
import torch

from spectail.spectra.eigen import eigenvalues, eigenvalues_of_slices
from spectail.spectra.inhomogeneity import homogeneous
from spectail.spectra.norms import effective_rank
from spectail.spectra.nulls import simulate_nulls
from spectail.spectra.phases import classify

ROWS, COLS = 300, 200


def noise(seed=0, rows=ROWS, cols=COLS):
    return torch.randn(rows, cols, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def uniform(*shape, seed=9):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def directions(count, strength, seed=3):
    """A matrix of that many directions, each `strength` times as strong as just makes a spike."""
    left = torch.linalg.qr(noise(seed)[:, :count]).Q
    right = torch.linalg.qr(noise(seed + 1).T[:, :count]).Q
    return strength * (ROWS * COLS) ** 0.25 * left @ right.T


def student(degrees):
    chi = torch.stack([noise(20 + i).square() for i in range(degrees)]).sum(0)
    return noise(1) / (chi / degrees).sqrt()


SCALES = {
    "rows": 0.5 + 1.5 * uniform(ROWS, 1),
    "columns": 0.5 + 1.5 * uniform(1, COLS),
    "both": torch.exp(0.5 * noise(7)[:, :1]) * torch.exp(0.5 * noise(8)[:1]),
}
ENTRIES = {"t(3)": student(3), "t(5)": student(5), "sparse": noise() * (uniform(ROWS, COLS) < 0.1)}
INDEPENDENT = {name: (scale * noise(), "norms") for name, scale in SCALES.items()} | {
    name: (entries, "entries") for name, entries in ENTRIES.items()
}


@pytest.fixture(scope="module")
def nulls():
    return simulate_nulls(ROWS, COLS)


@pytest.mark.parametrize("name", INDEPENDENT)
def test_independent_entries_of_any_law_and_norms_are_random_like_for_a_reason(name, nulls):
    matrix, cause = INDEPENDENT[name]
    evidence = classify(matrix, nulls=nulls)
    assert (str(evidence.phase), evidence.n_spikes, evidence.cause) == ("random-like", 0, cause)
    assert abs(evidence.z_hill) < 4  # what is left is Gaussian noise


@pytest.mark.parametrize("name", SCALES)
@pytest.mark.parametrize("count", [1, 5])
def test_planted_directions_are_counted_exactly_whatever_the_norms(name, count, nulls):
    """Scaled noise alone has dozens of eigenvalues past the edge of its law."""
    evidence = classify(SCALES[name] * (noise() + directions(count, 3.0)), nulls=nulls)
    assert (str(evidence.phase), evidence.n_spikes) == ("bulk+spike", count)


@pytest.mark.parametrize("strength", [3.0, 10.0])
def test_spikes_are_not_taken_for_unequal_norms(strength, nulls):
    """Ten directions make rows unequal; scaled to one norm by that, the noise below them would be unequal instead."""
    evidence = classify(noise() + directions(10, strength), nulls=nulls)
    assert (str(evidence.phase), evidence.n_spikes, evidence.cause) == ("bulk+spike", 10, "spikes")


@pytest.mark.parametrize("strength", [3.0, 10.0])
@pytest.mark.parametrize("count", [1, 10])
def test_directions_beside_heavy_entries_are_counted_exactly(strength, count, nulls):
    """Ranks alone would bend them: a strong direction became several, and ten made norms unequal."""
    heavy = ENTRIES["t(3)"] / ENTRIES["t(3)"].square().mean().sqrt()
    for scale in (torch.ones(()), SCALES["rows"]):
        evidence = classify(scale * (heavy + directions(count, strength)), nulls=nulls)
        assert (str(evidence.phase), evidence.n_spikes) == ("bulk+spike", count)


def test_a_direction_of_a_pruned_matrix_is_one_spike(nulls):
    kept = uniform(ROWS, COLS) < 0.2
    evidence = classify(kept * (noise() + directions(1, 3.0 / math.sqrt(0.2))), nulls=nulls)
    assert (str(evidence.phase), evidence.n_spikes) == ("bulk+spike", 1)


@pytest.mark.parametrize("name", SCALES)
@pytest.mark.parametrize("entries", ["t(3)", "sparse"])
def test_heavy_entries_in_rows_and_columns_of_unequal_norm_are_random_like(entries, name, nulls):
    """Squares of a few heavy entries tell norms badly; those of ranks tell them well."""
    evidence = classify(SCALES[name] * ENTRIES[entries], nulls=nulls)
    assert (str(evidence.phase), evidence.n_spikes) == ("random-like", 0)
    assert abs(evidence.z_hill) < 4


def test_a_triangular_matrix_is_one_of_unequal_norms(nulls):
    """Its entries are independent, and rows begin with more of them than they end with."""
    assert str(classify(noise().tril(), nulls=nulls).phase) == "random-like"


def test_slices_of_low_rank_rounded_to_sixteen_bits_stay_of_low_rank():
    """What rounding leaves has heavy entries; ranks of all of the weights would have a whole rank."""
    for seed in range(3):
        low = torch.stack([noise(seed + 10 * i, 128, 8) @ noise(seed + 10 * i + 5, 8, 64) for i in range(9)])
        scaled, inhomogeneity = homogeneous(low.half())
        assert inhomogeneity.entries
        assert effective_rank(eigenvalues_of_slices(scaled).flatten()) < 0.2 * 9 * 64  # a rank of 8 of 64


def test_a_correlation_survives(nulls):
    matrix = noise()
    for j in range(1, COLS):
        matrix[:, j] = 0.3 * matrix[:, j - 1] + math.sqrt(1 - 0.3**2) * matrix[:, j]
    assert classify(matrix, nulls=nulls).cause == "correlation"
    assert classify(SCALES["both"] * matrix, nulls=nulls).z_bulk > 5


def test_slices_of_unequal_norm_are_named_and_scaled():
    slices = torch.stack([(0.5 + 1.5 * i / 48) * noise(i, 64, 40) for i in range(49)])
    scaled, inhomogeneity = homogeneous(slices)
    assert scaled is None  # rows and columns are equal; slices are compared by their own means
    assert inhomogeneity.slices
    assert inhomogeneity.slice_spread == pytest.approx(0.35, abs=0.02)  # 0.5 to 2, evenly: a spread of 0.44 over 1.25


def test_slices_of_which_one_entry_is_most_have_gaussian_entries_afterwards_each():
    """Scaled to one mean square, those without such an entry had all of the large ranks: Cauchy kernels had spikes."""
    cauchy = torch.tan(math.pi * (uniform(9, 64, 64) - 0.5))
    scaled, inhomogeneity = homogeneous(cauchy)
    assert inhomogeneity.taken_out == "entries"
    squares = scaled.double().square()
    kurtosis = squares.square().mean((1, 2)) / squares.mean((1, 2)).square()
    assert (kurtosis - 3).abs().max() < 5 * math.sqrt(24 / 64**2)  # five standard errors of a Gaussian one


def test_rows_and_columns_have_one_norm_afterwards():
    scaled, inhomogeneity = homogeneous((SCALES["both"] * noise())[None])
    squares = scaled[0].double().square()
    assert inhomogeneity.norms
    assert not inhomogeneity.entries
    torch.testing.assert_close(
        squares.mean(0), torch.ones(COLS, dtype=torch.float64), rtol=2e-3, atol=0
    )  # where scaling ends
    torch.testing.assert_close(squares.mean(1), torch.ones(ROWS, dtype=torch.float64), rtol=2e-3, atol=0)


def test_entries_become_normal_scores_of_their_ranks():
    scaled, inhomogeneity = homogeneous(ENTRIES["sparse"][None])
    values = scaled.double().flatten().sort().values
    assert inhomogeneity.kurtosis > 10
    quantiles = torch.special.ndtri((torch.arange(len(values), dtype=torch.float64) + 0.5) / len(values))
    assert (values - quantiles)[1000:-1000].abs().max() < 0.1  # a table of scores; ties told apart at random


@pytest.mark.parametrize("seed", [3, 31])  # of 120 seeds those where a row or column is large beyond chance
def test_heavy_entries_that_make_a_row_large_are_no_unequal_norms(seed):
    z = torch.randn(4, ROWS, COLS, generator=torch.Generator().manual_seed(seed))
    entries = z[0] / z[1:].square().mean(0).sqrt()  # t(3), whose fourth moment is infinite
    inhomogeneity = homogeneous(entries[None])[1]
    assert inhomogeneity.entries
    assert not inhomogeneity.norms
    unequal = homogeneous((entries * torch.linspace(0.5, 2.0, ROWS)[:, None])[None])[1]
    assert unequal.entries
    assert unequal.norms


def test_pruned_rows_and_columns_are_left_out():
    matrix = SCALES["rows"] * noise()
    matrix[:40] = 0
    matrix[:, :10] = 0
    scaled, _ = homogeneous(matrix[None])
    assert scaled.shape == (1, ROWS - 40, COLS - 10)


@pytest.mark.parametrize("pruned", [20, 120])  # of 300 rows; beside the other 180 there are 20 eigenvalues of zero
def test_noise_of_which_rows_were_pruned_is_noise(pruned, nulls):
    matrix = noise()
    matrix[:pruned] = 0
    evidence = classify(matrix)
    assert (str(evidence.phase), evidence.n_spikes, evidence.cause) == ("random-like", 0, "norms")


def test_slices_of_zeros_as_a_mask_leaves_them_are_left_out():
    slices = torch.stack([noise(i, 40, 30) * (i < 6) for i in range(9)])
    scaled, inhomogeneity = homogeneous(slices)
    assert scaled.shape == (6, 40, 30)
    assert inhomogeneity.norms


@pytest.mark.parametrize("left", [0.0, 1e-20, 1e-30])
def test_columns_that_decayed_to_next_to_nothing_are_left_out_as_zeros_are(left):
    """Weight decay does that to units that died; float32 does not hold their squares."""
    scales = torch.ones(128)
    scales[:3] = left
    scaled, inhomogeneity = homogeneous(torch.randn(1, 256, 128, generator=torch.Generator().manual_seed(3)) * scales)
    assert scaled.shape == (1, 256, 125)
    assert inhomogeneity.norms


def test_one_row_of_zeros_as_of_an_embedding_that_pads_is_no_unequal_norm():
    matrix = noise()
    matrix[0] = 0
    assert homogeneous(matrix[None])[0] is None


def test_a_low_rank_that_unequal_norms_or_heavy_entries_make_is_told_and_is_no_collapse(nulls):
    both = torch.exp(noise(7)[:, :1]) * torch.exp(noise(8)[:1]) * noise()
    cauchy = noise() / noise(1)
    for matrix, cause in ((both, "norms"), (cauchy, "entries")):
        evidence = classify(matrix, nulls=nulls)
        assert (str(evidence.phase), evidence.cause) == ("random-like", cause)
        assert "because of" in evidence.note
    nearly_dead = noise()
    nearly_dead[:250] *= 1e-4  # 50 rows are left
    assert str(classify(nearly_dead, nulls=nulls).phase) == "rank-collapse"


def test_an_identity_beside_noise_is_no_matter_of_heavy_entries(nulls):
    """On its own each entry of the diagonal is an outlier; shuffled, they would make the spectrum heavier."""
    evidence = classify(noise() / ROWS**0.5 + 5 * torch.eye(ROWS, COLS), nulls=nulls)
    assert evidence.z_hill > 10
    assert (str(evidence.phase), evidence.cause) == ("unknown", "correlation")
    assert "narrower" in evidence.note


@pytest.mark.parametrize("matrix", [torch.zeros(5, 4), torch.ones(50, 40), torch.ones(50, 1) * torch.arange(40.0)])
def test_what_has_no_noise_is_left_as_it_is(matrix):
    assert homogeneous(matrix[None])[0] is None


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_the_scale_of_the_weights_does_not_matter(scale):
    scaled, _ = homogeneous(scale * (SCALES["both"] * noise())[None])
    expected, _ = homogeneous((SCALES["both"] * noise())[None])
    torch.testing.assert_close(eigenvalues_of_slices(scaled), eigenvalues_of_slices(expected), rtol=1e-2, atol=1e-3)
    assert torch.isfinite(eigenvalues(scaled[0])).all()


def test_few_rows_of_unequal_norm_make_no_spikes():
    # nothing is noticed of one in five of them, and what is left must not pass the edge: 1 % of 200, and 3 deviations
    spiked = 0
    for seed in range(200):
        scales = 0.5 + 1.5 * uniform(16, 1, seed=seed)
        spiked += classify(scales * noise(1000 + seed, 16, 16)).n_spikes > 0
    assert spiked <= 6


@pytest.mark.parametrize("left", [1, 2])
def test_a_matrix_of_which_next_to_nothing_is_not_zero_has_a_spectrum_and_a_phase(left):
    weights = noise(0, 64, 64) * (torch.arange(64) < left)
    assert homogeneous(weights[None])[0] is None
    assert str(classify(weights).phase) == "rank-collapse"


def test_norms_that_no_scales_make_equal_are_left_as_they_are():
    powers = (torch.linspace(-1, 1, 64)[:, None] ** torch.arange(64))[None]  # columns down to 1e-36 in a row
    scaled, inhomogeneity = homogeneous(powers)
    assert scaled is None
    assert inhomogeneity.taken_out == ""
    assert str(classify(powers[0]).phase) == "rank-collapse"


def test_a_matrix_that_is_looked_at_a_few_rows_at_a_time_has_the_moments_of_all_entries():
    large = noise(5, 1201, 1000) * (0.5 + uniform(1201, 1))
    _, found = homogeneous(large.float()[None])
    balanced = large / large.square().mean(1, keepdim=True).sqrt()
    norms = large.square().mean(1).sqrt()
    chance = 0.25 * (float((large**4).mean() / large.square().mean() ** 2) - 1) / large.shape[1]
    spread = math.sqrt(float((norms / norms.mean()).var()) - chance * float(large.square().mean() / norms.mean() ** 2))
    assert found.norms
    assert abs(found.row_spread - spread) < 1e-4 * spread  # sums in float32
    kurtosis = float((balanced**4).mean())
    assert abs(found.kurtosis - kurtosis) < 0.01  # columns were made equal too, which moves it a little
    zeros = large.clone()
    zeros[-1] = 0.0
    zeros[:, 7] = 0.0
    scaled, _ = homogeneous(zeros[None])
    assert scaled.shape == (1, 1200, 999)
