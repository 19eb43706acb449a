"""Shuffles keep what they are said to keep, and tell where a departure comes from; their z has the level of a z."""

import math

import numpy as np
import pytest
import torch

from spectail.errors import SpectailError
from spectail.spectra import ShuffledNull, hill, shuffled_nulls, shuffles

ROWS, COLS = 300, 200


def generator():
    return torch.Generator().manual_seed(0)


def noise(*shape):
    return torch.randn(shape or (ROWS, COLS), generator=generator())


def students(degrees):
    return torch.from_numpy(np.random.default_rng(0).standard_t(degrees, (ROWS, COLS)))


def correlated(rho=0.3):
    """Neighbours in a row by an autoregression."""
    matrix = noise()
    for column in range(1, COLS):
        matrix[:, column] = rho * matrix[:, column - 1] + math.sqrt(1 - rho**2) * matrix[:, column]
    return matrix


def scales(count):
    return torch.linspace(0.5, 2.0, count)


EXPLAINED = {
    "noise": (noise(), {"shuffled", "within_rows", "within_cols"}),
    "t(3)": (students(3), {"shuffled", "within_rows", "within_cols"}),
    "nine of ten zero": (noise() * (torch.rand(ROWS, COLS, generator=generator()) < 0.1), {"shuffled"}),
    "rows of unequal norm": (noise() * scales(ROWS)[:, None], {"within_rows"}),
    "columns of unequal norm": (noise() * scales(COLS), {"within_cols"}),
    "slices of unequal norm": (
        noise(9, 64, 48) * scales(9)[:, None, None],
        {"within_slices", "within_rows", "within_cols"},
    ),
    "neighbours correlated": (correlated(), set()),
    "a product": (noise() @ noise(COLS, COLS), set()),
}


@pytest.mark.parametrize("name", EXPLAINED)
def test_what_is_kept_explains_a_departure_and_nothing_else_does(name):
    weights, explained = EXPLAINED[name]
    alpha = hill(weights) if weights.ndim == 2 else hill(torch.linalg.svdvals(weights).square().flatten())
    z = {kind: null.z(alpha) for kind, null in shuffled_nulls(weights).items()}
    assert ("within_slices" in z) == (weights.ndim == 3)
    assert explained <= {kind for kind, value in z.items() if abs(value) < 3}
    if "shuffled" not in explained:
        assert z["shuffled"] < -3
        assert all(value < -3 for kind, value in z.items() if kind not in explained)


def test_the_z_of_noise_has_the_level_of_a_normal_deviate():
    stream = torch.Generator().manual_seed(1)
    values = []
    for seed in range(60):
        weights = torch.randn(40, 30, generator=stream)
        values += [null.z(hill(weights)) for null in shuffled_nulls(weights, seed=seed).values()]
    # threes are of one matrix: 60 at least are independent, whose share past 2 has a standard error of 2.7 %
    assert np.mean(np.abs(values) > 2) < 0.046 + 3 * 0.027
    assert np.std(values) == pytest.approx(1.0, abs=4 / math.sqrt(2 * 60))
    assert np.mean(values) == pytest.approx(0.0, abs=4 / math.sqrt(60))


@pytest.mark.parametrize("length", [3, 300, 700])  # by keys, and by permutations
def test_entries_of_a_row_change_places_at_random(length):
    rows = torch.arange(length, dtype=torch.float32).repeat(4000, 1)
    shuffled = shuffles._shuffled(rows, np.random.default_rng(0))
    assert torch.equal(shuffled.sort(1).values, rows)
    # each place holds each entry equally often: its mean is that of all, to four standard errors and some of many
    deviation = (shuffled.mean(0) - (length - 1) / 2).abs() / (length / math.sqrt(12 * 4000))
    assert float(deviation.max()) < 5
    neighbours = torch.corrcoef(shuffled[:, :2].T)[0, 1]
    assert float(neighbours) == pytest.approx(-1 / (length - 1), abs=4 / math.sqrt(4000))


