"""How a parameter becomes matrices: whole, transposed, by gate, by query, key and value, by kernel position.

Here: the ways. Not here: which way a parameter goes by the class of its module (`by_module`) or its name (`by_name`),
what a fused layer consists of (`fused`), and products of the matrices of a head (`heads`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, product

import torch
from jaxtyping import Shaped
from torch import Tensor

from spectail.weights.matrix import ConvMatrix, joined_notes

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
        span: from which index of the first dimension up to which one it reaches, where blocks are not equal.
    """

    label: str
    view: View
    block: tuple[int, int] = (0, 1)
    span: tuple[int, int] | None = None

    def extent(self, size: int) -> tuple[int, int]:
        """From which index of the first dimension, of a given size, up to which one its block reaches."""
        if self.span is not None:
            return self.span
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


def in_one(splitting: Splitting, shape: Sequence[int]) -> Splitting:
    """Puts a split parameter together again: one matrix, out × in. One that is not split, or not 2-D, stays as it is.

    Args:
        splitting: of a parameter.
        shape: of the parameter.
    """
    if len(splitting.places) == 1 or len(shape) != 2:
        return splitting
    first, last = splitting.places[0].extent(shape[0])
    part = splitting.places[0].view(torch.empty(last - first, shape[1], device="meta"))
    return (whole if part.shape[-1] == shape[1] else transposed)(splitting.kind)


def squeezed(kind: str, note: str = "") -> Splitting:
    """The parameter is one matrix: dimensions of size 1 do not count, and all others before the last are its rows.

    A table of positions, 1 × positions × channels, or 1 × height × width × channels.
    """

    def view(tensor: Tensor) -> Tensor:
        matrix = tensor.squeeze()
        if matrix.ndim > 2 and matrix.shape[-1] == matrix.shape[-2] != matrix.shape[0]:
            return matrix.flatten(1)[None]  # channels × height × width
        return matrix.reshape(-1, matrix.shape[-1])[None]

    return Splitting(kind, (Place("", view),), note)


MOST_MATRICES = 4096
"""Matrices of one parameter beyond which they are pooled: a row each would say nothing that one can read."""

GATE_UP = ("gate", "up")


def stack(
    shape: Sequence[int],
    kind: str = "weight",
    *,
    stored_transposed: bool = False,
    parts: Sequence[str] = (),
    interleaved: bool = False,
    note: str = "",
) -> Splitting:
    """A stack of matrices, such as experts: all dimensions but the last two count them; ones do not count.

    Args:
        shape: of the parameter.
        kind: of each matrix.
        stored_transposed: each is in × out.
        parts: what the parts of each matrix's outputs are called, where several layers are in one.
        interleaved: the parts alternate, such as even and odd outputs, instead of following one another.
        note: for each row.

    Returns:
        a matrix for each index, and for each part of it.
    """
    counts = tuple(shape[:-2])
    indices = list(product(*map(range, counts))) if math.prod(counts) <= MOST_MATRICES else []
    if not indices:
        note = joined_notes(note, f"{math.prod(counts)} matrices, pooled")
        return Splitting(kind, (Place("", lambda tensor: tensor.flatten(0, -3)),), note)

    def view_of(inner: tuple[int, ...], part: int | None) -> View:
        def view(block: Tensor) -> Tensor:
            matrix = block[(0, *inner)] if counts else block
            outputs = matrix.T if stored_transposed else matrix
            if part is not None:
                count = len(parts)
                outputs = outputs[part::count] if interleaved else outputs.reshape(count, -1, outputs.shape[1])[part]
            return outputs[None]

        return view

    places = []
    for index in indices:
        at = ", ".join(str(i) for i, count in zip(index, counts, strict=True) if count > 1)
        block = (index[0], counts[0]) if counts else (0, 1)
        for part, called in enumerate(parts or ("",)):
            label = ", ".join(filter(None, (at, called)))
            places.append(Place(label, view_of(index[1:], part if parts else None), block))
    return Splitting(kind, tuple(places), note)


def sections(
    kind: str, sizes: Sequence[tuple[str, int]], *, stored_transposed: bool = False, note: str = ""
) -> Splitting:
    """Blocks of output rows of any sizes, one after the other.

    Args:
        kind: of each.
        sizes: what each is called, and how many rows it has.
        stored_transposed: the parameter is in × out, and its columns are the sections.
        note: for each row.

    Returns:
        a matrix for each section.
    """
    ends = [*accumulate(size for _, size in sizes)]
    places = (
        Place(label, _with_outputs_first, span=(end - size, end))
        for (label, size), end in zip(sizes, ends, strict=True)
    )
    return Splitting(kind, tuple(_of_columns(one) if stored_transposed else one for one in places), note)


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
    places = (Place(label, _with_outputs_first, (index, len(labels))) for index, label in enumerate(labels))
    return Splitting(kind, tuple(_of_columns(one) if stored_transposed else one for one in places), note)


