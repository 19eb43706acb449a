"""The paper's settings at its own sizes (App. F, "Hyperparameters"), scales to run them at, and what figures share.

Not here: runs that a single figure has.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from spectail.errors import SettingError
from spectail.experiments.experiment import Experiment
from spectail.experiments.protocols import NO_EPSILON, PLAIN, Protocol
from spectail.study.settable import OF_THE_FIGURE, SETTABLE

# The setting of most figures, whose values are the defaults of an experiment; and with four times the data.
S2 = Experiment()
S8 = S2.replace(n=8000)

LEARNING_RATES = (0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0, 2000.0, 3000.0)

PAPER_OPTIMIZERS = ("gd", "adam")


def over_learning_rates(setup: Experiment, optimizer: str, **fields: object) -> list[Experiment]:
    """One experiment for each learning rate of the paper's sweeps."""
    return [setup.replace(optimizer=optimizer, lr=lr, **fields) for lr in LEARNING_RATES]


@dataclass(frozen=True)
class Scale:
    """How an experiment of the paper is run: at its own size, or with n, d and h divided.

    Learning rates follow the critical one (`theory.critical_lr`), whose dependence on d at fixed h/d
    and n/d is a power: GD's is ∝ d (ntk) or √d (mean_field), that of FB-Adam and sign descent ∝ d^(-1/2)
    or d^(-1). Both keep the spike where it is relative to the bulk's edge.

    Attributes:
        name: "paper", "quarter" or "small".
        divisor: what n, d and h are divided by.
        long: whether trajectories of more than 100 steps have the paper's length, or are cut short.
        settings: fields that take the place of the paper's in every experiment, by name.
    """

    name: str
    divisor: int
    long: bool = True
    settings: tuple[tuple[str, Any], ...] = ()

    @property
    def variation(self) -> str:
        """The settings that are not the paper's, in words; empty where all are.

        >>> vary(PAPER, {"teacher": "relu", "d": "500"}).variation
        'd=500, teacher=relu'
        """
        return ", ".join(f"{name}={value}" for name, value in self.settings)

    @property
    def folder_name(self) -> str:
        """What distinguishes its folder of figures from that of other scales and settings."""
        words = re.sub(r"[^\w=.+-]+", "_", "-".join(f"{name}={value}" for name, value in self.settings))
        return f"{self.name}-{words}" if self.settings else self.name

    def in_place(self, experiment: Experiment) -> Experiment:
        """The experiment with the settings in place of its own, at the paper's size."""
        return experiment.replace(**dict(self.settings)) if self.settings else experiment

    def step(self, step: int) -> int:
        """The step that stands for one of the paper: itself, or beyond 100 its geometric mean with 100.

        >>> SMALL.step(10), SMALL.step(10_000), PAPER.step(10_000)
        (10, 1000, 10000)
        """
        return step if self.long or step <= _SHORT else math.isqrt(_SHORT * step)

    def __call__(self, experiment: Experiment) -> Experiment:
        """The experiment to run for one that is written down at the paper's size."""
        e, k = self.in_place(experiment), self.divisor
        if k == 1 and self.long:
            return e
        ntk = e.initialization == "ntk"
        gd, adaptive = (1 / k, math.sqrt(k)) if ntk else (1 / math.sqrt(k), float(k))
        factor = gd if e.optimizer == "gd" else adaptive
        record = e.record if isinstance(e.record, str) else [self.step(t) for t in e.record]
        sizes = {"n": e.n // k, "d": e.d // k, "h": e.h // k}
        if none := next((name for name, size in sizes.items() if size < 1), None):
            raise SettingError(
                f"{none}={getattr(e, none)} at the {self.name} scale is a {k}th of it; expected at least {k}"
            )
        return e.replace(**sizes, lr=e.lr * factor, steps=self.step(e.steps), record=record)


_SHORT = 100

EpsilonOf = Literal["program", "text", "own"]


@lru_cache(maxsize=4096)
def in_protocol(experiment: Experiment, protocol: Protocol, epsilon: EpsilonOf = "program") -> Experiment:
    """An experiment of the paper under the conventions of a protocol.

    Args:
        experiment: of the paper.
        protocol: whose conventions it gets.
        epsilon: Adam's. "program": 1e-8 in both, as numerics 1 has it; "text": none under the equations, where App. B
            says ε ≈ 0; "own": the experiment's.

    >>> [in_protocol(S2, "equations", epsilon).epsilon for epsilon in ("program", "text")]
    [1e-08, 1e-20]
    """
    if epsilon == "own":
        return experiment.replace(protocol=protocol, epsilon=experiment.epsilon)
    if epsilon == "text" and protocol == "equations" and experiment.optimizer == "adam":
        return experiment.replace(protocol=protocol, epsilon=NO_EPSILON)
    return experiment.replace(protocol=protocol)


_OF_THE_PROGRAM = (
    "initialization", "teacher", "activation", "layers", "train_layers", "directions", "combination",
    "covariance_power", "input_mean", "center_labels", "bias", "dtype", "precision",
)  # fmt: skip


def extrapolates(experiment: Experiment) -> bool:
    """Whether the paper's published program cannot run an experiment, whatever the program's configuration.

    Under "published" it is then what the program would do if it could; what the program is fixed to stands in
    docs/evidence.md.

    >>> extrapolates(S8), extrapolates(S8.replace(teacher="tanh"))
    (False, True)
    """
    fixed = any(getattr(experiment, name) != getattr(S2, name) for name in _OF_THE_PROGRAM)
    return fixed or experiment.optimizer not in PAPER_OPTIMIZERS


PAPER = Scale("paper", 1)
QUARTER = Scale("quarter", 4)
SMALL = Scale("small", 5, long=False)

GD_SCALED, ADAM_SCALED = " (scaled: sizes and η a quarter)", " (scaled: sizes a quarter, η twice)"
"""What titles and claims add of runs at a quarter of the sizes."""

SCALES = {scale.name: scale for scale in (PAPER, QUARTER, SMALL)}


def vary(scale: Scale, settings: Mapping[str, Any]) -> Scale:
    """The scale with some settings in place of the paper's.

    Args:
        scale: at which experiments are run.
        settings: fields of `Experiment`, as numbers or as text; sizes are those at the paper's scale.

    Raises:
        SettingError: one is not known or not valid, or is a figure's own.
    """
    for name in settings:
        if name in OF_THE_FIGURE:
            known = ", ".join(SETTABLE)
            raise SettingError(f"{name} is the figure's own and cannot be set; these can: {known}")
    checked = Experiment(**settings)
    return replace(scale, settings=tuple((name, getattr(checked, name)) for name in SETTABLE if name in settings))


def figure_folder(root: Path, scale: str) -> Path:
    """The folder beside the runs of a store that holds pictures and records of a scale, by its `folder_name`."""
    return root / ("figures" if scale == "paper" else f"figures-{scale}")


def picture_stem(name: str, protocol: str) -> str:
    """What the pictures of an artifact are called: NAME for the plain protocol, NAME-PROTOCOL for another."""
    return name if protocol == PLAIN else f"{name}-{protocol}"


def figure_folders(root: Path) -> list[Path]:
    """The folders of pictures and records of all scales and settings: figures, figures-small."""
    return sorted(root.glob("figures*"))


# What several figures share.

BEFORE, AFTER = (0, 0), (1, 0)  # overlaps of W₀, and of W₁, with the first update

ONE_STEP = S2.replace(steps=1, record=(0, 1))
FIRST_UPDATE = ONE_STEP.replace(overlaps=(BEFORE, AFTER))
TEN_STEPS = S8.replace(steps=10, record=(0, 10))

FIG4_STEPS = (1, 5, 10, 50)
FIG4_RUN = S2.replace(optimizer="adam", lr=0.2, steps=50, record=(0, *FIG4_STEPS))

FIG25_RUN = S8.replace(optimizer="adam", lr=1.0, steps=10, record=tuple(range(11)), overlaps=((10, 9),))
FIG26_RUN = FIG25_RUN.replace(label_noise=0.7)

MEASURED = (1, 10, 100, 10_000)

TABLE3_RUNS, TABLE4_RUNS = (
    [S2.replace(optimizer=optimizer, lr=lr, steps=MEASURED[-1]) for lr in rates]
    for optimizer, rates in (("gd", (0.1, 1.0, 10.0, 100.0, 2000.0)), ("adam", (0.01, 0.1, 1.0, 10.0, 100.0)))
)

TABLE1_RUNS = TABLE4_RUNS[:3]
