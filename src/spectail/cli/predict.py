"""`spectail predict`."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

from spectail.cli.imports import quick_imports
from spectail.cli.option import option
from spectail.cli.options import given_fields, make_command, options_of
from spectail.cli.printing import Answering, Printing
from spectail.experiments.experiment import UPDATE_NAMES, Experiment

_FIELDS = ("h", "d", "n", "optimizer", "initialization", "teacher", "activation", "label_noise", "protocol")

_RATES = option(metavar="FLOAT...", help="Learning rates; by default around the critical one.")


def _predict(options: Any) -> None:
    fields = given_fields(options, Experiment)
    rates = fields.pop("lr")
    experiment = Experiment(**fields, steps=1, record=(0, 1))
    with quick_imports():
        from spectail.report.terminal.prediction import prediction_answer, print_prediction

    rates = [experiment.replace(lr=lr).lr for lr in rates]
    options.printing.tell(
        "predict", lambda: prediction_answer(experiment, rates), lambda: print_prediction(experiment, rates)
    )


Predict = make_command(
    "Predict",
    "Predict what the first step does to the spectrum: critical learning rate, spike, overlaps, alignment.\n\n"
    "Nothing is trained; closed forms of random matrix theory, as h, d, n → ∞ at fixed ratios.\n"
    "Example: spectail predict --h 1500 --d 1000 --n 2000 --optimizer adam",
    [
        *options_of(Experiment, _FIELDS, {"optimizer": "|".join(UPDATE_NAMES)}),
        ("lr", Annotated[tuple[str, ...], _RATES], ()),
        ("printing", Answering, dataclasses.field(default_factory=Printing)),
    ],
    _predict,
)
