"""When a monitor measures: at every k-th step, at listed steps, at steps spaced like a logarithm, within a budget.

Anything that is called with a step and `Clocks` and answers yes or no will do as well. Not here: what is measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from numbers import Integral, Real

from spectail.errors import SettingError


@dataclass(frozen=True)
class Clocks:
    """Seconds since a monitor was attached.

    Attributes:
        training: of training, measuring left out.
        measuring: of measuring.
        next: that the next measurement is expected to take.
    """

    training: float = 0.0
    measuring: float = 0.0
    next: float = 0.0


@dataclass(frozen=True)
class When:
    """Says after a step whether to measure now.

    Attributes:
        text: how it was asked for.
        rule: answers for a step and the clocks.
        saves_time: whether it limits time, so that no measurement is made that it does not allow, not even a last one.
    """

    text: str
    rule: Callable[[int, Clocks], bool]
    saves_time: bool = False

    def __call__(self, step: int, clocks: Clocks) -> bool:
        """Whether to measure after so many steps."""
        return self.rule(step, clocks)

    def __repr__(self) -> str:
        return self.text


def every(k: int) -> When:
    """Every k-th step.

    Args:
        k: at least 1.

    Raises:
        SettingError: k is no number of steps.

    >>> [step for step in range(1, 10) if every(3)(step, Clocks())]
    [3, 6, 9]
    """
    if isinstance(k, bool) or not isinstance(k, Integral) or k < 1:
        raise SettingError(f"every={k!r} is not a number of steps; expected a whole number, at least 1")
    return When(f"every({k})", partial(_is_multiple, int(k)))


def at(steps: Iterable[int]) -> When:
    """These steps and no others.

    Args:
        steps: whole numbers, none negative.

    Raises:
        SettingError: they are no steps.

    >>> [step for step in range(1, 10) if at([1, 5])(step, Clocks())]
    [1, 5]
    """
    wrong = f"steps={steps!r} is not known; expected whole numbers, none negative"
    if isinstance(steps, str) or not isinstance(steps, Iterable):
        raise SettingError(wrong)
    listed = list(steps)
    if not all(isinstance(step, Integral) and not isinstance(step, bool) and step >= 0 for step in listed):
        raise SettingError(wrong)
    chosen = frozenset(int(step) for step in listed)
    return When(f"at({sorted(chosen)})", partial(_is_among, chosen))


def log_spaced() -> When:
    """Steps 1, 2, 3, 5, 10, 20, 30, 50, 100, …: as many in each decade.

    >>> [step for step in range(1, 101) if log_spaced()(step, Clocks())]
    [1, 2, 3, 5, 10, 20, 30, 50, 100]
    """
    return When("log_spaced()", _is_round)


def budget(share: float) -> When:
    """As often as leaves the time spent on measuring below a share of the time spent on training.

    Args:
        share: more than 0, at most 1.

    Raises:
        SettingError: it is no share.

    >>> budget(0.02)(7, Clocks(training=100.0, measuring=1.0, next=0.9))
    True
    >>> budget(0.02)(7, Clocks(training=90.0, measuring=1.0, next=0.9))
    False
    """
    if isinstance(share, bool) or not isinstance(share, Real) or not 0 < share <= 1:
        raise SettingError(f"budget={share!r} is not a share of the training time; expected more than 0, at most 1")
    return When(f"budget({share})", partial(_is_affordable, float(share)), saves_time=True)


# functions of the module, not of a call, so that a monitor's options can be pickled
def _is_multiple(k: int, step: int, clocks: Clocks) -> bool:
    return step % k == 0


def _is_among(chosen: frozenset[int], step: int, clocks: Clocks) -> bool:
    return step in chosen


def _is_round(step: int, clocks: Clocks) -> bool:
    return str(step)[0] in "1235" and not str(step)[1:].strip("0")


def _is_affordable(share: float, step: int, clocks: Clocks) -> bool:
    return clocks.measuring + clocks.next <= share * clocks.training
