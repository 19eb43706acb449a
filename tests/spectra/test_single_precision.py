"""Eigenvalues in float32 keep what they promise on all kinds of spectra, with a margin, and else there are none."""

import math

import numpy as np
import pytest
import torch

from spectail.spectra import eigen, single_precision
from spectail.spectra.eigen import eigenvalues_of_slices
from spectail.spectra.single_precision import FLOAT32_ERROR, certified_eigenvalues, float32_eigenvalues, storage_error

ROWS, COLS = 700, 500
STORED = {torch.bfloat16: 2.0**-7, torch.float16: 2.0**-10, torch.float8_e4m3fn: 2.0**-3, torch.float8_e5m2: 2.0**-2}


@pytest.fixture(autouse=True)
def of_any_size(monkeypatch):
    monkeypatch.setattr(single_precision, "_WORTH_IT", 49)


def generator():
    return torch.Generator().manual_seed(0)


def noise(rows=ROWS, cols=COLS):
    return torch.randn(rows, cols, generator=generator(), dtype=torch.float64)


def heavy_tailed(rows=ROWS, cols=COLS):
    return noise(rows, cols) / torch.rand(rows, cols, generator=generator(), dtype=torch.float64) ** 0.4


def spiked(rows=ROWS, cols=COLS):
    matrix = noise(rows, cols)
    for place, strength in enumerate((3.0, 6.0, 10.0)):  # in units of the bulk's edge, nearly
        u = torch.randn(rows, generator=torch.Generator().manual_seed(place), dtype=torch.float64)
        v = torch.randn(cols, generator=torch.Generator().manual_seed(place), dtype=torch.float64)
        matrix += strength * math.sqrt(rows + cols) * torch.outer(u / u.norm(), v / v.norm())
    return matrix


def with_singular_values(singular, rows=ROWS, cols=COLS):
    u, v = (torch.linalg.qr(noise(size, len(singular))).Q for size in (rows, cols))
    return u * singular.double() @ v.T


