"""What every scheme is handed and gives, and what several of them need.

Here: types, dtypes, and reading rows and small numbers. Not here: anything of one scheme.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import torch
from torch import Tensor

from spectail.weights.neighbours import Shape
from spectail.weights.parameter import Parameter

Parts = Mapping[str, Parameter]
"""The parameters of one quantised weight, by what they are in it: "" where they have the weight's own name."""

Config = Mapping[str, Any]
"""The entry `quantization_config` of a model's configuration; empty where there is none."""

StoredWeight = Parameter | str | None
"""The weight that parts are; why they are none; None where they are of another scheme."""

FLOATS = frozenset({"float16", "bfloat16", "float32", "float64"})

FP8 = frozenset({"float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz"})

BYTES = frozenset({"uint8", "int8", "float4_e2m1fn_x2"})

POWERS_OF_TWO = frozenset({"uint8", "float8_e8m0fnu"})

SCALE_NAMES = ("_scale", "_scale_inv", "scale", "scale_inv")
"""What a part that multiplies is called."""

SWIZZLED = "its scales may lie in the order of a graphics card, which is not stored: weight.dequantize(), and save"
"""Why scales of groups of torchao are not read."""

WIDTHS = {"uint8": 1, "int8": 1, "float16": 2, "bfloat16": 2, "int32": 4, "float32": 4, "float64": 8}
"""Bytes of the dtypes in which packed values are stored."""


def unread(reason: str) -> Callable[[Parts, Config], StoredWeight]:
    """What describes the weights of a scheme that is not read.

    Args:
        reason: why it is not, or what to do.
    """
    return lambda parts, config: reason


def reader_of_rows(part: Parameter) -> Callable[[int, int], Tensor] | None:
    """Reads rows of a part alone, where its file can do that; else None."""
    if part.load_rows is None and part.resident:
        return lambda first, last: part.load()[first:last]
    return part.load_rows


def shape_text(shape: Shape) -> str:
    """A shape in a sentence: "8×3"."""
    return "×".join(map(str, shape)) or "scalar"


def positive_number(value: object) -> int | None:
    """A positive number of a configuration; what is anything else is not taken for one."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31 else None


def groups_text(cols: int, groups: int) -> str:
    """How many columns share a scale, in words."""
    return "one group a row" if groups == 1 else f"groups of {-(-cols // groups)}"


def dtype_called(name: str) -> torch.dtype:
    """The dtype of PyTorch of a name that is known to be one's."""
    dtype = getattr(torch, name)
    assert isinstance(dtype, torch.dtype)
    return dtype


def numbers_in(part: Parameter) -> list[int] | None:
    """The whole numbers of a part that holds a shape."""
    if prod(part.shape) > 8 or "int" not in part.dtype:
        return None
    return [int(value) for value in part.load().flatten().tolist()]


def from_two_parts(
    main: Parameter,
    scale: Parameter,
    shape: Shape,
    compute: Callable[[Tensor, Tensor], Tensor],
    note: str,
    dtype: str,
    *,
    stacked: bool,
) -> Parameter:
    """A weight of values and scales that have the same first dimension."""
    rows, scale_rows = reader_of_rows(main), reader_of_rows(scale)

    def load_rows(first: int, last: int) -> Tensor:
        assert rows is not None
        assert scale_rows is not None
        return compute(rows(first, last), scale_rows(first, last))

    return Parameter(
        main.name,
        shape,
        lambda: compute(main.load(), scale.load()),
        note=note,
        load_rows=load_rows if stacked and rows is not None and scale_rows is not None else None,
        dtype=dtype,
    )
