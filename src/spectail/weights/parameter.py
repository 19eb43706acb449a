"""A parameter before it is read: what it is, whether it holds a matrix, and with whom it shares its values.

Here: what the three steps of `open_weights` hand to one another, and the last of them. Not here: where parameters
come from (`by_module`, `state_dict`, `folders`, `formats`), and which splitting each gets (`by_module`, `by_name`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from spectail.weights.matrix import Factors, Skipped, WeightMatrix, Weights, joined_notes
from spectail.weights.splitting import Splitting, View


@dataclass(frozen=True)
class Parameter:
    """A named tensor of a model, in memory or in a file.

    Attributes:
        name: its full name.
        shape: its shape.
        load: reads it whole.
        refusal: why it is not analysed; empty where it is.
        memory: equal for two parameters that share their values; None where nothing is shared.
        resident: whether it stays in memory, so that its matrices may be views of it.
        note: what its matrices' rows should say.
        load_rows: reads from one index of its first dimension up to another, and no more; None where that costs
            as much as to read it whole.
        dtype: how its values are stored, such as "bfloat16"; "" where they are computed.
        rank: the largest that its matrix can have, where that is known by its factors.
        factors: reads them.
    """

    name: str
    shape: tuple[int, ...]
    load: Callable[[], Tensor] = field(repr=False)
    refusal: str = ""
    memory: Hashable | None = None
    resident: bool = True
    note: str = ""
    load_rows: Callable[[int, int], Tensor] | None = field(default=None, repr=False)
    dtype: str = ""
    rank: int = 0
    factors: Callable[[], Factors] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Source:
    """What was read of a source: its parameters, before it is known how they become matrices.

    Attributes:
        title: what it is called.
        parameters: in the order of definition, as far as the source tells it.
        skipped: what else there was, and why it was left out.
        modules: of a module, by path: which one holds the parameters there, and which one is around it. None where
            only names are known.
        config: the model's configuration, where one lies beside its weights, as `config.json` does; else empty.
    """

    title: str
    parameters: Sequence[Parameter]
    skipped: Sequence[Skipped] = ()
    modules: Mapping[str, tuple[nn.Module, nn.Module | None]] | None = None
    config: Mapping[str, Any] = field(default_factory=dict)


def from_tensor(
    name: str,
    tensor: Tensor,
    load: Callable[[], Tensor],
    *,
    resident: bool = True,
    load_rows: Callable[[int, int], Tensor] | None = None,
) -> Parameter:
    """The description of a tensor that is in memory, or mapped into it.

    Args:
        name: its full name.
        tensor: looked at, not kept.
        load: gives it again.
        resident: whether what `load` gives stays in memory anyhow.
        load_rows: gives some rows of it, where that is less work.

    Returns:
        the description, with a refusal where the tensor cannot be analysed.
    """
    refusal = _why_opaque(tensor)
    shape = () if is_lazy(tensor) else tuple(tensor.shape)
    memory = None
    if not refusal:
        refusal = _why_overlapping(tensor) or why_not_values(tensor.dtype) or why_not_matrix(shape)
        # a transposed view has the same spectrum: the order of the dimensions does not tell two apart
        layout = tuple(sorted(zip(shape, tensor.stride(), strict=True)))
        memory = (
            str(tensor.device),
            tensor.untyped_storage().data_ptr(),
            tensor.storage_offset(),
            tensor.dtype,
            layout,
        )
    name_of_dtype = dtype_name(tensor.dtype)
    return Parameter(name, shape, load, refusal, memory, resident, load_rows=load_rows, dtype=name_of_dtype)


def from_array(array: NDArray[Any], name: str = "") -> Parameter:
    """The description of a numpy array; it is copied when it is read."""
    named = getattr(torch, array.dtype.name, None)
    dtype: torch.dtype | None = named if isinstance(named, torch.dtype) else None
    if dtype is None or array.dtype.itemsize != dtype.itemsize:
        reason = f"values of the kind {array.dtype}, not numbers"
        return Parameter(name, array.shape, lambda: torch.empty(0), reason, resident=False)

    def load() -> Tensor:  # bfloat16 and its like are known to PyTorch by their bytes only
        native = array.astype(array.dtype.newbyteorder("="), copy=False) if array.dtype.kind in "biufc" else array
        flat = torch.from_numpy(np.ascontiguousarray(native).reshape(-1).view(np.uint8).copy())
        return flat.view(dtype).reshape(array.shape)

    refusal = why_not_values(dtype) or why_not_matrix(array.shape)
    return Parameter(name, array.shape, load, refusal, resident=False, dtype=array.dtype.name)


def why_not_matrix(shape: tuple[int, ...]) -> str:
    """Why a tensor of this shape holds no matrix; empty if it does."""
    if 0 in shape:
        return "empty"
    if len(shape) == 0:
        return "a scalar"
    if len(shape) == 1:
        return "a vector: a bias, a scale or a statistic"
    return ""


def dtype_name(dtype: torch.dtype) -> str:
    """What rows call a dtype of PyTorch, such as "bfloat16"."""
    return str(dtype).removeprefix("torch.")


def why_not_values(dtype: torch.dtype) -> str:
    """Why values of this dtype are not analysed; empty if they are."""
    name = dtype_name(dtype)
    if dtype.is_complex:
        return f"complex numbers ({name})"
    if not dtype.is_floating_point:
        return f"integers ({name}): indices, masks, or weights quantised and packed"
    if "float4" in name:
        return f"quantised and packed ({name})"
    if "e8m0" in name:
        return f"powers of two ({name}): scales of weights, not weights"
    return ""


def _why_opaque(tensor: Tensor) -> str:
    """Why a tensor's values cannot be read as they lie in memory."""
    if is_lazy(tensor):
        return "not initialised yet: a lazy module gets its shape from its first batch"
    if type(tensor).__torch_dispatch__ is not Tensor.__torch_dispatch__:
        return f"a {type(tensor).__name__}, whose values are not plain (sharded or quantised): gather it first"
    if tensor.is_quantized:
        return f"quantised ({str(tensor.dtype).removeprefix('torch.')})"
    if tensor.is_nested or tensor.layout is not torch.strided:
        return f"not dense ({'nested' if tensor.is_nested else str(tensor.layout).removeprefix('torch.')})"
    if tensor.is_meta:
        return "without values: it is on the meta device"
    return ""


