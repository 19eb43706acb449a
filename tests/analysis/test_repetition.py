"""Why the rank of a matrix is what it is, in the note of its row: copies, nearly copies, rounding, one weight a row."""

import pytest
import torch

from spectail.analysis.row import measure_matrix
from spectail.weights.matrix import WeightMatrix

ROWS, COLS = 120, 80


def noise(rows=ROWS, cols=COLS, seed=0):
    return torch.randn(rows, cols, generator=torch.Generator().manual_seed(seed))


def row_of(weights, dtype=torch.float32):
    weights = weights.to(dtype)
    rows, cols = weights.shape
    name = str(dtype).removeprefix("torch.")
    return measure_matrix(WeightMatrix("w", "linear", rows, cols, 1, lambda: weights[None], dtype=name))[0]


@pytest.mark.parametrize(("share", "within"), [(1e-3, 1), (0.03, 6), (0.1, 18)])  # noise of both, √2 apart
def test_rows_that_stand_there_twice_with_noise_are_told(share, within):
    twice = noise(ROWS // 2).repeat(2, 1) + share * noise(seed=1)
    assert f"120 of 120 rows are within {within}% of a multiple of another" in row_of(twice)["note"]


def test_columns_that_are_nearly_copies_are_told_and_rows_that_are_only_alike_are_not():
    weights = noise(ROWS, COLS)
    weights[:, 60:] = -2.0 * weights[:, :20] + 1e-3 * noise(ROWS, 20, seed=1)
    assert "40 of 80 columns are within 1% of a multiple of another" in row_of(weights)["note"]
    alike = noise(ROWS // 2).repeat(2, 1) + 0.3 * noise(seed=1)
    assert "multiple" not in row_of(alike)["note"]


def test_a_rank_that_storing_filled_up_again_has_a_reason():
    rank = 48  # of 80: more than half, so that eigenvalues of rounding do not count as zero
    low = noise(ROWS, rank) @ noise(rank, COLS, seed=1)
    assert "32 of 80 eigenvalues are no larger than the rounding of bfloat16" in row_of(low, torch.bfloat16)["note"]
    assert "rounding" not in row_of(noise() * torch.logspace(0, -1, ROWS)[:, None], torch.bfloat16)["note"]


def test_a_matrix_of_one_weight_a_row_and_column_is_not_untrained_whatever_these_are():
    places = torch.randperm(COLS, generator=torch.Generator().manual_seed(0))
    weights = torch.zeros(ROWS, COLS)
    weights[places, torch.arange(COLS)] = noise(COLS, 1)[:, 0].exp()
    row = row_of(weights)
    assert (row["phase"], row["cause"]) == ("heavy-tailed", "correlation")
    assert "no row or column has more than one weight that is not zero" in row["note"]


@pytest.mark.parametrize("largest", [1e20, 1e30, 1e38])
def test_an_entry_that_leaves_no_other_in_float32_is_a_rank_that_collapsed(largest):
    weights = noise()
    weights[3, 4] = largest
    row = row_of(weights)
    assert row["phase"] == "rank-collapse"
    assert "79 of 80 eigenvalues are zero" in row["note"]  # each below 1e-14 of the largest
    assert row["pl_alpha_hill"] != row["pl_alpha_hill"]


def test_slices_that_are_copies_as_those_of_an_inflated_kernel_are_told():
    kernel = noise(64, 48).repeat(9, 1, 1)
    row, _ = measure_matrix(WeightMatrix("w", "conv3d", 64, 48, 9, lambda: kernel, dtype="float32"))
    assert row["phase"] == "unknown"
    assert "9 of 9 slices are multiples of another" in row["note"]
