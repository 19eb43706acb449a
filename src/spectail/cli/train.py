"""`spectail train`, the last release's name of `spectail run --model`; for one release."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Any

import tyro

from spectail.cli.option import option
from spectail.cli.options import Device, Drawing, Option, Out, given_fields, make_command, options_of
from spectail.cli.printing import AnsweringRows, PrintingRows
from spectail.cli.run import DATA, METAVARS, NAME, compute, with_dataset
from spectail.experiments.experiment import Experiment

_FIELDS = (
    "model", "dataset", "images", "optimizer", "lr", "steps", "record", "micro_batch", "batch_norm", "conv", "dtype",
    "seed",
)  # fmt: skip


def _train(options: Any) -> None:
    """What `run` does, with the defaults that `train` had."""
    from spectail.store.trainings import as_experiment

    fields = {name: value for name, value in given_fields(options, Experiment).items() if name in _FIELDS}
    experiment = as_experiment(**with_dataset(fields, options.data), bias_correction=options.bias_correction)
    new = f"spectail run --model {experiment.model} --dataset {experiment.dataset}"
    print(f"spectail train is now {new}; the old name works for one release", file=sys.stderr)
    compute(experiment, options, "train")


def _options() -> list[Option]:
    flag = Annotated[bool, option(help="Whether adam corrects the bias of its moments.")]
    return [
        *options_of(Experiment, _FIELDS, {**METAVARS, "record": "STEP..."}),
        ("bias_correction", flag, True),
        ("data", Annotated[Path | None, DATA], None),
        NAME,
        ("out", Out, Path("results")),
        ("device", Device, "cpu"),
        ("drawing", tyro.conf.OmitArgPrefixes[Drawing], dataclasses.field(default_factory=Drawing)),
        ("printing", AnsweringRows, dataclasses.field(default_factory=PrintingRows)),
    ]


Train = make_command(
    "Train",
    "Train a network; now `spectail run --model ... --dataset ...`. Works for one release.\n\n"
    "Example: spectail train --model vgg11 --dataset cifar10 --optimizer adam --lr 0.01 --steps 10",
    _options(),
    _train,
)
