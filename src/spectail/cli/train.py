"""`spectail train`."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Annotated, Any

from spectail.cli.imports import quick_imports
from spectail.cli.option import option
from spectail.cli.options import Device, Option, Out, given_fields, image_count, make_command, options_of
from spectail.cli.printing import AnsweringRows, PrintingRows
from spectail.experiments.deep.training import TRAININGS, Training

_METAVARS = {"model": "vgg11|resnet18|MODULE:FACTORY", "images": "N|all", "record": "STEP..."}

_DATA = option(
    metavar="DIR|FILE.npz",
    help="Folder with DATASET.npz or torchvision's files (downloaded if missing; by default to the cache), "
    "or a file of images and labels, which needs no --dataset.",
)


def _train(options: Any) -> None:
    """Train, or find the training, and print it."""
    fields = given_fields(options, Training)
    if "images" in fields:
        fields["images"] = image_count(fields["images"])
    if options.data is not None and options.data.suffix == ".npz":
        fields["dataset"] = options.data.stem
    training, rows = Training(**fields), options.printing.rows()
    with quick_imports():
        from spectail.experiments.deep.run import get_or_train
    from spectail.progress import training_progress
    from spectail.recording.reading import load_recording
    from spectail.report.json_answers import recording_answer
    from spectail.report.terminal.recording import print_recording
    from spectail.spectra.precision import check_device

    device = str(check_device(options.device))
    with training_progress(training.steps) as progress:
        path, stored = get_or_train(
            training, options.out / TRAININGS, data=options.data, device=device, progress=progress
        )
    if os.environ.get("RANK", "0") == "0":  # of many processes, one writes and tells
        recording = load_recording(path)
        options.printing.tell(
            "train",
            lambda: recording_answer(recording, rows, [path]),
            lambda: print_recording(recording, [path], stored=stored, choice=rows, everything=options.printing.verbose),
        )


def _options() -> list[Option]:
    """The fields of Training, and the data after the data set; whether Adam corrects its bias is a flag."""
    correction = Training.model_fields["bias_correction"]
    flag = Annotated[bool, option(help=correction.description)]
    options = options_of(Training, [name for name in Training.model_fields if name != "numerics"], _METAVARS)
    options = [
        option if option[0] != "bias_correction" else (option[0], flag, correction.default) for option in options
    ]
    options.insert(2, ("data", Annotated[Path | None, _DATA], None))
    printing = ("printing", AnsweringRows, dataclasses.field(default_factory=PrintingRows))
    return [*options, ("out", Out, Path("results")), ("device", Device, "cpu"), printing]


Train = make_command(
    "Train",
    "Train a network on all images at once, exactly, and measure the spectra of its layers on the way.\n\n"
    "Runs under torchrun on many processes, with the same result. Killed, the same command goes on where it was.\n"
    "Example: spectail train --model vgg11 --dataset cifar10 --optimizer adam --lr 0.01 --steps 10",
    _options(),
    _train,
)
