import math
from dataclasses import replace

import pytest
import torch

from spectail.errors import SpectailError
from spectail.spectra.density import count_modes
from spectail.spectra.eigen import eigenvalues
from spectail.spectra.nulls import Z_UNLIKELY, simulate_nulls
from spectail.spectra.phases import Phase, classify, judge
from spectail.spectra.spikes import broader_than, critical_strength
from spectail.spectra.tails import hill

ROWS, COLS = 450, 300


def gaussian(seed=0, rows=ROWS, cols=COLS):
    return torch.randn(rows, cols, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def direction(size, seed):
    return torch.nn.functional.normalize(
        torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), dim=0
    )


def spiked(theta):
    return gaussian() + theta * torch.outer(direction(ROWS, 1), direction(COLS, 2))


def decayed():
    """A bulk whose columns have slightly unequal variances: it seeps past the edge."""
    return gaussian() * torch.exp(0.15 * gaussian(3, 1, COLS))


def heavy():
    """Columns of strongly unequal variances: a power law."""
    return gaussian() * torch.exp(1.2 * gaussian(3, 1, COLS))


def collapsed():
    return gaussian()[:, :1] * gaussian(5, 1, COLS)


def test_each_phase_is_recognised_from_a_matrix_made_for_it():
    expected = {
        Phase.RANDOM: gaussian(),
        Phase.BULK_SPIKE: spiked(60.0),
        Phase.BULK_DECAY: decayed(),
        Phase.HEAVY_TAILED: heavy(),
        Phase.RANK_COLLAPSE: collapsed(),
    }
    phases = {phase: classify(eigenvalues(matrix), ROWS, COLS).phase for phase, matrix in expected.items()}
    assert phases == {phase: phase for phase in expected}


def test_a_matrix_is_classified_as_its_spectrum_beside_its_shape():
    of_spectrum = classify(eigenvalues(spiked(60.0)), ROWS, COLS)
    assert replace(classify(spiked(60.0)), inhomogeneity=None) == of_spectrum


def test_a_spectrum_without_its_shape_is_refused_in_a_sentence():
    with pytest.raises(SpectailError, match=r"classify\(spectrum, rows, cols\)"):
        classify(eigenvalues(gaussian()))


def test_an_eigenvalue_just_past_the_edge_bleeds_out():
    values = eigenvalues(gaussian())
    values[-1] = 1.07 * (math.sqrt(ROWS) + math.sqrt(COLS)) ** 2
    assert classify(values, ROWS, COLS).phase is Phase.BLEEDING_OUT


def test_spikes_that_fill_the_gap_above_a_bulk_of_noise_are_spikes():
    values = eigenvalues(gaussian(0, ROWS - 8, COLS - 8))
    edge = (math.sqrt(ROWS) + math.sqrt(COLS)) ** 2
    spikes = edge * torch.linspace(1.06, 1.5, 8, dtype=torch.float64)
    evidence = classify(torch.cat([values, spikes]), ROWS, COLS)
    assert (evidence.phase, evidence.n_spikes) == (Phase.BULK_SPIKE, 8)


@pytest.mark.parametrize("factor", [1e-6, 1e6])
@pytest.mark.parametrize("make", [gaussian, lambda: spiked(60.0), decayed, heavy])
def test_the_phase_does_not_change_with_the_scale_of_the_weights(make, factor):
    values = eigenvalues(make())
    assert classify(values * factor, ROWS, COLS).phase is classify(values, ROWS, COLS).phase


@pytest.mark.parametrize("shape", [(450, 300), (300, 450), (300, 300), (800, 100)])
def test_untrained_matrices_of_any_shape_are_hardly_ever_anything_but_random(shape):
    phases = [classify(eigenvalues(gaussian(seed, *shape)), *shape).phase for seed in range(40)]
    # three Tracy-Widom scales are passed in 2 of 1,000 draws, and by a fitted edge a little more often
    assert phases.count(Phase.RANDOM) >= 37
    assert set(phases) <= {Phase.RANDOM, Phase.BLEEDING_OUT}


def test_two_modes_are_bimodal_and_not_heavy_tailed_however_low_hill_is():
    values = torch.cat([eigenvalues(gaussian()), 300 * eigenvalues(gaussian(1))])
    evidence = classify(values, 900, 600)
    assert evidence.phase is Phase.BIMODAL
    assert evidence.effect > 1.16
    assert evidence.in_words().startswith("bimodal, the density of log λ has two modes, effect ")


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_spectrum_that_is_not_finite_has_no_phase_and_a_reason(bad):
    evidence = classify(torch.tensor([1.0, bad]), 3, 2)
    assert evidence.phase is Phase.UNKNOWN
    assert "NaN or inf" in evidence.note


