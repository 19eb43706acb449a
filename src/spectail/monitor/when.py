"""When a monitor measures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from spectail.errors import SettingError


@runtime_checkable
class Schedule(Protocol):
    """Says after a step whether to measure now."""

    def due(self, step: int, training: float, spent: float, cost: float) -> bool:
        """Whether to measure.

        Args:
            step: how many steps the optimizer has made.
            training: seconds of training since the monitor was attached, measuring left out.
            spent: seconds that measuring took in that time.
            cost: seconds that the next measurement is expected to take.
        """


@dataclass(frozen=True)
class EverySteps:
    """Every k-th step.

    >>> [step for step in range(1, 10) if EverySteps(3).due(step, 0, 0, 0)]
    [3, 6, 9]
    """

    k: int

    def due(self, step: int, training: float, spent: float, cost: float) -> bool:
        """As `Schedule`."""
        return step % self.k == 0


@dataclass(frozen=True)
class LogSteps:
    """Steps 1, 2, 3, 5, 10, 20, 30, 50, 100, …: as many in each decade.

    >>> [step for step in range(1, 101) if LogSteps().due(step, 0, 0, 0)]
    [1, 2, 3, 5, 10, 20, 30, 50, 100]
    """

    def due(self, step: int, training: float, spent: float, cost: float) -> bool:
        """As `Schedule`."""
        digits = str(step)
        return digits[0] in "1235" and not digits[1:].strip("0")


@dataclass(frozen=True)
class ListedSteps:
    """These steps and no others."""

    steps: frozenset[int]

    def due(self, step: int, training: float, spent: float, cost: float) -> bool:
        """As `Schedule`."""
        return step in self.steps


@dataclass(frozen=True)
class Budget:
    """As often as leaves the time spent on measuring below a share of the time spent on training.

    >>> Budget(0.02).due(7, training=100.0, spent=1.0, cost=0.9)
    True
    >>> Budget(0.02).due(7, training=90.0, spent=1.0, cost=0.9)
    False
    """

    share: float

    def due(self, step: int, training: float, spent: float, cost: float) -> bool:
        """As `Schedule`."""
        return spent + cost <= self.share * training


def choose_schedule(
    every: int | None = None, steps: str | Iterable[int] | None = None, budget: float | None = None
) -> Schedule:
    """The schedule that was asked for; a budget of 2 % where none was.

    Args:
        every: k, to measure every k-th step.
        steps: "log", or the steps themselves.
        budget: the largest share of the training time that may be spent on measuring.

    Raises:
        ValueError: more than one is given, or one is out of range.
    """
    given = [name for name, value in (("every", every), ("steps", steps), ("budget", budget)) if value is not None]
    if len(given) > 1:
        raise SettingError(f"{' and '.join(given)} exclude each other; expected one of every, steps and budget")
    if every is not None:
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise SettingError(f"every={every!r} is not a number of steps; expected a whole number, at least 1")
        return EverySteps(every)
    if steps is not None:
        return _listed(steps)
    share = 0.02 if budget is None else budget
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
        raise SettingError(f"budget={share!r} is not a share of the training time; expected more than 0, at most 1")
    return Budget(float(share))


def _listed(steps: str | Iterable[int]) -> Schedule:
    if steps == "log":
        return LogSteps()
    wrong = f"steps={steps!r} is not known; expected 'log' or whole numbers, none negative"
    if isinstance(steps, str) or not isinstance(steps, Iterable):
        raise SettingError(wrong)
    listed = list(steps)
    if not all(isinstance(step, int) and not isinstance(step, bool) and step >= 0 for step in listed):
        raise SettingError(wrong)
    return ListedSteps(frozenset(listed))
