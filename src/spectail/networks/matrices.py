"""The weight matrices of a module, state dict or file, one at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from jaxtyping import Shaped
from torch import Tensor


class ConvMatrix(StrEnum):
    """How a convolution's kernel becomes matrices.

    `KERNEL_SLICES`: one out × in matrix for each position of the kernel, squared singular values of all
    of them pooled, as the paper's program inherits it. `FLATTEN`: one out × (in · positions) matrix.
    """

    KERNEL_SLICES = "kernel-slices"
    FLATTEN = "flatten"


@dataclass(frozen=True)
class WeightMatrix:
    """One matrix of a model, or the slices of one kernel; read when asked for.

    Attributes:
        name: the parameter's full name; with a part of it in brackets where it was split, as in
            "rnn.weight_ih_l0[input gate]" or "attn.in_proj_weight[q]".
        kind: "linear", "conv2d", "conv-transpose1d", "embedding", "lstm", "attention", …; "weight" where only
            a state dict is known and names and shapes do not tell.
        rows: of each matrix.
        cols: of each matrix.
        slices: how many matrices of this shape are pooled into one spectrum; 1 but for kernel slices.
        load: reads it: slices × rows × cols, in the dtype it is stored in, on the device it is on. A view of
            the parameter where it is in memory: never write to it.
        note: what a reader of the row should know, such as "tied to decoder.weight".
    """

    name: str
    kind: str
    rows: int
    cols: int
    slices: int
    load: Callable[[], Shaped[Tensor, "slices rows cols"]] = field(repr=False)
    note: str = ""


@dataclass(frozen=True)
class Skipped:
    """A parameter that is not analysed, and why."""

    name: str
    shape: tuple[int, ...]
    reason: str


@dataclass(frozen=True)
class Weights:
    """What a source holds: its matrices, in the order of definition, and what was left out."""

    title: str
    matrices: tuple[WeightMatrix, ...]
    skipped: tuple[Skipped, ...]


def open_weights(source: Any, conv: ConvMatrix | str = ConvMatrix.KERNEL_SLICES) -> Weights:
    """The matrices of a model, without reading them yet.

    Args:
        source: a module; a state dict; the path of a `.safetensors` file, of a `.pt`, `.pth` or `.bin` state dict, of
            the index of a sharded checkpoint, or of a folder that holds one of these; or "package.module:factory".
        conv: how a convolution's kernel becomes matrices.

    Returns:
        what it holds, in the order of definition.

    Raises:
        ValueError: the source is none of these, or a file is not what it says it is.
        OSError: a file cannot be read.
    """
    from torch import nn

    from spectail.networks.factories import made
    from spectail.networks.folders import file_weights
    from spectail.networks.modules import module_weights
    from spectail.networks.states import state_weights

    try:
        how = ConvMatrix(conv)
    except ValueError:
        raise ValueError(f"conv={conv!r} is not known; expected {' or '.join(ConvMatrix)}") from None
    title = ""
    if isinstance(source, str) and ":" in source and not os.path.exists(source):
        title, source = source, made(source)
    if isinstance(source, nn.Module):
        return module_weights(source, how, title)
    if isinstance(source, Mapping):
        return state_weights(source, how, title or "state dict")
    if isinstance(source, str | os.PathLike):
        return file_weights(Path(source), how)
    raise ValueError(f"a {type(source).__name__} is no source of weights; expected a module, a state dict or a path")
