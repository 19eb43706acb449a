"""What a monitor can hand its measurements to."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from jaxtyping import Float
from torch import Tensor

from spectail.recording.events import PhaseChange


def to_csv(path: str | os.PathLike[str]) -> Logger:
    """A receiver for `SpectralMonitor` that appends one line a layer to a CSV file.

    Args:
        path: the file; a header is written if there is none yet. Lines of an earlier run stay.

    Returns:
        what to give as `on_measurement`.
    """
    path = Path(path)

    def append(measurement: Measurement) -> None:
        frame = measurement.frame.copy()
        frame.insert(0, "step", measurement.step)
        new = not path.exists() or path.stat().st_size == 0
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8", newline="") as file:
            file.write(frame.to_csv(index=False, header=new))

    return append


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


Logger = Callable[[Measurement], object]
"""Whatever a measurement can be handed to."""
