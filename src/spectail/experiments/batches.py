"""The random numbers that a seed fixes, and which points an update uses: of students and of networks alike.

Not here: what is drawn of a problem (two_layer/problem.py), and of images (deep/images.py).
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import torch
from torch import Tensor


def random_stream(seed: int, role: str) -> np.random.Generator:
    """The random numbers of one role."""
    stream = np.random.SeedSequence(entropy=seed, spawn_key=(zlib.crc32(role.encode()),))
    return np.random.Generator(np.random.PCG64(stream))


class Batches:
    """Which points an update uses: drawn without replacement until fewer than a batch are left, then anew from all.

    The points of an update depend on its step and the seed alone, so that a resumed run needs no state of this.

    Args:
        n: points.
        size: of a batch; None for all points at once.
        seed: of the experiment.

    >>> batches = Batches(7, 3, seed=0)
    >>> sorted([*batches(0), *batches(1)]) == sorted({*batches(0), *batches(1)}), len(batches(2))
    (True, 3)
    """

    def __init__(self, n: int, size: int | None, seed: int) -> None:
        self._n, self._size, self._seed = n, size or n, seed
        self._all = size is None
        self._order: tuple[int, Any] = (-1, None)

    def __call__(self, step: int) -> Tensor | None:
        """The points of an update; None where they are all."""
        if self._all:
            return None
        epoch, at = divmod(step, self._n // self._size)
        if self._order[0] != epoch:
            self._order = epoch, random_stream(self._seed, f"batches of pass {epoch}").permutation(self._n)
        return torch.from_numpy(self._order[1][at * self._size : (at + 1) * self._size])
