"""How a parameter becomes matrices: whole, transposed, by gate, by query, key and value, by kernel position."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jaxtyping import Shaped
from torch import Tensor

from spectail.weights.matrix import ConvMatrix

View = Callable[[Tensor], Tensor]
"""From a whole parameter to slices × rows × cols of it; a view of it where that is possible."""

GATES = {
    "lstm": ("input gate", "forget gate", "cell", "output gate"),
    "gru": ("reset gate", "update gate", "new"),
    "rnn": ("",),
}

QKV = ("q", "k", "v")


@dataclass(frozen=True)
class Part:
    """One matrix of a parameter: what it is called, where there are several, and how it is seen in it."""

    label: str
    view: View


@dataclass(frozen=True)
class Splitting:
    """The matrices of a parameter."""

    kind: str
    parts: tuple[Part, ...]
    note: str = ""


def whole(kind: str, note: str = "") -> Splitting:
    """The parameter is the matrix, out × in."""
    return Splitting(kind, (Part("", lambda tensor: tensor[None]),), note)


def transposed(kind: str, note: str = "") -> Splitting:
    """The parameter is the matrix, stored in × out."""
    return Splitting(kind, (Part("", lambda tensor: tensor.T[None]),), note)


def stack(kind: str = "weight") -> Splitting:
    """Leading dimensions count matrices: the experts of a mixture, say. Leading ones are broadcasting only."""

    def view(tensor: Tensor) -> Tensor:
        while tensor.ndim > 2 and tensor.shape[0] == 1:
            tensor = tensor[0]
        return tensor[None] if tensor.ndim == 2 else tensor.flatten(0, -3)

    return Splitting(kind, (Part("", view),))


def blocks(kind: str, labels: Sequence[str], *, stored_transposed: bool = False, note: str = "") -> Splitting:
    """Equal blocks of output rows, one after the other: the gates of a recurrent layer, or q, k and v.

    Args:
        kind: of each block.
        labels: one a block, in order.
        stored_transposed: the parameter is in × out, and its columns are the blocks.
        note: for each row.

    Returns:
        one part a block.
    """

    def block(index: int) -> View:
        def view(tensor: Shaped[Tensor, "first second"]) -> Shaped[Tensor, "1 rows cols"]:
            tensor = tensor.T if stored_transposed else tensor
            return tensor.reshape(len(labels), -1, tensor.shape[1])[index][None]

        return view

    return Splitting(kind, tuple(Part(label, block(index)) for index, label in enumerate(labels)), note)


def interleaved_heads(heads: int, note: str = "") -> Splitting:
    """Query, key and value of one head, then those of the next (GPT-NeoX, BLOOM, Megatron).

    Args:
        heads: how many.
        note: for each row.

    Returns:
        q, k and v, each of all heads.
    """

    def block(index: int) -> View:
        return lambda tensor: tensor.reshape(heads, len(QKV), -1, tensor.shape[1])[:, index].flatten(0, 1)[None]

    return Splitting("attention", tuple(Part(label, block(index)) for index, label in enumerate(QKV)), note)


def kernel(
    shape: Sequence[int], conv: ConvMatrix, *, groups: int = 1, transpose: bool = False, note: str = ""
) -> Splitting:
    """The matrices of a convolution: of each group, as groups do not see one another.

    Args:
        shape: out × in/groups × positions…, or in × out/groups × positions… of a transposed one.
        conv: how positions become matrices.
        groups: how many blocks the channels fall into.
        transpose: whether the convolution is a transposed one.
        note: for its row.

    Returns:
        one part: groups · positions slices of out/groups × in/groups, or groups slices of
        out/groups × (in/groups · positions).
    """

    def view(tensor: Shaped[Tensor, "first second *positions"]) -> Shaped[Tensor, "slices rows cols"]:
        blocks = tensor.reshape(groups, -1, *tensor.shape[1:]).flatten(3)
        if transpose:
            blocks = blocks.transpose(1, 2)
        if conv is ConvMatrix.FLATTEN:
            return blocks.flatten(2)
        return blocks.permute(0, 3, 1, 2).flatten(0, 1)

    kind = f"conv{'-transpose' if transpose else ''}{len(shape) - 2}d"
    if groups > 1:
        note = "; ".join(filter(None, (note, f"{groups} groups, each of its own")))
    return Splitting(kind, (Part("", view),), note)


def bilinear(conv: ConvMatrix) -> Splitting:
    """The in₁ × in₂ form of each output, pooled; or out × (in₁ · in₂) where kernels are flattened."""
    if conv is ConvMatrix.FLATTEN:
        return Splitting("bilinear", (Part("", lambda tensor: tensor.flatten(1)[None]),))
    return Splitting("bilinear", (Part("", lambda tensor: tensor),), "one in₁ × in₂ form an output, pooled")
