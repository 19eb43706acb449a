"""What any description of a run has: frozen, validated fields with one spelling and one key.

Not here: the fields themselves (`fields`), and how they suit each other (`experiment`).
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from spectail.errors import SettingError, complaint, unknown_name

NUMERICS = 1
"""Version of what is computed for a description: of stored quantities, conventions, effective options of optimizers.

The first change of one of these raises it. Runs of an older version are opened and verified, but not computed again,
and never mixed with those of another.
"""

Size = Annotated[int, Field(ge=1, le=10**9)]

MOST_VALUES = 1_000_000
"""Values of a list, points of an axis, combinations of a grid: more are taken for a slip of the pen."""

_DEEPEST = 20  # tables within tables that an option has at most


def _above_rounding(value: float) -> float:
    """A number that is not 0 in float32."""
    if value < 1e-37:
        raise PydanticCustomError("no_more_than_rounding", "less than 1e-37 is 0 in float32")
    return _in_float32(value)


def _in_float32(value: float) -> float:
    """A number that is finite in float32."""
    if value > 1e37:
        raise PydanticCustomError("beyond_float32", "more than 1e37 is beyond float32")
    return value


NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False), AfterValidator(_in_float32)]

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False), AfterValidator(_above_rounding)]


OTHER_WORDS = {
    "learning_rate": "lr", "eta": "lr", "samples": "n", "dimension": "d", "width": "h", "hidden": "h",
    "link": "teacher", "noise": "label_noise", "init": "initialization", "epochs": "steps", "iterations": "steps",
}  # fmt: skip
"""Words that others have for a field, and that are not spelled like it."""

_Kind = TypeVar("_Kind", bound="Description")


def check_extent(name: str, value: Any, depth: int = 0) -> None:
    """See that lists end, and that tables do not lie within tables without end, before anything goes through them.

    Raises:
        SettingError: they do not.
    """
    if depth > _DEEPEST:
        raise SettingError(f"{name} has tables within tables, more than {_DEEPEST} deep; expected plain values")
    if isinstance(value, list | tuple | range | set | Mapping) and len(value) > MOST_VALUES:
        raise SettingError(f"{name} has a list of {len(value):,} values; expected at most {MOST_VALUES:,}")
    if isinstance(value, Mapping | list | tuple):
        for inner in value.values() if isinstance(value, Mapping) else value:
            if not isinstance(inner, int | float | str):
                check_extent(name, inner, depth + 1)


def _storable(name: str, value: Any) -> Any:
    """Options as JSON can hold them: functions by their names."""
    if isinstance(value, Mapping):
        return {key: _storable(f"{name}[{key!r}]", inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_storable(name, inner) for inner in value)
    if callable(value):
        return name_of_callable(name, value)
    if value is not None and not isinstance(value, str | int | float):
        raise SettingError(f"{name}={value!r:.80} cannot be stored; expected numbers, text, lists and tables of these")
    return value


def name_of_callable(field: str, value: Callable[..., Any]) -> str:
    """The name module:name by which a function or class of one's own is stored, and imported where a run needs it.

    Raises:
        SettingError: it has none that another process could import.

    >>> name_of_callable("schedule", json.loads)
    'json:loads'
    >>> name_of_callable("schedule", lambda step: 1 / (1 + step))
    Traceback (most recent call last):
    ...
    spectail.errors.SettingError: schedule=<lambda> cannot be stored, as no module has it; write a function into a ...
    """
    module = str(getattr(value, "__module__", None) or "")
    name = str(getattr(value, "__qualname__", type(value).__name__))
    short = name.rpartition(".")[2]
    for shorter in ("torch.optim.lr_scheduler", "torch.optim", module):  # classes of torch have their plain names
        if (
            module not in ("", "__main__")
            and module.startswith(shorter)
            and getattr(sys.modules.get(shorter), short, None) is value
        ):
            return short if shorter.startswith("torch.optim") else f"{module}:{short}"
    if not module or module == "__main__" or "<" in name or not hasattr(value, "__qualname__"):
        raise SettingError(
            f"{field}={short} cannot be stored, as no module has it; "
            f"write a function into a file mine.py and say {field}='mine:function'"
        )
    return f"{module}:{name}"


def _has_bool(values: list[Any] | tuple[Any, ...] | set[Any]) -> bool:
    """Whether a yes or no stands in a list, or in one of its pairs."""
    pairs = (one for one in values if isinstance(one, list | tuple))
    return any(isinstance(one, bool) for one in values) or any(isinstance(one, bool) for pair in pairs for one in pair)


class Description(BaseModel):
    """What describes a run or a training: equal ones have equal keys, whatever way they were written down.

    Raises:
        ValueError: a field is out of range or not known; one sentence says which, and what is expected.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        defer_build=True,  # the command line asks for fields and defaults of descriptions that it never makes
    )

    added_later: ClassVar[Mapping[str, Any]] = {"numerics": 1}
    """Fields that the first stored files did not have, at the values that are left out of the JSON."""

    if TYPE_CHECKING:
        numerics: int  # each kind has it at its end
    else:  # type checkers and editors know each field by itself

        def __init__(self, **fields: Any) -> None:
            try:
                super().__init__(**fields)
            except ValidationError as error:
                raise SettingError(self._sentence(error)) from None

    @classmethod
    def _sentence(cls, error: ValidationError) -> str:
        """What is wrong, and what is expected."""
        first = error.errors()[0]
        if first["type"] == "extra_forbidden":
            return unknown_field(str(first["loc"][0]), cls.model_fields)
        return complaint(error, cls.model_fields)

    @classmethod
    def from_stored(cls: type[_Kind], fields: Mapping[str, Any]) -> _Kind:
        """The description that a stored JSON holds; a field that it leaves out gets the only value that it then had."""
        return cls(**{**cls.added_later, **fields})

    @model_validator(mode="before")
    @classmethod
    def _as_stored(cls, fields: Any) -> Any:
        """Functions and classes by their names; options that cannot be stored are refused."""
        if not isinstance(fields, dict):
            return fields
        storable = dict(fields)
        for name, value in fields.items():
            if isinstance(value, bool) and name in cls.model_fields and cls.model_fields[name].annotation is not bool:
                raise SettingError(f"{name}={value} is a yes or no; expected another kind of value")
            if isinstance(value, list | tuple | set) and _has_bool(value):
                raise SettingError(f"{name}={value!r:.80} has a yes or no in it; expected another kind of value")
            if isinstance(value, Mapping):
                check_extent(name, value)
            if isinstance(value, Mapping) or callable(value):
                storable[name] = _storable(name, value)
        return storable

    @field_validator("numerics", mode="after", check_fields=False)
    @classmethod
    def _known_numerics(cls, value: int) -> int:
        return check_numerics(value)

    def __hash__(self) -> int:
        return hash(self.canonical_json)  # pydantic's own cannot hash options and lists

    def _given(self) -> dict[str, Any]:
        """The fields that differ from their defaults; a description made of these alone is equal to this one."""
        fields = type(self).model_fields.items()
        usual = {name: field.get_default(call_default_factory=True) for name, field in fields}
        return {name: getattr(self, name) for name, value in usual.items() if getattr(self, name) != value}

    def __repr_args__(self) -> Iterable[tuple[str, Any]]:
        return self._given().items()

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th>{name}</th><td>{escape(str(value))}</td></tr>" for name, value in self._given().items()
        )
        return f"<b>{escape(str(getattr(self, 'title', type(self).__name__)))}</b><table>{rows}</table>"

    @cached_property
    def canonical_json(self) -> str:
        """Every field in one fixed spelling; equal for equal descriptions.

        Fields that came later are left out at their first value, so that the runs made before them are found.
        """
        fields = self.model_dump(mode="json")
        later = {name for name, value in self.added_later.items() if fields[name] == value}
        return json.dumps(
            {name: value for name, value in fields.items() if name not in later}, sort_keys=True, separators=(",", ":")
        )

    @cached_property
    def key(self) -> str:
        """16 hexadecimal digits that name the run: a hash of its canonical JSON."""
        return key_of_json(self.canonical_json)

    def replace(self: _Kind, **changes: Any) -> _Kind:
        """A copy with some fields changed, validated anew."""
        return type(self)(**{**self.model_dump(), **changes})

    @property
    def outdated(self) -> bool:
        """Whether it is of an earlier version's numerics."""
        return self.numerics < NUMERICS

    def check_computable(self) -> None:
        """See that this version computes what is described.

        Raises:
            ValueError: it is of an older numerics, of which stored runs can only be opened.
        """
        if self.outdated:
            raise SettingError(
                f"numerics={self.numerics} is an earlier spectail's: its runs can be opened, but not computed; "
                f"say numerics={NUMERICS} to compute anew"
            )


def unknown_field(name: str, known: Iterable[str]) -> str:
    """The message about a field that is not known; it suggests the field that the name stands for elsewhere.

    >>> unknown_field("learning_rate", ["n", "lr"])
    "field='learning_rate' is not known; did you mean 'lr'?"
    """
    names, meant = list(known), OTHER_WORDS.get(name.lower())
    if meant in names:
        return f"field={name!r} is not known; did you mean {meant!r}?"
    return unknown_name("field", name, names)


def current_numerics() -> int:
    """The numerics of a description that states none: this spectail's."""
    return NUMERICS


def check_numerics(value: int) -> int:
    """See that a version of numerics is not a newer spectail's.

    Raises:
        ValueError: it is.
    """
    if value > NUMERICS:
        raise SettingError(
            f"numerics={value} is of a newer spectail; this one knows numerics up to {NUMERICS}, please upgrade"
        )
    return value


def key_of_json(text: str) -> str:
    """The key of a description by its JSON as it is stored, whichever version wrote it."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]
