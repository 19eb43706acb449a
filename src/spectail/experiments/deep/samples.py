"""What a network is trained on: inputs with labels to tell apart, or with numbers to fit.

Not here: where they come from (images.py, tasks.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Shaped
from numpy.typing import NDArray
from torch import Tensor

from spectail.errors import SourceError


@dataclass(frozen=True)
class Samples:
    """What a network is trained on.

    Attributes:
        inputs: of n samples.
        targets: labels from 0 (n), or numbers to fit (n) or (n × k).
        classes: how many labels the whole data set has; None where numbers are fitted.
        sha256: of the inputs and targets that were chosen.
        test: samples that are not trained on; None where there are none.
        loss_factor: the loss is this over n times the squared error, where numbers are fitted.
    """

    inputs: Float[Tensor, "n ..."]
    targets: Shaped[Tensor, "n ..."]
    classes: int | None
    sha256: str
    test: Samples | None = None
    loss_factor: float = 1.0

    @property
    def outputs(self) -> int:
        """How many numbers a network gives for a sample."""
        return self.classes or (1 if self.targets.ndim == 1 else self.targets.shape[1])

    def some(self, chosen: Tensor) -> Samples:
        """The samples at these places; images keep the standardisation of all."""
        at = chosen.to(self.inputs.device)
        return replace(self, inputs=self.inputs[at], targets=self.targets[at])

    def to(self, device: str | torch.device, dtype: torch.dtype) -> Samples:
        """The samples on a device, with numbers of a dtype."""
        test = None if self.test is None else self.test.to(device, dtype)
        targets = self.targets.to(device, dtype if self.classes is None else None)
        return replace(self, inputs=self.inputs.to(device, dtype), targets=targets, test=test)


def chosen_samples(count: int | None, of: int, seed: int, name: str) -> NDArray[np.int64] | None:
    """Which samples are trained on, drawn without replacement; None for all of them.

    Raises:
        SourceError: more are asked for than there are.
    """
    if count is None:
        return None
    if count > of:
        raise SourceError(f"images={count}, but {name} has {of}; name fewer, or all")
    return np.sort(np.random.default_rng(seed).permutation(of)[:count])


def digest_of(arrays: Iterable[NDArray[Any]], about: object) -> str:
    """SHA-256 of arrays, and of what is said about them."""
    digest = hashlib.sha256(repr(about).encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
