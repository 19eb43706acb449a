"""What every function of this room is handed and computes in: tensors, float64, a device, what counts as zero.

Not here: anything that a spectrum says.
"""

from __future__ import annotations

import inspect
import reprlib
from collections.abc import Callable
from functools import wraps
from itertools import zip_longest
from typing import Any, Concatenate, ParamSpec, TypeVar, overload

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from spectail.errors import SpectailError

NOT_FINITE = "weights hold NaN or inf, so they have no spectrum"
"""The note of a matrix whose weights are not finite."""

# Eigenvalues at or below this share of the largest are rounding, not spectrum: they count as zero.
ZERO_SHARE = 1e-14

_FLOATS = (np.dtype(np.float16), np.dtype(np.float32), np.dtype(np.float64))

_Values = Tensor | ArrayLike  # what is taken for a tensor: one, an array of NumPy or xarray, a list of numbers
_P = ParamSpec("_P")
_R = TypeVar("_R")
_Self = TypeVar("_Self")


def float64(values: Tensor) -> Tensor:
    """The values in float64, outside autograd: on their own device, or on the CPU if that has no float64."""
    values = values.detach()
    return (values.cpu() if values.device.type == "mps" else values).to(torch.float64)


def like(values: Tensor, other: Tensor) -> Tensor:
    """The values in another tensor's dtype, on its device; rounded before they move, so that it needs no float64."""
    return values.to(other.dtype).to(other.device)


def as_tensor(values: _Values) -> Tensor:
    """The tensor that values are, or that an array or a list makes.

    Integers become float64, floats keep their dtype, but those of 8 bits, with which torch cannot reckon, become
    bfloat16, which holds each of them exactly. An array that torch cannot share is copied; sparse tensors become dense.

    Raises:
        SpectailError: they are not real numbers in rows of one length.

    >>> as_tensor([[1, 2], [3, 4]]).dtype
    torch.float64
    """
    if isinstance(values, Tensor):
        if values.is_complex():
            raise SpectailError(f"expected real numbers, got a tensor of {values.dtype}")
        if values.is_meta:
            raise SpectailError("expected numbers, got a tensor on the meta device, which holds none")
        values = values if values.layout == torch.strided else values.to_dense()
        if values.is_floating_point():
            return values.to(torch.bfloat16) if values.element_size() == 1 else values
        return float64(values)
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, RuntimeError):
        raise SpectailError("expected numbers in rows of one length, got rows of several") from None
    if not array.ndim and array.dtype.kind not in "biufc":
        raise SpectailError(f"expected a tensor, an array or a list, got {reprlib.repr(values)}")
    if array.dtype.kind not in "biuf":
        raise SpectailError(f"expected real numbers, got values of type {array.dtype}")
    array = array if array.dtype in _FLOATS else array.astype(np.float64)
    shared = array.flags.writeable and min(array.strides, default=0) >= 0
    return torch.from_numpy(array if shared else array.copy())


@overload
def takes_arrays(
    function: Callable[Concatenate[Tensor, Tensor, _P], _R],
) -> Callable[Concatenate[_Values, _Values, _P], _R]: ...
@overload
def takes_arrays(  # type: ignore[overload-overlap]  # a method's self is no tensor
    function: Callable[Concatenate[Tensor, _P], _R],
) -> Callable[Concatenate[_Values, _P], _R]: ...
@overload
def takes_arrays(
    function: Callable[Concatenate[_Self, Tensor, _P], _R],
) -> Callable[Concatenate[_Self, _Values, _P], _R]: ...
def takes_arrays(function: Callable[..., _R]) -> Callable[..., _R]:
    """Decorator: arrays and lists are taken wherever a function, or a method, takes tensors."""
    return _converting(function)


def takes_matrix(function: Callable[Concatenate[Tensor, _P], _R]) -> Callable[Concatenate[_Values, _P], _R]:
    """`takes_arrays`, and a first argument that is no matrix W is refused in a sentence."""
    return _converting(function, check_matrix)


def takes_spectrum(function: Callable[Concatenate[Tensor, _P], _R]) -> Callable[Concatenate[_Values, _P], _R]:
    """`takes_arrays`, and a first argument that is not one spectrum is refused in a sentence."""
    return _converting(function, check_spectrum)


def check_matrix(values: Tensor) -> None:
    """Refuse what is not two-dimensional, or has no entry.

    Raises:
        SpectailError: it says which shape it has.
    """
    if values.ndim != 2 or values.numel() == 0:
        raise SpectailError(f"weights must be a matrix that is not empty, got shape {tuple(values.shape)}")


def check_spectrum(values: Tensor) -> None:
    """Refuse what is not the eigenvalues of one matrix.

    Raises:
        SpectailError: there are none, or they are not in one dimension.
    """
    if values.numel() == 0:
        raise SpectailError("a spectrum has at least one eigenvalue, got none")
    if values.ndim != 1:
        raise SpectailError(
            f"a spectrum is eigenvalues in one dimension, got shape {tuple(values.shape)}; "
            "those of a matrix W are eigenvalues(W)"
        )


def check_device(device: str | torch.device) -> torch.device:
    """A device that exists here.

    Raises:
        SpectailError: torch does not know it, or cannot use it on this machine.
    """
    try:
        usable = torch.device(device)
        torch.empty(0, device=usable)
    except (RuntimeError, AssertionError, NotImplementedError, ValueError):
        raise SpectailError(
            f"device={str(device)!r} is not available here; expected cpu, cuda or mps, as the machine has them"
        ) from None
    return usable


def _converting(function: Callable[..., _R], check: Callable[[Tensor], None] | None = None) -> Callable[..., _R]:
    """A function that is handed tensors in the place of arrays and lists, the first of them checked."""
    names, tensors = [], set()
    for name, one in inspect.signature(function).parameters.items():
        names.append(name)
        if "Tensor" in str(one.annotation):
            tensors.add(name)
    first = names[0]

    @wraps(function)
    def converting(*arguments: Any, **options: Any) -> _R:
        known = zip_longest(arguments, names[: len(arguments)])
        arguments = tuple(as_tensor(value) if name in tensors else value for value, name in known)
        options = {name: as_tensor(value) if name in tensors else value for name, value in options.items()}
        if check is not None and (arguments or first in options):
            check(arguments[0] if arguments else options[first])
        return function(*arguments, **options)

    return converting
