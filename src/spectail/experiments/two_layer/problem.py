"""What a seed fixes: the teacher, the data and the initial weights."""

from __future__ import annotations

import math
import os
import zlib
from collections.abc import Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from spectail.experiments.activations import ACTIVATIONS
from spectail.experiments.experiment import PROBLEM_FIELDS, Experiment


@dataclass(frozen=True)
class Points:
    """Inputs and their noisy labels: y = σ*(β*ᵀx) + ξ (eq. 1)."""

    x: Float[Tensor, "n d"]
    y: Float[Tensor, " n"]


@dataclass(frozen=True)
class Problem:
    """Everything about a run that does not depend on how it is trained.

    Each role draws from a stream of its own, in float64 on the CPU: a larger n extends the same
    points, a larger h the same weights, one role's size changes no other role's numbers, and every
    device and dtype sees the same numbers, rounded. Draw one with `Problem.draw`.

    Runs that share a problem also share what is computed at step 0; `shared` keeps it.

    Attributes:
        beta: β*, unit vector (d), float64.
        train, holdout, test, test_large: points for the updates, the readout, and the two test losses.
        w0: initial weights (h × d). a: the fixed second layer (h).
        key: what `key_of` gives for every experiment that this problem belongs to.
        shared: results at step 0 by name, filled in as they are computed.
    """

    beta: Float[Tensor, " d"]
    train: Points
    holdout: Points
    test: Points
    test_large: Points
    w0: Float[Tensor, "h d"]
    a: Float[Tensor, " h"]
    key: tuple[Any, ...]
    shared: dict[Hashable, Any] = field(default_factory=dict, repr=False)

    @staticmethod
    def key_of(experiment: Experiment) -> tuple[Any, ...]:
        """Equal for experiments that have the same problem."""
        return tuple(getattr(experiment, name) for name in PROBLEM_FIELDS)

    @classmethod
    def draw(cls, experiment: Experiment, device: str | torch.device = "cpu") -> Problem:
        """Draw the problem of an experiment, and put it on a device."""
        e = experiment
        dtype = getattr(torch, e.dtype)
        beta = _normal(e.seed, "teacher", e.d)
        beta /= np.linalg.norm(beta)

        def points(role: str, count: int) -> Points:
            x = _normal(e.seed, f"{role} inputs", count, e.d)
            clean = ACTIVATIONS[e.teacher](torch.from_numpy(x @ beta))
            y = clean + e.label_noise * torch.from_numpy(_normal(e.seed, f"{role} label noise", count))
            return Points(torch.from_numpy(x).to(dtype).to(device), _to(y, device))

        def weights() -> Tensor:
            w = torch.from_numpy(_normal(e.seed, "first layer", e.h, e.d)) * e.entry_scale
            return w.to(dtype).to(device)

        scale_a = 1.0 if e.initialization == "ntk" else 1.0 / math.sqrt(e.h)
        a = torch.from_numpy(_normal(e.seed, "second layer", e.h)) * scale_a
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # a role is a stream, so roles can be drawn side by side
            train, holdout = pool.submit(points, "train", e.n), pool.submit(points, "holdout", e.n)
            test, test_large = pool.submit(points, "test", e.n_test), pool.submit(points, "test_large", e.n_test_large)
            w0 = pool.submit(weights)
            return cls(
                beta=_to(torch.from_numpy(beta), device),
                train=train.result(),
                holdout=holdout.result(),
                test=test.result(),
                test_large=test_large.result(),
                w0=w0.result(),
                a=a.to(dtype).to(device),
                key=cls.key_of(e),
            )


def _normal(seed: int, role: str, *shape: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Standard normal numbers of one role, filled row by row."""
    stream = np.random.SeedSequence(entropy=seed, spawn_key=(zlib.crc32(role.encode()),))
    return np.random.Generator(np.random.PCG64(stream)).standard_normal(shape)


def _to(values: Tensor, device: str | torch.device) -> Tensor:
    """Labels and β* stay in float64, on the device where it has that type."""
    return values if torch.device(device).type == "mps" else values.to(device)
