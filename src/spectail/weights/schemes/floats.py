"""8-bit and 4-bit floats, and 8-bit integers, with scales of tensors, channels, experts, groups or blocks.

Here: FP8, INT8, MXFP4, NVFP4, as transformers, compressed-tensors, TensorRT Model Optimizer and torchao store them.

Not here: the arithmetic (`weights/dequantization.py`), and what the parts are called (`weights/quantized_names.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from spectail.weights import dequantization as arithmetic
from spectail.weights.neighbours import Shape
from spectail.weights.parameter import Parameter
from spectail.weights.schemes.parts import (
    FLOATS,
    FP8,
    POWERS_OF_TWO,
    SCALE_NAMES,
    SWIZZLED,
    Config,
    Parts,
    StoredWeight,
    dtype_called,
    from_two_parts,
    positive_number,
    reader_of_rows,
    shape_text,
)


def describe_scaled(parts: Parts, config: Config) -> StoredWeight:
    """FP8 and INT8: one scale a tensor, an output channel, an expert or a block."""
    main = parts.get("_qdata") or parts[""]
    if "_qdata" in parts and parts.get("_zero_point", main).dtype in FLOATS:
        return None
    scale = next(parts[role] for role in SCALE_NAMES if role in parts)
    zero = parts.get("_zero_point")
    if main.dtype not in FP8 and scale.dtype in POWERS_OF_TWO:
        return None
    if "_qdata" in parts and scale.dtype in POWERS_OF_TWO:
        return SWIZZLED
    if scale.dtype not in FLOATS | POWERS_OF_TWO | FP8:
        return f"its scales are {scale.dtype}"
    if len(main.shape) < 2 or 0 in main.shape:
        return f"it has the shape {shape_text(main.shape)}"
    layout = _scale_layout(main.shape, scale.shape, config)
    if layout is None:
        return None
    shape, block, text = layout
    if zero is not None and prod(zero.shape) != prod(scale.shape):
        return f"its zero points have the shape {shape_text(zero.shape)}, its scales {shape_text(scale.shape)}"
    result = dtype_called(scale.dtype) if scale.dtype in FLOATS else torch.bfloat16
    powers = scale.dtype in POWERS_OF_TWO

    def compute(values: Tensor, factors: Tensor, zeros: Tensor | None) -> Tensor:
        factors = (arithmetic.e8m0(factors) if powers else factors.float()).reshape(shape_of(factors))
        zeros = None if zeros is None else zeros.reshape(factors.shape)
        if block is not None:
            return arithmetic.scaled_blocks(values, factors, zeros, block).to(result)
        return arithmetic.scaled(values, factors, zeros).to(result)

    def shape_of(factors: Tensor) -> Shape:
        return shape if factors.numel() == prod(shape) else (-1, *shape[1:])

    rows = reader_of_rows(main) if len(main.shape) == 3 else None

    def load() -> Tensor:
        return compute(main.load(), scale.load(), None if zero is None else zero.load())

    def load_rows(first: int, last: int) -> Tensor:
        assert rows is not None
        factors, zeros = (
            None if part is None else part.load() if shape[0] == 1 else part.load().reshape(shape)[first:last]
            for part in (scale, zero)
        )
        assert factors is not None
        return compute(rows(first, last), factors, zeros)

    return Parameter(main.name, main.shape, load, note=text, load_rows=rows and load_rows, dtype=main.dtype)


def describe_quanto(parts: Parts, config: Config) -> StoredWeight:
    """FP8 and INT8 as quanto has them: the scale times the value, in the dtype of the scale."""
    return describe_scaled({"": parts["._data"], "_scale": parts["_scale"]}, {})


def _scale_layout(shape: Shape, scales: Shape, config: Config) -> tuple[Shape, tuple[int, int] | None, str] | None:
    """How scales lie over a weight: as which shape, in which blocks, in words; None if they do not fit."""
    ones = (1,) * (len(shape) - 1)
    if prod(scales) == 1:
        return (1, *ones), None, "one scale a tensor"
    if scales == shape[:1]:
        return (*shape[:1], *ones), None, "one scale an output channel" if len(shape) != 3 else "one scale an expert"
    if scales == shape[:-1]:
        return (*scales, 1), None, "one scale an output channel"
    if len(scales) != len(shape):
        return None
    if all(size in (1, whole) for size, whole in zip(scales, shape, strict=True)):
        every = "expert" if scales[1:] == ones and len(shape) == 3 else "output channel"
        return scales, None, f"one scale an {every}"
    block = _block(shape[-2:], scales[-2:], config)
    if scales[:-2] != shape[:-2] or block is None:
        return None
    return scales, block, f"blocks of {block[0]} × {block[1]}" if block[0] > 1 else f"groups of {block[1]}"


def _block(shape: Shape, scales: Shape, config: Config) -> tuple[int, int] | None:
    """The size of blocks of which there are so many: as the configuration says, of 128 × 128, or of equal size."""
    said = config.get("weight_block_size")
    candidates: list[tuple[int, int]] = []
    if isinstance(said, Sequence) and not isinstance(said, str) and len(said) == 2:
        high, wide = map(positive_number, said)
        if high is not None and wide is not None:
            candidates.append((high, wide))
    candidates.append((128, 128))
    if 0 not in scales and shape[0] % scales[0] == 0 and shape[1] % scales[1] == 0:
        candidates.append((shape[0] // scales[0], shape[1] // scales[1]))
    for high, wide in candidates:
        if (-(-shape[0] // high), -(-shape[1] // wide)) == scales:
            return high, wide
    return None


def describe_mxfp4_experts(parts: Parts, config: Config) -> StoredWeight:
    """A stack of experts as gpt-oss has it; transformers gives it in × out, OpenAI's own files are out × in."""
    role = "_blocks" if "_blocks" in parts else ".blocks"
    blocks, scales = parts[role], parts["_scales" if role == "_blocks" else ".scales"]
    if (
        len(blocks.shape) < 3
        or blocks.shape[:-1] != scales.shape
        or scales.dtype not in POWERS_OF_TWO
        or 0 in blocks.shape
    ):
        return None
    *stack, out, groups, size = blocks.shape
    turned = role == "_blocks" and bool(stack)
    width = groups * size * 2
    shape = (*stack, width, out) if turned else (*stack, out, width)

    def compute(packed: Tensor, exponents: Tensor) -> Tensor:
        values = arithmetic.mxfp4(packed.view(torch.uint8), exponents.view(torch.uint8)).flatten(-2)
        return values.transpose(-1, -2) if turned else values

    return from_two_parts(blocks, scales, shape, compute, f"blocks of {2 * size}", "float4_e2m1fn", stacked=bool(stack))