def _with_outputs_first(block: Tensor) -> Tensor:
    return block[None]


def _of_columns(place: Place) -> Place:
    """The same block of the last dimension: of a parameter that is in × out."""
    return Place(place.label, lambda tensor: tensor[:, slice(*place.extent(tensor.shape[1]))].T[None])


def grouped_heads(heads: int, groups: int, note: str = "") -> Splitting:
    """The queries of a group of heads with its key and its value, then those of the next group.

    Where each head has its own key and value, as many groups as heads: GPT-NeoX, BLOOM, Megatron. Fewer: Falcon,
    InternLM2.

    Args:
        heads: how many.
        groups: how many keys and values.
        note: for each row.

    Returns:
        q, k and v, each of all heads.
    """
    queries = heads // groups
    inside = {"q": slice(queries), "k": slice(queries, queries + 1), "v": slice(queries + 1, None)}

    def heads_of(which: slice) -> View:
        return lambda tensor: tensor.reshape(groups, queries + 2, -1, tensor.shape[1])[:, which].flatten(0, 2)[None]

    return Splitting("attention", tuple(Place(label, heads_of(which)) for label, which in inside.items()), note)


def split_heads(heads: int, sizes: Sequence[tuple[str, int]], note: str = "") -> Splitting:
    """Several parts of one head, each of its own size, then those of the next.

    Args:
        heads: how many.
        sizes: what each part is called, and how many rows of a head it has.
        note: for each row.

    Returns:
        each part, of all heads.
    """

    def rows_of(first: int, last: int) -> View:
        return lambda tensor: tensor.reshape(heads, -1, tensor.shape[1])[:, first:last].flatten(0, 1)[None]

    places, first = [], 0
    for label, size in sizes:
        places.append(Place(label, rows_of(first, first + size)))
        first += size
    return Splitting("attention", tuple(places), note)


def kernel(
    shape: Sequence[int], conv: ConvMatrix, *, groups: int = 1, conv_transpose: bool = False, note: str = ""
) -> Splitting:
    """The matrices of a convolution: of each group, as groups do not see one another.

    Filters of one channel, those of a depthwise convolution or of one that has one input, are one matrix, filters ×
    positions, and so is the kernel of one output, channels × positions: slices of it would be vectors. Filters of one
    channel make this matrix whatever the number of groups is, so that nobody needs to know it.

    Args:
        shape: out × in/groups × positions…, or in × out/groups × positions… of a transposed one.
        conv: how positions become matrices.
        groups: how many blocks the channels fall into.
        conv_transpose: whether the convolution is a transposed one.
        note: for its row.

    Returns:
        one matrix: groups · positions slices of out/groups × in/groups, or groups slices of
        out/groups × (in/groups · positions).
    """
    kind = f"conv{'-transpose' if conv_transpose else ''}{len(shape) - 2}d"
    if shape[1] == 1:
        note = joined_notes(note, "filters of one channel: filters × positions")
        return Splitting(kind, (Place("", lambda tensor: tensor.flatten(1)[None]),), note)
    if shape[0] == 1 and math.prod(shape[2:]) > 1:
        note = joined_notes(note, "one filter: channels × positions")
        return Splitting(kind, (Place("", lambda tensor: tensor[0].flatten(1)[None]),), note)

    def view(tensor: Shaped[Tensor, "first second *positions"]) -> Shaped[Tensor, "slices rows cols"]:
        grouped = tensor.reshape(groups, -1, *tensor.shape[1:]).flatten(3)
        if conv_transpose:
            grouped = grouped.transpose(1, 2)
        if conv is ConvMatrix.FLATTEN:
            return grouped.flatten(2)
        return grouped.permute(0, 3, 1, 2).flatten(0, 1)

    if groups > 1:
        note = joined_notes(note, f"{groups} groups, each of its own")
    return Splitting(kind, (Place("", view),), note)


def modulated(shape: Sequence[int], conv: ConvMatrix) -> Splitting:
    """The kernel of a modulated convolution (StyleGAN 2), 1 × out × in × positions…; of several, each has a row."""
    one = kernel(shape[1:], conv)
    view = one.places[0].view
    places = (
        Place(str(index) if shape[0] > 1 else "", lambda tensor: view(tensor[0]), (index, shape[0]))
        for index in range(shape[0])
    )
    note = joined_notes(one.note, "as stored, before it is modulated")
    return Splitting(one.kind, tuple(places), note)


def bilinear(conv: ConvMatrix) -> Splitting:
    """The in₁ × in₂ form of each output, pooled; or out × (in₁ · in₂) where kernels are flattened."""
    if conv is ConvMatrix.FLATTEN:
        return Splitting("bilinear", (Place("", lambda tensor: tensor.flatten(1)[None]),))
    return Splitting("bilinear", (Place("", lambda tensor: tensor),), "one in₁ × in₂ form an output, pooled")
