"""What a user is warned of while a network trains: a rank that collapses, a norm that explodes, and the like.

An alert is an event of kind "alert". It depends on the rows of a recording so far and on nothing else, so a monitor,
one that is resumed, and a series of checkpoints at the same steps have the same ones. Not here: changes of phase
(`recording/events.py`), matrices that come or go (`changes`), and who is told (`monitor/loggers.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from numbers import Integral, Real
from typing import Any

import numpy as np

from spectail.errors import SettingError
from spectail.recording.events import Event, is_measured
from spectail.recording.layout import Measurement
from spectail.recording.tensors import tensor_of
from spectail.spectra.phases import Phase
from spectail.spectra.precision import NOT_FINITE

_BACK = 1.2
"""An alert that was given can be given again once the value is so many times on the right side of its threshold."""


@dataclass(frozen=True)
class AlertThresholds:
    """From which values on a user is warned of a matrix. None leaves an alert out.

    The defaults give no alert for what happens to layers in trainings that go well.

    Attributes:
        effective_rank: the share of its largest effective rank so far below which a matrix collapses.
        spectral_norm: how many times its first spectral norm makes an explosion; a first one below 1 counts as 1.
        untrained_steps: after so many steps a spectrum that has been random-like all the time is told.
        not_finite: whether NaN or infinite weights are told.

    Raises:
        SettingError: a threshold is out of range.

    >>> AlertThresholds(effective_rank=0.3, untrained_steps=None).spectral_norm
    10.0
    """

    effective_rank: float | None = 0.6
    spectral_norm: float | None = 10.0
    untrained_steps: int | None = 1000
    not_finite: bool = True

    def __post_init__(self) -> None:
        ranges = {"effective_rank": (0.0, 1.0), "spectral_norm": (1.0, math.inf), "untrained_steps": (0, math.inf)}
        for name, (low, high) in ranges.items():
            value: Any = getattr(self, name)
            number: Any = Integral if name == "untrained_steps" else Real
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, number) or not low < value <= high:
                upper = f", at most {high:g}" * math.isfinite(high)
                whole = "a whole number, " * (number is Integral)
                raise SettingError(
                    f"{name}={value!r} is no threshold; expected {whole}more than {low:g}{upper}, or None"
                )
            object.__setattr__(self, name, int(value) if number is Integral else float(value))  # plain, of numpy's too
        if not isinstance(self.not_finite, bool | np.bool_):
            raise SettingError(f"not_finite={self.not_finite!r} is neither True nor False")
        object.__setattr__(self, "not_finite", bool(self.not_finite))


DEFAULT_THRESHOLDS = AlertThresholds()
"""What is told where nothing else is asked for."""


@dataclass
class _History:
    """What is known of a matrix: its first step and norm, its largest rank, and the alerts that stand."""

    first_step: int
    spectral_norm: float = math.nan
    effective_rank: float = 0.0
    was_trained: bool = False
    standing: set[_Rule] = field(default_factory=set)


class AlertWatch:
    """Finds the alerts of each measurement; measurements come in the order of their steps.

    Args:
        thresholds: from which values on; None for no alert.

    >>> rows = [{"name": "a", "spectral_norm": norm, "effective_rank": 20.0} for norm in (2.0, 60.0)]
    >>> watch = AlertWatch(AlertThresholds())
    >>> [str(event) for step, row in enumerate(rows) for event in watch.alerts_of(Measurement(step, [row]))]
    ['a: spectral norm rose from 2 to 60 at step 1']

    Attributes:
        last_step: of the last measurement; −1 before the first.
    """

    def __init__(self, thresholds: AlertThresholds | None) -> None:
        self.last_step = -1
        self._thresholds = thresholds
        self._histories: dict[str, _History] = {}

    def alerts_of(self, measurement: Measurement) -> tuple[Event, ...]:
        """The alerts of the next measurement, in the order of its rows."""
        self.last_step = measurement.step
        if self._thresholds is None:
            return ()
        for event in measurement.events:  # another matrix under the same name
            if event.kind in ("replaced", "added"):
                self._histories.pop(event.matrix, None)
        alerts: list[Event] = []
        for row in measurement.rows:
            name = str(row["name"])
            if is_measured(row) and tensor_of(name) == "weights":
                alerts += [
                    Event(measurement.step, name, "alert", text)
                    for text in self._texts(row, measurement.step, self._thresholds)
                ]
        return tuple(alerts)

    def _texts(self, row: Mapping[str, Any], step: int, thresholds: AlertThresholds) -> Iterator[str]:
        """The new alerts of a matrix; one that still stands is not repeated."""
        history = self._histories.setdefault(str(row["name"]), _History(step))
        for rule in (_rank, _norm, _untrained, _finite):
            excess, text = rule(row, step, history, thresholds)
            if excess > 1 and rule not in history.standing:
                history.standing.add(rule)
                yield text
            elif excess < 1 / _BACK:
                history.standing.discard(rule)


def with_alerts(measurements: Iterable[Measurement], thresholds: AlertThresholds | None) -> list[Measurement]:
    """Measurements with the alerts that they have in this order, and no others.

    Args:
        measurements: in the order of their steps.
        thresholds: from which values on; None for no alert.
    """
    watch, new = AlertWatch(thresholds), []
    for one in measurements:
        rest = tuple(event for event in one.events if event.kind != "alert")
        new.append(replace(one, events=(*rest, *watch.alerts_of(one))))
    return new


_Rule = Callable[[Mapping[str, Any], int, "_History", AlertThresholds], tuple[float, str]]
"""How far a matrix is past a threshold, as a multiple of it, NaN where that is not known; and what is told of it."""


def _rank(row: Mapping[str, Any], step: int, history: _History, thresholds: AlertThresholds) -> tuple[float, str]:
    rank = 0.0 if row.get("frobenius_norm") == 0 else float(row.get("effective_rank", math.nan))
    if thresholds.effective_rank is None or math.isnan(rank):
        return math.nan, ""
    largest = history.effective_rank = max(rank, history.effective_rank)
    excess = thresholds.effective_rank * largest / rank if rank else math.inf * largest
    return excess, f"effective rank fell from {largest:.3g} to {rank:.3g}"


def _norm(row: Mapping[str, Any], step: int, history: _History, thresholds: AlertThresholds) -> tuple[float, str]:
    norm = float(row.get("spectral_norm", math.nan))
    if thresholds.spectral_norm is None or math.isnan(norm):
        return math.nan, ""
    if math.isnan(history.spectral_norm):
        history.spectral_norm = norm
    excess = norm / (thresholds.spectral_norm * max(history.spectral_norm, 1.0))
    return excess, f"spectral norm rose from {history.spectral_norm:.3g} to {norm:.3g}"


def _untrained(row: Mapping[str, Any], step: int, history: _History, thresholds: AlertThresholds) -> tuple[float, str]:
    history.was_trained |= row.get("phase") not in (Phase.RANDOM, None)
    if thresholds.untrained_steps is None or history.was_trained:
        return math.nan, ""
    is_late = step - history.first_step >= thresholds.untrained_steps
    return math.inf if is_late else math.nan, "still as if never trained"


def _finite(row: Mapping[str, Any], step: int, history: _History, thresholds: AlertThresholds) -> tuple[float, str]:
    if not thresholds.not_finite:
        return math.nan, ""
    return math.inf if NOT_FINITE in str(row.get("note")) else 0.0, "weights are NaN or infinite"
