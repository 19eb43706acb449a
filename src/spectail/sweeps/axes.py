"""How the values of one field of a grid are written down: lists, ranges, and in proportion to another.

Not here: how axes are combined (`grid`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    model_validator,
)
from pydantic_core import PydanticCustomError

from spectail.errors import SettingError
from spectail.experiments.description import MOST_VALUES, Positive, unknown_field
from spectail.experiments.experiment import Experiment

IntegerField = Literal["n", "n_test", "n_test_large", "d", "h", "steps", "seed"]
INTEGER_FIELDS = get_args(IntegerField)

Fields = dict[str, Any]


def _is_field(name: str) -> str:
    if name not in Experiment.model_fields:
        raise SettingError(unknown_field(name, Experiment.model_fields))
    return name


def _not_yes_or_no(value: Any) -> Any:
    if isinstance(value, bool):
        raise PydanticCustomError("yes_or_no", "a yes or no is no number")
    return value


NotYesOrNo = BeforeValidator(_not_yes_or_no)
"""Refuses true and false, which are 1 and 0 elsewhere."""


FieldName = Annotated[str, AfterValidator(_is_field)]

Count = Annotated[int, Field(ge=2, le=MOST_VALUES), NotYesOrNo]

Number = Annotated[float, Field(allow_inf_nan=False), NotYesOrNo]


class _Form(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LogRange(_Form):
    """Values evenly spaced on a logarithmic axis: { log = [0.001, 1000], points = 13 }."""

    log: tuple[Annotated[Positive, NotYesOrNo], Annotated[Positive, NotYesOrNo]]
    points: Count

    def values(self) -> list[float]:
        """Both ends and what lies between."""
        first, last = (math.log(end) for end in self.log)
        return [_rounded(math.exp(v)) for v in _between(first, last, self.points)]


class LinearRange(_Form):
    """Values evenly spaced: { linear = [0, 1], points = 11 }."""

    linear: tuple[Number, Number]
    points: Count

    def values(self) -> list[float]:
        """Both ends and what lies between."""
        return [_rounded(v) for v in _between(*self.linear, self.points)]


class Scaled(_Form):
    """Values in proportion to another field: { times = [0.5, 1, 2], of = "d" }, lr ∝ d.

    `power` is that of the other field: { times = 1, of = "d", power = 0.5 } is √d.
    """

    times: Annotated[Number | list[Number] | LogRange | LinearRange, Field(union_mode="left_to_right")]
    of: IntegerField
    power: Number = 1.0

    def values(self) -> list[Proportional]:
        """One value for each factor, to be worked out later."""
        factors = self.times if isinstance(self.times, float | list) else self.times.values()
        return [Proportional(f, self.of, self.power) for f in (factors if isinstance(factors, list) else [factors])]


class Proportional:
    """One value in proportion to another field, to be worked out for each combination."""

    def __init__(self, factor: float, of: str, power: float) -> None:
        self.factor, self.of, self.power = factor, of, power

    def value(self, fields: Fields) -> float:
        """Factor · field^power."""
        base = fields.get(self.of, Experiment.model_fields[self.of].default)
        try:
            value = self.factor * float(base) ** self.power
        except (OverflowError, ZeroDivisionError):
            value = math.inf
        if not math.isfinite(value):
            raise SettingError(f"{self.factor:g} times {self.of}={base} to the power {self.power:g} is not a number")
        return _rounded(value)


class Interval(_Form):
    """What a value must lie in: { min = a, max = b }, one end or both."""

    min: Number = -math.inf
    max: Number = math.inf

    @model_validator(mode="after")
    def _has_an_end(self) -> Interval:
        if not self.model_fields_set:
            raise SettingError("expected { min = a, max = b }, one end or both")
        return self


Rule = Annotated[
    Annotated[Interval, Tag("interval")] | Annotated[Any, Tag("value")],
    Discriminator(lambda value: "interval" if isinstance(value, Mapping | Interval) else "value"),
]
"""What a rule says of a field: an interval, a value, or a list of values that are all right."""


def _kind_of_axis(value: Any) -> str | None:
    if isinstance(value, list | tuple | range | set):
        return "list"
    if isinstance(value, Mapping):
        return next((kind for kind in ("log", "linear", "times") if kind in value), None)
    kinds: dict[type, str] = {LogRange: "log", LinearRange: "linear", Scaled: "times"}
    return kinds.get(type(value))


Axis = Annotated[
    Annotated[list[Any], Field(min_length=1), Tag("list")]
    | Annotated[LogRange, Tag("log")]
    | Annotated[LinearRange, Tag("linear")]
    | Annotated[Scaled, Tag("times")],
    Discriminator(
        _kind_of_axis,
        custom_error_type="axis",
        custom_error_message="expected a list of values, { log = [first, last], points = k }, "
        '{ linear = [first, last], points = k } or { times = 2, of = "d" }',
    ),
]
"""All values of a field."""


def axis_values(name: str, axis: Any) -> list[Any]:
    """The values of a field, each once; whole numbers where the field is one."""
    values = axis if isinstance(axis, list) else axis.values()
    return [as_integer(name, value) for value in values]


def as_integer(name: str, value: Any) -> Any:
    """A number that came out of a range or a proportion, rounded if the field holds whole numbers."""
    return round(value) if name in INTEGER_FIELDS and isinstance(value, float) and math.isfinite(value) else value


def is_axis(name: str, value: Any) -> bool:
    """Whether a value stands for several, or for a rule; a list is one value of a field that holds lists."""
    if name in ("record", "overlaps", "layers", "lr_factors", "kernels"):
        return False
    if name in ("optimizer_options", "schedule_options"):
        return isinstance(value, list)
    return _kind_of_axis(value) is not None or isinstance(value, Mapping)


def _between(first: float, last: float, points: int) -> list[float]:
    return [first + (last - first) * i / (points - 1) for i in range(points)]


def _rounded(value: float) -> float:
    """Twelve digits: 0.01, not 0.010000000000000002."""
    return float(f"{value:.12g}")
