"""What bitsandbytes stores: NF4 and FP4 in blocks, and the 8-bit integers of LLM.int8().

Here: its parts, and the JSON in which it says how a weight was quantised.

Not here: the arithmetic (`weights/dequantization.py`), and what the parts are called (`weights/quantized_names.py`).
"""

from __future__ import annotations

import json
from math import prod
from typing import Any

import torch
from torch import Tensor

from spectail.weights import dequantization as arithmetic
from spectail.weights.parameter import Parameter
from spectail.weights.schemes.parts import (
    FLOATS,
    WIDTHS,
    Config,
    Parts,
    StoredWeight,
    dtype_called,
    from_two_parts,
    numbers_in,
    positive_number,
    shape_text,
)

LARGEST_STATE = 2**16
"""Bytes of JSON that may describe one weight: a few hundred are usual."""

NF4_STATE, FP4_STATE = ".quant_state.bitsandbytes__nf4", ".quant_state.bitsandbytes__fp4"


def describe_llm_int8(parts: Parts, config: Config) -> StoredWeight:
    main, absmax = parts[""], parts["SCB"]
    if len(main.shape) != 2 or prod(absmax.shape) != main.shape[0] or absmax.dtype not in FLOATS or 0 in main.shape:
        return None
    layout = parts.get("weight_format")
    if layout is not None and (numbers_in(layout) or [0])[0] != 0:
        return "its values are in an order of one graphics card's: load and save it with a newer bitsandbytes"

    def compute(codes: Tensor, factors: Tensor) -> Tensor:
        return arithmetic.int8_rows(codes, factors.flatten())

    return from_two_parts(main, absmax, main.shape, compute, "one scale an output channel", "int8", stacked=False)


def describe_4bit_blocks(parts: Parts, config: Config) -> StoredWeight:
    """NF4 and FP4; how it was quantised stands as JSON in a tensor of bytes."""
    main, absmax, table = parts[""], parts[".absmax"], parts[".quant_map"]
    state = parts.get(NF4_STATE) or parts[FP4_STATE]
    kind = "nf4" if NF4_STATE in parts else "fp4"
    nested_absmax, nested_table = parts.get(".nested_absmax"), parts.get(".nested_quant_map")
    said = _json_of(state)
    if said is None:
        return "its quant_state is no JSON object"
    size, nested_size = positive_number(said.get("blocksize")), positive_number(said.get("nested_blocksize"))
    result, shape = said.get("dtype"), said.get("shape")
    sizes = shape if isinstance(shape, list) else []
    if (
        size is None
        or not isinstance(result, str)
        or result not in FLOATS
        or len(sizes) < 2
        or None in map(positive_number, sizes)
    ):
        return "its quant_state lacks a block size, a dtype of floats, or a shape of two or more numbers"
    count, width = prod(sizes), WIDTHS.get(main.dtype, 0)
    if prod(main.shape) * width != -(-count // 2):
        return (
            f"its quant_state says that it has the shape {shape_text(tuple(sizes))}, but it is {shape_text(main.shape)}"
        )
    blocks = -(-count // size)
    if prod(absmax.shape) != blocks or prod(table.shape) != 16:
        return f"it has {prod(absmax.shape)} scales and a table of {prod(table.shape)} values; expected {blocks} and 16"
    nested = nested_absmax is not None or absmax.dtype == "uint8"
    offset: Any = said.get("nested_offset")
    if nested:
        if nested_absmax is None or nested_table is None:
            return "its nested_absmax or its nested_quant_map is missing"
        fits = nested_size is not None and prod(nested_absmax.shape) == -(-blocks // nested_size)
        if not fits or prod(nested_table.shape) != 256 or not isinstance(offset, int | float):
            return "its scales, quantised once more, do not fit their own scales"

    def load() -> Tensor:
        scales = absmax.load().flatten()
        if nested:
            assert nested_absmax is not None
            assert nested_table is not None
            outer = nested_absmax.load().flatten()
            scales = arithmetic.table_bytes(scales, nested_table.load().flatten(), outer, nested_size or 1)
            scales = scales + torch.tensor(float(offset))
        packed = main.load().contiguous().view(-1).view(torch.uint8)
        values = arithmetic.table_blocks(packed, table.load().flatten(), scales.float(), size, count)
        return values.to(dtype_called(result)).view(sizes)

    note = f"blocks of {size}{', their scales of 8 bits' if nested else ''}"
    return Parameter(main.name, tuple(sizes), load, note=note, dtype=kind)


def _json_of(part: Parameter) -> dict[str, Any] | None:
    """The JSON object in a tensor of bytes."""
    if prod(part.shape) > LARGEST_STATE or part.dtype != "uint8":
        return None
    try:
        said = json.loads(bytes(part.load().flatten().tolist()).decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None
