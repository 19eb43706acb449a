"""What weights are handed on as: matrices, unread, and what was left out.

Here: what every other room may know of weights. Not here: where they come from, and how a parameter became matrices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from spectail.errors import SettingError

if TYPE_CHECKING:
    import pandas as pd


class ConvMatrix(StrEnum):
    """How a convolution's kernel becomes matrices.

    `KERNEL_SLICES`: one out × in matrix, a slice, for each position of the kernel, squared singular values of
    all slices pooled, as the paper's program inherits it. `FLATTEN`: one out × (in · positions) matrix.
    """

    KERNEL_SLICES = "kernel-slices"
    FLATTEN = "flatten"


def _unchanged(values: Tensor) -> Tensor:
    return values


@dataclass(frozen=True)
class Factors:
    """A matrix by its factors, in float64: the product of both, or their Kronecker product."""

    left: Float[Tensor, "h r"]
    right: Float[Tensor, "k d"]
    kronecker: bool = False

    def product(self) -> Float[Tensor, "rows cols"]:
        """The matrix itself."""
        return torch.kron(self.left, self.right) if self.kronecker else self.left @ self.right


@dataclass(frozen=True)
class WeightMatrix:
    """One matrix of a model, or the slices of one kernel; read when asked for.

    Attributes:
        name: the parameter's full name; where the parameter was split, followed in brackets by which part this is, as
            in "rnn.weight_ih_l0[input gate]" or "attn.in_proj_weight[q]".
        kind: "linear", "conv2d", "conv-transpose1d", "embedding", "lstm", "attention", …; "weight" where only
            a state dict is known and names and shapes do not tell.
        rows: of each slice.
        cols: of each slice.
        slices: how many matrices of this shape are pooled into one spectrum; 1 except for kernels and stacks.
        read: reads the values that it lies in; one function for all matrices that are read together.
        note: what a reader of the row should know, such as "tied to decoder.weight".
        view: turns what `read` gives into slices × rows × cols.
        dtype: how the weights are stored; "" where they are computed from others.
        product: whether it is a product of weights, for which Gaussian matrices of its shape are no null.
        rank: the largest that it can have, where it is known by its factors; 0 where every rank is possible.
        factors: reads them, where its spectrum is known by them; `read` multiplies them.
    """

    name: str
    kind: str
    rows: int
    cols: int
    slices: int
    read: Callable[[], Tensor] = field(repr=False)
    note: str = ""
    view: Callable[[Tensor], Tensor] = field(default=_unchanged, repr=False)
    dtype: str = ""
    product: bool = False
    rank: int = 0
    factors: Callable[[], Factors] | None = field(default=None, repr=False)

    @property
    def layer(self) -> str:
        """The block that it is in, such as "model.layers.7"; empty where it is in none."""
        return layer_of(self.name)

    def load(self) -> Shaped[Tensor, "slices rows cols"]:
        """Read this matrix alone.

        Returns:
            slices × rows × cols, in the dtype it is stored in (8-bit floats in float32), on the device it is on. A
            view of the parameter where that is in memory: never write to it.

        Raises:
            SourceError: its file is not what it was when it was opened.
        """
        return self.view(self.read())

    def with_values(self, read: Callable[[], Tensor]) -> WeightMatrix:
        """The same matrix with other values.

        Args:
            read: gives them as slices × rows × cols.
        """
        return replace(self, read=read, view=_unchanged)


_PARTS_OF_STAGES = frozenset({"blocks", "resnets", "attentions", "transformer_blocks"})
"""What holds the numbered blocks of a numbered stage. The numbered layers of a block are no blocks."""


def joined_notes(*notes: str) -> str:
    """One note of several; those that are empty say nothing."""
    return "; ".join(filter(None, notes))


def layer_of(name: str) -> str:
    """The block of a model that a parameter or matrix is in: its path up to the number of the block.

    A sequence in a block, and the experts of one, belong to the block. Blocks of a stage are blocks.

    Args:
        name: of it.

    Returns:
        the path; empty for what is in no block, such as embeddings and heads.

    >>> layer_of("model.layers.7.mlp.experts.3.w1.weight"), layer_of("lm_head.weight")
    ('model.layers.7', '')
    >>> layer_of("layer1.0.conv2.weight"), layer_of("stages.0.blocks.1.mlp.fc1.weight")
    ('layer1.0', 'stages.0.blocks.1')
    """
    steps = name.partition("[")[0].split(".")[:-1]
    at = next((index for index, step in enumerate(steps) if step.isdigit()), None)
    if at is None:
        return ""
    while at + 1 < len(steps):
        if steps[at + 1].isdigit():
            at += 1
        elif steps[at + 1] in _PARTS_OF_STAGES and at + 2 < len(steps) and steps[at + 2].isdigit():
            at += 2
        else:
            break
    return ".".join(steps[: at + 1])


def read_once(matrices: Iterable[WeightMatrix]) -> tuple[WeightMatrix, ...]:
    """The same matrices, for a loop over them: a parameter that holds several in a row is read once for all of them.

    It stays in memory until one that lies elsewhere is loaded, or the matrices are let go of: at most one
    parameter, whatever the number of matrices.

    Args:
        matrices: in the order in which they will be loaded.

    Returns:
        them, in this order.

    >>> import torch
    >>> reads = []
    >>> def read():
    ...     reads.append("qkv")
    ...     return torch.ones(3, 2, 2)
    >>> views = [lambda values, i=i: values[i : i + 1] for i in range(3)]
    >>> fused = [WeightMatrix(name, "attention", 2, 2, 1, read, view=view) for name, view in zip("qkv", views)]
    >>> [matrix.load().shape[0] for matrix in read_once(fused)], reads
    ([1, 1, 1], ['qkv'])
    """
    last = LastRead()
    return tuple(matrix.with_values(partial(_viewed, last, matrix)) for matrix in matrices)


def _viewed(last: LastRead, matrix: WeightMatrix) -> Tensor:
    return matrix.view(last.values(matrix.read))


class LastRead:
    """What was read last, and by which function.

    >>> import torch
    >>> last, read = LastRead(), lambda: torch.ones(2)
    >>> last.values(read) is last.values(read)
    True
    """

    def __init__(self) -> None:
        self._read: Callable[[], Tensor] | None = None
        self._values: Tensor | None = None

    def values(self, read: Callable[[], Tensor]) -> Tensor:
        """What a function reads; it is not called again where it was the last one."""
        if self._values is None or self._read is not read:
            self._values = None  # not two parameters in memory at a time
            self._values, self._read = read(), read
        return self._values


@dataclass(frozen=True)
class Skipped:
    """A parameter that is not analysed, and why."""

    name: str
    shape: tuple[int, ...]
    reason: str


@dataclass(frozen=True, repr=False)
class Weights:
    """What a source holds: its matrices, in the order of definition, and what was left out."""

    title: str
    matrices: tuple[WeightMatrix, ...]
    skipped: tuple[Skipped, ...]

    def __repr__(self) -> str:
        return f"Weights of {self.title}: {len(self.matrices)} matrices, {len(self.skipped)} parameters skipped"

    def frame(self) -> pd.DataFrame:
        """A table of the matrices, one row each; nothing is read."""
        import pandas as pd

        columns = ["name", "kind", "rows", "cols", "slices", "dtype", "note"]
        return pd.DataFrame([[getattr(one, column) for column in columns] for one in self.matrices], columns=columns)

    def select(self, layers: str | Sequence[str] | None) -> Weights:
        """The matrices with these names, or whose names fit these patterns, and what was left out among those.

        Args:
            layers: names of matrices or of parameters that were split, or patterns as the shell has them:
                "encoder.*.weight". None takes all.

        Raises:
            SettingError: a pattern fits no matrix.

        >>> ones = [WeightMatrix(name, "linear", 2, 2, 1, lambda: None) for name in ("a.q", "a.k", "b.q")]
        >>> [one.name for one in Weights("model", tuple(ones), ()).select("a.*").matrices]
        ['a.q', 'a.k']
        """
        if layers is None:
            return self
        patterns = [layers] if isinstance(layers, str) else list(layers)
        if not patterns:
            raise SettingError("layers is empty; expected names or patterns, or None for all")
        fitting = {pattern: {one.name for one in self.matrices if _fits(one.name, pattern)} for pattern in patterns}
        for pattern, names in fitting.items():
            if not names:
                some = ", ".join(one.name for one in self.matrices[:5]) + (", …" if len(self.matrices) > 5 else "")
                raise SettingError(f"layers={pattern!r} fits no matrix of {self.title}; it has {some or 'none'}")
        chosen = set().union(*fitting.values())
        skipped = tuple(one for one in self.skipped if any(_fits(one.name, pattern) for pattern in patterns))
        return Weights(self.title, tuple(one for one in self.matrices if one.name in chosen), skipped)

    def each(self) -> Iterator[tuple[WeightMatrix, Shaped[Tensor, "slices rows cols"]]]:
        """Every matrix with its values, in order; a parameter is read once for all its matrices.

        At most one parameter is in memory, if the values are let go of (`del`) before the next are asked for.

        Returns:
            the matrices, and what `load` gives of each.

        Raises:
            SourceError: a file is not what it was when it was opened.
        """
        for matrix, reader in zip(self.matrices, read_once(self.matrices), strict=True):
            yield matrix, reader.load()


def _fits(name: str, pattern: str) -> bool:
    """Whether a matrix's name fits a pattern, or is that name, or the name of the parameter that it is a part of."""
    return pattern in (name, name.partition("[")[0]) or fnmatchcase(name, pattern)
