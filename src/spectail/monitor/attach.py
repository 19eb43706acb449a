"""What a monitor checks and finds out before it is attached: options, step, what was measured, old names of options.

Not here: what follows while it is attached (`monitor`), and which matrices there are (`layers`).
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

from torch import nn

from spectail.analysis.alerts import AlertThresholds
from spectail.analysis.changes import name_in_model
from spectail.errors import SettingError
from spectail.monitor.when import When, at, budget, every, log_spaced
from spectail.recording.events import NOT_THERE
from spectail.recording.layout import Measurement, labels_of, measurements_of
from spectail.recording.reading import load_recording
from spectail.recording.tensors import tensor_of
from spectail.weights.matrix import WeightMatrix


def check_options(
    model: object, when: object, path: object, loggers: Sequence[object], alerts: object, on_alert: object
) -> None:
    """Refuse what would fail at the first step, or at the first alert.

    Raises:
        SettingError: one of these is of another kind than it must be.
        IsADirectoryError: the path is that of a folder.
    """
    if not isinstance(model, nn.Module):
        raise SettingError(f"a {type(model).__name__} is no model; expected a torch.nn.Module")
    if when is not None and not callable(when):
        raise SettingError(
            f"when={when!r:.100} says no steps; expected every(k), at(steps), log_spaced(), budget(share), or a "
            "function of step and clocks"
        )
    if path is not None and (not isinstance(path, str | os.PathLike) or not os.fspath(path)):
        raise SettingError(f"path={path!r:.100} is no path of a file; expected one such as 'run.nc', or None")
    if path is not None and os.path.isdir(path):
        raise IsADirectoryError(f"{path} is a folder; expected the path of a file")
    for logger in loggers:
        if not callable(logger):
            raise SettingError(
                f"on_measurement={logger!r:.100} cannot be called; expected a function of a Measurement, or several"
            )
    if not isinstance(alerts, AlertThresholds | None):
        raise SettingError(f"alerts={alerts!r:.100} are no thresholds; expected AlertThresholds(…), or None")
    if on_alert is not None and not callable(on_alert):
        raise SettingError(f"on_alert={on_alert!r:.100} cannot be called; expected a function of an Event")


def starting_step(initial_step: int | None, resume: bool, path: object) -> int:
    """The step that a monitor starts at.

    Raises:
        SettingError: it is no number of steps, or is missing where a file is gone on with.
    """
    if resume and path is None:
        raise SettingError("existing='resume' needs the path of the file to go on with")
    if resume and initial_step is None:
        raise SettingError("existing='resume' needs initial_step: how many steps the model has made; 0 if it is new")
    step = 0 if initial_step is None else initial_step
    if isinstance(step, bool) or not isinstance(step, Integral) or step < 0:
        raise SettingError(f"initial_step={step!r} is not a number of steps; expected a whole number, at least 0")
    return int(step)


def refuse_flattened(model: nn.Module) -> None:
    """Refuse parameters that are flattened together or emptied, so that no process knows a matrix of them.

    Raises:
        SettingError: there is such a parameter.
    """
    for module in model.modules():
        if type(module).__name__ == "FullyShardedDataParallel":
            raise SettingError(
                "the model is sharded by FullyShardedDataParallel, which flattens parameters; use fully_shard (FSDP2)"
            )
    for name, parameter in model.named_parameters():
        if any(kind.__name__ == "FlatParameter" for kind in type(parameter).__mro__):
            raise SettingError(
                f"{name} holds several parameters, flattened by FullyShardedDataParallel; use fully_shard (FSDP2)"
            )
        if hasattr(parameter, "ds_id"):
            raise SettingError(f"{name} is emptied by DeepSpeed ZeRO-3; use its stage 2, or fully_shard (FSDP2)")


def go_on_with(
    path: Path, matrices: Sequence[WeightMatrix], keep_spectra: bool, until: int, existing: str
) -> tuple[list[Measurement], list[dict[str, Any]]]:
    """The measurements in a file that is there already, to go on with.

    Args:
        path: of the file.
        matrices: of the model.
        keep_spectra: whether eigenvalues are kept.
        until: the last step that counts.
        existing: what is done with the file: "refuse", "resume" or "replace".

    Returns:
        those of the file where it is resumed, and name and labels of its matrices, among them those that the model no
        longer has; none where it is replaced.

    Raises:
        FileExistsError: the file is to be refused.
        SettingError: the file is not one of this model, or of a monitor.
    """
    if existing == "refuse":
        raise FileExistsError(
            f"{path} exists; expected existing='resume' with initial_step, existing='replace', or another path"
        )
    if existing == "replace":
        return [], []
    recording = load_recording(path)
    if recording.attrs["of"] != "monitor":
        raise SettingError(f"{path} is not the file of a monitor: it holds a recording of kind {recording.attrs['of']}")
    has_spectra = "eigenvalues" in recording
    if has_spectra != keep_spectra:
        raise SettingError(f"{path} was written with keep_spectra={has_spectra}; expected the same to go on with it")
    measurements, labels = measurements_of(recording, until), labels_of(recording)
    rows = measurements[-1].rows if measurements else ()
    gone = {row["name"] for row in rows if row["note"] == NOT_THERE}
    there = [one for one in labels if one["name"] not in gone and tensor_of(one["name"]) == "weights"]
    last = [one | {"name": name_in_model(one["name"])} for one in there]
    if difference := _difference_of_matrices(last, matrices):
        raise SettingError(f"{path} has other matrices than this model: {difference}")
    return measurements, labels


def _difference_of_matrices(labels: Sequence[Mapping[str, Any]], matrices: Sequence[WeightMatrix]) -> str:
    """Where the matrices of a file and those of a model differ, in words; another order is no difference."""
    by_name = {one["name"]: one for one in labels}
    if by_name.keys() == {one.name for one in matrices}:  # what was replaced stands last in the file
        labels = [by_name[one.name] for one in matrices]
    for name in ("name", "rows", "cols", "slices"):
        there, here = [one[name] for one in labels], [getattr(matrix, name) for matrix in matrices]
        if there != here:
            return _difference(there, here)
    return ""


def _difference(there: list[Any], here: list[Any]) -> str:
    """Where two lists differ first, in words."""
    for old, new in zip(there, here, strict=False):
        if old != new:
            return f"{old} there, {new} here"
    return f"{len(there)} there, {len(here)} here"


def options_of_first_edition(old: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a monitor by the first edition's names, as today's; each with a warning.

    Args:
        old: by their old names.
        options: by today's names; `nulls=True` among them is the first edition's too.

    Raises:
        TypeError: a name is not known.
        SettingError: a value is out of range, or two exclude each other.
    """
    today: dict[str, Any] = {"nulls": "gaussian"} if options["nulls"] is True else {}
    if today:
        _renamed("nulls=True", "nulls='gaussian'")
    times = [name for name in ("every", "steps", "budget") if old.get(name) is not None]
    if len(times) > 1:
        raise SettingError(f"{' and '.join(times)} exclude each other; expected one of every, steps and budget")
    for name, value in old.items():
        if name not in _FIRST_EDITION:
            raise TypeError(f"SpectralMonitor has no option {name!r}")
        _renamed(f"{name}=", _FIRST_EDITION[name])
        if name in times:
            today["when"] = _when_of(name, value)
        elif name == "spectra":
            today["keep_spectra"] = value
        elif name in ("resume", "overwrite") and value:
            today["existing"] = "resume" if name == "resume" else today.get("existing", "replace")
    return today


def _when_of(name: str, value: Any) -> When:
    if name == "steps":
        return log_spaced() if isinstance(value, str) and value == "log" else at(value)
    return every(value) if name == "every" else budget(value)


_FIRST_EDITION = {
    "every": "when=every(k)",
    "steps": "when=at(steps) or when=log_spaced()",
    "budget": "when=budget(share)",
    "spectra": "keep_spectra=",
    "resume": "existing='resume'",
    "overwrite": "existing='replace'",
    "save_seconds": "not needed: what is measured is on the disk at once",
}


def _renamed(old: str, new: str) -> None:
    warnings.warn(f"{old} of a monitor is now {new}", DeprecationWarning, stacklevel=4)
