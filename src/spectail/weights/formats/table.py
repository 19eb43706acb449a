"""The formats, one line each, and which one a file is."""

from __future__ import annotations

from pathlib import Path

from spectail.weights.formats.pickles import checkpoint_parameters
from spectail.weights.formats.safetensors import safetensors_parameters
from spectail.weights.matrix import Skipped
from spectail.weights.parameter import Parameter, _order
from spectail.weights.untrusted import open_file

ENDINGS = (".safetensors", ".pt", ".pth", ".bin")


def _parameters(path: Path) -> tuple[list[Parameter], tuple[str, ...], list[Skipped]]:
    """The tensors of one file, by its ending; or, without a known one, by how it starts."""
    safe = path.suffix == ".safetensors"
    if path.suffix not in ENDINGS:
        with open_file(path) as file:
            start = file.read(9)
        safe = start[8:] == b"{"
    if not safe:
        return checkpoint_parameters(path)
    return sorted(safetensors_parameters(path), key=_order), (), []
