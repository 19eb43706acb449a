"""How a parameter becomes matrices: whole, transposed, by gate, by query, key and value, by kernel position.

Here: the ways. Not here: which parameter goes which way (`by_module`, `by_name`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jaxtyping import Shaped
from torch import Tensor

from spectail.weights.matrix import ConvMatrix

View = Callable[[Tensor], Tensor]
"""From values to slices × rows × cols of them; a view of them where that is possible."""

GATES = {
    "lstm": ("input gate", "forget gate", "cell", "output gate"),
    "gru": ("reset gate", "update gate", "new"),
    "rnn": ("",),
}

QKV = ("q", "k", "v")


@dataclass(frozen=True)
class Place:
    """Where one matrix lies in its parameter.

    Attributes:
        label: what it is called, where there are several.
        view: from the block of the parameter that it lies in to the matrix.
        block: which one this is of how many equal blocks of the first dimension; (0, 1) is the whole parameter.
    """

    label: str
    view: View
    block: tuple[int, int] = (0, 1)

    def rows(self, size: int) -> tuple[int, int]:
        """From which index of the first dimension, of a given size, up to which one its block reaches."""
        index, count = self.block
        return index * size // count, (index + 1) * size // count


@dataclass(frozen=True)
class Splitting:
    """The matrices of a parameter: of which kind, and where each lies in it."""

    kind: str
    places: tuple[Place, ...]
    note: str = ""


def whole(kind: str, note: str = "") -> Splitting:
    """The parameter is the matrix, out × in."""
    return Splitting(kind, (Place("", lambda tensor: tensor[None]),), note)


def transposed(kind: str, note: str = "") -> Splitting:
    """The parameter is the matrix, stored in × out."""
    return Splitting(kind, (Place("", lambda tensor: tensor.T[None]),), note)


def stack(kind: str = "weight") -> Splitting:
    """Leading dimensions count matrices: the experts of a mixture, say. Leading ones are broadcasting only."""

    def view(tensor: Tensor) -> Tensor:
        while tensor.ndim > 2 and tensor.shape[0] == 1:
            tensor = tensor[0]
        return tensor[None] if tensor.ndim == 2 else tensor.flatten(0, -3)

    return Splitting(kind, (Place("", view),))


def blocks(kind: str, labels: Sequence[str], *, stored_transposed: bool = False, note: str = "") -> Splitting:
    """Equal blocks of output rows, one after the other: the gates of a recurrent layer, or q, k and v.

    Args:
        kind: of each block.
        labels: one a block, in order.
        stored_transposed: the parameter is in × out, and its columns are the blocks.
        note: for each row.

    Returns:
        a matrix for each block.
    """

    def columns(index: int) -> View:
        return lambda tensor: tensor.T.reshape(len(labels), -1, tensor.shape[0])[index][None]

    places = (
        Place(label, columns(index))
        if stored_transposed
        else Place(label, lambda tensor: tensor[None], (index, len(labels)))
        for index, label in enumerate(labels)
    )
    return Splitting(kind, tuple(places), note)


def interleaved_heads(heads: int, note: str = "") -> Splitting:
    """Query, key and value of one head, then those of the next (GPT-NeoX, BLOOM, Megatron).

    Args:
        heads: how many.
        note: for each row.

    Returns:
        q, k and v, each of all heads.
    """

    def heads_of(index: int) -> View:
        return lambda tensor: tensor.reshape(heads, len(QKV), -1, tensor.shape[1])[:, index].flatten(0, 1)[None]

    return Splitting("attention", tuple(Place(label, heads_of(index)) for index, label in enumerate(QKV)), note)


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
        one matrix: groups · positions slices of out/groups × in/groups, or groups slices of
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
    return Splitting(kind, (Place("", view),), note)


def bilinear(conv: ConvMatrix) -> Splitting:
    """The in₁ × in₂ form of each output, pooled; or out × (in₁ · in₂) where kernels are flattened."""
    if conv is ConvMatrix.FLATTEN:
        return Splitting("bilinear", (Place("", lambda tensor: tensor.flatten(1)[None]),))
    return Splitting("bilinear", (Place("", lambda tensor: tensor),), "one in₁ × in₂ form an output, pooled")
