"""What a spectrum would be if the entries of its matrix stood in another order: nulls by shuffling.

Entries are shuffled all together, within slices, within rows, or within columns. Every kind keeps the law of the
entries, the narrower ones also the norms of slices, rows or columns; none keeps a dependence between entries.

Not here: Gaussian matrices (`nulls`), and norms and entries taken out of a matrix itself (`inhomogeneity`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy.special import ndtri, stdtr
from torch import Tensor

from spectail.errors import SpectailError
from spectail.spectra.eigen import eigenvalues_of_slices
from spectail.spectra.precision import NOT_FINITE, ZERO_SHARE, takes_arrays
from spectail.spectra.single_precision import float32_eigenvalues
from spectail.spectra.tails import ROUNDING

_DRAWS, _FEWEST_DRAWS = 6, 3  # of each kind

_WORK = 2e12  # of the draws of a kind, in products of two numbers: 6 draws of 4096 × 4096, 4 of 4096 × 14336

_KEYS = 2**18  # in memory at a time

_AT_ONCE = 2**20  # entries of shuffles that are solved in one call, which costs as much as small matrices themselves

_HUGE = 2.0**40  # weights above it, or all below its inverse, are scaled before they are squared

_SORTED = 512  # up to so many entries a group, sorting random keys is faster than drawing a permutation each


@dataclass(frozen=True)
class ShuffledNull:
    """How log(α − 1) of the Hill exponent spreads over shuffles of one matrix.

    Attributes:
        mean: of log(α − 1).
        spread: its standard deviation, of few draws.
        draws: how many shuffles both come from.

    >>> null = ShuffledNull(mean=0.0, spread=0.1, draws=7)
    >>> round(null.z(1.0 + math.exp(-0.2)), 2), round(null.effect(1.0 + math.exp(-0.2)), 2)
    (-1.6, 1.22)
    """

    mean: float
    spread: float
    draws: int

    def z(self, alpha: float) -> float:
        """How far log(α − 1) lies from the shuffles': the normal deviate that is as rare as Student's t of so few.

        Six shuffles cannot tell more than that it is rare: a t of −30 is a z of −4.9, one of −300 a z of −6.8.

        Args:
            alpha: of the matrix as it is; NaN for a NaN.
        """
        if not alpha > 1.0 or not self.spread > 0.0:
            return math.nan
        t = (math.log(alpha - 1.0) - self.mean) / (self.spread * math.sqrt(1.0 + 1.0 / self.draws))
        return math.copysign(float(ndtri(stdtr(self.draws - 1, -abs(t)))), t)

    def effect(self, alpha: float) -> float:
        """The spread of log λ above the median, 1/(α − 1), over that of the shuffles.

        Args:
            alpha: of the matrix as it is; NaN for a NaN.
        """
        return math.exp(self.mean) / (alpha - 1.0) if alpha > 1.0 else math.nan


@takes_arrays
def shuffled_nulls(
    weights: Float[Tensor, "h d"] | Float[Tensor, "s h d"], *, draws: int | None = None, seed: int = 0
) -> dict[str, ShuffledNull]:
    """The nulls of a matrix whose entries are shuffled: all, and within slices, rows and columns.

    What all shuffles explain comes from the law of the entries; what those within slices, rows or columns explain in
    addition, from unequal norms of these. A correlation, or a planted direction, survives none.

    Args:
        weights: W, or slices that are pooled: entries are shuffled within the rows and columns of each.
        draws: how many shuffles of each kind; by default 6, and at least 3 of a large matrix.
        seed: of the shuffles. No global random state is touched.

    Returns:
        by "shuffled", "within_slices" (where there are several), "within_rows" and "within_cols"; those of which half
        of the spectrum is zero, or all of it alike, are left out.

    Raises:
        SpectailError: there is no entry, or one is NaN or inf.

    >>> scales = torch.linspace(0.5, 2.0, 300)[:, None]
    >>> weights = scales * torch.randn(300, 200, generator=torch.Generator().manual_seed(0))
    >>> from spectail.spectra import hill
    >>> nulls = shuffled_nulls(weights)
    >>> {name: abs(null.z(hill(weights))) < 3 for name, null in nulls.items()}
    {'shuffled': False, 'within_rows': True, 'within_cols': False}
    """
    slices = (weights[None] if weights.ndim == 2 else weights).detach()
    if slices.ndim != 3 or not slices.numel():
        raise SpectailError(f"expected a matrix or slices of one shape, got shape {tuple(weights.shape)}")
    largest = float(slices.abs().amax())
    if not math.isfinite(largest):
        raise SpectailError(NOT_FINITE)
    if largest == 0.0:
        return {}
    count, stream = _draws(slices) if draws is None else draws, np.random.default_rng(seed)
    nulls = {}
    for name, groups, back in _kinds(_of_mean_square_one(slices, largest)):
        at_once = max(min(_AT_ONCE // groups.numel(), count), 1)
        logs: list[float] = []
        while len(logs) < count:
            some = [back(_shuffled(groups, stream)) for _ in range(min(at_once, count - len(logs)))]
            logs += _log_hill(torch.stack(some).to(slices.device))
        if all(map(math.isfinite, logs)):
            nulls[name] = ShuffledNull(float(np.mean(logs)), float(np.std(logs, ddof=1)), count)
    return nulls


def _draws(slices: Tensor) -> int:
    count, height, width = slices.shape
    shorter, longer = sorted((height, width))
    return min(max(int(_WORK / (count * shorter**2 * (longer + 3.0 * shorter))), _FEWEST_DRAWS), _DRAWS)


def _of_mean_square_one(slices: Tensor, largest: float) -> Tensor:
    values = (slices.float() if 1 / _HUGE < largest < _HUGE else (slices.double() / largest).float()).cpu()
    return values.div(torch.linalg.vector_norm(values) / math.sqrt(values.numel()))


def _kinds(values: Tensor) -> Iterator[tuple[str, Tensor, Callable[[Tensor], Tensor]]]:
    """Each kind of shuffle: its name, the entries that change places in one row, and how rows become slices again."""
    count, height, width = values.shape
    yield "shuffled", values.reshape(1, -1), lambda rows: rows.view(count, height, width)
    if count > 1:
        yield "within_slices", values.reshape(count, -1), lambda rows: rows.view(count, height, width)
    yield "within_rows", values.reshape(-1, width), lambda rows: rows.view(count, height, width)
    values = values.mT.contiguous()
    yield "within_cols", values.view(-1, height), lambda rows: rows.view(count, width, height).mT


def _shuffled(groups: Tensor, stream: np.random.Generator) -> Tensor:
    """The entries of each row in random order."""
    shuffled = torch.empty_like(groups)
    length = groups.shape[1]
    if length > _SORTED:
        generator = torch.Generator().manual_seed(int(stream.integers(2**63)))  # torch permutes three times as fast
        for group, out in zip(groups, shuffled, strict=True):
            torch.index_select(group, 0, torch.randperm(length, generator=generator), out=out)
        return shuffled
    for some, out in zip(*(torch.split(one, _KEYS // length) for one in (groups, shuffled)), strict=True):
        keys = stream.integers(2**64 - 1, size=tuple(some.shape), dtype=np.uint64, endpoint=True)
        keys &= np.uint64(2**64 - 2**32)  # and the entry in the lower half
        keys |= some.view(torch.int32).numpy().view(np.uint32)
        keys.sort(-1)
        out.numpy().view(np.uint32)[:] = keys.astype(np.uint32)
    return shuffled


def _log_hill(shuffles: Tensor) -> list[float]:
    """log(α − 1) of the Hill exponent of the pooled eigenvalues of the slices of each; NaN where there is none."""
    slices = shuffles.flatten(0, 1)
    spectra = float32_eigenvalues(slices)
    values = (eigenvalues_of_slices(slices) if spectra is None else spectra).cpu().numpy()
    ordered = np.sort(values.reshape(len(shuffles), -1), 1)
    logs = []
    for spectrum in ordered:
        upper = spectrum[len(spectrum) // 2 :]
        spread = float(np.log(upper / upper[0]).mean()) if upper[0] > ZERO_SHARE * upper[-1] else 0.0
        logs.append(-math.log(spread) if spread > ROUNDING else math.nan)
    return logs
