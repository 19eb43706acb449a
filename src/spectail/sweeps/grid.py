"""The grid: which experiments a sweep runs, as written down in TOML or as a dictionary.

Not here: values of a single field (`axes`), and what an experiment may be (`experiments/experiment.py`).
"""

from __future__ import annotations

import itertools
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from spectail.errors import SettingError, unknown_name
from spectail.experiments.description import MOST_VALUES, check_extent
from spectail.experiments.experiment import Experiment
from spectail.files import read_toml
from spectail.sweeps.axes import (
    Axis,
    FieldName,
    Fields,
    Interval,
    NotYesOrNo,
    Proportional,
    Rule,
    as_integer,
    axis_values,
    is_axis,
)

GridPlace = tuple[int | str, ...]


class GridError(SettingError):
    """What is wrong with a grid, and where: section, index if it is a list, field."""

    def __init__(self, sentence: str, *place: int | str) -> None:
        super().__init__(sentence)
        self.place: GridPlace = place


class Grid(BaseModel):
    """Experiments as products and zips of the values of their fields.

    Make one with `Grid.read`, from a TOML file or from a dictionary of the same form.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    fixed: dict[FieldName, Any] = Field(default_factory=dict)
    """Fields with one value, or one in proportion to another field."""
    axes: dict[FieldName, Axis] = Field(default_factory=dict)
    """Fields with several, each combined with all others."""
    repeats: Annotated[int, Field(ge=1, le=MOST_VALUES), NotYesOrNo] | None = None
    """How many seeds, from 0; the same as an axis of seeds."""
    zip: list[dict[FieldName, Axis]] = Field(default_factory=list)
    """Groups of fields whose values go in step."""
    cases: list[dict[FieldName, Any]] = Field(default_factory=list)
    """Alternatives, each a product of its own, combined with the rest."""
    only_if: list[dict[FieldName, Rule]] = Field(default_factory=list)
    """Rules: where the first field of a rule has a value that it allows, its other fields must have such values too."""

    if not TYPE_CHECKING:  # which knows each field by itself

        def __init__(self, **fields: Any) -> None:
            try:
                super().__init__(**fields)
            except ValidationError as error:
                raise _explained(error) from None

    @classmethod
    def read(cls, source: Mapping[str, Any] | str | os.PathLike[str]) -> Grid:
        """A grid from a TOML file, or from a dictionary of the same form.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is not a grid; one sentence names the field, and the line of a file.

        >>> len(Grid.read({"axes": {"lr": {"log": [0.01, 1], "points": 3}}, "repeats": 2}).experiments())
        6
        """
        if isinstance(source, Mapping):
            return cls._parse(dict(source))
        path = Path(source)
        try:
            text, content = read_toml(path, "a grid in TOML")
        except ValueError as error:
            raise SettingError(str(error)) from None
        try:
            grid = cls._parse(content)
            grid.experiments()
        except GridError as error:
            raise SettingError(f"{path}{_line(text, error.place)}: {error}") from None
        return grid

    def experiments(self) -> list[Experiment]:
        """Every experiment once, in the order of the grid.

        Raises:
            ValueError: a combination is no valid experiment, or none is left.
        """
        experiments: dict[str, Experiment] = {}
        for fields in self._combinations():
            try:
                experiment = Experiment(**_in_numbers(fields))
            except ValueError as error:
                raise GridError(str(error), *self._place_of_field(str(error))) from None
            if all(self._keeps(number, experiment) for number in range(len(self.only_if))):
                experiments.setdefault(experiment.key, experiment)
        if not experiments:
            raise GridError("no combination is left, the rules drop every one", "only_if", 0)
        return list(experiments.values())

    @classmethod
    def _parse(cls, content: dict[str, Any]) -> Grid:
        for section in content:
            if section not in cls.model_fields:
                raise GridError(unknown_name("section", section, cls.model_fields), section)
            try:
                check_extent(section, content[section])
            except SettingError as error:
                raise GridError(str(error), section) from None
        grid = cls(**content)
        grid._check()
        return grid

    def _factors(self) -> list[list[Fields]]:
        """The factors of the product: each a list of alternatives for some fields."""
        factors = [[{**self.fixed_values()}]]
        factors += [[{name: value} for value in axis_values(name, axis)] for name, axis in self.axes.items()]
        if self.repeats:
            factors.append([{"seed": seed} for seed in range(self.repeats)])
        for group in self.zip:
            columns = {name: axis_values(name, axis) for name, axis in group.items()}
            factors.append([dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)])
        if self.cases:
            factors.append([one for index, _ in enumerate(self.cases) for one in self._case(index)])
        return factors

    def fixed_values(self) -> Fields:
        """The fields with one value."""
        return {name: _one(name, value, "fixed", name) for name, value in self.fixed.items()}

    def _case(self, index: int) -> list[Fields]:
        columns = []
        for name, value in self.cases[index].items():
            axis = _as_axis(value, "cases", index, name) if is_axis(name, value) else [value]
            columns.append([{name: v} for v in axis_values(name, axis)])
        return [{k: v for part in parts for k, v in part.items()} for parts in itertools.product(*columns)]

    def _combinations(self) -> Iterator[Fields]:
        factors = self._factors()
        if (count := math.prod(len(factor) for factor in factors)) > MOST_VALUES:
            raise GridError(f"the grid has {count:,} combinations; expected at most {MOST_VALUES:,}", "axes")
        for parts in itertools.product(*factors):
            yield {name: value for part in parts for name, value in part.items()}

    def _check(self) -> None:
        """No field is set twice, and the fields of a zip have equally many values."""
        fields_before: set[str] = set()
        for place, fields in self._sections():
            for name in fields:
                if name in fields_before:
                    raise GridError(f"{name} is set twice; expected one place for each field", *place, name)
            if place[0] != "cases":
                fields_before |= set(fields)
        if self.repeats and "seed" in fields_before:
            raise GridError("repeats and seed are both given; expected one of them", "repeats")
        for index, group in enumerate(self.zip):
            counts = {name: len(axis_values(name, axis)) for name, axis in group.items()}
            if len(set(counts.values())) > 1:
                lengths = ", ".join(f"{name} {count}" for name, count in counts.items())
                raise GridError(f"the fields of a zip must have equally many values, but have {lengths}", "zip", index)

    def _sections(self) -> list[tuple[GridPlace, Sequence[str]]]:
        sections: list[tuple[GridPlace, Sequence[str]]] = [(("fixed",), list(self.fixed)), (("axes",), list(self.axes))]
        sections += [(("zip", index), list(group)) for index, group in enumerate(self.zip)]
        return sections + [(("cases", index), list(case)) for index, case in enumerate(self.cases)]

    def _keeps(self, number: int, experiment: Experiment) -> bool:
        """Whether an experiment keeps to a rule; a rule of a single field always applies."""
        matches = []
        for name, allowed in self.only_if[number].items():
            value = getattr(experiment, name)
            if isinstance(allowed, Interval) and (isinstance(value, bool) or not isinstance(value, int | float)):
                raise GridError(
                    f"{name}={value!r:.80} is no number; expected values, not min and max", "only_if", number, name
                )
            matches.append(_matches(value, allowed))
        return all(matches) if len(matches) < 2 else not matches[0] or all(matches[1:])

    def _place_of_field(self, sentence: str) -> GridPlace:
        """Where the field stands that a sentence of Experiment is about."""
        for word in re.findall(r"\w+", sentence):
            for place, fields in self._sections():
                if word in fields:
                    return (*place, word)
        return ()


def _in_numbers(fields: Fields) -> Fields:
    """A combination in which the fields in proportion to others are worked out."""
    done = {name: value for name, value in fields.items() if not isinstance(value, Proportional)}
    while rest := [name for name in fields if name not in done]:
        ready = [name for name in rest if fields[name].of not in rest]
        if not ready:
            related = f"{' and '.join(rest)} are in proportion to each other"
            related = related if len(rest) > 1 else f"{rest[0]} is in proportion to itself"
            raise SettingError(f"{related}; expected one to have a value")
        done |= {name: as_integer(name, fields[name].value(done)) for name in ready}
    return done


def _matches(value: Any, allowed: Any) -> bool:
    if isinstance(allowed, Interval):
        return bool(allowed.min <= value <= allowed.max)
    return value in allowed if isinstance(allowed, list) else bool(value == allowed)


def _one(name: str, value: Any, *place: int | str) -> Any:
    if not is_axis(name, value):
        return value
    values = axis_values(name, _as_axis(value, *place))
    if len(values) == 1 and not isinstance(value, list):
        return values[0]
    raise GridError(f"{name} has several values here; expected them under [axes]", *place)


def _as_axis(value: Any, *place: int | str) -> Any:
    class One(BaseModel):
        axis: Axis

    try:
        return One(axis=value).axis
    except ValidationError as error:
        raise _explained(error, *place) from None


_KEYS = {"log": "log and points", "linear": "linear and points", "times": "times, of and power"}
"""What each form of a range has."""


def _explained(error: ValidationError, *place: int | str) -> GridError:
    """The first complaint of pydantic as one sentence, and where it is."""
    first = error.errors()[0]
    place = place or tuple(part for part in first["loc"] if part != "[key]")
    name = next((part for part in reversed(place) if part in Experiment.model_fields), place[0] if place else "")
    if first["type"] == "value_error":
        message = first["msg"].removeprefix("Value error, ")
        return GridError(message if "is not known" in message else f"{name}: {message}", *place)
    kind = next((part for part in first["loc"] if part in _KEYS), "")
    if first["type"] == "extra_forbidden" and kind:
        return GridError(f"{name} has {first['loc'][-1]!r} beside its {kind}; expected {_KEYS[kind]} alone", *place)
    message = first["msg"]
    detail = ".".join(str(part) for part in first["loc"] if part in ("log", "linear", "points", "times", "of", "power"))
    within = f" in its {detail.split('.')[-1]}" if detail else ""
    return GridError(f"{name}={first['input']!r:.80}{within} is not valid; {message[0].lower()}{message[1:]}", *place)


def _line(text: str, place: GridPlace) -> str:
    """The line on which a field of a section stands, as ', line 7', or nothing."""
    section_index = next((part for part in place if isinstance(part, int)), 0)
    names = [part for part in place if isinstance(part, str)]
    if not names:
        return ""
    section, field, here, index, best = names[0], names[1] if len(names) > 1 else "", "", -1, 0
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[+\s*([\w.-]+)", line):
            here, index = header[1], index + 1 if header[1] == here or header[1] == section else -1
            at_section = here == section and index == section_index
        else:
            at_section = False
        key = re.match(r"""\s*["']?([\w-]+)["']?\s*[=.]""", line)
        if (at_section or (not here and key and key[1] == section)) and not best:
            best = number
        if key and key[1] == field and here == section and index == section_index:
            return f", line {number}"
    return f", line {best}" if best else ""
