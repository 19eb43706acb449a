"""What describes a run: frozen, validated fields with one spelling and one key; and those of the two-layer experiment.

Not here: what protocols, activations and optimizers mean (files of their names), and the fields of a deep network's
training (deep/training.py).
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from spectail.errors import SettingError, complaint, unknown_name
from spectail.experiments.activations import ACTIVATIONS
from spectail.experiments.protocols import CONVENTIONS, DEFAULT, PROTOCOLS

if TYPE_CHECKING:
    import xarray as xr

NUMERICS = 1
"""Version of what is computed for a description: of stored quantities, conventions, effective options of optimizers.

The first change of one of these raises it. Runs of an older version are opened and verified, but not computed again,
and never mixed with those of another.
"""

Size = Annotated[int, Field(ge=1, le=10**9)]

MOST_VALUES = 1_000_000
"""Values of a list, points of an axis, combinations of a grid: more are taken for a slip of the pen."""

_DEEPEST = 20  # tables within tables that an option has at most

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


# Words that others have for a field, and that are not spelled like it.
_OTHER_WORDS = {
    "learning_rate": "lr", "eta": "lr", "samples": "n", "dimension": "d", "width": "h", "hidden": "h",
    "link": "teacher", "noise": "label_noise", "init": "initialization", "epochs": "steps", "iterations": "steps",
}  # fmt: skip

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
        meant = _OTHER_WORDS.get(str(first["loc"][0])) if first["type"] == "extra_forbidden" else None
        if meant in cls.model_fields:
            return f"field={first['loc'][0]!r} is not known; did you mean {meant!r}?"
        return complaint(error, cls.model_fields)

    @classmethod
    def from_stored(cls: type[_Kind], fields: Mapping[str, Any]) -> _Kind:
        """The description with the fields of a stored JSON: those that it leaves out had no other value then."""
        return cls(**{**cls.added_later, **fields})

    @model_validator(mode="before")
    @classmethod
    def _as_stored(cls, fields: Any) -> Any:
        """Functions and classes by their names; options without what cannot be stored."""
        if not isinstance(fields, dict):
            return fields
        stored = dict(fields)
        for name, value in fields.items():
            if isinstance(value, Mapping):
                check_extent(name, value)
            if isinstance(value, Mapping) or callable(value):
                stored[name] = _storable(name, value)
        return stored

    @field_validator("numerics", mode="after", check_fields=False)
    @classmethod
    def _known_numerics(cls, value: int) -> int:
        return check_numerics(value)

    def __hash__(self) -> int:
        return hash(self.canonical_json)  # pydantic's own cannot hash options and lists

    @property
    def canonical_json(self) -> str:
        """Every field in one fixed spelling; equal for equal descriptions.

        Fields that came later are left out at their first value, so that the runs made before them are found.
        """
        fields = self.model_dump(mode="json")
        later = {name for name, value in self.added_later.items() if fields[name] == value}
        return json.dumps(
            {name: value for name, value in fields.items() if name not in later}, sort_keys=True, separators=(",", ":")
        )

    @property
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


_DEFAULTS = PROTOCOLS[DEFAULT]


class Experiment(Description):
    """A two-layer student that learns a single-index teacher by full-batch updates (paper §3).

    Defaults are the paper's (App. F). Equal experiments have an equal `key`, whatever way they were
    written down; the key names the stored run.

    Raises:
        ValueError: a field is out of range or not known; one sentence says which, and what is expected.

    >>> Experiment(optimizer="gd", lr=2000, steps=1).protocol
    'equations'
    >>> Experiment(teacher="sofplus")
    Traceback (most recent call last):
    ...
    spectail.errors.SettingError: teacher='sofplus' is not known; did you mean 'softplus'? (softplus, tanh, relu, ...
    """

    added_later: ClassVar[Mapping[str, Any]] = {**Description.added_later, "precision": "full", "epsilon": 1e-8}

    n: Size = 2000
    """Training points, and as many hold-out points for the readout."""
    n_test: Size = 200
    """Test points, as many as the paper has."""
    n_test_large: Size = 5000
    """Points of a second test set, because 200 cannot separate the paper's claims."""
    d: Size = 1000
    """Dimension of the inputs."""
    h: Size = 1500
    """Hidden units of the student."""
    teacher: str = "softplus"
    """Link σ* of the teacher: softplus, tanh, relu, gelu, erf, sigmoid, identity, sine, he0 to he4 (Hermite
    polynomials), or module:function for one of your own."""
    activation: str = "tanh"
    """Activation σ of the student, named likewise; one of your own gets its slope by autograd, which is slow."""
    label_noise: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.3
    """Standard deviation ρ_e of the label noise."""
    ridge: Positive = 0.01
    """Regularisation λ of the readout (eq. 6)."""
    initialization: Literal["ntk", "mean_field"] = "ntk"
    """Scale of the network at the start: eq. 2 (ntk) or eq. 37 (mean_field)."""
    optimizer: str = "adam"
    """gd, adam (full-batch Adam), sign, the name of a class in torch.optim, or module:Class for one of your own."""
    lr: Positive = 1.0
    """Learning rate η."""
    optimizer_options: dict[str, Any] = Field(default_factory=dict)
    """Further options of the optimizer, such as {"betas": [0.9, 0.999]}."""
    schedule: str | None = None
    """Name of a class in torch.optim.lr_scheduler, such as StepLR; it is stepped after each update."""
    schedule_options: dict[str, Any] = Field(default_factory=dict)
    """Options of the schedule, such as {"step_size": 1, "gamma": 0.4}."""
    weight_normalization: bool = False
    """Whether W is kept at its expected initial Frobenius norm (App. F.4)."""
    steps: Annotated[int, Field(ge=0)] = 10
    """How many updates."""
    record: Literal["log"] | tuple[Annotated[int, Field(ge=0)], ...] = "log"
    """Steps to measure: a list, or "log" for 0, 1, 2, 5, 10, 20, 50, ... and the last."""
    overlaps: tuple[tuple[int, int], ...] = ()
    """Pairs (s, t) for which the overlaps of W_s with the update M_t = W_{t+1} − W_t are kept."""
    protocol: Literal["equations", "published", "custom"] = DEFAULT
    """Preset of five conventions: the paper's equations, or its published program."""
    loss_factor: Positive = _DEFAULTS["loss_factor"]
    """The loss is this over n times the squared error: 0.5 in the equations, 1 in the program."""
    bias_correction: bool = _DEFAULTS["bias_correction"]
    """Whether adam corrects the bias of its moments; eqs. 4-5 do not, the program does."""
    epsilon: Annotated[float, Field(ge=0, allow_inf_nan=False)] = _DEFAULTS["epsilon"]
    """ε of adam, which is added to √V; without bias correction it weighs 30 times more at first. 1e-20 is as none."""
    feature_scale: Literal["model", "extra_sqrt_d"] = _DEFAULTS["feature_scale"]
    """Hidden features in the readout: the network's own (eq. 6), or divided by √d once more."""
    normalize_when: Literal["after_update", "before_forward"] = _DEFAULTS["normalize_when"]
    """When weight normalisation acts, if it does."""
    dtype: Literal["float32", "float64"] = "float32"
    """Precision of training; eigenvalues and the readout are float64 always."""
    precision: Literal["full", "bfloat16"] = "full"
    """Of the two large products of a training step: as dtype, or rounded to bfloat16 for speed."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Fixes teacher, data and initial weights, each through a stream of its own."""
    numerics: Annotated[int, Field(ge=1)] = Field(default_factory=lambda: NUMERICS)
    """Version of what is computed, by default this spectail's; of a stored run, its own."""

    @classmethod
    def _sentence(cls, error: ValidationError) -> str:
        first = error.errors()[0]
        if first["loc"][:1] == ("record",) and first["type"] != "value_error":
            return f'record={first["input"]!r} is not understood; expected steps that are whole numbers ≥ 0, or "log"'
        return super()._sentence(error)

    @model_validator(mode="before")
    @classmethod
    def _fill_in_protocol(cls, fields: Any) -> Any:
        if not isinstance(fields, dict):
            return fields
        fields = {name: value for name, value in fields.items() if value is not None}
        protocol: Any = fields.get("protocol", DEFAULT)
        preset = _DEFAULTS if isinstance(protocol, list | dict) else PROTOCOLS.get(protocol, _DEFAULTS)
        return {**preset, **fields}

    @model_validator(mode="after")
    def _name_the_protocol(self) -> Experiment:
        """The preset's name where all five conventions are its own, else "custom"."""
        for name, preset in PROTOCOLS.items():
            if all(getattr(self, field) == value for field, value in preset.items()):
                object.__setattr__(self, "protocol", name)
                return self
        object.__setattr__(self, "protocol", "custom")
        return self

    @field_validator("teacher", "activation", mode="after")
    @classmethod
    def _known_activation(cls, value: str, info: Any) -> str:
        if not _names_an_object(info.field_name, value, "module:function") and value not in ACTIVATIONS:
            raise SettingError(unknown_name(info.field_name, value, ACTIVATIONS))
        return value

    @field_validator("record", mode="before")
    @classmethod
    def _distinct_steps(cls, value: Any) -> Any:
        if isinstance(value, (list, tuple, set, range)):
            check_extent("record", value)
            try:
                return tuple(sorted(set(value)))
            except TypeError:
                return tuple(value)
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Experiment:
        if self.record != "log":
            if not self.record:
                raise SettingError("record names no step to measure; expected at least one")
            if self.record[-1] > self.steps:
                raise SettingError(f"record asks for step {self.record[-1]}, but the run ends at step {self.steps}")
        for s, t in self.overlaps:
            if not (0 <= t < self.steps and 0 <= s <= self.steps):
                raise SettingError(
                    f"overlaps asks for (W_{s}, M_{t}), but the run has W_0 to W_{self.steps}"
                    + (f" and M_0 to M_{self.steps - 1}" if self.steps else " and no update")
                )
        if self.schedule is None and self.schedule_options:
            raise SettingError("schedule_options are given, but no schedule to use them")
        if "eps" in self.optimizer_options and self.epsilon != _DEFAULTS["epsilon"]:
            raise SettingError("epsilon is given, and eps among the optimizer_options too; expected one of them")
        _check_torch_names(self)
        return self

    @property
    def recorded_steps(self) -> tuple[int, ...]:
        """The steps that are measured, ascending."""
        if self.record != "log":
            return self.record
        decades = range(len(str(self.steps)))
        log = {m * 10**e for e in decades for m in (1, 2, 5) if m * 10**e <= self.steps}
        return tuple(sorted({0, self.steps} | log))

    @property
    def update_options(self) -> dict[str, Any]:
        """Every option of the optimizer, ε of adam among them."""
        return {**({"eps": self.epsilon} if self.optimizer == "adam" else {}), **self.optimizer_options}

    @property
    def entry_scale(self) -> float:
        """Standard deviation of an entry of W₀: 1 (ntk) or 1/√d (mean_field)."""
        return 1.0 if self.initialization == "ntk" else 1.0 / math.sqrt(self.d)

    @property
    def problem_key(self) -> tuple[Any, ...]:
        """Equal for experiments that have the same teacher, data and initial weights."""
        return tuple(getattr(self, name) for name in PROBLEM_FIELDS)

    def replace(self, **changes: Any) -> Experiment:
        """A copy with some fields changed, validated anew.

        A change of `protocol` sets its five conventions, save those that are changed too.
        """
        if "protocol" in changes:
            changes = {**dict.fromkeys(CONVENTIONS), **changes}  # None is filled in
        return super().replace(**changes)


def _names_an_object(field: str, value: str, form: str) -> bool:
    """Whether a name is that of an object of a user's own. It is imported when a run needs it, never to read a file.

    Raises:
        ValueError: it has a colon, but is not spelled so.
    """
    if ":" not in value:
        return False
    module, _, name = value.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), *name.split("."))):
        raise SettingError(f"{field}={value!r} is not understood; expected {form}, such as package.{form}")
    return True


