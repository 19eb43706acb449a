"""What describes a two-layer run, or a deeper one: the fields of an experiment, and how they suit each other.

Not here: what any description has (`description`), and what protocols, activations and optimizers mean (files of their
names).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from spectail.errors import SettingError, unknown_name
from spectail.experiments.activations import ACTIVATIONS
from spectail.experiments.description import Description, Positive, Size, check_extent, current_numerics
from spectail.experiments.mup import mup_factors
from spectail.experiments.protocols import CONVENTIONS, DEFAULT, PROTOCOLS

if TYPE_CHECKING:
    import xarray as xr

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

    added_later: ClassVar[Mapping[str, Any]] = {
        **Description.added_later,
        "precision": "full",
        "epsilon": 1e-8,
        "directions": 1,
        "combination": "sum",
        "covariance_power": 0.0,
        "layers": [],
        "train_layers": "first",
        "lr_factors": [],
        "batch": None,
        "kernels": [],
    }

    n: Size = 2000
    """Training points, and as many hold-out points for the readout."""
    n_test: Size = 200
    """Test points, as many as the paper has."""
    n_test_large: Size = 5000
    """Points of a second test set, because 200 cannot separate the paper's claims."""
    d: Size = 1000
    """Dimension of the inputs."""
    covariance_power: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Coordinate k of the inputs has a variance ∝ k^(-this), 1 on average; 0 for isotropic inputs."""
    h: Size = 1500
    """Hidden units of the student; of a deeper one, of its first layer."""
    layers: tuple[Size, ...] = ()
    """Widths of all hidden layers of a deeper student, such as 300 200; one layer of h units without it."""
    train_layers: Literal["first", "hidden", "all"] = "first"
    """What is trained: the first layer, all hidden layers (the default of a deeper student), or the last one too."""
    teacher: str = "softplus"
    """Link σ* of the teacher: softplus, tanh, relu, gelu, erf, sigmoid, identity, sine, he0 to he4 (Hermite
    polynomials), or module:function for one of your own."""
    directions: Size = 1
    """Directions K of the teacher, orthonormal; its link takes the projection on each."""
    combination: Literal["sum", "product", "staircase", "joint"] = "sum"
    """Of the links of K directions: Σ/√K, their product, staircase σ*(z₁) + σ*(z₁)σ*(z₂) + …, or joint: the teacher
    module:function takes all projections (n × K) at once."""
    activation: str = "tanh"
    """Activation σ of the student, named likewise; one of your own gets its slope by autograd, which is slow."""
    label_noise: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.3
    """Standard deviation ρ_e of the label noise."""
    ridge: Positive = 0.01
    """Regularisation λ of the readout (eq. 6)."""
    initialization: Literal["ntk", "mean_field", "mup"] = "ntk"
    """Scale of the network: eq. 2 (ntk), eq. 37 (mean_field), or that with learning rates per layer which move
    features alike at all widths (mup, Yang & Hu 2021)."""
    optimizer: str = "adam"
    """gd, adam (full-batch Adam), sign, lion, shampoo, the name of a class in torch.optim, or module:Class for one of
    your own."""
    lr: Positive = 1.0
    """Learning rate η."""
    lr_factors: tuple[Positive, ...] = ()
    """Factors of the learning rate, one for each layer that is trained; 1 without it."""
    batch: Size | None = None
    """Points of each update, drawn without replacement until all were used; all of them without it."""
    optimizer_options: dict[str, Any] = Field(default_factory=dict)
    """Further options of the optimizer, such as {"betas": [0.9, 0.999]}."""
    schedule: str | None = None
    """Name of a class in torch.optim.lr_scheduler, such as StepLR, stepped after each update; or module:function, from
    a step to the factor of η."""
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
    kernels: tuple[Literal["ck", "ntk"], ...] = ()
    """Kernels whose eigenvalues on the hold-out points are kept: ck, of the last hidden layer's features; ntk."""
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
    numerics: Annotated[int, Field(ge=1)] = Field(default_factory=current_numerics)
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
        return {**preset, **_with_layers(fields)}

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
        _check_network(self)
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

    def _given(self) -> dict[str, Any]:
        """As of any description; conventions only where no protocol says them."""
        said = {"protocol"} if self.protocol == "custom" else set(CONVENTIONS)
        return {name: value for name, value in super()._given().items() if name not in said}

    @property
    def title(self) -> str:
        """What it is, in a line: optimizer and effective options, sizes, and what is not as by default.

        >>> Experiment(optimizer="gd", lr=2000, teacher="relu").title
        'gd, η=2000, n=2000, d=1000, h=1500, teacher=relu, equations, seed 0'
        """
        options = self.effective_options if self.optimizer not in UPDATE_NAMES else self.optimizer_options
        words = ", ".join(f"{name}={value}" for name, value in options.items() if value not in (0, None, False))
        sizes = f"layers={'-'.join(map(str, self.layers))}" if self.layers else f"h={self.h}"
        titled = ("optimizer", "optimizer_options", "lr", "n", "d", "h", "layers", "protocol", "seed", "numerics")
        aside = (*titled, *_NOT_IN_TITLES, *(CONVENTIONS if self.protocol != "custom" else ()))
        usual = {name: field.default for name, field in type(self).model_fields.items() if name not in aside}
        usual |= {"schedule_options": {}} | ({"train_layers": "hidden"} if self.layers else {})
        others = [f"{name}={getattr(self, name)}" for name, value in usual.items() if getattr(self, name) != value]
        start = f"{self.optimizer}{words and f' ({words})'}, η={self.lr:g}, n={self.n}, d={self.d}, {sizes}"
        return ", ".join([start, *others, self.protocol, f"seed {self.seed}"])

    @property
    def effective_options(self) -> dict[str, Any]:
        """The options of the optimizer with those that it has by default; a class of one's own is not asked."""
        if ":" in self.optimizer:
            return self.optimizer_options
        from spectail.experiments.optimizers import options_by_default

        return {**options_by_default(self.optimizer), **self.optimizer_options}

    @property
    def canonical_json(self) -> str:
        """As of any description; from the second numerics on with the effective options of the optimizer."""
        if self.numerics == 1 or self.optimizer_options == self.effective_options:
            return super().canonical_json
        object_fields = {**dict(self), "optimizer_options": self.effective_options}
        return type(self).model_construct(**object_fields).canonical_json

    @property
    def widths(self) -> tuple[int, ...]:
        """Of all hidden layers."""
        return self.layers or (self.h,)

    @property
    def rates(self) -> tuple[float, ...]:
        """The learning rate of each layer that is trained, before any schedule."""
        count = {"first": 1, "hidden": len(self.widths), "all": len(self.widths) + 1}[self.train_layers]
        factors = self.lr_factors or (1.0,) * count
        if self.initialization == "mup":
            factors = tuple(
                f * m for f, m in zip(factors, mup_factors(self.optimizer, self.widths) or (), strict=False)
            )
        return tuple(self.lr * factor for factor in factors)

    @property
    def is_the_papers(self) -> bool:
        """Whether it is of the paper's kind, for which theory and comparisons of spectra are made.

        One hidden layer that alone is trained, one direction, isotropic inputs, all points at once.
        """
        names = ("layers", "train_layers", "directions", "covariance_power", "lr_factors", "batch")
        return self.initialization != "mup" and all(
            getattr(self, name) == type(self).model_fields[name].default for name in names
        )

    @property
    def entry_scale(self) -> float:
        """Standard deviation of an entry of W₀: 1 (ntk) or 1/√d (mean_field, mup)."""
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
        if "layers" in changes:
            changes = {"h": None, "train_layers": None, **changes}
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