def _why_overlapping(tensor: Tensor) -> str:
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        return "expanded: fewer values are stored than its shape has"
    return ""


def make_weights(source: Source, splittings: Sequence[Splitting | str]) -> Weights:
    """The matrices of the parameters of a source; parameters that share their values give theirs once.

    Args:
        source: what was read.
        splittings: of each of its parameters in turn: how it becomes matrices, or why it does not.

    Returns:
        the matrices, unread, and everything that was left out.
    """
    skipped: list[Skipped] = []
    analysed: list[tuple[Parameter, Splitting]] = []
    first_names: dict[Hashable, str] = {}
    tied_names: dict[str, list[str]] = {}
    for parameter, splitting in zip(source.parameters, splittings, strict=True):
        if isinstance(splitting, str):
            skipped.append(Skipped(parameter.name, parameter.shape, splitting))
            continue
        first = first_names.setdefault(parameter.memory, parameter.name) if parameter.memory else parameter.name
        if first == parameter.name:
            analysed.append((parameter, splitting))
        else:
            tied_names.setdefault(first, []).append(parameter.name)
            reason = f"tied: the same values as {first}, analysed there"
            skipped.append(Skipped(parameter.name, parameter.shape, reason))
    matrices: list[WeightMatrix] = []
    for parameter, splitting in analysed:
        parameter = _upcast(parameter)
        tied = f"tied to {', '.join(tied_names[parameter.name])}" if parameter.name in tied_names else ""
        matrices += _matrices(parameter, splitting, joined_notes(parameter.note, splitting.note, tied))
    return Weights(source.title, tuple(matrices), (*skipped, *source.skipped))


def _upcast(parameter: Parameter) -> Parameter:
    """8-bit floats in float32, which holds them exactly: hardly an operation knows them as they are."""
    rows = parameter.load_rows
    if not parameter.dtype.startswith("float8"):
        return parameter
    return replace(
        parameter,
        load=lambda: _wider(parameter.load()),
        load_rows=None if rows is None else lambda first, last: _wider(rows(first, last)),
        resident=False,
    )


def _wider(values: Tensor) -> Tensor:
    return values.float() if values.dtype.itemsize == 1 else values


def _matrices(parameter: Parameter, splitting: Splitting, note: str) -> Iterator[WeightMatrix]:
    """The matrices of one parameter; those that are blocks of its rows read no more of it, where that is possible."""
    # one of several in what was read for all of them must not hold the rest in memory
    copied = not parameter.resident and len(splitting.places) > 1
    readers: dict[tuple[int, int], Callable[[], Tensor]] = {}  # one for all matrices in the same rows
    for place in splitting.places:
        first, last = place.extent(parameter.shape[0])
        block = torch.empty(last - first, *parameter.shape[1:], device="meta")
        slices, rows, cols = place.view(block).shape
        read: Callable[[], Tensor] = parameter.load
        view: View = partial(_view_of_rows, place.view, first, last, copied)
        if parameter.load_rows is not None and block.shape != parameter.shape:
            read = readers.setdefault((first, last), partial(parameter.load_rows, first, last))
            view = partial(_view_of_rows, place.view, 0, last - first, copied)
        name = f"{parameter.name}[{place.label}]" if place.label else parameter.name
        matrix = WeightMatrix(name, splitting.kind, rows, cols, slices, read, note, view, parameter.dtype)
        if parameter.factors is not None:
            matrix = replace(matrix, product=True, rank=parameter.rank, factors=parameter.factors)
        yield matrix


def _view_of_rows(view: View, first: int, last: int, copied: bool, values: Tensor) -> Tensor:
    matrix = view(values[first:last])
    return matrix.clone() if copied else matrix


def natural_order(parameter: Parameter) -> list[tuple[int, int, str]]:
    """By name, with numbers as numbers: layer 2 before layer 10. Some files keep no order of definition."""
    return natural_key(parameter.name)


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """What sorts names with their numbers as numbers."""
    pieces = re.split(r"(\d+)", name)
    return [
        (0, len(piece.lstrip("0")), piece.lstrip("0")) if index % 2 else (1, 0, piece)
        for index, piece in enumerate(pieces)
    ]
