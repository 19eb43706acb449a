"""What a seed fixes: the teacher, the data and the initial weights; and what runs of one problem share at step zero.

Not here: how that is computed (step_zero.py).
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from spectail.errors import SettingError
from spectail.experiments.batches import random_stream
from spectail.experiments.experiment import Experiment
from spectail.experiments.memory import check_memory
from spectail.experiments.teachers import clean_labels


@dataclass(frozen=True)
class Points:
    """Inputs and their noisy labels: y = σ*(β*ᵀx) + ξ (eq. 1)."""

    x: Float[Tensor, "n d"]
    y: Float[Tensor, " n"]


_LARGEST = 1e37  # of a label: not far beyond, it is not finite in float32

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


@dataclass
class AtStepZero:
    """Results at step zero that runs of one problem share, filled in as they are computed.

    Attributes:
        preactivations: P = s W₀Xᵀ by role.
        direction: D of the latest kind of update, and that kind.
        slopes: Q = s DXᵀ by role, and the kind of update that it is of.
        readouts: what is learned, by activation and conventions.
        spectra: what the spectrum of W₀ says, under its one name "W".
        gradients: mean squared residual and ∇R at the first forward pass, by what they depend on.
    """

    preactivations: dict[str, Tensor] = field(default_factory=dict)
    direction: tuple[Hashable, Tensor] | None = None
    slopes: dict[str, tuple[Hashable, Tensor]] = field(default_factory=dict)
    readouts: dict[Hashable, dict[str, Any]] = field(default_factory=dict)
    spectra: dict[str, dict[str, Any]] = field(default_factory=dict)
    gradients: dict[Hashable, tuple[float, Tensor]] = field(default_factory=dict)


def once(results: dict[_Key, _Value], key: _Key, compute: Callable[[], _Value]) -> _Value:
    """A result that is shared, computed for the first who asks."""
    if key not in results:
        results[key] = compute()
    return results[key]


@dataclass(frozen=True)
class Problem:
    """Everything about a run that does not depend on how it is trained.

    Each role draws from a stream of its own, in float64 on the CPU: a larger n extends the same
    points, a larger h the same weights, one role's size changes no other role's numbers, and every
    device and dtype sees the same numbers, rounded. Draw one with `Problem.draw`.

    Runs that share a problem also share what is computed at step 0; `step_zero` keeps it.

    Attributes:
        beta: β*, unit vector (d), float64.
        train, holdout, test, test_large: points for the updates, the readout, and the two test losses.
        w0: initial weights (h × d).
        a: the last layer (h), which the paper keeps as it is.
        key: the `problem_key` of every experiment that this problem belongs to.
        directions: of the teacher, orthonormal rows, β* the first, float64.
        deeper: initial weights of further hidden layers.
        biases: initial ones of each hidden layer; none where the student has none.
        step_zero: what runs of this problem share at step 0.

    >>> tiny = Experiment(n=40, d=20, h=30, n_test=9, n_test_large=9)
    >>> problem, larger = Problem.draw(tiny), Problem.draw(tiny.replace(n=50))
    >>> torch.equal(problem.train.x, larger.train.x[:40])
    True
    """

    beta: Float[Tensor, " d"]
    train: Points
    holdout: Points
    test: Points
    test_large: Points
    w0: Float[Tensor, "h d"]
    a: Float[Tensor, " last"]
    key: tuple[Any, ...]
    directions: Float[Tensor, "k d"]
    deeper: tuple[Tensor, ...] = ()
    biases: tuple[Tensor, ...] = ()
    step_zero: AtStepZero = field(default_factory=AtStepZero, repr=False)

    @classmethod
    def draw(cls, experiment: Experiment, device: str | torch.device = "cpu") -> Problem:
        """Draw the problem of an experiment, and put it on a device.

        Raises:
            SettingError: it is of a network, which has no problem, or takes more memory than is free.
        """
        e = experiment
        if not e.has_closed_form:
            raise SettingError(f"{e.subject} is a network; a problem is of students of a teacher")
        check_memory([e])
        dtype = getattr(torch, e.dtype)
        directions = _directions(e)
        points = partial(teacher_points, e, device=device)

        def weights() -> Tensor:
            w = torch.from_numpy(_normal(e.seed, "first layer", e.h, e.d)) * e.entry_scale
            return w.to(dtype).to(device)

        scale_a = 1.0 if e.initialization == "ntk" else 1.0 / math.sqrt(e.widths[-1])

        def deeper(layer: int) -> Tensor:
            h, fan_in = e.widths[layer], e.widths[layer - 1]
            scale = 1.0 if e.initialization == "ntk" else 1.0 / math.sqrt(fan_in)
            return (torch.from_numpy(_normal(e.seed, f"layer {layer + 1}", h, fan_in)) * scale).to(dtype).to(device)

        def bias(layer: int) -> Tensor:
            drawn = torch.from_numpy(_normal(e.seed, f"bias {layer + 1}", e.widths[layer])) * e.bias_scale
            return drawn.to(dtype).to(device)

        a = torch.from_numpy(_normal(e.seed, "second layer", e.widths[-1])) * scale_a
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # a role is a stream, so roles can be drawn side by side
            train, holdout = pool.submit(points, "train", e.n), pool.submit(points, "holdout", e.n)
            test, test_large = pool.submit(points, "test", e.n_test), pool.submit(points, "test_large", e.n_test_large)
            w0 = pool.submit(weights)
            roles = centered(e, *(role.result() for role in (train, holdout, test, test_large)))
            return cls(
                beta=_to(torch.from_numpy(directions[0]), device),
                train=roles[0],
                holdout=roles[1],
                test=roles[2],
                test_large=roles[3],
                w0=w0.result(),
                a=a.to(dtype).to(device),
                key=e.problem_key,
                directions=_to(torch.from_numpy(np.stack(directions)), device),
                deeper=tuple(deeper(layer) for layer in range(1, len(e.widths))),
                biases=() if e.bias == "none" else tuple(bias(layer) for layer in range(len(e.widths))),
            )


def teacher_points(experiment: Experiment, role: str, count: int, device: str | torch.device = "cpu") -> Points:
    """Points of one role, such as "train", with the teacher's noisy labels.

    Raises:
        SettingError: a teacher of a user's own is not as it should be.
    """
    e = experiment
    x, deviations = _normal(e.seed, f"{role} inputs", count, e.d), _deviations(e)
    if deviations is not None:
        x *= deviations
    if e.input_mean:
        x += e.input_mean
    # x @ a vector and x @ a matrix of one column differ in their last bits
    projections = np.stack([x @ direction for direction in _directions(e)], axis=1)
    clean = clean_labels(e, torch.from_numpy(projections))
    unfit = ~(clean.abs() <= _LARGEST)
    if bool(unfit.any()):
        at = int(unfit.nonzero()[0])
        where = ", ".join(f"{z:.4g}" for z in projections[at])
        raise SettingError(
            f"teacher={e.teacher!r} gives {float(clean[at]):.3g} at {where}; expected numbers within 1e37"
        )
    y = clean + e.label_noise * torch.from_numpy(_normal(e.seed, f"{role} label noise", count))
    return Points(torch.from_numpy(x).to(getattr(torch, e.dtype)).to(device), _to(y, device))


def centered(experiment: Experiment, train: Points, *others: Points) -> tuple[Points, ...]:
    """Points of all roles without the mean of the training labels, where an experiment asks for that; else as they are.

    Args:
        experiment: whose `center_labels` counts.
        train: the training points, all of them.
        others: of further roles.
    """
    roles = (train, *others)
    if not experiment.center_labels:
        return roles
    mean = train.y.mean()
    return tuple(Points(role.x, role.y - mean) for role in roles)


def _directions(e: Experiment) -> list[np.ndarray[Any, np.dtype[np.float64]]]:
    """The teacher's directions, unit vectors (d), each orthogonal to those before it."""
    directions: list[np.ndarray[Any, np.dtype[np.float64]]] = []
    for number in range(1, e.directions + 1):
        direction = _normal(e.seed, "teacher" if number == 1 else f"teacher {number}", e.d)
        for _ in range(2):  # after one pass, more than rounding is left
            for other in directions:
                direction -= (other @ direction) * other
        direction /= np.linalg.norm(direction)
        directions.append(direction)
    return directions


def _deviations(e: Experiment) -> np.ndarray[Any, np.dtype[np.float64]] | None:
    """Standard deviation of each coordinate of the inputs; None where all are 1."""
    if e.covariance_power == 0:
        return None
    variances = np.arange(1, e.d + 1, dtype=np.float64) ** -e.covariance_power
    deviations: np.ndarray[Any, np.dtype[np.float64]] = np.sqrt(variances / variances.mean())
    return deviations


def _normal(seed: int, role: str, *shape: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Standard normal numbers of one role, filled row by row."""
    return random_stream(seed, role).standard_normal(shape)


def _to(values: Tensor, device: str | torch.device) -> Tensor:
    """Labels or β* in float64: on the device where it has that type, else on the CPU."""
    return values if torch.device(device).type == "mps" else values.to(device)