MATRICES = {
    "noise": noise(),
    "noise, wide": noise(400, 1500),
    "noise, square": noise(500, 500),
    "not around zero": noise() + 0.2,
    "heavy tails": heavy_tailed(),
    "heavy tails, square": heavy_tailed(500, 500),
    "spikes": spiked(),
    "spikes, square": spiked(500, 500),
    "a power law": with_singular_values(torch.arange(1, COLS + 1) ** -0.4),
    "graded over ten decades": with_singular_values(torch.logspace(0, -5, COLS)),
    "a few small": with_singular_values(torch.cat([torch.linspace(2, 1, COLS - 3), torch.logspace(-2, -4, 3)])),
    "all alike": with_singular_values(torch.ones(COLS)),
    "half of them zero": with_singular_values(torch.linspace(2, 1, COLS // 2)),
    "a few zero": with_singular_values(torch.linspace(2, 1, COLS - 5)),
    "columns of zeros": torch.cat([noise()[:, :-4], torch.zeros(ROWS, 4, dtype=torch.float64)], 1),
    "blocks": torch.block_diag(noise(300, 200), 0.1 * noise(300, 200)),
}


def stored(matrix, dtype):
    return (matrix / matrix.abs().max() * 100).to(dtype).to(torch.bfloat16 if dtype.itemsize == 1 else dtype)


def exact_eigenvalues(matrix):
    return torch.linalg.svdvals(matrix.double()).flip(0).square()


@pytest.mark.parametrize("dtype", STORED)
@pytest.mark.parametrize("name", MATRICES)
def test_each_eigenvalue_is_right_to_what_storage_leaves_of_it_or_there_is_none(name, dtype):
    matrix = stored(MATRICES[name], dtype)
    exact = exact_eigenvalues(matrix)
    values = certified_eigenvalues(matrix, STORED[dtype])
    # these are what it is made for
    assert values is not None or dtype is not torch.bfloat16 or name not in ("noise", "noise, wide", "spikes")
    if values is not None:
        variance = float(matrix.double().square().mean())
        errors = (values - exact).abs()
        left_open = torch.tensor([storage_error(value, STORED[dtype], variance) for value in exact.tolist()])
        # a margin of four: signs of rounding errors are independent only as a rule; 1e-16 is 1e-6 of what counts at all
        assert bool((errors <= left_open / 4 + 1e-16 * exact[-1]).all()), float((errors / left_open).max())
        assert values.dtype == torch.float64
        assert bool((values.diff() >= -left_open[1:]).all())


@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_error_of_float32_is_a_small_part_of_what_is_reckoned_with(name, dtype):
    matrix = stored(MATRICES[name], dtype)
    matrix = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    exact = exact_eigenvalues(matrix)
    reckoned = FLOAT32_ERROR * float(exact.square().mean().sqrt())
    values = single_precision._Reduction.of(single_precision._lower_gram(matrix, 1.0)).eigenvalues()
    small = exact <= exact.median()  # the certificate decides among these; large ones are left far more by storage
    errors = torch.from_numpy(np.abs(values - exact.numpy()))
    # measured, 0.25 and 0.35 on two processors; where half of them are zero, and errors are most alike in sign, 0.8
    assert float(errors[small].max()) < (reckoned if name == "half of them zero" else reckoned / 2)


def test_where_it_would_not_do_there_is_none():
    assert certified_eigenvalues(stored(MATRICES["graded over ten decades"], torch.bfloat16), 2.0**-7) is None
    assert certified_eigenvalues(noise().float(), 2.0**-23) is None  # float32 has lost nothing that large
    assert certified_eigenvalues(torch.zeros(90, 80), 2.0**-7) is None
    assert certified_eigenvalues(torch.full((90, 80), math.nan), 2.0**-7) is None
    assert certified_eigenvalues(torch.ones(90, 80, device="meta"), 2.0**-7) is None


def test_products_that_are_set_to_be_rounded_further_are_not_used(monkeypatch):
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: "high")
    assert certified_eigenvalues(stored(noise(), torch.bfloat16), 2.0**-7) is None


@pytest.mark.parametrize("power", [-90, 120])
def test_squares_of_weights_may_leave_the_range_of_float32(power):
    matrix = stored(noise(), torch.bfloat16)
    scaled = certified_eigenvalues(matrix * 2.0**power, 2.0**-7)
    assert torch.equal(scaled, certified_eigenvalues(matrix, 2.0**-7) * 4.0**power)


@pytest.mark.parametrize("size", [49, 50, 51, 97, 98, 513])  # about the width of the band, and a block
def test_any_size_has_its_eigenvalues(size):
    matrix = stored(with_singular_values(torch.linspace(2, 1, size), size + 3, size), torch.bfloat16)
    values = certified_eigenvalues(matrix, 2.0**-7)
    torch.testing.assert_close(values, exact_eigenvalues(matrix), rtol=1e-5, atol=0)  # a tenth of what storage leaves


def test_a_band_that_is_there_already_needs_no_reflection():
    matrix = torch.diag(torch.linspace(2, 1, 200)).bfloat16()
    torch.testing.assert_close(certified_eigenvalues(matrix, 2.0**-7), exact_eigenvalues(matrix), rtol=1e-5, atol=0)


def test_the_weights_are_not_changed():
    matrix = stored(noise(), torch.bfloat16)
    before = matrix.clone()
    certified_eigenvalues(matrix, 2.0**-7)
    assert torch.equal(before, matrix)


def test_weights_of_sixteen_bits_and_those_that_were_quantised_take_this_way_and_no_others(monkeypatch):
    taken = []
    monkeypatch.setattr(eigen, "certified_eigenvalues", lambda matrix, eps: taken.append((matrix.dtype, eps)))
    ones = torch.eye(80)[None]
    for dtype in (torch.bfloat16, torch.float16, torch.float32, torch.float64):
        eigenvalues_of_slices(ones.to(dtype))
    assert taken == [(torch.bfloat16, 2.0**-7), (torch.float16, 2.0**-10)]
    eigenvalues_of_slices(ones, eps=2.0**-7)
    assert taken[-1] == (torch.float32, 2.0**-7)


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_weights_of_eight_bits_have_the_spectrum_of_their_values(dtype):
    matrix = noise(90, 60).to(dtype)
    exact = exact_eigenvalues(matrix)
    for of in (lambda w: eigenvalues_of_slices(w[None])[0], eigen.eigenvalues):
        torch.testing.assert_close(of(matrix), exact, rtol=1e-6, atol=0)


@pytest.mark.parametrize("matrix", [*MATRICES.values(), *(noise(h, d) for h, d in ((7, 7), (60, 900), (1, 30)))])
def test_a_whole_spectrum_in_float32_is_sharp_about_its_median_or_there_is_none(matrix):
    slices = torch.stack([matrix, matrix.flip(0)]).float()
    exact, values = eigenvalues_of_slices(slices), float32_eigenvalues(slices)
    if values is None:
        assert exact.square().mean().sqrt() > 50 * exact.median()
    else:
        torch.testing.assert_close(values, exact, rtol=1e-5, atol=1e-4 * float(exact.median()))


def test_noise_is_solved_in_float32():
    assert float32_eigenvalues(noise().float()[None]) is not None
    assert float32_eigenvalues(MATRICES["graded over ten decades"].float()[None]) is None


def test_where_products_are_rounded_further_nothing_is_solved_in_float32(monkeypatch):
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: "high")
    assert float32_eigenvalues(noise().float()[None]) is None
