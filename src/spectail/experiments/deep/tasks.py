"""The samples of an experiment: images, sums modulo P, a teacher's points, or what a user's own function gives.

Not here: how images are read (images.py), and what a teacher draws (two_layer/problem.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spectail.analysis.undisturbed import undisturbed
from spectail.errors import SourceError
from spectail.experiments.deep.images import load_images
from spectail.experiments.deep.samples import Samples, chosen_samples, digest_of
from spectail.experiments.experiment import Experiment
from spectail.experiments.fields import modulus_of
from spectail.experiments.two_layer.problem import centered, teacher_points
from spectail.weights.opening import call_by_name, object_by_name

_MOST_LABELS = 100_000


def load_samples(experiment: Experiment, data: Path | None) -> Samples:
    """What a network of an experiment is trained on.

    Args:
        experiment: of a network.
        data: where images are; as for `load_images`.

    Raises:
        SourceError: the data are not there, or not as they should be.
    """
    e = experiment
    if e.dataset is None:
        return _of_teacher(e)
    count, modulus = None if e.images == "all" else e.images, modulus_of(e.dataset)
    if modulus is not None:
        return _split(*_sums(modulus), count, e.seed, e.dataset)
    if ":" in e.dataset:
        return _split(*_own(e.dataset), count, e.seed, e.dataset)
    return load_images(e.dataset, data, count, e.seed)


def _of_teacher(e: Experiment) -> Samples:
    """The teacher's training points; its n_test_large points are not trained on."""
    roles = (("train", e.n), ("test_large", e.n_test_large))
    train, test = centered(e, *(teacher_points(e, *role) for role in roles))
    held_out = Samples(test.x, test.y, None, "")
    digest = digest_of([train.x.numpy(), train.y.numpy()], "teacher")
    return Samples(train.x, train.y, None, digest, held_out, e.loss_factor)


def _sums(modulus: int) -> tuple[Tensor, Tensor, int]:
    """All pairs (a, b), each number one-hot, and a + b modulo P (Power et al. 2022)."""
    a, b = torch.arange(modulus).repeat_interleave(modulus), torch.arange(modulus).repeat(modulus)
    inputs = torch.cat([torch.eye(modulus)[a], torch.eye(modulus)[b]], dim=1)
    return inputs, (a + b) % modulus, modulus


def _split(
    inputs: Tensor, targets: Tensor, classes: int | None, count: int | None, seed: int, name: str
) -> Samples:  # fmt: skip
    """The samples that a seed chooses; the others are not trained on."""
    chosen = chosen_samples(count, len(inputs), seed, name)

    def some(at: NDArray[np.int64] | None, test: Samples | None = None) -> Samples:
        x, y = (inputs, targets) if at is None else (inputs[torch.from_numpy(at)], targets[torch.from_numpy(at)])
        digest = digest_of([x.numpy(), y.numpy()], (tuple(x.shape), str(x.dtype), str(y.dtype)))
        return Samples(x, y, classes, digest, test)

    others = None if chosen is None else np.setdiff1d(np.arange(len(inputs)), chosen)
    return some(chosen, some(others) if others is not None and len(others) else None)


def _own(name: str) -> tuple[Tensor, Tensor, int | None]:
    """Inputs, targets and how many classes there are, of a user's own function, which is asked twice.

    Raises:
        SourceError: it fails, or what it gives is not as it should be, or is another the second time.
    """
    function = object_by_name(name)
    with undisturbed():
        inputs, targets = _answer(name, function)
        again = _answer(name, function)
    for what, values in (("inputs", inputs), ("targets", targets)):
        if not bool(values.isfinite().all()):
            raise SourceError(f"{name}: some {what} are NaN or inf; expected finite numbers")
    if not (torch.equal(inputs, again[0]) and torch.equal(targets, again[1])):
        raise SourceError(f"{name} gives other samples when it is called again; expected a fixed seed in it")
    if inputs.ndim < 2 or 0 in inputs.shape:
        raise SourceError(
            f"{name}: inputs of shape {tuple(inputs.shape)}; expected at least one, n × d or n × c × h × w"
        )
    if targets.ndim not in (1, 2) or len(targets) != len(inputs) or 0 in targets.shape:
        raise SourceError(
            f"{name}: targets of shape {tuple(targets.shape)} for {len(inputs)} inputs; "
            "expected a label or numbers for each"
        )
    if bool((targets == targets[:1]).all()):
        raise SourceError(f"{name}: all targets are equal; there is nothing to learn")
    inputs = inputs if inputs.dtype == torch.float64 else inputs.to(torch.float32)
    if targets.dtype.is_floating_point:
        return inputs, targets.to(torch.float64), None
    if targets.ndim != 1 or targets.min() < 0 or targets.max() > _MOST_LABELS:
        raise SourceError(
            f"{name}: whole numbers {tuple(targets.shape)} from {int(targets.min())} to {int(targets.max())}; "
            "expected labels that count from 0, or numbers of a floating-point type to fit"
        )
    return inputs, targets.to(torch.int64), int(targets.max()) + 1


def _answer(name: str, function: Any) -> tuple[Tensor, Tensor]:
    """What a user's function gives, as tensors of numbers on the CPU."""
    if not callable(function):
        raise SourceError(f"{name} is a {type(function).__name__}; expected a function that gives inputs and targets")
    answer = call_by_name(name, function)
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        raise SourceError(f"{name} gave a {type(answer).__name__}; expected inputs and targets, two tensors or arrays")
    return _tensor(name, "inputs", answer[0]), _tensor(name, "targets", answer[1])


def _tensor(name: str, what: str, values: Any) -> Tensor:
    if isinstance(values, np.ndarray) and values.dtype.kind in "uif":
        values = torch.from_numpy(np.ascontiguousarray(values.astype(values.dtype.newbyteorder("="))))
    plain = isinstance(values, Tensor) and values.layout == torch.strided and values.device.type != "meta"
    if not plain or values.is_complex() or values.dtype == torch.bool:
        kind = values.dtype if isinstance(values, Tensor | np.ndarray) else type(values).__name__
        raise SourceError(f"{name}: {what} are {kind}; expected a tensor or an array of numbers")
    own: Tensor = values.detach().cpu().clone()  # it may be changed by the next call
    return own
