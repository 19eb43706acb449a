"""What describes an experiment: how its fields suit each other, and the one spelling and key that it has.

Not here: the fields themselves (fields.py), what any description has (`description`), and what protocols, activations
and optimizers mean (files of their names).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError, field_validator, model_validator

from spectail.errors import SettingError, unknown_name
from spectail.experiments.activations import ACTIVATIONS
from spectail.experiments.description import check_extent
from spectail.experiments.fields import (
    OF_TEACHER,
    ExperimentFields,
    image_count,
    is_made,
    modulus_of,
    said_of_others,
)
from spectail.experiments.mup import mup_bias_factors, mup_factors
from spectail.experiments.protocols import CONVENTIONS, DEFAULT, PROTOCOLS

if TYPE_CHECKING:
    import xarray as xr

_DEFAULTS = PROTOCOLS[DEFAULT]


class Experiment(ExperimentFields):
    """What is trained on what, how, and what is recorded of it.

    By default a two-layer student learns a single-index teacher by full-batch updates (paper §3), with the paper's
    settings (App. F). `model` puts another network in the student's place, `dataset` another task in the teacher's.
    Equal experiments have an equal `key`, whatever way they were written down; the key names the stored run.

    Raises:
        ValueError: a field is out of range or not known; one sentence says which, and what is expected.

    >>> Experiment(optimizer="gd", lr=2000, steps=1).protocol
    'equations'
    >>> Experiment(model="vgg11", dataset="digits", steps=2).title
    'vgg11 on digits, 512 images, adam, η=0.01, published, seed 0'
    >>> Experiment(layers=[64, 32], dataset="digits", steps=2).title
    'layers=64-32 on digits, 512 images, adam, η=0.01, published, seed 0'
    >>> Experiment(teacher="sofplus")
    Traceback (most recent call last):
    ...
    spectail.errors.SettingError: teacher='sofplus' is not known; did you mean 'softplus'? (softplus, tanh, relu, ...
    """

    @classmethod
    def _sentence(cls, error: ValidationError) -> str:
        first = error.errors()[0]
        if first["loc"][:1] == ("record",) and first["type"] != "value_error":
            return (
                f"record={first['input']!r} is not understood; "
                'expected steps that are whole numbers ≥ 0, or "log", or "ends"'
            )
        return super()._sentence(error)

    @model_validator(mode="before")
    @classmethod
    def _fill_in_protocol(cls, fields: Any) -> Any:
        if not isinstance(fields, dict):
            return fields
        fields = {name: value for name, value in fields.items() if value is not None}
        model, dataset = fields.get("model"), fields.get("dataset")
        of_network = model is not None or dataset is not None
        usual = cls.usual_of_network(dataset) if of_network else {"protocol": DEFAULT}
        protocol: Any = fields.get("protocol", usual["protocol"])
        preset = _DEFAULTS if isinstance(protocol, list | dict) else PROTOCOLS.get(protocol, _DEFAULTS)
        preset = {name: preset[name] for name in _acting(model, dataset)}
        return {**preset, **usual, **_with_layers(fields, trained=not of_network)}

    @model_validator(mode="after")
    def _name_the_protocol(self) -> Experiment:
        """The preset's name where all conventions that act are its own, else "custom"."""
        acting = _acting(self.model, self.dataset)
        for name, preset in PROTOCOLS.items():
            if all(getattr(self, field) == preset[field] for field in acting):
                object.__setattr__(self, "protocol", name)
                return self
        object.__setattr__(self, "protocol", "custom")
        return self

    @field_validator("teacher", "activation", mode="after")
    @classmethod
    def _known_activation(cls, value: str, info: Any) -> str:
        if not _names_an_object(info.field_name, value, "module:function") and value not in ACTIVATIONS:
            raise SettingError(unknown_name(info.field_name, value, [*ACTIVATIONS, "module:function"]))
        return value

    @field_validator("images", mode="before")
    @classmethod
    def _number_or_all(cls, value: Any) -> Any:
        return image_count(value)

    @field_validator("batch_norm", mode="before")
    @classmethod
    def _not_full(cls, value: Any) -> Any:
        if value == "full":
            raise SettingError(
                "batch_norm='full' is not offered: statistics of all images at once need all activations at once; "
                "a micro_batch of all images gives them, where there is memory for it"
            )
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
        _check_kind(self)
        if not isinstance(self.record, str):
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
        for name in ("overlaps", "kernels"):
            values = getattr(self, name)
            if twice := next((value for value in values if values.count(value) > 1), None):
                raise SettingError(f"{name} names {twice!r} twice; expected each once")
        if self.has_closed_form:
            _check_student(self)
        if self.schedule is None and self.schedule_options:
            raise SettingError("schedule_options are given, but no schedule to use them")
        if "eps" in self.optimizer_options and self.epsilon != _DEFAULTS["epsilon"]:
            raise SettingError("epsilon is given, and eps among the optimizer_options too; expected one of them")
        _check_torch_names(self)
        return self

    @property
    def recorded_steps(self) -> tuple[int, ...]:
        """The steps that are measured, ascending."""
        if self.record == "ends":
            return tuple(sorted({0, self.steps}))
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
    def has_closed_form(self) -> bool:
        """Whether its gradients are known in closed form: those of a student on a teacher's data. Else autograd's."""
        return self.model is None and self.dataset is None

    @property
    def field_names(self) -> tuple[str, ...]:
        """The names of the fields that say something of an experiment of this kind."""
        of_others = said_of_others(self.model, self.dataset)
        return tuple(name for name in type(self).model_fields if name not in of_others)

    def _given(self) -> dict[str, Any]:
        """The fields that differ from their defaults, of conventions those of a custom protocol; no usual number."""
        about = {"protocol"} if self.protocol == "custom" else set(CONVENTIONS)
        usual = {} if self.has_closed_form else self.usual_of_network(self.dataset)
        fields = {**super()._given(), **{name: getattr(self, name) for name in usual}}
        return {
            name: fields[name]
            for name in type(self).model_fields
            if name in fields and name not in about and (name not in usual or fields[name] != usual[name])
        }

    @property
    def title(self) -> str:
        """What it is, in a line: optimizer and effective options, sizes, and every field that differs from its default.

        >>> Experiment(optimizer="gd", lr=2000, teacher="relu").title
        'gd, η=2000, n=2000, d=1000, h=1500, teacher=relu, equations, seed 0'
        """
        options = self.effective_options if self.optimizer not in UPDATE_NAMES else self.optimizer_options
        words = ", ".join(f"{name}={value}" for name, value in options.items() if value not in (0, None, False))
        titled = (
            "model", "dataset", "images", "optimizer", "optimizer_options", "lr", "n", "d", "h", "layers", "protocol",
            "seed", "numerics",
        )  # fmt: skip
        aside = (*titled, *_NOT_IN_TITLES, *(CONVENTIONS if self.protocol != "custom" else ()))
        usual = {name: type(self).model_fields[name].default for name in self.field_names if name not in aside}
        if not self.has_closed_form:
            usual |= {n: value for n, value in self.usual_of_network(self.dataset).items() if n in usual}
        usual |= {"schedule_options": {}} | (
            {"train_layers": "hidden"} if "train_layers" in usual and self.layers else {}
        )
        others = [f"{name}={getattr(self, name)}" for name, value in usual.items() if getattr(self, name) != value]
        update = f"{self.optimizer}{words and f' ({words})'}, η={self.lr:g}"
        start = f"{update}, n={self.n}, d={self.d}, {self._of_layers}"
        if not self.has_closed_form:
            count = [] if self.dataset is None else [f"{self.images} {self.samples_word}"]
            start = ", ".join([self.subject, *count, update])
        return ", ".join([start, *others, self.protocol, f"seed {self.seed}"])

    @property
    def _of_layers(self) -> str:
        return f"layers={'-'.join(map(str, self.layers))}" if self.layers else f"h={self.h}"

    @property
    def subject(self) -> str:
        """What learns what, in a few words."""
        task = f"n={self.n}, d={self.d}" if self.dataset is None else self.dataset
        return f"{self.model or self._of_layers} on {task}"

    @property
    def samples_word(self) -> str:
        """What its samples are called: images, unless a function makes them."""
        return "samples" if self.dataset is None or is_made(self.dataset) else "images"

    @property
    def effective_options(self) -> dict[str, Any]:
        """The options of the optimizer with those that it has by default; of a user's own class, only those given."""
        if ":" in self.optimizer:
            return self.optimizer_options
        from spectail.experiments.optimizers import options_by_default

        return {**options_by_default(self.optimizer), **self.optimizer_options}

    @cached_property
    def canonical_json(self) -> str:
        """The fields of its kind in one fixed spelling; from the second numerics on with all effective options."""
        if self.numerics > 1 and self.optimizer_options != self.effective_options:
            values = {name: getattr(self, name) for name in type(self).model_fields}
            object_fields = {**values, "optimizer_options": self.effective_options}
            return type(self).model_construct(**object_fields).canonical_json
        values = self.model_dump(mode="json")
        fields = {name: values[name] for name in self.field_names}
        left_out = self.added_later
        if not self.has_closed_form:  # as the first edition's trainings were written down
            del fields["protocol"]
            left_out = {**left_out, "optimizer_options": {}, "schedule": None, "schedule_options": {}}
            fields |= {"images": None} if self.images == "all" else {}
            fields |= {"record": None} if self.record == "ends" else {}
        key_fields = {name: value for name, value in fields.items() if name not in left_out or value != left_out[name]}
        return json.dumps(key_fields, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_stored(cls, fields: Mapping[str, Any]) -> Experiment:
        """The experiment of a stored JSON; in a network's, `null` stands for all images, or for both ends."""
        if fields.get("model") is None and fields.get("dataset") is None:
            return super().from_stored(fields)
        words = {"images": "all", "record": "ends"}
        words = {name: word for name, word in words.items() if name in fields and fields[name] is None}
        return cls(**{"numerics": 1, **fields, **words})

    @property
    def widths(self) -> tuple[int, ...]:
        """The widths of all hidden layers."""
        return self.layers or (self.h,)

    @property
    def rates(self) -> tuple[float, ...]:
        """The learning rate of each layer that is trained, and then of each bias, before any schedule."""
        count = {"first": 1, "hidden": len(self.widths), "all": len(self.widths) + 1}[self.train_layers]
        factors = self.lr_factors or (1.0,) * count
        of_biases = factors[: len(self.widths)] if self.bias == "trained" else ()
        factors = (*factors, *of_biases)
        if self.initialization == "mup":
            of_width = (mup_factors(self.optimizer, self.widths) or [])[:count]
            of_width += (mup_bias_factors(self.optimizer, self.widths) or [])[: len(of_biases)]
            factors = tuple(f * m for f, m in zip(factors, of_width, strict=True))
        return tuple(self.lr * factor for factor in factors)

    @property
    def is_the_papers(self) -> bool:
        """Whether it is of the paper's kind, for which theory and comparisons of spectra are made.

        One hidden layer without biases that alone is trained, one direction, isotropic inputs of mean 0 and labels as
        they are, all points at once.
        """
        names = (
            "layers", "train_layers", "bias", "directions", "covariance_power", "input_mean", "center_labels",
            "lr_factors", "batch",
        )  # fmt: skip
        return (
            self.has_closed_form
            and self.initialization != "mup"
            and all(getattr(self, name) == type(self).model_fields[name].default for name in names)
        )

    @property
    def entry_scale(self) -> float:
        """Standard deviation of an entry of W₀: 1 (ntk) or 1/√d (mean_field, mup)."""
        return 1.0 if self.initialization == "ntk" else 1.0 / math.sqrt(self.d)

    @property
    def problem_key(self) -> tuple[Any, ...]:
        """Equal for experiments that have the same data and initial weights."""
        names = PROBLEM_FIELDS if self.has_closed_form else (*PROBLEM_FIELDS, "model", "dataset", "images")
        return tuple(getattr(self, name) for name in names)

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


def _acting(model: object, dataset: object) -> tuple[str, ...]:
    """The conventions of a protocol that act: all on a student of a teacher, those of Adam on any network."""
    if model is None and dataset is None:
        return CONVENTIONS
    return _OF_ADAM if dataset is not None else ("loss_factor", *_OF_ADAM)


def _with_layers(fields: dict[str, Any], trained: bool) -> dict[str, Any]:
    """The fields with what `layers` implies: h is its first width, all hidden layers are trained; of one width, h."""
    layers = fields.get("layers")
    if not isinstance(layers, list | tuple) or not layers:
        return fields
    fields = {"h": layers[0], **fields}
    if fields["h"] != layers[0]:
        raise SettingError(f"h={fields['h']!r:.80} is not the first of layers={list(layers)!r:.80}; leave h out")
    if len(layers) == 1:
        return {**fields, "layers": ()}
    return {"train_layers": "hidden", **fields} if trained else fields


def _check_kind(e: Experiment) -> None:
    """See that each field given belongs to this kind of experiment, and that a network suits its task."""
    for name in said_of_others(e.model, e.dataset):
        value = getattr(e, name)
        if value == type(e).model_fields[name].default:
            continue
        if e.has_closed_form:
            raise SettingError(f"{name}={value!r} is of networks; give a model or a dataset too")
        if name == "images":
            raise SettingError(f"images={value!r} is of a dataset; a teacher's points are n={e.n}")
        beside = "dataset" if e.dataset is not None and (e.model is None or name in OF_TEACHER) else "model"
        raise SettingError(
            f"{name}={value!r:.80} is of students of a teacher; leave it out beside {beside}={getattr(e, beside)!r}"
        )
    if e.model is not None and not _names_an_object("model", e.model, "module:factory") and e.dataset is None:
        raise SettingError(f"model={e.model!r} takes images; give a dataset, or package.module:factory of your own")
    if e.dataset is not None:
        _names_an_object("dataset", e.dataset, "module:function")
        modulus_of(e.dataset)
    elif e.model is not None:
        _check_teacher(e)


def _check_student(e: Experiment) -> None:
    """See that fields of deeper students, of several directions and of batches suit each other."""
    deeper = e.layers or e.train_layers != "first"
    if deeper and e.weight_normalization:
        raise SettingError("weight_normalization is of the first layer alone; expected train_layers='first', no layers")
    if (deeper or e.bias != "none") and e.precision != "full":
        raise SettingError(
            f"precision={e.precision!r} is of one hidden layer without biases that alone is trained; expected 'full'"
        )
    if e.bias == "none" and e.bias_scale != type(e).model_fields["bias_scale"].default:
        raise SettingError(
            f"bias_scale={e.bias_scale:g} is of a student with biases; say bias='fixed' or 'trained' too"
        )
    if e.bias == "fixed" and e.bias_scale == 0:
        raise SettingError("bias='fixed' with bias_scale=0 is a student without biases; leave both out")
    if e.layers and e.overlaps:
        raise SettingError("overlaps are of a student with one hidden layer; leave overlaps or layers out")
    if e.layers and "ntk" in e.kernels:
        raise SettingError("kernels='ntk' is of a student with one hidden layer; ck is of the last of any")
    _check_teacher(e)
    count = {"first": 1, "hidden": len(e.widths), "all": len(e.widths) + 1}[e.train_layers]
    if e.lr_factors and len(e.lr_factors) != count:
        raise SettingError(f"lr_factors has {len(e.lr_factors)} values; expected {count}, one for each layer trained")
    if e.initialization == "mup" and mup_factors(e.optimizer, e.widths) is None:
        raise SettingError(f"initialization='mup' does not know how optimizer={e.optimizer!r} scales with the width")


def _check_teacher(e: Experiment) -> None:
    """See that what is said of a teacher's data suits each other."""
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


def _check_torch_names(experiment: Experiment) -> None:
    """Ask torch about names that are its own; the common names do not wait for its import."""
    e = experiment
    own = _names_an_object("optimizer", e.optimizer, "module:Class")
    own_schedule = e.schedule is not None and _names_an_object("schedule", e.schedule, "module:function")
    if (not e.schedule or own_schedule) and (own or (e.optimizer in UPDATE_NAMES and not e.optimizer_options)):
        return
    from spectail.experiments.optimizer_check import check_optimizer
    from spectail.experiments.optimizers import optimizer_name

    object.__setattr__(e, "optimizer", optimizer_name(e.optimizer))  # one spelling, so one key
    name, options = ("gd", {}) if own else (e.optimizer, e.optimizer_options)
    check_optimizer(
        name,
        e.lr,
        bias_correction=e.bias_correction,
        options=options,
        schedule=None if own_schedule else e.schedule,
        schedule_options=e.schedule_options,
        rates=e.rates if e.has_closed_form else (),
        vectors=e.has_closed_form and (e.train_layers == "all" or e.bias == "trained"),
    )


_OF_ADAM = ("bias_correction", "epsilon")
"""The conventions of a protocol that act on any network."""

_NOT_IN_TITLES = ("n_test", "n_test_large", "steps", "record", "overlaps", "kernels")

UPDATE_NAMES = ("gd", "adam", "sign")
"""Optimizers whose first update has a direction that does not depend on η, and a prediction."""

PROBLEM_FIELDS = (
    "n", "n_test", "n_test_large", "d", "h", "teacher", "label_noise", "initialization", "dtype", "seed",
    "directions", "combination", "covariance_power", "layers", "input_mean", "center_labels", "bias", "bias_scale",
)  # fmt: skip
"""What fixes the teacher, the data and the initial weights."""


def described_in(run: xr.Dataset) -> str:
    """The experiment of a run in JSON, as it is stored: a training of a network has it under another name.

    Raises:
        KeyError: it has none.
    """
    return str(run.attrs["training" if "training" in run.attrs else "experiment"])


def experiment_of(run: xr.Dataset) -> Experiment:
    """The experiment that a run's Dataset came from.

    Raises:
        ValueError: the Dataset carries no valid experiment.
    """
    try:
        fields = json.loads(described_in(run))
    except (KeyError, TypeError, ValueError):
        raise SettingError("the data set carries no experiment, so it is not a run of spectail") from None
    return Experiment.from_stored(fields)
