"""One measurement of a model in the middle of its training, which must not notice it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from spectail.networks.cache import nulls_of_shape
from spectail.networks.events import PhaseChange
from spectail.networks.matrices import WeightMatrix
from spectail.networks.row import COLUMNS, FEWEST, measure_matrix
from spectail.spectra.bulk import MarchenkoPastur
from spectail.spectra.phases import Phase


@dataclass(frozen=True)
class Measurement:
    """What a monitor hands to each callable.

    Attributes:
        step: how many steps the optimizer has made.
        frame: one row a layer, with the columns of `spectail.analyze`.
        spectra: the eigenvalues of each layer in float64, by name; none where a layer has no spectrum.
        events: the phases that changed since the measurement before.
        lr: the learning rate of each group of parameters.
        seconds: that the measurement took.
    """

    step: int
    frame: pd.DataFrame = field(repr=False)
    spectra: dict[str, Float[Tensor, " k"]] = field(repr=False)
    events: tuple[PhaseChange, ...]
    lr: tuple[float, ...]
    seconds: float


def describe(matrix: WeightMatrix, nulls: bool) -> dict[str, Any]:
    """What of a layer does not change while it trains; nulls that are not on the disk yet are simulated."""
    layer = {name: getattr(matrix, name) for name in ("name", "kind", "rows", "cols", "slices")}
    layer |= dict.fromkeys(("null_alpha_hill", "null_alpha_ks", "null_spread_hill", "null_spread_ks"), np.nan)
    if nulls and matrix.slices * min(matrix.rows, matrix.cols) >= FEWEST:
        found = nulls_of_shape(matrix.rows, matrix.cols, matrix.slices)
        layer["null_alpha_hill"] = MarchenkoPastur(matrix.rows, matrix.cols).hill()
        layer["null_alpha_ks"] = found.ks.alpha
        layer["null_spread_hill"], layer["null_spread_ks"] = found.hill.spread, found.ks.spread
    return layer


def measure_layers(matrices: Sequence[WeightMatrix], nulls: bool) -> tuple[list[dict[str, Any]], list[Tensor]]:
    """A row and a spectrum of each; one that cannot be measured has a note and no spectrum."""
    rows, spectra = [], []
    for matrix in matrices:
        try:
            row, spectrum = measure_matrix(matrix, nulls=nulls)
        except Exception as error:  # training is worth more than a row: no memory, no convergence
            told = f"not measured: {error}".splitlines()[0]
            row = dict.fromkeys(COLUMNS, np.nan) | {"phase": str(Phase.UNKNOWN), "n_eigenvalues": 0, "note": told}
            row |= {name: getattr(matrix, name) for name in ("name", "kind", "rows", "cols")}
            spectrum = torch.empty(0, dtype=torch.float64)
        rows.append(row)
        spectra.append(spectrum)
    return rows, spectra


@contextmanager
def unnoticed() -> Iterator[None]:
    """Inside, nothing is recorded for gradients, and every random state is put back at the end."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()  # type: ignore[no-untyped-call]
    words, numbers = random.getstate(), np.random.get_state()  # noqa: NPY002
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.enter_context(torch.random.fork_rng(devices=devices))
        stack.enter_context(torch.autocast("cpu", enabled=False))
        if devices:
            stack.enter_context(torch.autocast("cuda", enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        try:
            yield
        finally:
            random.setstate(words)
            np.random.set_state(numbers)  # noqa: NPY002


Receiver = Callable[[Measurement], object]
"""Whatever a measurement can be handed to."""
