"""`spectail run`."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Annotated, Any

import tyro

from spectail.cli.imports import quick_imports
from spectail.cli.option import option
from spectail.cli.options import Device, Drawing, Out, given_fields, make_command, options_of
from spectail.cli.printing import AnsweringRows, PrintingRows
from spectail.errors import SettingError
from spectail.experiments.experiment import Experiment

METAVARS = {
    "optimizer_options": "JSON",
    "schedule_options": "JSON",
    "overlaps": "S:T...",
    "layers": "WIDTH...",
    "kernels": "ck|ntk...",
    "lr_factors": "FLOAT...",
    "model": "vgg11|resnet18|MODULE:FACTORY",
    "images": "N|all",
    "record": "log|ends|STEP...",
}


def _run(options: Any) -> None:
    compute(Experiment(**with_dataset(experiment_fields(options), options.data)), options, "run")


def with_dataset(fields: dict[str, Any], data: Path | None) -> dict[str, Any]:
    """Fields with the name of the data set, where it is a file of images."""
    return {**fields, "dataset": data.stem} if data is not None and data.suffix == ".npz" else fields


def compute(experiment: Experiment, options: Any, command: str) -> None:
    """Find the run of an experiment or compute it, draw and print it.

    Args:
        experiment: which.
        options: of the command: where to keep it, and how to draw and print.
        command: its name, for JSON.
    """
    rows, pictures = options.printing.rows(), options.drawing.pictures()
    with quick_imports():
        from spectail.experiments.run import simulate
        from spectail.plots.recording_plot import draw_beside
    from spectail.progress import step_progress
    from spectail.report.json_answers import recording_answer
    from spectail.report.terminal.recording import print_recording
    from spectail.spectra.precision import check_device
    from spectail.store.names import check_name, give_name
    from spectail.store.store import Store

    device, store = check_device(options.device), Store(options.out, data=options.data)
    store.check_writable([experiment])
    if options.name:
        check_name(store, experiment, options.name)
    with step_progress(experiment.steps) as progress:
        result, was_there = store.get_or_run(
            experiment,
            lambda e: simulate(e, device=device, data=store.data, progress=progress, resume=store.resume_state(e)),
        )
    if os.environ.get("RANK", "0") != "0":
        return  # of many processes, one draws and tells
    path = give_name(store, experiment, options.name) if options.name else store.path(experiment)
    paths = [path, *draw_beside(result, path, pictures)]
    options.printing.tell(
        command,
        lambda: recording_answer(result, rows, paths),
        lambda: print_recording(result, paths, was_there=was_there, choice=rows, everything=options.printing.verbose),
    )


def experiment_fields(options: Any) -> dict[str, Any]:
    """The options given on the command line, with collections read from their text."""
    fields = given_fields(options, Experiment)
    for name in ("optimizer_options", "schedule_options"):
        if name in fields:
            fields[name] = _json_object(name, fields[name])
    if "record" in fields:
        steps = fields["record"]
        fields["record"] = steps[0] if steps in (("log",), ("ends",)) else [_whole(s) for s in steps]
    if "overlaps" in fields:
        fields["overlaps"] = [_pair(text) for text in fields["overlaps"]]
    return fields


DATA = option(
    metavar="DIR|FILE.npz",
    help="Folder with DATASET.npz or torchvision's files (downloaded if missing; by default to the cache), "
    "or a file of images and labels, which needs no --dataset.",
)


NAME = (
    "name",
    Annotated[str | None, option(metavar="NAME", help="A name for the run: DIR/NAME.nc leads to it.")],
    None,
)


def _whole(text: str) -> int | str:
    return int(text) if text.lstrip("-").isdigit() else text


def _pair(text: str) -> tuple[int, int]:
    left, _, right = text.partition(":")
    if not (left.isdigit() and right.isdigit()):
        raise SettingError(f"overlaps={text!r} is not understood; expected S:T for the overlaps of W_S with M_T")
    return int(left), int(right)


def _json_object(name: str, text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise SettingError(f"""{name}={text!r} is not understood; expected JSON such as '{{"betas": [0.9, 0.999]}}'""")
    return value


Run = make_command(
    "Run",
    "Run one experiment: table, figures and netCDF file.\n\n"
    "A run that is already in DIR is found again instead of computed; one that was killed goes on where it was.\n"
    "Examples: spectail run --optimizer gd --lr 2000 --steps 10 --record 0 1 10;\n"
    "spectail run --model vgg11 --dataset cifar10, which runs under torchrun on many processes too",
    [
        *options_of(Experiment, [name for name in Experiment.model_fields if name != "numerics"], METAVARS),
        ("data", Annotated[Path | None, DATA], None),
        NAME,
        ("out", Out, Path("results")),
        ("device", Device, "cpu"),
        ("drawing", tyro.conf.OmitArgPrefixes[Drawing], dataclasses.field(default_factory=Drawing)),
        ("printing", AnsweringRows, dataclasses.field(default_factory=PrintingRows)),
    ],
    _run,
)
"""The command `run`: its options are the fields of Experiment, and where to keep, how to draw and print."""
