"""Schedules of the learning rate of an optimizer, each by name and options.

One of a user's own is named "module:function" or "module:Class".

Not here: optimizers (optimizers.py), and which options an experiment has (experiment.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau

from spectail.errors import SettingError, first_line, kind_and_first_line, unknown_name
from spectail.experiments.optimizers import torch_classes
from spectail.weights.opening import object_by_name

_NONE: Mapping[str, Any] = MappingProxyType({})

# Those whose options can be written down: not functions, and not other schedules.
SCHEDULES: dict[str, Callable[..., LRScheduler]] = {
    **torch_classes(
        torch.optim.lr_scheduler,
        LRScheduler,
        but=("LambdaLR", "MultiplicativeLR", "SequentialLR", "ChainedScheduler"),
    )
}
"""By name, what makes a learning-rate schedule; called with an optimizer and its own options."""

_ROUNDING = 1e-9  # of the first learning rate: schedules that end at 0 may end just below


class LearningRate:
    """What sets the next learning rate: called after each update with the objective before it.

    Args:
        scheduler: of torch, or None for a constant learning rate.
        name: by which the experiment has it.

    Raises:
        SettingError: it begins with a learning rate below 0, or one that is not finite.
    """

    def __init__(self, scheduler: LRScheduler | None = None, name: str = "") -> None:
        self._scheduler, self._name = scheduler, name
        self._check()

    def __call__(self, objective: float) -> None:
        """Set the learning rate of the next update, after one that had this objective before it.

        Raises:
            SettingError: the schedule fails, or sets one below 0, or one that is not finite.
        """
        if self._scheduler is None:
            return
        try:
            if isinstance(self._scheduler, ReduceLROnPlateau):
                self._scheduler.step(objective)
            else:
                self._scheduler.step()
        except (Exception, SystemExit) as error:  # whatever options that do not suit, or a user's own code, raise
            raise SettingError(
                f"schedule={self._name!r} failed after an update: {kind_and_first_line(error)}"
            ) from error
        self._check()

    def _check(self) -> None:
        for group in self._scheduler.optimizer.param_groups if self._scheduler else ():
            if not -_ROUNDING * abs(float(group.get("initial_lr", 1.0))) <= float(group["lr"]) < math.inf:
                rate = f"a learning rate of {float(group['lr']):g}"
                raise SettingError(f"schedule={self._name!r} gives {rate}; expected finite ones, none below 0")

    def state_dict(self) -> dict[str, Any]:
        """Where the schedule is."""
        return {} if self._scheduler is None else self._scheduler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        if self._scheduler is not None:
            self._scheduler.load_state_dict(state)


def make_schedule(name: str | None, optimizer: Optimizer, options: Mapping[str, Any] = _NONE) -> LearningRate:
    """A learning-rate schedule by name.

    Args:
        name: one of `SCHEDULES`, or of your own: "module:Class" of a schedule, "module:function" from a step to the
            factor of the learning rate; None for a constant learning rate.
        optimizer: whose learning rate it sets.
        options: further ones; of a function, keywords.

    Raises:
        ValueError: the name or the options are not known, or are out of range.
    """
    if name is None:
        return LearningRate()
    if ":" in name:
        return LearningRate(_own_schedule(name, optimizer, options), name)
    if name not in SCHEDULES:
        raise SettingError(unknown_name("schedule", name, [*SCHEDULES, "module:function"]))
    for option, value in options.items():
        numbers = [
            one for one in (value if isinstance(value, list | tuple) else [value]) if isinstance(one, int | float)
        ]
        if option != "last_epoch" and not all(0 <= one < math.inf for one in numbers):
            expected = "expected finite numbers, none below 0"
            raise SettingError(f"schedule_options: {option}={value} does not suit schedule={name!r}; {expected}")
    try:
        return LearningRate(SCHEDULES[name](optimizer, **options), name)
    except (TypeError, ValueError, AttributeError) as error:
        what = f"schedule_options={dict(options)} do not suit schedule={name!r}"
        raise SettingError(f"{what}: {first_line(error)}") from None


def _own_schedule(name: str, optimizer: Optimizer, options: Mapping[str, Any]) -> LRScheduler:
    """A schedule of a user's own."""
    own: Any = object_by_name(name)
    scheduler: Any
    try:
        if isinstance(own, type):
            scheduler = own(optimizer, **options)
        else:
            if not math.isfinite(float(own(0, **options))) or own(1, **options) != own(1, **options):
                raise ValueError("it is not a finite factor, or another when it is called again")
            scheduler = LambdaLR(optimizer, partial(own, **options))
    except (Exception, SystemExit) as error:  # whatever a user's own code raises
        raise SettingError(f"schedule={name!r} with {dict(options)} failed: {kind_and_first_line(error)}") from error
    if not isinstance(scheduler, LRScheduler):
        raise SettingError(f"schedule={name!r} made a {type(scheduler).__name__}; expected a schedule of torch")
    return scheduler
