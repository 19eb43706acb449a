"""What a monitor finds out before it is attached: optimizer, layers, step, who measures, and what was measured."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from spectail.errors import SettingError
from spectail.recording.journal import Recorded
from spectail.recording.reading import measurements_of, open_monitor
from spectail.weights.matrix import WeightMatrix, Weights


def starting_step(initial_step: int | None, resume: bool, path: object) -> int:
    """The step that a monitor starts at.

    Raises:
        ValueError: it is none, or one is missing to go on with a file.
    """
    if resume and path is None:
        raise SettingError("resume=True needs the path of the file to go on with")
    if resume and initial_step is None:
        raise SettingError("resume=True needs initial_step: how many steps the model has made; 0 if it is new")
    step = 0 if initial_step is None else initial_step
    if isinstance(step, bool) or not isinstance(step, int) or step < 0:
        raise SettingError(f"initial_step={step!r} is not a number of steps; expected a whole number, at least 0")
    return step


def unwrapped_optimizer(optimizer: Any) -> Any:
    """An optimizer itself, out of what a trainer wrapped it in.

    Raises:
        ValueError: there is none inside.
    """
    while optimizer is not None and "_optimizer_step_post_hooks" not in getattr(optimizer, "__dict__", {}):
        if getattr(optimizer, "optimizer", None) is None:
            kind = type(optimizer).__name__
            raise SettingError(f"a {kind} is not an optimizer of torch; expected one, or None and calls of step()")
        optimizer = optimizer.optimizer
    return optimizer


def is_measuring_rank() -> bool:
    """Whether this process is the one that measures, where several train one model."""
    distributed = torch.distributed
    return not (distributed.is_available() and distributed.is_initialized() and distributed.get_rank() != 0)


def choose_layers(weights: Weights, layers: str | Sequence[str] | None) -> tuple[WeightMatrix, ...]:
    """The matrices whose name is one of the given or fits one of the patterns.

    Args:
        weights: of the model.
        layers: names, or patterns as the shell has them: "encoder.*.weight". None takes all.

    Raises:
        ValueError: nothing is left, or a pattern fits none.
    """
    if not weights.matrices:
        raise SettingError(f"{weights.title} has no weight matrix, so there is nothing to monitor")
    if layers is None:
        return weights.matrices
    patterns = [layers] if isinstance(layers, str) else list(layers)
    names = [matrix.name for matrix in weights.matrices]
    chosen: set[str] = set()
    for pattern in patterns:
        fits = {name for name in names if name == pattern or fnmatch.fnmatchcase(name, pattern)}
        if not fits:
            some = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
            raise SettingError(f"layers={pattern!r} fits no matrix of {weights.title}; it has {some}")
        chosen |= fits
    if not chosen:
        raise SettingError("layers is empty; expected names or patterns, or None for all")
    return tuple(matrix for matrix in weights.matrices if matrix.name in chosen)


def refuse_sharded(model: nn.Module) -> None:
    """Refuse parameters that lie in pieces on several processes.

    Raises:
        ValueError: one does.
    """
    for name, parameter in model.named_parameters():
        if {kind.__name__ for kind in type(parameter).__mro__} & {"DTensor", "FlatParameter"}:
            raise SettingError(f"{name} is sharded over processes (FSDP); a monitor needs whole parameters, as DDP has")


def go_on_with(
    path: Path, layers: Sequence[Mapping[str, Any]], spectra: bool, until: int, resume: bool, overwrite: bool
) -> list[Recorded]:
    """The measurements in a file that is there already, to go on with.

    Args:
        path: of the file.
        layers: of the model, as `describe` gives them.
        spectra: whether eigenvalues are kept.
        until: the last step that counts.
        resume: whether to go on with the file.
        overwrite: whether it may be replaced.

    Returns:
        those of the file, where it is to be gone on with; else none.

    Raises:
        FileExistsError: neither was asked for.
        ValueError: the file is not one of this model, or of a monitor.
    """
    if not resume and not overwrite:
        raise FileExistsError(f"{path} exists; expected resume=True with initial_step, overwrite=True, or another path")
    if not resume:
        return []
    found = open_monitor(path)
    for name in ("name", "rows", "cols", "slices"):
        theirs = found["layer" if name == "name" else name].values.tolist()
        ours = [layer[name] for layer in layers]
        if theirs != ours:
            raise SettingError(f"{path} has other layers than this model: {_difference(theirs, ours)}")
    kept = "eigenvalues" in found
    if kept != spectra:
        raise SettingError(f"{path} was written with spectra={kept}; expected the same to go on with it")
    return measurements_of(found, until)


def _difference(theirs: list[Any], ours: list[Any]) -> str:
    """Where two lists differ first, in words."""
    for old, new in zip(theirs, ours, strict=False):
        if old != new:
            return f"{old} there, {new} here"
    return f"{len(theirs)} there, {len(ours)} here"