def _with_layers(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields of which `layers` decides: h is its first width, and all hidden layers are trained; one layer is none."""
    layers = fields.get("layers")
    if not isinstance(layers, list | tuple) or not layers:
        return fields
    fields = {"h": layers[0], **fields}
    if fields["h"] != layers[0]:
        raise SettingError(f"h={fields['h']!r:.80} is not the first of layers={list(layers)!r:.80}; leave h out")
    return {**fields, "layers": ()} if len(layers) == 1 else {"train_layers": "hidden", **fields}


def _check_network(e: Experiment) -> None:
    """See that fields of deeper students, of several directions and of batches suit each other."""
    deeper = e.layers or e.train_layers != "first"
    if deeper and e.weight_normalization:
        raise SettingError("weight_normalization is of the first layer alone; expected train_layers='first', no layers")
    if deeper and e.precision != "full":
        raise SettingError(f"precision={e.precision!r} is of one hidden layer that alone is trained; expected 'full'")
    if e.layers and e.overlaps:
        raise SettingError("overlaps are of a student with one hidden layer; leave overlaps or layers out")
    if e.layers and "ntk" in e.kernels:
        raise SettingError("kernels='ntk' is of a student with one hidden layer; ck is of the last of any")
    if e.directions > e.d:
        raise SettingError(f"directions={e.directions} are more than d={e.d} dimensions")
    if e.combination == "joint" and ":" not in e.teacher:
        raise SettingError(f"combination='joint' takes a teacher of your own, module:function, not {e.teacher!r}")
    if e.directions == 1 and e.combination not in ("sum", "joint"):
        object.__setattr__(e, "combination", "sum")  # of one link all are alike, so one key
    if e.batch is not None and e.batch > e.n:
        raise SettingError(f"batch={e.batch} is more than all n={e.n} points")
    if e.batch == e.n:
        object.__setattr__(e, "batch", None)
    count = {"first": 1, "hidden": len(e.widths), "all": len(e.widths) + 1}[e.train_layers]
    if e.lr_factors and len(e.lr_factors) != count:
        raise SettingError(f"lr_factors has {len(e.lr_factors)} values; expected {count}, one for each layer trained")
    if e.initialization == "mup" and mup_factors(e.optimizer, e.widths) is None:
        raise SettingError(f"initialization='mup' does not know how optimizer={e.optimizer!r} scales with the width")


def _check_torch_names(experiment: Experiment) -> None:
    """Ask torch about names that are its own; the common names do not wait for its import."""
    e = experiment
    own = _names_an_object("optimizer", e.optimizer, "module:Class")
    own_schedule = e.schedule is not None and _names_an_object("schedule", e.schedule, "module:function")
    if (not e.schedule or own_schedule) and (own or (e.optimizer in UPDATE_NAMES and not e.optimizer_options)):
        return
    from spectail.experiments.optimizers import check_optimizer, optimizer_name

    object.__setattr__(e, "optimizer", optimizer_name(e.optimizer))  # one spelling, so one key
    name, options = ("gd", {}) if own else (e.optimizer, e.optimizer_options)
    check_optimizer(
        name,
        e.lr,
        bias_correction=e.bias_correction,
        options=options,
        schedule=None if own_schedule else e.schedule,
        schedule_options=e.schedule_options,
    )


_NOT_IN_TITLES = ("n_test", "n_test_large", "steps", "record", "overlaps", "kernels")

UPDATE_NAMES = ("gd", "adam", "sign")
"""Optimizers whose first update has a direction that does not depend on η, and a prediction."""

PROBLEM_FIELDS = (
    "n", "n_test", "n_test_large", "d", "h", "teacher", "label_noise", "initialization", "dtype", "seed",
    "directions", "combination", "covariance_power", "layers",
)  # fmt: skip
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
