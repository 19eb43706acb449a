import pytest
import torch

from spectail.errors import SpectailError
from spectail.spectra import blockwise
from spectail.spectra.blockwise import blockwise_eigenvalues
from spectail.spectra.eigen import eigenvalues, eigenvalues_of_slices
from spectail.spectra.on_gpu import gpu_eigenvalues


def sharp_eigenvalues(matrix):
    """As one comes by them: blockwise, or where that cannot be as `eigenvalues` does."""
    return eigenvalues_of_slices(matrix[None])[0]


def with_singular_values(rows, cols, singular, seed=0):
    generator = torch.Generator().manual_seed(seed)
    u, _ = torch.linalg.qr(torch.randn(rows, len(singular), generator=generator, dtype=torch.float64))
    v, _ = torch.linalg.qr(torch.randn(cols, len(singular), generator=generator, dtype=torch.float64))
    return u * singular @ v.T


def few_small(*smallest):
    return torch.cat([torch.linspace(2, 1, 120 - len(smallest)).double(), torch.tensor(smallest).double()])


MATRICES = {
    "tall": torch.randn(300, 200, generator=torch.Generator().manual_seed(1)),
    "wide": torch.randn(20, 1100, generator=torch.Generator().manual_seed(2)),
    "square": torch.randn(150, 150, generator=torch.Generator().manual_seed(3)),
    "half precision": torch.randn(90, 80, generator=torch.Generator().manual_seed(4)).half(),
    "bfloat16": torch.randn(90, 80, generator=torch.Generator().manual_seed(4)).bfloat16(),
    "tiny weights": 1e-30 * torch.randn(50, 40, generator=torch.Generator().manual_seed(5)),
    "huge weights": 1e140 * torch.randn(50, 40, generator=torch.Generator().manual_seed(5), dtype=torch.float64),
    "few small, tall": with_singular_values(200, 120, few_small(9e-5, 7e-5, 3e-5, 2e-5, 1.5e-5)),
    "few small, wide": with_singular_values(120, 200, few_small(9e-5, 7e-5, 3e-5, 2e-5)),
    "few small and a zero, square": with_singular_values(120, 120, few_small(9e-5, 3e-5, 2e-5, 0.0)),
    "few small, two alike": with_singular_values(120, 120, few_small(5e-5, 5e-5, 2e-5)),
    "geometric": with_singular_values(150, 100, torch.logspace(0, -6, 100).double()),
    "of low rank": with_singular_values(150, 100, torch.ones(10).double()),
    "one row": torch.randn(1, 30, generator=torch.Generator().manual_seed(6)),
    "one entry": torch.tensor([[3.0]]),
    "zeros": torch.zeros(4, 6),
}


@pytest.mark.parametrize("name", [name for name in MATRICES if name not in ("huge weights", "zeros", "geometric")])
def test_the_way_of_a_gpu_gives_the_same_on_any_device(name):
    matrix = MATRICES[name]
    exact = eigenvalues_of_slices(matrix[None])[0]
    values = gpu_eigenvalues(matrix)
    above = exact >= 1e-10 * exact[-1]  # as below
    torch.testing.assert_close(values[above], exact[above], rtol=1e-6, atol=0)
    assert bool((values[~above] <= 1e-10 * exact[-1]).all())


@pytest.mark.parametrize("name", ["huge weights", "zeros", "geometric"])
def test_the_way_of_a_gpu_leaves_what_it_cannot(name):
    assert gpu_eigenvalues(MATRICES[name]) is None


@pytest.mark.parametrize("fast", [1, 10**9])  # with the Gram matrix kept for the small ones, and without
@pytest.mark.parametrize("name", MATRICES)
def test_eigenvalues_are_the_squared_singular_values_of_float64(name, fast, monkeypatch):
    monkeypatch.setattr(blockwise, "FAST_IN_TORCH", fast)
    matrix = MATRICES[name]
    scale = float(matrix.abs().max()) or 1.0
    exact = torch.linalg.svdvals(matrix.double() / scale).flip(0).square()
    values = sharp_eigenvalues(matrix) / scale / scale
    above = exact >= 1e-10 * exact[-1]  # down to where `eigenvalues` promises 1e-6 of each
    torch.testing.assert_close(values[above], exact[above], rtol=1e-6, atol=0)
    assert bool((values[~above] <= 1e-10 * exact[-1]).all())  # and nothing appears that is not there
    assert bool((values.diff() >= -1e-12 * exact[-1]).all())


