"""The KS exponent beside WeightWatcher's fit of the same eigenvalues, and the start of the command line."""

from __future__ import annotations

import warnings

import torch

from benchmarks.timing import Row, in_turn, peak_memory
from spectail.spectra.eigen import eigenvalues
from spectail.spectra.tails import ks_fit

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from weightwatcher.WW_powerlaw import WWFit


def spectra(size: int) -> dict[str, torch.Tensor]:
    """An untrained matrix, and a power law, the hardest case of a search that prunes."""
    generator = torch.Generator().manual_seed(0)
    power_law = torch.rand(size, generator=generator, dtype=torch.float64) ** (-1 / 1.3)
    return {"untrained": eigenvalues(torch.randn(size * 3 // 2, size, generator=generator)), "power law": power_law}


def ks_exponent(size: int, name: str, values: torch.Tensor, bound: float) -> Row:
    array = values.numpy()
    theirs, ours, ratio = in_turn(lambda: WWFit(array), lambda: ks_fit(values), 7 if size > 5000 else 25)
    assert abs(WWFit(array).alpha - ks_fit(values).alpha) < 1e-6
    detail = f"{ours * 1e3:.1f} ms, WeightWatcher {theirs * 1e3:.1f} ms, the same α"
    what = f"KS exponent of {size:,} eigenvalues ({name}), WeightWatcher's fit over ours"
    return Row(what, ratio, "×", f"≥ {bound:g}", ratio >= bound, detail)


def memory_of_ks() -> Row:
    """What the fit of many eigenvalues adds to the peak of a process that fits a few."""
    code = (
        "import torch; from spectail.spectra.tails import ks_fit; ks_fit(torch.rand({}, dtype=torch.float64) ** -0.7)"
    )
    peak = peak_memory(code.format(20000)) - peak_memory(code.format(100))
    return Row(
        "memory of a KS fit of 20,000 eigenvalues", peak, " MiB", "< 100", peak < 100, "20,000² floats are 3,052 MiB"
    )


def rows() -> list[Row]:
    table = []
    for size, bound in ((1000, 1.0), (10000, 3.0)):
        table += [ks_exponent(size, name, values, bound) for name, values in spectra(size).items()]
    return [*table, memory_of_ks()]