@pytest.mark.parametrize("values", [[0.0] * 5, [2.0], [1.0] * 6, [0.0, 3.0]])
def test_degenerate_spectra_have_no_phase_and_a_reason(values):
    evidence = classify(values, 10, len(values))
    assert evidence.phase is Phase.UNKNOWN
    assert evidence.note.startswith(f"only {len(values)} eigenvalue")


def test_a_bulk_a_little_broader_beside_a_spike_is_not_called_so_where_it_was_not():
    """One in a hundred would be, at each of the hundreds of times that a monitor looks."""
    scales = torch.exp(0.062 * gaussian(3, 1, COLS))
    values = eigenvalues(gaussian() * scales + 60.0 * torch.outer(direction(ROWS, 1), direction(COLS, 2)))
    evidence = classify(values, ROWS, COLS)
    assert broader_than(0.01, ROWS, COLS) < evidence.z_bulk < broader_than(0.001, ROWS, COLS)
    assert evidence.phase is Phase.BULK_DECAY
    assert classify(values, ROWS, COLS, before="bulk+spike").phase is Phase.BULK_SPIKE
    assert classify(values, ROWS, COLS, before="bulk-decay").phase is Phase.BULK_DECAY


def test_a_spike_whose_gap_nearly_closes_stays_a_spike_where_it_was_one():
    values = eigenvalues(gaussian())
    values[-1] = 1.09 * (math.sqrt(ROWS) + math.sqrt(COLS)) ** 2
    assert classify(values, ROWS, COLS).phase is Phase.BLEEDING_OUT
    assert classify(values, ROWS, COLS, before="bulk+spike").phase is Phase.BULK_SPIKE
    assert classify(values, ROWS, COLS, before="random-like").phase is Phase.BLEEDING_OUT


def test_a_bulk_is_narrower_than_untrained_also_where_its_upper_half_looks_like_theirs():
    """An identity beside noise, which Hill's exponent tells in nine of ten at 64 × 64."""
    n, told = 64, []
    nulls = simulate_nulls(n, n, draws=400)
    for seed in range(30):
        evidence = classify(gaussian(seed, n, n) / math.sqrt(n) + torch.eye(n), nulls=nulls)
        told.append(nulls.hill.z(hill(gaussian(seed, n, n) / math.sqrt(n) + torch.eye(n))) > Z_UNLIKELY)
        assert (evidence.phase, evidence.cause) == (Phase.UNKNOWN, "correlation")
        assert "narrower" in evidence.note
    assert not all(told)


@pytest.mark.parametrize("before", [Phase.HEAVY_TAILED, Phase.BULK_DECAY])
def test_many_spikes_that_become_a_few_less_are_not_at_once_a_bulk_with_spikes(before):
    """A sixth of 300 is 50: how many lie past a point varies by one from matrix to matrix."""
    edge = (math.sqrt(ROWS) + math.sqrt(COLS)) ** 2

    def phase(count, before):
        bulk = eigenvalues(gaussian(0, ROWS - count, COLS - count))
        spikes = edge * torch.linspace(1.3, 4.0, count, dtype=torch.float64)
        return classify(torch.cat([bulk, spikes]), ROWS, COLS, before=before).phase

    assert phase(51, "bulk+spike") in (Phase.HEAVY_TAILED, Phase.BULK_DECAY)
    assert phase(49, before) is phase(51, before)
    assert phase(49, "bulk+spike") is Phase.BULK_SPIKE
    assert phase(47, before) is Phase.BULK_SPIKE


def test_two_modes_stay_two_while_there_is_a_valley_between_them():
    def two(distance):
        modes = torch.cat([eigenvalues(gaussian()), math.exp(distance) * eigenvalues(gaussian(1))])
        return modes, count_modes(modes), count_modes(modes, prominence=0.01)

    modes, deep, shallow = next(one for one in map(two, torch.linspace(4.0, 2.0, 80).tolist()) if one[1] == 1)
    assert (deep, shallow) == (1, 2)
    assert classify(modes, 900, 600).phase is not Phase.BIMODAL
    assert classify(modes, 900, 600, before="bimodal").phase is Phase.BIMODAL
    split = two(4.0)[0]
    assert classify(split, 900, 600, before="heavy-tailed").phase is Phase.BIMODAL
    # A valley of a tenth of the peak makes two modes of a bulk, and of what was heavy-tailed only one of a fifth.
    barely = next(one for at in torch.linspace(2.0, 4.0, 80).tolist() if count_modes(one := two(at)[0]) > 1)
    assert classify(barely, 900, 600).phase is Phase.BIMODAL
    assert classify(barely, 900, 600, before="heavy-tailed").phase is Phase.HEAVY_TAILED
    merged = two(0.5)
    assert merged[2] == 1
    assert classify(merged[0], 900, 600, before="bimodal").phase is not Phase.BIMODAL


