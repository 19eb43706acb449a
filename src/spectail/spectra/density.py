"""The density of a spectrum: its histogram, and how many modes it has.

Not here: laws that a density is compared with.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from spectail.errors import SpectailError
from spectail.spectra.precision import ZERO_SHARE, float64, takes_spectrum

# Two maxima of the density of log λ count as two modes if the valley between them is deeper than this share of the
# highest peak.
MODE_PROMINENCE = 0.1


@takes_spectrum
def histogram(
    spectrum: Float[Tensor, " b"], bins: int = 100, *, axis: Literal["linear", "log10"] = "log10"
) -> tuple[Float[Tensor, " bins"], Float[Tensor, " edges"]]:
    """Density histogram of a spectrum: its bars have total area one.

    Args:
        spectrum: eigenvalues; on the log axis those equal to zero are left out.
        bins: how many bars, of equal width on the chosen axis.
        axis: "linear" bins λ, "log10" bins log₁₀ λ, as the paper's log panels do.

    Returns:
        the density in each bar (`bins`), and the bars' edges (`bins` + 1), both in units of the axis.

    Raises:
        SpectailError: no eigenvalue can be drawn on the axis, or one is NaN or inf.

    >>> density, edges = histogram([1.0, 10.0, 10.0, 100.0], bins=2)
    >>> density.tolist(), edges.tolist()
    ([0.25, 0.75], [0.0, 1.0, 2.0])
    """
    values = spectrum.detach().to("cpu", torch.float64)
    if axis == "log10":
        values = values[values > 0].log10()
    if values.numel() == 0 or not bool(values.isfinite().all()):
        raise SpectailError(f"a {axis} histogram needs at least one positive, finite eigenvalue")
    density, edges = torch.histogram(values, bins, density=True)
    return density, edges


@takes_spectrum
def count_modes(spectrum: Float[Tensor, " b"], *, prominence: float = MODE_PROMINENCE) -> int:
    """How many modes the density of log λ has.

    A Gaussian kernel estimate at Silverman's bandwidth; a maximum counts if the valley towards a higher
    one is deep enough, so that neither a lone spike nor the roughness of a few hundred eigenvalues does.

    Args:
        spectrum: eigenvalues, any order; zeros are left out.
        prominence: how deep, as a share of the highest peak.

    Returns:
        at least 1; also for fewer than ten eigenvalues, which have no density worth the name.

    Raises:
        SpectailError: an eigenvalue is NaN or inf, there is none, or they are not in one dimension.

    >>> low = torch.linspace(1.0, 2.0, 50)
    >>> count_modes(low), count_modes(torch.cat([low, 1000 * low]))
    (1, 2)
    """
    values = float64(spectrum).cpu()
    if not bool(values.isfinite().all()):
        raise SpectailError("a spectrum with NaN or inf has no modes")
    logs = values[values > values.max() * ZERO_SHARE].log()
    if len(logs) < 10:
        return 1
    quartiles = logs.quantile(torch.tensor([0.25, 0.75], dtype=torch.float64))
    width = min(float(logs.std()), float(quartiles[1] - quartiles[0]) / 1.34)
    if width == 0.0:
        return 1
    bandwidth = 1.06 * width * len(logs) ** -0.2
    density = _kernel_density(logs, bandwidth)
    depth = prominence * float(density.max())
    modes, high, low, rising = 0, 0.0, 0.0, True
    for value in density.tolist():
        if rising:
            high = max(high, value)
            if value < high - depth:
                modes, rising, low = modes + 1, False, value
        else:
            low = min(low, value)
            if value > low + depth:
                rising, high = True, value
    return max(modes, 1)


def _kernel_density(points: Tensor, bandwidth: float) -> Tensor:
    """A Gaussian kernel estimate on an even grid, up to a factor, by FFT of the points shared out to their neighbours.

    Sharing out is exact to (cell/bandwidth)²/8, which is below 1e-3 on this grid. A bandwidth that would need
    more than a million cells is widened.
    """
    spread = float(points.max() - points.min())
    bandwidth = max(bandwidth, spread * 2**-15)
    span = spread + 16 * bandwidth  # so far out that nothing wraps around
    low = float(points.min()) - 8 * bandwidth
    cells = 2 ** math.ceil(math.log2(16 * span / bandwidth))
    place = (points - low) * (cells / span)
    left = place.floor().long()
    right_share = place - left
    weights = torch.cat([1 - right_share, right_share])
    counts = torch.bincount(torch.cat([left, left + 1]), weights, minlength=cells)
    frequencies = torch.fft.rfftfreq(cells, span / cells, dtype=points.dtype)
    kernel = torch.exp(-0.5 * (2 * math.pi * bandwidth * frequencies).square())
    smooth: Tensor = torch.fft.irfft(torch.fft.rfft(counts) * kernel, cells)
    return smooth