def test_negative_and_tiny_entries_are_the_same_bits_afterwards():
    rows = torch.tensor([[-1.5, 0.0, -0.0, 1e-40, 3e38, -7e-12]])
    shuffled = shuffles._shuffled(rows, np.random.default_rng(0))
    assert sorted(shuffled.view(torch.int32)[0].tolist()) == sorted(rows.view(torch.int32)[0].tolist())


def test_rows_columns_and_slices_keep_their_entries():
    weights = noise(4, 12, 10)
    keeps = {"shuffled": (), "within_slices": (0,), "within_rows": (0, 1), "within_cols": (0, 2)}
    for kind, groups, back in shuffles._kinds(weights):
        again = back(shuffles._shuffled(groups, np.random.default_rng(0)))
        for kept in keeps.values():
            rest = [dim for dim in range(3) if dim not in kept]
            groups = [one.permute(*kept, *rest).flatten(len(kept)).sort(-1).values for one in (weights, again)]
            assert torch.equal(*groups) == (set(kept) <= set(keeps[kind])), (kind, kept)


def test_one_seed_gives_the_same_bits_and_no_global_state_moves():
    weights = noise(60, 40)
    before = torch.get_rng_state()
    assert shuffled_nulls(weights, seed=3) == shuffled_nulls(weights, seed=3) != shuffled_nulls(weights, seed=4)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("scale", [1e-60, 1e-30, 1e30, 1e60])
def test_the_scale_of_the_weights_does_not_matter(scale):
    weights = noise(60, 40).double()
    nulls, scaled = shuffled_nulls(weights), shuffled_nulls(scale * weights)
    for kind, null in nulls.items():
        assert scaled[kind].mean == pytest.approx(null.mean, abs=1e-5)  # float32


def test_norms_that_float32_cannot_span_are_told_all_the_same():
    weights = noise(60, 40) * torch.logspace(0, 5, 40)
    null = shuffled_nulls(weights)["within_cols"]
    assert abs(null.z(hill(weights))) < 3


def test_large_matrices_are_shuffled_less_often():
    shapes = [(1, 300, 200), (1, 4096, 4096), (1, 4096, 14336), (1, 8192, 8192), (9, 512, 512)]
    assert [shuffles._draws(torch.empty(shape, device="meta")) for shape in shapes] == [6, 6, 4, 3, 6]


def test_what_has_no_spectrum_is_refused_and_what_has_no_exponent_left_out():
    with pytest.raises(SpectailError, match="NaN or inf"):
        shuffled_nulls([[1.0, math.nan]])
    with pytest.raises(SpectailError, match="shape"):
        shuffled_nulls(torch.empty(0, 4))
    assert shuffled_nulls(torch.zeros(5, 4)) == {}
    assert shuffled_nulls(torch.ones(30, 20)) == {}  # of rank one in every order


def test_few_draws_say_less():
    t = 1.0 + math.exp(-30.0 * 0.01 * math.sqrt(8 / 7))
    many, few = ShuffledNull(0.0, 0.01, 7), ShuffledNull(0.0, 0.01, 3)
    assert few.z(t) > many.z(t) == pytest.approx(-5.34, abs=0.01)
    assert ShuffledNull(0.0, 0.01, 6).z(1.0 + math.exp(-1.0)) > -7.0  # a hundred deviations, docs/analyze.md
    assert math.isnan(many.z(math.nan))
    assert math.isnan(ShuffledNull(0.0, 0.0, 7).z(2.0))


@pytest.mark.parametrize("shape", [(40, 90), (9, 64, 48), (2, 70, 100)])
def test_shuffles_that_are_solved_together_are_those_that_are_solved_one_by_one(shape, monkeypatch):
    weights = noise(*shape)
    together = shuffled_nulls(weights)
    monkeypatch.setattr(shuffles, "_AT_ONCE", 1)
    assert shuffled_nulls(weights) == together