@pytest.mark.parametrize(
    "matrix",
    [
        torch.zeros(4, 6),
        torch.empty(0, 4),
        torch.full((3, 4), 1e200, dtype=torch.float64),
        torch.full((3, 4), 1e-200, dtype=torch.float64),
        torch.full((3, 4), float("nan")),
        torch.ones(3, 4, device="meta"),
    ],
    ids=["zeros", "empty", "squares overflow", "squares vanish", "NaN", "not on the CPU"],
)
def test_where_it_cannot_be_there_is_no_answer_rather_than_a_wrong_one(matrix):
    assert blockwise_eigenvalues(matrix) is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_the_error_at_worst_is_below_what_rounding_to_the_dtype_does_to_an_eigenvalue_as_a_rule(dtype):
    """Of 40 matrices with a small eigenvalue, each of them rounded to its dtype: the smallest eigenvalue moves."""
    errors, moves = [], []
    for seed in range(40):
        sharp = with_singular_values(
            80, 80, torch.cat([torch.linspace(2, 1, 79), torch.tensor([1.5e-5])]).double(), seed
        )
        rounded = sharp.to(dtype)
        exact = float(torch.linalg.svdvals(rounded.double())[-1].square())
        errors.append(abs(float(blockwise_eigenvalues(rounded)[0]) - exact))
        moves.append(abs(exact - 1.5e-5**2))
    assert max(errors) < torch.tensor(moves).median()


def test_the_few_small_ones_do_not_cost_all_singular_values(monkeypatch):
    monkeypatch.setattr(blockwise, "_all_singular_values", lambda _: pytest.fail("all singular values were computed"))
    blockwise_eigenvalues(MATRICES["few small and a zero, square"])
    blockwise_eigenvalues(MATRICES["of low rank"])


def test_the_weights_are_not_changed():
    for matrix in MATRICES.values():
        before = matrix.clone()
        blockwise_eigenvalues(matrix)
        assert torch.equal(before, matrix)


def test_a_parameter_is_read_outside_autograd():
    weights = torch.nn.Parameter(MATRICES["tall"].clone())
    assert not blockwise_eigenvalues(weights).requires_grad


def test_weights_whose_squares_overflow_are_refused_in_a_sentence():
    with pytest.raises(SpectailError, match="beyond the range of float64"):
        sharp_eigenvalues(torch.full((3, 4), 1e200, dtype=torch.float64))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_nan_and_inf_have_no_spectrum(bad):
    matrix = torch.ones(3, 4)
    matrix[1, 2] = bad
    for of in (sharp_eigenvalues, eigenvalues):
        with pytest.raises(SpectailError, match="NaN or inf"):
            of(matrix)


@pytest.mark.parametrize("shape", [(40, 1, 7), (40, 7, 1), (9, 30, 20), (9, 20, 30), (3, 60, 60)])
def test_many_small_matrices_at_once_have_the_spectra_that_each_has(shape, monkeypatch):
    monkeypatch.setattr(blockwise, "_BATCH", 1000)  # several at once, and several batches
    kernel = torch.randn(shape, generator=torch.Generator().manual_seed(7))
    kernel[2] = 0.0
    kernel[1, :, 0] = 0.0  # of low rank, where it is square
    each = torch.stack([sharp_eigenvalues(one) for one in kernel])
    together = eigenvalues_of_slices(kernel)
    torch.testing.assert_close(together, each, rtol=1e-6, atol=1e-14 * float(each.max()))
    assert together.dtype == torch.float64


def test_nan_in_one_of_many_is_refused_as_in_one():
    kernel = torch.ones(5, 3, 4)
    kernel[3, 0, 0] = float("nan")
    with pytest.raises(SpectailError, match="NaN or inf"):
        eigenvalues_of_slices(kernel)