def test_an_upper_half_that_is_alike_is_not_called_orthogonal_where_the_lower_is_not():
    basis = torch.linalg.qr(gaussian(0, 64, 64)).Q
    assert classify(basis).note == "all eigenvalues are alike: the matrix is orthogonal"
    two = torch.tensor([1.0, 2.0], dtype=torch.float64).repeat_interleave(32)
    lower = torch.cat([torch.linspace(0.2, 1.0, 31), torch.ones(33)]).double()
    for values in (two, lower):
        evidence = classify(basis * values @ basis.T)
        assert (evidence.phase, evidence.note) == (Phase.UNKNOWN, "the upper half of the eigenvalues are alike")


@pytest.mark.parametrize(("rows", "cols"), [(64, 64), (200, 300), (600, 30)])
def test_a_matrix_that_is_orthogonal_but_for_rounding_to_eight_bits_or_little_noise_has_no_exponent(rows, cols):
    """Their Hill exponents would be 18 to 230."""
    long = torch.linalg.qr(gaussian(0, max(rows, cols), min(rows, cols))).Q
    basis = long if rows >= cols else long.T
    kinds = {dtype: basis.to(dtype).double() for dtype in (torch.float8_e4m3fn, torch.float8_e5m2)}
    noise = gaussian(1, rows, cols)
    for weights in (
        *kinds.values(),
        basis + 0.05 * noise / max(rows, cols) ** 0.5,
        torch.eye(rows, cols) + 1e-3 * noise,
    ):
        evidence = classify(weights)
        assert (evidence.phase, evidence.equal) == (Phase.UNKNOWN, True)
        assert "all eigenvalues are alike, to " in evidence.note
        assert "orthogonal, but for noise or rounding" in evidence.note
    beside_noise = classify(basis + 0.3 * noise / max(rows, cols) ** 0.5)
    assert not beside_noise.equal
    assert "narrower" in beside_noise.note


def test_a_spike_beside_eigenvalues_that_are_alike_is_no_broadened_bulk():
    basis = torch.linalg.qr(gaussian(0, 64, 64)).Q
    values = torch.cat([torch.linspace(0.9, 1.1, 63), torch.tensor([5.0])]).double()
    evidence = classify(basis * values @ basis.T)
    assert (evidence.phase, evidence.n_spikes) == (Phase.UNKNOWN, 1)
    assert "narrower" in evidence.note


def test_eigenvalues_of_a_power_law_are_broadened_though_most_of_them_are_close_together():
    """They have a lower end, so that those below the spikes are narrower than noise."""
    for seed in range(4):
        left, right = (torch.linalg.qr(gaussian(seed, size, 200)).Q for size in (300, 200))
        uniform = torch.rand(200, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        evidence = classify(left * uniform ** (-1 / 3) @ right.T)
        assert evidence.z_bulk < -10
        assert evidence.phase in (Phase.BULK_DECAY, Phase.HEAVY_TAILED)


def test_bounded_entries_make_no_matrix_narrower_than_untrained_ones():
    """Uniform ones lower the sphericity by 0.6, those of ±1 by 0.9 standard deviations, and in slices by more."""
    stream = torch.Generator().manual_seed(0)
    for slices, rows, cols in ((1, 12, 12), (1, 24, 48), (49, 64, 3)):
        nulls = simulate_nulls(rows, cols, slices, draws=300, normalised=slices > 1)
        for _ in range(40):
            spectra = torch.linalg.svdvals(torch.rand(slices, rows, cols, generator=stream) - 0.5).double().square()
            values = (spectra / spectra.mean(1, keepdim=True)).flatten()
            assert "narrower" not in judge(values, values, rows, cols, slices=slices, nulls=nulls).note


@pytest.mark.parametrize(("count", "thresholds"), [(1, 20.0), (2, 5.0)])
def test_strong_spikes_of_a_matrix_with_few_columns_are_not_taken_for_unequal_norms(count, thresholds):
    """They make norms unequal, and scaling these away would spread each spike over the whole bulk."""
    strength = thresholds * critical_strength(2000, 30)
    for seed in range(3):
        left = torch.linalg.qr(gaussian(seed, 2000, count)).Q
        right = torch.linalg.qr(gaussian(seed + 10, 30, count)).Q
        evidence = classify(gaussian(seed + 20, 2000, 30) + strength * left @ right.T)
        assert (evidence.phase, evidence.n_spikes, evidence.cause) == (Phase.BULK_SPIKE, count, "spikes")