def _check_torch_names(experiment: Experiment) -> None:
    """Ask torch about names that are its own; the common names do not wait for its import."""
    e = experiment
    own = _names_an_object("optimizer", e.optimizer, "module:Class")
    if not e.schedule and (own or (e.optimizer in UPDATE_NAMES and not e.optimizer_options)):
        return
    from spectail.experiments.optimizers import check_optimizer, optimizer_name

    object.__setattr__(e, "optimizer", optimizer_name(e.optimizer))  # one spelling, so one key
    name, options = ("gd", {}) if own else (e.optimizer, e.optimizer_options)
    check_optimizer(
        name,
        e.lr,
        bias_correction=e.bias_correction,
        options=options,
        schedule=e.schedule,
        schedule_options=e.schedule_options,
    )


UPDATE_NAMES = ("gd", "adam", "sign")
"""Optimizers whose first update has a direction that does not depend on η, and a prediction."""

PROBLEM_FIELDS = ("n", "n_test", "n_test_large", "d", "h", "teacher", "label_noise", "initialization", "dtype", "seed")
"""What fixes the teacher, the data and the initial weights."""


def experiment_of(run: xr.Dataset) -> Experiment:
    """The experiment that a run's Dataset came from.

    Raises:
        ValueError: the Dataset carries no valid experiment.
    """
    try:
        fields = json.loads(run.attrs["experiment"])
    except (KeyError, TypeError, ValueError):
        raise SettingError("the data set carries no experiment, so it is not a run of spectail") from None
    return Experiment.from_stored(fields)
