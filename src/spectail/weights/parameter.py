"""A parameter before it is read: what it is, whether it holds a matrix, and with whom it shares its values."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from spectail.weights.matrix import Skipped, WeightMatrix, Weights
from spectail.weights.splitting import Splitting


@dataclass(frozen=True)
class Parameter:
    """A named tensor of a model, in memory or in a file.

    Attributes:
        name: its full name.
        shape: its shape.
        load: reads it whole.
        refusal: why it is not analysed; empty where it is.
        memory: equal for two parameters that share their values; None where nothing is shared.
        resident: whether it stays in memory, so that its parts may be views of it.
        note: what its matrices' rows should say.
    """

    name: str
    shape: tuple[int, ...]
    load: Callable[[], Tensor] = field(repr=False)
    refusal: str = ""
    memory: Hashable | None = None
    resident: bool = True
    note: str = ""


def from_tensor(name: str, tensor: Tensor, load: Callable[[], Tensor], *, resident: bool = True) -> Parameter:
    """The description of a tensor that is in memory, or mapped into it.

    Args:
        name: its full name.
        tensor: looked at, not kept.
        load: gives it again.
        resident: whether what `load` gives stays in memory anyhow.

    Returns:
        the description, with a refusal where the tensor cannot be analysed.
    """
    refusal = _why_opaque(tensor)
    shape = () if is_lazy(tensor) else tuple(tensor.shape)
    memory = None
    if not refusal:
        refusal = why_not_values(tensor.dtype) or why_not_matrix(shape) or _why_overlapping(tensor)
        # a transposed view has the same spectrum: the order of the dimensions does not tell two apart
        layout = tuple(sorted(zip(shape, tensor.stride(), strict=True)))
        memory = (
            str(tensor.device),
            tensor.untyped_storage().data_ptr(),
            tensor.storage_offset(),
            tensor.dtype,
            layout,
        )
    return Parameter(name, shape, load, refusal, memory, resident)


def why_not_matrix(shape: tuple[int, ...]) -> str:
    """Why a tensor of this shape holds no matrix; empty if it does."""
    if 0 in shape:
        return "empty"
    if len(shape) == 0:
        return "a scalar"
    if len(shape) == 1:
        return "a vector: a bias, a scale or a statistic"
    if len(shape) > 2 and sum(size > 1 for size in shape) <= 1 and shape[0] == 1:
        return "a vector, shaped to broadcast"
    return ""


def why_not_values(dtype: torch.dtype) -> str:
    """Why values of this dtype are not analysed; empty if they are."""
    name = str(dtype).removeprefix("torch.")
    if dtype.is_complex:
        return f"complex numbers ({name})"
    if not dtype.is_floating_point:
        return f"integers ({name}): indices, masks, or weights quantised and packed"
    if "float4" in name:
        return f"quantised and packed ({name})"
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


def make_weights(
    title: str, planned: Iterable[tuple[Parameter, Splitting | None]], skipped: Iterable[Skipped] = ()
) -> Weights:
    """The matrices of a list of parameters; those that share their values once.

    Args:
        title: what the source is called.
        planned: the parameters in the order of definition, each with how it becomes matrices; None for one
            that is known to be a mask.
        skipped: what was left out before.

    Returns:
        the matrices, unread, and everything that was left out.
    """
    matrices: list[WeightMatrix] = []
    left_out: list[Skipped] = []
    first: dict[Hashable, str] = {}
    others: dict[str, list[str]] = {}
    kept: list[tuple[Parameter, Splitting]] = []
    for parameter, plan in planned:
        if parameter.refusal or plan is None:
            left_out.append(Skipped(parameter.name, parameter.shape, parameter.refusal or "a mask, not a weight"))
            continue
        known = first.setdefault(parameter.memory, parameter.name) if parameter.memory else parameter.name
        if known != parameter.name:
            others.setdefault(known, []).append(parameter.name)
            left_out.append(
                Skipped(parameter.name, parameter.shape, f"tied: the same values as {known}, analysed there")
            )
            continue
        kept.append((parameter, plan))
    for parameter, plan in kept:
        tied = f"tied to {', '.join(others[parameter.name])}" if parameter.name in others else ""
        matrices += _matrices(parameter, plan, "; ".join(filter(None, (parameter.note, plan.note, tied))))
    return Weights(title, tuple(matrices), (*left_out, *skipped))


def _matrices(parameter: Parameter, plan: Splitting, note: str) -> list[WeightMatrix]:
    found = []
    for part in plan.parts:

        def load(view: Callable[[Tensor], Tensor] = part.view) -> Tensor:
            seen = view(parameter.load())
            # a part of what was read for it alone must not hold the rest in memory
            return seen if parameter.resident or len(plan.parts) == 1 else seen.clone()

        slices, rows, cols = part.view(torch.empty(parameter.shape, device="meta")).shape
        name = f"{parameter.name}[{part.label}]" if part.label else parameter.name
        found.append(WeightMatrix(name, plan.kind, rows, cols, slices, load, note))
    return found


def _order(parameter: Parameter) -> list[tuple[int, int, str]]:
    """By name, with numbers as numbers: layer 2 before layer 10. Such files keep no order of definition."""
    pieces = re.split(r"(\d+)", parameter.name)
    return [
        (0, len(piece.lstrip("0")), piece.lstrip("0")) if index % 2 else (1, 0, piece)
        for index, piece in enumerate(pieces)
    ]
