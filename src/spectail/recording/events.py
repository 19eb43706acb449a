"""What happened while a model trained: which layer changed its phase, and when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class PhaseChange:
    """A layer whose phase differs from that of the measurement before.

    Attributes:
        step: of the measurement that found it; the change lies between it and the one before.
        layer: name of the matrix.
        before: the phase it left.
        after: the phase it is in.

    >>> print(PhaseChange(40, "layer3.conv2", "bulk+spike", "heavy-tailed"))
    layer3.conv2: bulk+spike → heavy-tailed at step 40
    """

    step: int
    layer: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.layer}: {self.before} → {self.after} at step {self.step}"


def phase_changes(
    step: int, layers: Sequence[str], before: Sequence[str], after: Sequence[str]
) -> tuple[PhaseChange, ...]:
    """The changes between two measurements, in the order of the layers.

    Args:
        step: of the later one.
        layers: names.
        before: the phase of each layer in the earlier one.
        after: the phase of each layer in the later one.
    """
    return tuple(
        PhaseChange(step, layer, old, new) for layer, old, new in zip(layers, before, after, strict=True) if old != new
    )
