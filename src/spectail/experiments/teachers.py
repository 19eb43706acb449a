"""Teachers: how the projections on their directions become clean labels.

Not here: the links themselves (activations.py), and noise (two_layer/problem.py).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from spectail.errors import SettingError, kind_and_first_line
from spectail.experiments.activations import find_activation

if TYPE_CHECKING:
    from torch import Tensor

    from spectail.experiments.experiment import Experiment


def clean_labels(experiment: Experiment, projections: Tensor) -> Tensor:
    """The labels without noise, σ* of each point's projections z₁ … z_K on the teacher's directions.

    Args:
        experiment: whose `teacher` and `combination` count.
        projections: (n × K), float64.

    Returns:
        (n); with one direction σ*(z₁), whatever the combination.

    Raises:
        SettingError: a function of one's own is not as it should be.

    >>> import torch
    >>> from spectail import Experiment
    >>> teacher = Experiment(teacher="identity", directions=3, combination="staircase")
    >>> clean_labels(teacher, torch.tensor([[2.0, 3.0, 5.0]]))  # z₁ + z₁z₂ + z₁z₂z₃
    tensor([38.])
    """
    if experiment.combination == "joint":
        return _of_all_directions(experiment.teacher, projections)
    values = find_activation(experiment.teacher)(projections)
    if projections.shape[1] == 1:
        return values[:, 0]
    if experiment.combination == "product":
        return values.prod(1)
    if experiment.combination == "staircase":
        return values.cumprod(1).sum(1)
    return values.sum(1) / math.sqrt(projections.shape[1])


def _of_all_directions(name: str, projections: Tensor) -> Tensor:
    """A user's own function of all projections of each point."""
    import torch

    from spectail.weights.opening import object_by_name

    function = object_by_name(name)

    def value(z: Tensor) -> Tensor:
        try:
            result = function(z.clone())
        except (Exception, SystemExit) as error:  # whatever a user's own function raises
            raise SettingError(f"{name} failed: {kind_and_first_line(error)}") from error
        if not isinstance(result, torch.Tensor) or result.shape != z.shape[:1]:
            form = tuple(result.shape) if isinstance(result, torch.Tensor) else type(result).__name__
            raise SettingError(f"{name} made {form} of projections {tuple(z.shape)}; expected a number for each row")
        if result.is_complex():
            raise SettingError(f"{name} made complex numbers; expected real ones")
        return result.to(torch.float64)

    values = value(projections)
    if not bool(values.isfinite().all()):
        raise SettingError(f"{name} is not finite at {projections[~values.isfinite()][0].tolist()}")
    if not torch.equal(values, value(projections)):
        raise SettingError(f"{name} gives other values when it is called again; expected a function of its input alone")
    halves = torch.cat([value(half) for half in projections.chunk(2)])  # whatever is largest is missing in one
    if not torch.allclose(halves, values, rtol=1e-9, atol=1e-12):
        raise SettingError(f"{name} gives a row other values beside other rows; expected each by itself")
    return values
