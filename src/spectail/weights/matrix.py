"""The weight matrices of a module, state dict or file, one at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

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
