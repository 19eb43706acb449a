"""Copies among rows are found whatever their sign, scale and dtype, and nothing else is."""

import pytest
import torch

from spectail.spectra.duplicates import count_copies, count_near_copies


def gaussian(rows, cols):
    return torch.randn(rows, cols, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_multiples_of_a_row_are_found_as_they_are_stored(dtype):
    weights = gaussian(300, 80)
    weights[100:150] = weights[:50] * torch.linspace(-3.0, 2.9, 50, dtype=torch.float64)[:, None]
    assert count_copies(weights.to(dtype)) == (100, 0)  # both of each pair


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rows_that_are_only_alike_are_no_copies(dtype):
    weights = gaussian(2000, 64)
    weights[1000:] = weights[:1000] + 0.3 * gaussian(1000, 64).flip(1)
    assert count_copies(weights.to(dtype)) == (0, 0)


def test_rows_of_zeros_are_counted_apart_and_a_matrix_of_one_row_has_no_copies():
    weights = gaussian(40, 30)
    weights[[3, 7, 9]] = 0.0
    assert count_copies(weights) == (0, 3)
    assert count_copies(torch.zeros(5, 4)) == (0, 5)
    assert count_copies(torch.ones(1, 4)) == (0, 0)
    assert count_copies(torch.ones(500, 4)) == (500, 0)


@pytest.mark.parametrize("share", [0.003, 0.03, 0.1])
def test_rows_that_are_copies_but_for_noise_are_found_whatever_their_sign_and_size(share):
    """Compared along eight directions alone, most copies beside noise of three per cent were missed."""
    weights = gaussian(400, 80)
    copies = weights[:150] * torch.linspace(-3.0, 2.9, 150, dtype=torch.float64)[:, None]
    noise = share * copies.norm(dim=1, keepdim=True) / 80**0.5 * gaussian(400, 80).flip(0)[:150]
    weights[200:350] = copies + noise
    count, furthest = count_near_copies(weights)
    assert count == 300
    assert share / 2 < furthest < 2 * share
    assert count_near_copies(weights, within=share / 2)[0] == 0


@pytest.mark.parametrize("width", [2, 3, 8, 30])
def test_independent_rows_are_near_copies_of_none_however_few_columns_they_have(width):
    assert [count_near_copies(gaussian(400 * 4, width)[at : at + 400]) for at in range(0, 1600, 400)] == [(0, 0.0)] * 4
    assert count_near_copies(torch.zeros(5, width)) == count_near_copies(torch.ones(1, width)) == (0, 0.0)
