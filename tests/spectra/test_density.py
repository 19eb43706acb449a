import pytest
import torch

from spectail.errors import SpectailError
from spectail.spectra.density import _kernel_density, count_modes, histogram
from spectail.spectra.eigen import eigenvalues


@pytest.mark.parametrize("axis", ["linear", "log10"])
def test_histogram_has_area_one(axis):
    density, edges = histogram(
        eigenvalues(torch.randn(60, 40, generator=torch.Generator().manual_seed(6))), 30, axis=axis
    )
    assert float((density * edges.diff()).sum()) == pytest.approx(1.0)


def test_histogram_of_zeros_on_a_log_axis_is_refused():
    with pytest.raises(SpectailError, match="positive, finite"):
        histogram(torch.zeros(4))


def test_a_lone_spike_is_no_second_mode():
    values = eigenvalues(torch.randn(450, 300, generator=torch.Generator().manual_seed(0)))
    assert count_modes(values) == 1
    assert count_modes(torch.cat([values[:-1], values[-1:] * 1e5])) == 1
    assert count_modes(torch.ones(40)) == 1


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_spectrum_that_is_not_finite_has_no_modes_rather_than_one(bad):
    with pytest.raises(SpectailError, match="NaN or inf"):
        count_modes([1.0] * 20 + [bad])


def test_the_kernel_density_by_fft_is_the_sum_of_its_kernels():
    """To a thousandth of the peak; also where a far point makes the bandwidth small beside the range."""
    points = torch.cat([torch.randn(300, generator=torch.Generator().manual_seed(0)).double(), torch.tensor([60.0])])
    bandwidth = 0.3
    smooth = _kernel_density(points, bandwidth)
    low, span = points.min() - 8 * bandwidth, points.max() - points.min() + 16 * bandwidth
    grid = low + torch.arange(len(smooth)) * span / len(smooth)
    direct = torch.exp(-0.5 * ((grid[:, None] - points) / bandwidth).square()).sum(1)
    scale = smooth.max() / direct.max()
    torch.testing.assert_close(smooth, direct * scale, rtol=0, atol=1e-3 * float(smooth.max()))


def test_a_far_outlier_of_a_matrix_all_but_orthogonal_is_no_second_mode():
    """The bandwidth is then 1e-17 of the range, far below any grid: that of the last bits of the others."""
    alike = torch.tensor([1.0, 1.0 + torch.finfo(torch.float64).eps], dtype=torch.float64).repeat(100)
    assert count_modes(torch.cat([alike, torch.tensor([1e10], dtype=torch.float64)])) == 1
