"""Whole numbers of 1 to 8 bits, packed, with scales and zero points of groups.

Here: GPTQ, AWQ, compressed-tensors' pack-quantized, torchao's INT4, HQQ, quanto, MLX.

Not here: the arithmetic (`weights/dequantization.py`), and what the parts are called (`weights/quantized_names.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

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
    groups_text,
    numbers_in,
    positive_number,
    shape_text,
)


def describe_gptq(parts: Parts, config: Config) -> StoredWeight:
    """Packed along the inputs; zero points along the outputs, in the first version of the format less one."""
    packed, scales, zeros, order = parts["qweight"], parts["scales"], parts["qzeros"], parts.get("g_idx")
    if any(len(part.shape) != 2 or 0 in part.shape for part in (packed, scales, zeros)):
        return None
    if config.get("quant_method") == "awq":
        return None
    groups, out = scales.shape
    bits = 32 * zeros.shape[1] // out
    if bits not in (2, 3, 4, 8) or zeros.shape != (groups, out * bits // 32) or packed.shape[1] != out:
        return None
    width = packed.shape[0] * 32 // bits
    format_ = config.get("checkpoint_format", "")
    if packed.shape[0] * 32 != width * bits or (bits == 3 and (packed.shape[0] % 3 or zeros.shape[1] % 3)):
        return None
    if "marlin" in str(format_):
        return f"its values are in the order of {format_!s:.40}: save it in the format gptq"
    if scales.dtype not in FLOATS or {packed.dtype, zeros.dtype} != {"int32"}:
        return f"its scales are {scales.dtype}, its zero points {zeros.dtype}"
    size = _group_size(width, groups, config)
    if order is not None and order.shape == (0,):
        order = None
    if order is not None and (order.shape != (width,) or "int" not in order.dtype):
        return f"its g_idx has the shape {shape_text(order.shape)} and is {order.dtype}; expected {width} integers"
    if order is None and size is None:
        return f"its {width} inputs are not {groups} groups, and g_idx is missing"

    def load() -> Tensor:
        codes = arithmetic.unpack_bits(packed.load().T, bits)
        zero_codes = arithmetic.unpack_bits(zeros.load(), bits)
        group_of = None if order is None else _order(order.load(), groups, size)
        if group_of is None and size is None:
            raise ValueError(f"{width} inputs are not {groups} groups of equal size")
        points = _zero_points(zero_codes, bits, str(format_))
        if group_of is None and width != groups * (size or 1):
            group_of = torch.arange(width, device=codes.device) // (size or 1)
        return arithmetic.affine_groups(codes, scales.load().T, points.T, group_of)

    note = groups_text(width, groups) if size is None or groups == 1 else f"groups of {size}"
    return Parameter(packed.name, (out, width), load, note=note, dtype=f"int{bits}")


def _group_size(width: int, groups: int, config: Config) -> int | None:
    """How many inputs share a scale; None where they are not in equal groups side by side."""
    said = positive_number(config.get("group_size", config.get("q_group_size")))
    if said is not None and -(-width // said) == groups:
        return said
    return width // groups if width % groups == 0 else None


def _order(indices: Tensor, groups: int, size: int | None) -> Tensor | None:
    """The group of each input; None where groups lie side by side."""
    group_of = indices.long()
    if bool((group_of < 0).any()) or bool((group_of >= groups).any()):
        raise ValueError(f"its g_idx names groups from {group_of.min()} to {group_of.max()}; there are {groups}")
    # files of models without act-order may hold zeros only, which no program reads
    if size is None or (groups > 1 and bool(group_of.any())):
        side_by_side = size is not None and torch.equal(group_of, torch.arange(len(group_of)) // size)
        return None if side_by_side else group_of
    return None


def _zero_points(codes: Tensor, bits: int, format_: str) -> Tensor:
    """Zero points of GPTQ; its first format stores them less one, which wraps around where it can.

    Where no configuration says which format it is, zero points of symmetric values tell: half of the range.
    """
    second = format_ == "gptq_v2" or (not format_ and bool((codes == 2 ** (bits - 1)).all()))
    if second:
        return codes
    points = codes.to(torch.int16) + 1
    return points if bits == 3 else points & (2**bits - 1)


def describe_awq(parts: Parts, config: Config) -> StoredWeight:
    """4 bits, packed along the outputs in an order of its own (gemm), or along the inputs (gemv)."""
    packed, scales, zeros = parts["qweight"], parts["scales"], parts["qzeros"]
    if any(len(part.shape) != 2 or 0 in part.shape for part in (packed, scales, zeros)):
        return None
    (width, words), (groups, out) = packed.shape, scales.shape
    along_inputs = packed.shape[0] == zeros.shape[0] == groups and out == 8 * zeros.shape[1]
    if not along_inputs and (8 * words != out or zeros.shape != (groups, words)):
        return None
    if scales.dtype not in FLOATS or {packed.dtype, zeros.dtype} != {"int32"}:
        return f"its scales are {scales.dtype}, its zero points {zeros.dtype}"
    if along_inputs:
        return _awq_along_inputs(packed, scales, zeros, config)
    if width % groups:
        return f"its {width} inputs are not {groups} groups"

    def load() -> Tensor:
        codes, points = arithmetic.unpack_awq(packed.load()), arithmetic.unpack_awq(zeros.load())
        return arithmetic.affine_groups(codes.T, scales.load().T, points.T)

    return Parameter(packed.name, (out, width), load, note=groups_text(width, groups), dtype="int4")


def _awq_along_inputs(packed: Parameter, scales: Parameter, zeros: Parameter, config: Config) -> StoredWeight:
    """The version gemv: rows of scales and zero points have places beyond their groups, which hold zeros."""
    out, width = packed.shape[0], 8 * packed.shape[1]
    said = positive_number(config.get("group_size", config.get("q_group_size")))
    sizes = [
        size
        for size in dict.fromkeys([said] if said else (128, 64, 32, width))
        if width % size == 0 and 8 * _zeros_width(width // size, size) == scales.shape[1]
    ]
    if not sizes:
        groups = f"groups of {said}" if said else "groups of 32, 64 or 128"
        return f"its {scales.shape[1]} places for scales a row are not those of {width} inputs in {groups}"

    def load() -> Tensor:
        factors = scales.load()
        used = int(factors.any(0).nonzero().amax()) + 1 if factors.any() else 0
        groups = width // sizes[0] if len(sizes) == 1 else used
        if groups not in [width // size for size in sizes]:
            raise ValueError(f"{used} scales a row are not those of {width} inputs")
        points = arithmetic.unpack_bits(zeros.load(), 4)[:, :groups]
        return arithmetic.affine_groups(arithmetic.unpack_bits(packed.load(), 4), factors[:, :groups], points)

    note = groups_text(width, width // sizes[0]) if len(sizes) == 1 else "as many groups as scales"
    return Parameter(packed.name, (out, width), load, note=f"gemv, {note}", dtype="int4")


def _zeros_width(groups: int, size: int) -> int:
    """Words that hold the zero points of a row.

    Source: AutoAWQ, `calculate_zeros_width`.
    """
    multiple = {64: 2, 32: 4}.get(size, 1)
    return -(-groups // (8 * multiple)) * multiple


def describe_pack_quantized(parts: Parts, config: Config) -> StoredWeight:
    """Packed along the inputs, signed: half of the range is added. Zero points are packed along the outputs."""
    packed, scales, zeros, order = (parts.get(role) for role in ("_packed", "_scale", "_zero_point", "_g_idx"))
    assert packed is not None
    assert scales is not None
    sizes = numbers_in(parts["_shape"])
    if sizes is None or len(sizes) != 2 or len(packed.shape) != 2 or 0 in packed.shape:
        return "its shape is not two numbers" if sizes is None or len(sizes) != 2 else None
    out, width = sizes
    if out != packed.shape[0] or width < 1:
        return f"its shape is said to be {shape_text(tuple(sizes))}, its packed values are {shape_text(packed.shape)}"
    words = packed.shape[1]
    said = _said_bits(config)
    bits = next((bits for bits in (said, 4, 8, 2, 3, 6, 5, 7, 1) if bits and _words(width, bits) == words), None)
    dense = bits is not None
    if bits is None:  # before version 0.11, no value was in two words
        bits = next((one for one in (said, 3, 5, 6, 7) if one and -(-width // (32 // one)) == words), None)
    if bits is None:
        return f"{words} words a row are not {width} values"
    if scales.dtype not in FLOATS:
        return f"its scales are {scales.dtype}"
    if scales.shape in ((out,), (1,), ()):
        groups = 1
    elif len(scales.shape) == 2 and scales.shape[0] == out and 0 not in scales.shape:
        groups = scales.shape[1]
    else:
        return None
    half = 2 ** (bits - 1)
    expected = (_words(out, bits), groups)
    if zeros is not None and zeros.shape != expected and zeros.shape != (out, groups):
        return f"its zero points have the shape {shape_text(zeros.shape)}; expected {shape_text(expected)}"
    if order is not None and order.shape != (width,):
        return f"its g_idx has the shape {shape_text(order.shape)}; expected {width}"
    if width % groups:
        return f"its {width} inputs are not {groups} groups"

    def unpack(words: Tensor, count: int) -> Tensor:
        if words.dtype != torch.int32:
            raise ValueError(f"packed values are {words.dtype}")
        if dense:
            words = torch.nn.functional.pad(words, (0, -words.shape[-1] % (bits // _common(bits))))
            values = arithmetic.unpack_bits(words, bits)
        else:
            values = arithmetic.unpack_words(words, bits)
        centred: Tensor = values[:, :count].to(torch.int16) - half
        return centred

    def load() -> Tensor:
        codes, factors = unpack(packed.load(), width), scales.load()
        factors = factors.reshape(-1, 1).expand(out, 1) if groups == 1 else factors
        points = None
        if zeros is not None:
            points = zeros.load()
            points = unpack(points.T, out).T if zeros.dtype == "int32" and zeros.shape == expected else points
        group_of = None
        if order is not None and not bool((order.load() < 0).any()):
            group_of = _order(order.load(), groups, width // groups)
        return arithmetic.affine_groups(codes, factors, points, group_of)

    return Parameter(packed.name, (out, width), load, note=groups_text(width, groups), dtype=f"int{bits}")


def _words(values: int, bits: int) -> int:
    return -(-values * bits // 32)


def _common(bits: int) -> int:
    """The largest power of two that divides a number of bits below 32: its greatest common divisor with 32."""
    return bits & -bits


def _said_bits(config: Config) -> int | None:
    """The number of bits that a configuration of compressed-tensors gives to all weights."""
    groups = config.get("config_groups")
    schemes = groups.values() if isinstance(groups, Mapping) else ()
    weights = [one.get("weights") for one in schemes if isinstance(one, Mapping)]
    bits = {one.get("num_bits") for one in weights if isinstance(one, Mapping) and isinstance(one.get("num_bits"), int)}
    return bits.pop() if len(bits) == 1 and bits <= set(range(1, 9)) else None


def describe_int4_of_torchao(parts: Parts, config: Config) -> StoredWeight:
    """Two signed values a byte along the inputs; scales and zeros, which are added, of groups × outputs."""
    main, scales, zeros = parts["_qdata"], parts["_scale"], parts["_zero_point"]
    if zeros.dtype not in FLOATS:
        return None
    fits = (
        scales.shape == zeros.shape and len(scales.shape) == len(main.shape) > 1 and 0 not in main.shape + scales.shape
    )
    width = 2 * main.shape[-1] if fits else 0
    if not fits or (*scales.shape[:-2], scales.shape[-1]) != main.shape[:-1] or width % scales.shape[-2]:
        return None
    if scales.dtype not in FLOATS:
        return f"its scales are {scales.dtype}"
    shape = (*main.shape[:-1], width)

    def load() -> Tensor:
        factors, added = scales.load().transpose(-1, -2), zeros.load().transpose(-1, -2)
        return arithmetic.int4_groups(main.load().view(torch.uint8), factors, added)

    return Parameter(main.name, shape, load, note=f"groups of {width // scales.shape[-2]}", dtype="int4")


def describe_hqq(parts: Parts, config: Config) -> StoredWeight:
    """The groups are the columns, or the rows, of a matrix that holds the weight's values in their order."""
    packed, scales, zeros = parts["W_q"], parts["scale"], parts["zero"]
    shape = tuple(numbers_in(parts["shape"]) or ())
    if len(shape) < 2 or min(shape) < 1:
        return f"its shape is said to be {shape_text(shape)}"
    if scales.dtype not in FLOATS or zeros.dtype not in FLOATS or scales.shape != zeros.shape:
        kinds = [f"{part.dtype} {shape_text(part.shape)}" for part in (scales, zeros)]
        return f"its scales are {kinds[0]}, its zeros {kinds[1]}"
    if len(packed.shape) != 2 or len(scales.shape) != 2 or 1 not in scales.shape or 0 in packed.shape + scales.shape:
        return None
    count, cols = prod(shape), packed.shape[1]
    n_bytes = prod(packed.shape) * WIDTHS[packed.dtype]
    # the matrix is as wide as there are groups, or as high; viewed as floats, it was narrower
    groups = prod(scales.shape)
    rows, cols = (count // groups, groups) if scales.shape[0] == 1 else (groups, count // groups)
    if rows * cols != count or (packed.dtype in ("uint8", "int32") and packed.shape[1] != cols):
        return None
    in_words = packed.dtype == "int32" or (
        packed.dtype in FLOATS and "nbits" in parts and numbers_in(parts["nbits"]) == [3]
    )
    if in_words:
        bits = 3 if n_bytes == -(-rows // 10) * cols * 4 else 0
    else:
        bits = next((bits for bits in (8, 4, 2, 1) if n_bytes * 8 == count * bits), 0)
    if not bits:
        return f"{n_bytes} bytes are not {count} values"

    def load() -> Tensor:
        values = packed.load().contiguous().view(torch.int32 if bits == 3 else torch.uint8).view(-1, cols)
        codes = arithmetic.unpack_rows(values, bits)[:rows]
        return arithmetic.affine(codes, scales.load(), zeros.load()).view(shape)

    note = f"groups of {count // groups}"
    return Parameter(packed.name, shape, load, note=note, dtype=f"int{bits}")


def describe_quanto_bits(parts: Parts, config: Config) -> StoredWeight:
    """2 or 4 bits, a group a row; a byte holds values of rows that lie as far apart as there are rows of bytes."""
    packed, scales, shift = parts["._data"], parts["_scale"], parts["._shift"]
    if len(packed.shape) < 2 or not scales.shape or scales.shape != shift.shape or 0 in packed.shape + scales.shape:
        return None
    groups, width = scales.shape[0], prod(packed.shape[1:])
    if prod(scales.shape) != groups:
        return None
    if scales.dtype not in FLOATS or shift.dtype not in FLOATS | {"int8", "uint8"}:
        return f"its scales are {scales.dtype}, its shifts {shift.dtype}"
    bits = next((bits for bits in (4, 2) if -(-groups * bits // 8) == packed.shape[0]), None)
    if bits is None:
        return f"{packed.shape[0]} bytes are not {groups} values"
    shape = _shape_of_quanto(parts, config, groups, packed.shape[1:])
    if shape is None:
        return "its groups do not tell its shape, and it has no bias: weight.dequantize(), and save"

    def load() -> Tensor:
        codes = arithmetic.unpack_halves(packed.load(), bits)[:groups].flatten(1)
        return arithmetic.affine_rows(codes, scales.load().view(-1, 1), shift.load().view(-1, 1)).view(shape)

    return Parameter(packed.name, shape, load, note=f"groups of {width}", dtype=f"int{bits}")


_GROUPS_OF_QUANTO = (128, 96, 64, 32)  # values, by precedence


def _shape_of_quanto(parts: Parts, config: Config, groups: int, inner: tuple[int, ...]) -> tuple[int, ...] | None:
    """The shape of a weight of so many groups: as stored in memory, of one group an output, or by one of its sides."""
    count, sizes = groups * prod(inner), numbers_in(parts["._size"]) if "._size" in parts else None
    outputs, inputs = positive_number(config.get("outputs")), positive_number(config.get("inputs"))
    if sizes is not None:
        shape = tuple(sizes)
    elif outputs == groups or len(inner) > 1 or inner[0] not in _GROUPS_OF_QUANTO:
        shape = (groups, *inner)
    else:
        shape = (outputs, count // outputs) if outputs else (count // inputs, inputs) if inputs else ()
    return shape if len(shape) > 1 and prod(shape) == count else None


def describe_mlx(parts: Parts, config: Config) -> StoredWeight:
    """Groups along the inputs in 32-bit words, with scales and biases, which are added."""
    packed, scales, biases = parts[""], parts["scales"], parts["biases"]
    fits = len(packed.shape) > 1 and scales.shape == biases.shape and 0 not in packed.shape + scales.shape
    if not fits or scales.shape[:-1] != packed.shape[:-1] or scales.dtype not in FLOATS:
        return None
    own = config.get(packed.name.removesuffix(".weight"))
    for said in (own, config):
        bits, size = (
            positive_number(said.get(key)) if isinstance(said, Mapping) else None for key in ("bits", "group_size")
        )
        if bits and size and bits <= 8 and packed.shape[-1] * 32 == scales.shape[-1] * size * bits:
            break
    else:
        return "its configuration does not say how many bits and values a group has"
    shape = (*packed.shape[:-1], scales.shape[-1] * size)

    def load() -> Tensor:
        codes = arithmetic.unpack_bits(packed.load().view(torch.int32), bits)
        return arithmetic.scaled_and_added(codes, scales.load(), biases.load())

    return Parameter(packed.name, shape, load, note=f"groups of {size}", dtype=f"int{bits}")


def describe_bitnet(parts: Parts, config: Config) -> StoredWeight:
    """Four of −1, 0, 1 a byte, with a scale that versions multiply by, or divide by."""
    return "it is not read: name the model that was quantised" if prod(parts["_scale"].shape) == 1 else None