def describe_mxfp4(parts: Parts, config: Config) -> StoredWeight:
    """FP4 with a power of two as the scale of each 32 values of a row (MXFP4)."""
    main = parts["_packed" if "_packed" in parts else ""]
    scale = next(parts[role] for role in SCALE_NAMES if role in parts)
    shape = _width_of_fp4(main, scale)
    if scale.dtype not in POWERS_OF_TWO or shape is None or shape[-1] // scale.shape[-1] != 32:
        return None

    def compute(packed: Tensor, exponents: Tensor) -> Tensor:
        return arithmetic.fp4_groups(packed, arithmetic.e8m0(exponents), torch.bfloat16)

    return from_two_parts(main, scale, shape, compute, "groups of 32", "float4_e2m1fn", stacked=len(shape) == 3)


def describe_mxfp4_of_mlx(parts: Parts, config: Config) -> StoredWeight:
    """MXFP4 in words of eight values."""
    main, scale = parts[""], parts["scales"]
    shape = (*main.shape[:-1], 8 * main.shape[-1]) if main.shape else ()
    if scale.dtype != "uint8" or len(shape) < 2 or scale.shape != (*shape[:-1], shape[-1] // 32) or 0 in shape:
        return None

    def compute(packed: Tensor, exponents: Tensor) -> Tensor:
        return arithmetic.fp4_groups(packed.view(torch.uint8), arithmetic.e8m0(exponents), torch.bfloat16)

    return from_two_parts(main, scale, shape, compute, "groups of 32", "float4_e2m1fn", stacked=len(shape) == 3)


def _width_of_fp4(main: Parameter, scale: Parameter) -> Shape | None:
    """The shape of 4-bit floats, two a byte; None where the scales are not those of equal groups of each row."""
    if len(main.shape) < 2 or 0 in main.shape or 0 in scale.shape or len(scale.shape) != len(main.shape):
        return None
    width = 2 * main.shape[-1]
    fits = scale.shape[:-1] == main.shape[:-1] and width % scale.shape[-1] == 0
    return (*main.shape[:-1], width) if fits else None


def describe_nvfp4(parts: Parts, config: Config) -> StoredWeight:
    """FP4 with an 8-bit float as the scale of each 16 values of a row; one number for all multiplies or divides it."""
    divided = "_packed" in parts
    main, scale = parts["_packed" if divided else ""], parts["_scale"]
    common = parts["_global_scale" if divided else "_scale_2"]
    shape = _width_of_fp4(main, scale)
    if shape is None or scale.dtype not in FP8 | FLOATS:
        return None
    if common.dtype not in FLOATS or prod(common.shape) not in (1, shape[0] if len(shape) == 3 else 1):
        return f"its scale for all values has the shape {shape_text(common.shape)} and is {common.dtype}"

    def compute(packed: Tensor, factors: Tensor, whole: Tensor) -> Tensor:
        if whole.numel() > 1:
            whole = whole.reshape(-1, 1, 1)
        if divided:  # in the dtypes in which compressed-tensors divides: a scalar does not widen bfloat16
            return arithmetic.fp4_groups(packed, factors.to(torch.bfloat16) / whole, torch.bfloat16)
        return arithmetic.fp4_groups(packed, factors.float() * whole, torch.float32)

    def load() -> Tensor:
        return compute(main.load(), scale.load(), common.load())

    rows, scale_rows = reader_of_rows(main), reader_of_rows(scale)

    def load_rows(first: int, last: int) -> Tensor:
        assert rows is not None
        assert scale_rows is not None
        whole = common.load()
        return compute(rows(first, last), scale_rows(first, last), whole[first:last] if whole.numel() > 1 else whole)

    stacked = len(shape) == 3 and rows is not None and scale_rows is not None
    note = f"groups of {shape[-1] // scale.shape[-1]}"
    return Parameter(main.name, shape, load, note=note, load_rows=load_rows if stacked else None, dtype="float4_e2m1fn")
