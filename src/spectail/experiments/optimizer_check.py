"""Whether an optimizer and its schedule exist and take their options, told before anything is computed.

Not here: what they are (optimizers.py, schedules.py), and the other settings of an experiment (experiment.py).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from types import MappingProxyType
from typing import Any

import torch
from torch.optim import Optimizer

from spectail.experiments.optimizers import OPTIMIZERS, optimizer_from, optimizer_name, rate_groups
from spectail.experiments.schedules import make_schedule
from spectail.weights.opening import object_by_name

_NONE: Mapping[str, Any] = MappingProxyType({})


def check_optimizer(
    name: str,
    lr: float,
    *,
    bias_correction: bool = False,
    options: Mapping[str, Any] = _NONE,
    schedule: str | None = None,
    schedule_options: Mapping[str, Any] = _NONE,
    rates: Sequence[float] = (),
    vectors: bool = False,
) -> None:
    """Build an optimizer and its schedule on tiny parameters, to see that both exist and take their options.

    Args:
        name: as for `make_optimizer`.
        lr: likewise.
        bias_correction: likewise.
        options: likewise.
        schedule: as for `make_schedule`.
        schedule_options: likewise.
        rates: of the layers, where they are known; one matrix without it.
        vectors: whether biases or a last layer are trained too.

    Raises:
        ValueError: as `make_optimizer` and `make_schedule`, and where the schedule fails after the first update.
    """
    rates = rates or [lr]
    shapes = [(2,) if vectors and at else (2, 2) for at in range(len(rates))]
    parameters = rate_groups([torch.zeros(shape) for shape in shapes], lr, rates)
    maker = object_by_name(name) if ":" in name else _without_compiler(OPTIMIZERS[optimizer_name(name)])
    optimizer = optimizer_from(maker, name, parameters, lr, bias_correction, options)
    advance = make_schedule(schedule, optimizer, schedule_options)
    with warnings.catch_warnings(action="ignore"):  # no update was made before
        advance(1.0)


@cache
def _without_compiler(maker: Callable[..., Optimizer]) -> Callable[..., Optimizer]:
    """An optimizer with the same options that does not make torch import its compiler, which takes two seconds.

    torch imports it where an optimizer gets its parameters; each class checks its options before or after that.
    """
    kind = maker.func if isinstance(maker, partial) else maker

    def add_param_group(self: Optimizer, group: dict[str, Any]) -> None:
        self.param_groups.append({**self.defaults, **group})

    unheld = type(kind.__name__, (kind,), {"add_param_group": add_param_group})  # type: ignore[arg-type]
    return partial(unheld, **maker.keywords) if isinstance(maker, partial) else unheld
