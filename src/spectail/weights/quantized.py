"""Quantised weights: which parameters together are one, by their names, their shapes and the model's configuration.

A scheme is a function that describes the weight of a group of parts, and a line in `SCHEMES`.

Here: names and shapes. Not here: the arithmetic (`dequantization`). No weight is read before it is asked for; what
says which shape a weight has is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import prod
from typing import Any

import torch
from torch import Tensor

from spectail.errors import SourceError, first_line
from spectail.weights import dequantization as arithmetic
from spectail.weights.matrix import Skipped
from spectail.weights.neighbours import Shape
from spectail.weights.parameter import Parameter, why_not_matrix, why_not_values

Parts = Mapping[str, Parameter]
"""The parameters of one quantised weight, by what they are in it: "" where they have the weight's own name."""

Config = Mapping[str, Any]
"""The entry `quantization_config` of a model's configuration; empty where there is none."""

_Description = Parameter | str | None
"""The weight that parts are; why they are none; None where they are of another scheme."""

LARGEST_STATE = 2**16
"""Bytes of JSON that may describe one weight: a few hundred are usual."""

_AFTER_WEIGHT = (
    *(
        "_qdata",
        "_packed",
        "_blocks",
        ".blocks",
        ".scales",
        "_scales",
        "_scale_inv",
        "_scale_2",
        "_global_scale",
        "_scale",
    ),
    *("_zero_point", "_shape", "_g_idx", ".absmax", ".quant_map", ".nested_absmax", ".nested_quant_map"),
    *(".quant_state.bitsandbytes__nf4", ".quant_state.bitsandbytes__fp4"),
)
"""What is put behind the name of a weight, to name a part of it: the longer ending before one that ends as it does."""

_OF_HQQ = (
    *("nbits", "group_size", "shape", "axis", "packing", "unpack_view_dtype", "view_as_float", "quant_scale"),
    *("quant_zero", "compute_dtype", "offload_meta", "encoded_state_dict", "stores_quant_config", "channel_wise"),
    *("optimize", "round_zero"),
)
"""What HQQ stores beside the values of a weight: its settings, each as a tensor."""

_OF_TORCHAO = frozenset({"qdata", "scale", "zero_point", "act_pre_scale", "act_quant_scale", "act_quant_zero_point"})
"""What a tensor of torchao is made of: names that are put behind the weight's, with a point."""

_INSTEAD_OF_WEIGHT = frozenset(
    {"qweight", "qzeros", "scales", "g_idx", "SCB", "weight_format", "scale", "scale_inv", "W_q", "zero", *_OF_HQQ}
)
"""What stands in the place of `weight`, to name a part of it."""

_SURELY_PARTS = frozenset({"qweight", "qzeros", "W_q", "SCB", "_packed", "_blocks", "_qdata"})
"""What no layer has as a weight of its own."""

_OF_ACTIVATIONS = re.compile(
    r".*[._](input|output|act|activation|[qkv])_(scale|zero_point|global_scale|amax)(_inv|_2)?|.*\.[qkv]_proj\.[kv]_scale"
)

_FLOATS = frozenset({"float16", "bfloat16", "float32", "float64"})

_FP8 = frozenset({"float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz"})

_BYTES = frozenset({"uint8", "int8", "float4_e2m1fn_x2"})

_POWERS = frozenset({"uint8", "float8_e8m0fnu"})


@dataclass(frozen=True)
class Scheme:
    """A way to quantise.

    Attributes:
        name: what it is called.
        main: the part that holds the quantised values.
        dtypes: in which dtypes it does.
        needs: the other parts, each one of some names, without which it means nothing.
        describe: the weight that the parts are.
    """

    name: str
    main: str
    dtypes: frozenset[str]
    needs: tuple[tuple[str, ...], ...]
    describe: Callable[[Parts, Config], _Description] = field(repr=False)

    def missing(self, parts: Parts) -> str:
        """The parts that are not there, by name; empty if there are all."""
        missing = [names for names in self.needs if not any(name in parts for name in names)]
        return " and ".join(" or ".join(name.lstrip("._") for name in names) for names in missing)


def dequantized_by_name(
    parameters: Sequence[Parameter], config: Mapping[str, Any]
) -> tuple[list[Parameter], list[Skipped]]:
    """Put the weights that are meant in the place of what they are stored as, quantised.

    Args:
        parameters: of a state dict.
        config: the model's configuration; empty where it is not known.

    Returns:
        the parameters, with the quantised weights of known schemes, which are dequantised when they are read; and the
        parts that these are made of, or that belong to nothing.
    """
    quantization = config.get("quantization_config", config.get("compression_config"))
    quantization = quantization if isinstance(quantization, Mapping) else {}
    groups: dict[str, dict[str, Parameter]] = {}
    places = [_place(parameter.name) for parameter in parameters]
    for (weight, role), parameter in zip(places, parameters, strict=True):
        groups.setdefault(weight, {})[role] = parameter
    weights: dict[str, Parameter] = {}  # by the name of the part that holds their values
    skipped: dict[str, Skipped] = {}
    for name, parts in groups.items():
        if len(parts) > 1 or "" not in parts:
            _describe(name, parts, quantization, weights, skipped)
    remaining: list[Parameter] = []
    for parameter in parameters:
        if parameter.name in weights:
            remaining.append(weights[parameter.name])
        elif parameter.name in skipped:
            continue
        elif _OF_ACTIVATIONS.fullmatch(parameter.name) and len(parameter.shape) < 3:
            skipped[parameter.name] = _skip(parameter, "a scale of activations, not of a weight")
        else:
            remaining.append(parameter)
    return remaining, list(skipped.values())


def _place(name: str) -> tuple[str, str]:
    """The weight that a parameter belongs to, and as what."""
    path, point, last = name.rpartition(".")
    if last in _INSTEAD_OF_WEIGHT and not path.endswith("weight"):
        return f"{path}{point}weight", last
    if last in _OF_TORCHAO and path:
        return path, f"_{last}"
    ending = next((ending for ending in _AFTER_WEIGHT if name.endswith(ending)), "")
    weight = name.removesuffix(ending)
    if ending and last.startswith("_"):  # torchao: `._weight_scale` of `.weight`
        weight = f"{path}{point}{weight.removeprefix(f'{path}{point}_')}"
    return weight, ending


def _describe(
    name: str, parts: Parts, config: Config, weights: dict[str, Parameter], skipped: dict[str, Skipped]
) -> None:
    """Find the scheme of some parts: their weight, or why they are none."""
    fitting = [one for one in SCHEMES if one.main in parts and parts[one.main].dtype in one.dtypes]
    complete = [one for one in fitting if not one.missing(parts)]
    if not complete:
        _skip_incomplete(name, parts, fitting, skipped)
        return
    scheme, reason = complete[0], _why_unreadable(parts)
    for one in [] if reason else complete:
        description = one.describe(parts, config)
        if isinstance(description, Parameter):
            if one.main and "" in parts:
                _skip_all(parts, f"a second form of {name}, which is stored as well", skipped, but="")
                return
            weights[parts[one.main].name] = _weight(name, one, description)
            others = {role: part for role, part in parts.items() if role != one.main or part.name != name}
            _skip_all(others, f"a part of {name}, analysed dequantised ({one.name})", skipped)
            return
        if description and not reason:
            scheme, reason = one, description
    shapes = ", ".join(f"{part.name.rpartition('.')[2]} {_shown(part.shape)}" for part in parts.values())
    reason = reason or f"the shapes of its parts do not fit one another ({shapes})"
    _skip_all(parts, f"quantised ({scheme.name}), but {reason}", skipped)


def _why_unreadable(parts: Parts) -> str:
    """Which part is refused for more than that it is no matrix of floats."""
    for part in parts.values():
        usual = ("", part.dtype and why_not_values(_dtype(part.dtype)), why_not_matrix(part.shape))
        if part.refusal not in usual:
            return f"{part.name.rpartition('.')[2]} is {part.refusal}"
    return ""


def _weight(name: str, scheme: Scheme, description: Parameter) -> Parameter:
    """What a scheme describes, under its name, with errors that say what is read."""
    note = f"dequantised: {scheme.name}, {description.note}"
    load, rows = description.load, description.load_rows
    return replace(
        description,
        name=name,
        load=partial(_checked, name, scheme.name, load),
        load_rows=None if rows is None else partial(_checked, name, scheme.name, rows),
        note=note,
        resident=False,
    )


def _skip_incomplete(name: str, parts: Parts, fitting: Sequence[Scheme], skipped: dict[str, Skipped]) -> None:
    """Parts of which others are missing are never weights, nor are scales beside a weight that does not need them."""
    plain = "" in parts and parts[""].dtype in _FLOATS | _FP8 and not any(role.startswith(".") for role in parts)
    if plain:
        for role, part in parts.items():
            if role in _AFTER_WEIGHT and name.endswith("weight"):
                reason = f"a part of quantisation beside {name}, which is stored in {parts[''].dtype}"
                skipped[part.name] = _skip(part, reason)
        return
    begun = [one for one in fitting if one.main or any(role in parts for names in one.needs for role in names)]
    if begun:
        nearest = min(begun, key=lambda one: len(one.missing(parts)))
        _skip_all(parts, f"quantised ({nearest.name}), but without its {nearest.missing(parts)}", skipped)
        return
    several = len(parts) > 1
    for role, part in parts.items():
        surely = role in _SURELY_PARTS or (role in _AFTER_WEIGHT and name.endswith(("weight", "_proj")))
        if role and (surely or (several and role in _INSTEAD_OF_WEIGHT and "" not in parts)):
            what = "a scale" if "scale" in role else "a part"
            skipped[part.name] = _skip(part, f"{what} of {name}, of which the quantised values are missing")


def _skip_all(parts: Parts, reason: str, skipped: dict[str, Skipped], but: str | None = None) -> None:
    skipped.update({part.name: _skip(part, reason) for role, part in parts.items() if role != but})


def _skip(part: Parameter, reason: str) -> Skipped:
    return Skipped(part.name, part.shape, reason)


def _checked(name: str, scheme: str, read: Callable[..., Tensor], *rows: int) -> Tensor:
    """What parts give, or in a sentence that their values are not what they must be."""
    try:
        values: Tensor = read(*rows)
    except (IndexError, RuntimeError, ValueError) as error:
        raise SourceError(f"{name} cannot be dequantised ({scheme}): {first_line(error):.200}") from error
    return values


def _reader_of_rows(part: Parameter) -> Callable[[int, int], Tensor] | None:
    """What reads some of a part's first dimension and no more of it, where there is such a thing."""
    if part.load_rows is None and part.resident:
        return lambda first, last: part.load()[first:last]
    return part.load_rows


def _shown(shape: Shape) -> str:
    return "×".join(map(str, shape)) or "scalar"


def _whole_number(value: object) -> int | None:
    """A positive number of a configuration; what is anything else is not taken for one."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31 else None


def _groups_text(cols: int, groups: int) -> str:
    return "one group a row" if groups == 1 else f"groups of {-(-cols // groups)}"


def _dtype(name: str) -> torch.dtype:
    dtype = getattr(torch, name)
    assert isinstance(dtype, torch.dtype)
    return dtype


# ---- 8-bit floats and integers with scales


def _scaled(parts: Parts, config: Config) -> _Description:
    """FP8 and INT8: one scale a tensor, an output channel, an expert or a block."""
    main = parts.get("_qdata") or parts[""]
    if "_qdata" in parts and parts.get("_zero_point", main).dtype in _FLOATS:
        return None
    scale = next(parts[role] for role in _SCALES if role in parts)
    zero = parts.get("_zero_point")
    if main.dtype not in _FP8 and scale.dtype in _POWERS:
        return None
    if scale.dtype not in _FLOATS | _POWERS | _FP8:
        return f"its scales are {scale.dtype}"
    if len(main.shape) < 2 or 0 in main.shape:
        return f"it has the shape {_shown(main.shape)}"
    layout = _scale_layout(main.shape, scale.shape, config)
    if layout is None:
        return None
    shape, block, text = layout
    if zero is not None and prod(zero.shape) != prod(scale.shape):
        return f"its zero points have the shape {_shown(zero.shape)}, its scales {_shown(scale.shape)}"
    result = _dtype(scale.dtype) if scale.dtype in _FLOATS else torch.bfloat16
    powers = scale.dtype in _POWERS

    def compute(values: Tensor, factors: Tensor, zeros: Tensor | None) -> Tensor:
        factors = (arithmetic.e8m0(factors) if powers else factors.float()).reshape(shape_of(factors))
        zeros = None if zeros is None else zeros.reshape(factors.shape)
        if block is not None:
            return arithmetic.scaled_blocks(values, factors, zeros, block).to(result)
        return arithmetic.scaled(values, factors, zeros).to(result)

    def shape_of(factors: Tensor) -> Shape:
        return shape if factors.numel() == prod(shape) else (-1, *shape[1:])

    rows = _reader_of_rows(main) if len(main.shape) == 3 else None

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


_SCALES = ("_scale", "_scale_inv", "scale", "scale_inv")


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
        high, wide = map(_whole_number, said)
        if high is not None and wide is not None:
            candidates.append((high, wide))
    candidates.append((128, 128))
    if 0 not in scales and shape[0] % scales[0] == 0 and shape[1] % scales[1] == 0:
        candidates.append((shape[0] // scales[0], shape[1] // scales[1]))
    for high, wide in candidates:
        if (-(-shape[0] // high), -(-shape[1] // wide)) == scales:
            return high, wide
    return None


# ---- 4-bit floats


def _mxfp4_experts(parts: Parts, config: Config) -> _Description:
    """A stack of experts as gpt-oss has it; transformers gives it in × out, OpenAI's own files are out × in."""
    role = "_blocks" if "_blocks" in parts else ".blocks"
    blocks, scales = parts[role], parts["_scales" if role == "_blocks" else ".scales"]
    if len(blocks.shape) < 3 or blocks.shape[:-1] != scales.shape or scales.dtype not in _POWERS or 0 in blocks.shape:
        return None
    *stack, out, groups, size = blocks.shape
    turned = role == "_blocks" and bool(stack)
    width = groups * size * 2
    shape = (*stack, width, out) if turned else (*stack, out, width)

    def compute(packed: Tensor, exponents: Tensor) -> Tensor:
        values = arithmetic.mxfp4(packed.view(torch.uint8), exponents.view(torch.uint8)).flatten(-2)
        return values.transpose(-1, -2) if turned else values

    return _of_two(blocks, scales, shape, compute, f"blocks of {2 * size}", "float4_e2m1fn", stacked=bool(stack))


def _fp4(parts: Parts, config: Config) -> _Description:
    """FP4 with a scale for a group of a row: a power of two of 32 (MXFP4)."""
    main = parts["_packed" if "_packed" in parts else ""]
    scale = next(parts[role] for role in _SCALES if role in parts)
    shape = _width_of_fp4(main, scale)
    if scale.dtype not in _POWERS or shape is None or shape[-1] // scale.shape[-1] != 32:
        return None

    def compute(packed: Tensor, exponents: Tensor) -> Tensor:
        return arithmetic.fp4_groups(packed, arithmetic.e8m0(exponents), torch.bfloat16)

    return _of_two(main, scale, shape, compute, "groups of 32", "float4_e2m1fn", stacked=len(shape) == 3)


def _width_of_fp4(main: Parameter, scale: Parameter) -> Shape | None:
    """The shape of 4-bit floats, two a byte; None where the scales are not some a row, for equal groups."""
    if len(main.shape) < 2 or 0 in main.shape or 0 in scale.shape or len(scale.shape) != len(main.shape):
        return None
    width = 2 * main.shape[-1]
    fits = scale.shape[:-1] == main.shape[:-1] and width % scale.shape[-1] == 0
    return (*main.shape[:-1], width) if fits else None


def _of_two(
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
    rows, scale_rows = _reader_of_rows(main), _reader_of_rows(scale)

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


def _nvfp4(parts: Parts, config: Config) -> _Description:
    """FP4 with an 8-bit float for 16 values of a row, and one scale for all: by which it multiplies, or divides."""
    divided = "_packed" in parts
    main, scale = parts["_packed" if divided else ""], parts["_scale"]
    common = parts["_global_scale" if divided else "_scale_2"]
    shape = _width_of_fp4(main, scale)
    if shape is None or scale.dtype not in _FP8 | _FLOATS:
        return None
    if common.dtype not in _FLOATS or prod(common.shape) not in (1, shape[0] if len(shape) == 3 else 1):
        return f"its scale for all values has the shape {_shown(common.shape)} and is {common.dtype}"

    def compute(packed: Tensor, factors: Tensor, whole: Tensor) -> Tensor:
        if whole.numel() > 1:
            whole = whole.reshape(-1, 1, 1)
        if divided:  # in the dtypes in which compressed-tensors divides: a scalar does not widen bfloat16
            return arithmetic.fp4_groups(packed, factors.to(torch.bfloat16) / whole, torch.bfloat16)
        return arithmetic.fp4_groups(packed, factors.float() * whole, torch.float32)

    def load() -> Tensor:
        return compute(main.load(), scale.load(), common.load())

    rows, scale_rows = _reader_of_rows(main), _reader_of_rows(scale)

    def load_rows(first: int, last: int) -> Tensor:
        assert rows is not None
        assert scale_rows is not None
        whole = common.load()
        return compute(rows(first, last), scale_rows(first, last), whole[first:last] if whole.numel() > 1 else whole)

    stacked = len(shape) == 3 and rows is not None and scale_rows is not None
    note = f"groups of {shape[-1] // scale.shape[-1]}"
    return Parameter(main.name, shape, load, note=note, load_rows=load_rows if stacked else None, dtype="float4_e2m1fn")


# ---- whole numbers of few bits


def _gptq(parts: Parts, config: Config) -> _Description:
    """Packed along the inputs; zero points along the outputs, in the first version of the format less one."""
    packed, scales, zeros, order = parts["qweight"], parts["scales"], parts["qzeros"], parts.get("g_idx")
    if any(len(part.shape) != 2 or 0 in part.shape for part in (packed, scales, zeros)):
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
    if scales.dtype not in _FLOATS or {packed.dtype, zeros.dtype} != {"int32"}:
        return f"its scales are {scales.dtype}, its zero points {zeros.dtype}"
    size = _group_size(width, groups, config)
    if order is not None and order.shape == (0,):
        order = None
    if order is not None and (order.shape != (width,) or "int" not in order.dtype):
        return f"its g_idx has the shape {_shown(order.shape)} and is {order.dtype}; expected {width} integers"
    if order is None and size is None:
        return f"its {width} inputs are not {groups} groups, and g_idx is missing"

    def load() -> Tensor:
        codes = arithmetic.unpack_bits(packed.load().T, bits)
        stored = arithmetic.unpack_bits(zeros.load(), bits)
        group_of = None if order is None else _order(order.load(), groups, size)
        if group_of is None and size is None:
            raise ValueError(f"{width} inputs are not {groups} groups of equal size")
        points = _zero_points(stored, bits, str(format_))
        if group_of is None and width != groups * (size or 1):
            group_of = torch.arange(width, device=codes.device) // (size or 1)
        return arithmetic.affine_groups(codes, scales.load().T, points.T, group_of)

    note = _groups_text(width, groups) if size is None or groups == 1 else f"groups of {size}"
    return Parameter(packed.name, (out, width), load, note=note, dtype=f"int{bits}")


def _group_size(width: int, groups: int, config: Config) -> int | None:
    """How many inputs share a scale; None where they are not in equal groups side by side."""
    said = _whole_number(config.get("group_size", config.get("q_group_size")))
    if said is not None and -(-width // said) == groups:
        return said
    return width // groups if width % groups == 0 else None


def _order(stored: Tensor, groups: int, size: int | None) -> Tensor | None:
    """The group of each input; None where groups lie side by side."""
    group_of = stored.long()
    if bool((group_of < 0).any()) or bool((group_of >= groups).any()):
        raise ValueError(f"its g_idx names groups from {group_of.min()} to {group_of.max()}; there are {groups}")
    # files of models without act-order may hold zeros only, which no program reads
    if size is None or (groups > 1 and bool(group_of.any())):
        side_by_side = size is not None and torch.equal(group_of, torch.arange(len(group_of)) // size)
        return None if side_by_side else group_of
    return None


def _zero_points(stored: Tensor, bits: int, format_: str) -> Tensor:
    """Zero points of GPTQ; its first format stores them less one, which wraps around where it can.

    Where no configuration says which format it is, zero points of symmetric values tell: half of the range.
    """
    second = format_ == "gptq_v2" or (not format_ and bool((stored == 2 ** (bits - 1)).all()))
    if second:
        return stored
    points = stored.to(torch.int16) + 1
    return points if bits == 3 else points & (2**bits - 1)


def _awq(parts: Parts, config: Config) -> _Description:
    """4 bits, packed along the outputs in an order of its own (gemm)."""
    packed, scales, zeros = parts["qweight"], parts["scales"], parts["qzeros"]
    if any(len(part.shape) != 2 or 0 in part.shape for part in (packed, scales, zeros)):
        return None
    (width, words), (groups, out) = packed.shape, scales.shape
    if 8 * words != out or zeros.shape != (groups, words):
        if str(config.get("version", "")).startswith("gemv"):
            return f"its values are in the order of {config['version']!s:.20}: save it in the version gemm"
        return None
    if scales.dtype not in _FLOATS or {packed.dtype, zeros.dtype} != {"int32"}:
        return f"its scales are {scales.dtype}, its zero points {zeros.dtype}"
    if width % groups:
        return f"its {width} inputs are not {groups} groups"

    def load() -> Tensor:
        codes, points = arithmetic.unpack_awq(packed.load()), arithmetic.unpack_awq(zeros.load())
        return arithmetic.affine_groups(codes.T, scales.load().T, points.T)

    return Parameter(packed.name, (out, width), load, note=_groups_text(width, groups), dtype="int4")


def _pack_quantized(parts: Parts, config: Config) -> _Description:
    """Packed along the inputs, signed: half of the range is added. Zero points are packed along the outputs."""
    packed, scales, zeros, order = (parts.get(role) for role in ("_packed", "_scale", "_zero_point", "_g_idx"))
    assert packed is not None
    assert scales is not None
    stored = _few_numbers(parts["_shape"])
    if stored is None or len(stored) != 2 or len(packed.shape) != 2 or 0 in packed.shape:
        return "its shape is not two numbers" if stored is None or len(stored) != 2 else None
    out, width = stored
    if out != packed.shape[0] or width < 1:
        return f"its shape is said to be {_shown(tuple(stored))}, its packed values are {_shown(packed.shape)}"
    words = packed.shape[1]
    said = _said_bits(config)
    bits = next((bits for bits in (said, 4, 8, 2, 3, 6, 5, 7, 1) if bits and _words(width, bits) == words), None)
    dense = bits is not None
    if bits is None:  # before version 0.11, no value was in two words
        bits = next((one for one in (said, 3, 5, 6, 7) if one and -(-width // (32 // one)) == words), None)
    if bits is None:
        return f"{words} words a row are not {width} values"
    if scales.dtype not in _FLOATS:
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
        return f"its zero points have the shape {_shown(zeros.shape)}; expected {_shown(expected)}"
    if order is not None and order.shape != (width,):
        return f"its g_idx has the shape {_shown(order.shape)}; expected {width}"
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

    return Parameter(packed.name, (out, width), load, note=_groups_text(width, groups), dtype=f"int{bits}")


def _words(values: int, bits: int) -> int:
    return -(-values * bits // 32)


def _common(bits: int) -> int:
    """The largest power of two in a number of bits: of 32 it is what both have in common."""
    return bits & -bits


def _said_bits(config: Config) -> int | None:
    """The number of bits that a configuration of compressed-tensors gives to all weights."""
    groups = config.get("config_groups")
    schemes = groups.values() if isinstance(groups, Mapping) else ()
    weights = [one.get("weights") for one in schemes if isinstance(one, Mapping)]
    bits = {one.get("num_bits") for one in weights if isinstance(one, Mapping) and isinstance(one.get("num_bits"), int)}
    return bits.pop() if len(bits) == 1 and bits <= set(range(1, 9)) else None


def _few_numbers(part: Parameter) -> list[int] | None:
    """The whole numbers of a part that holds a shape."""
    if prod(part.shape) > 8 or "int" not in part.dtype:
        return None
    return [int(value) for value in part.load().flatten().tolist()]


def _int4_of_torchao(parts: Parts, config: Config) -> _Description:
    """Two signed values a byte along the inputs; scales and zeros, which are added, of groups × outputs."""
    main, scales, zeros = parts["_qdata"], parts["_scale"], parts["_zero_point"]
    if zeros.dtype not in _FLOATS:
        return None
    fits = (
        scales.shape == zeros.shape and len(scales.shape) == len(main.shape) > 1 and 0 not in main.shape + scales.shape
    )
    width = 2 * main.shape[-1] if fits else 0
    if not fits or (*scales.shape[:-2], scales.shape[-1]) != main.shape[:-1] or width % scales.shape[-2]:
        return None
    if scales.dtype not in _FLOATS:
        return f"its scales are {scales.dtype}"
    shape = (*main.shape[:-1], width)

    def load() -> Tensor:
        factors, added = scales.load().transpose(-1, -2), zeros.load().transpose(-1, -2)
        return arithmetic.int4_groups(main.load().view(torch.uint8), factors, added)

    return Parameter(main.name, shape, load, note=f"groups of {width // scales.shape[-2]}", dtype="int4")


def _hqq(parts: Parts, config: Config) -> _Description:
    """Groups down the columns or along the rows of a matrix that holds the weight's values in a row."""
    packed, scales, zeros = parts["W_q"], parts["scale"], parts["zero"]
    shape = tuple(_few_numbers(parts["shape"]) or ())
    if len(shape) < 2 or min(shape) < 1:
        return f"its shape is said to be {_shown(shape)}"
    if scales.dtype not in _FLOATS or zeros.dtype not in _FLOATS or scales.shape != zeros.shape:
        return f"its scales are {scales.dtype} {_shown(scales.shape)}, its zeros {zeros.dtype} {_shown(zeros.shape)}"
    if len(packed.shape) != 2 or len(scales.shape) != 2 or 1 not in scales.shape or 0 in packed.shape + scales.shape:
        return None
    count, cols = prod(shape), packed.shape[1]
    stored = prod(packed.shape) * _WIDTHS[packed.dtype]
    # the matrix is as wide as there are groups, or as high; viewed as floats, it was narrower
    groups = prod(scales.shape)
    rows, cols = (count // groups, groups) if scales.shape[0] == 1 else (groups, count // groups)
    if rows * cols != count or (packed.dtype in ("uint8", "int32") and packed.shape[1] != cols):
        return None
    in_words = packed.dtype == "int32" or (
        packed.dtype in _FLOATS and "nbits" in parts and _few_numbers(parts["nbits"]) == [3]
    )
    if in_words:
        bits = 3 if stored == -(-rows // 10) * cols * 4 else 0
    else:
        bits = next((bits for bits in (8, 4, 2, 1) if stored * 8 == count * bits), 0)
    if not bits:
        return f"{stored} bytes are not {count} values"

    def load() -> Tensor:
        values = packed.load().contiguous().view(torch.int32 if bits == 3 else torch.uint8).view(-1, cols)
        codes = arithmetic.unpack_rows(values, bits)[:rows]
        return arithmetic.affine(codes, scales.load(), zeros.load()).view(shape)

    note = f"groups of {count // groups}"
    return Parameter(packed.name, shape, load, note=note, dtype=f"int{bits}")


# ---- bitsandbytes


def _bnb_int8(parts: Parts, config: Config) -> _Description:
    main, absmax = parts[""], parts["SCB"]
    if len(main.shape) != 2 or prod(absmax.shape) != main.shape[0] or absmax.dtype not in _FLOATS or 0 in main.shape:
        return None
    layout = parts.get("weight_format")
    if layout is not None and (_few_numbers(layout) or [0])[0] != 0:
        return "its values are in an order of one graphics card's: load and save it with a newer bitsandbytes"

    def compute(codes: Tensor, factors: Tensor) -> Tensor:
        return arithmetic.int8_rows(codes, factors.flatten())

    return _of_two(main, absmax, main.shape, compute, "one scale an output channel", "int8", stacked=False)


def _bnb_4bit(parts: Parts, config: Config) -> _Description:
    """NF4 and FP4; how it was quantised stands as JSON in a tensor of bytes."""
    main, absmax, table = parts[""], parts[".absmax"], parts[".quant_map"]
    state = parts.get(_NF4) or parts[_FP4]
    kind = "nf4" if _NF4 in parts else "fp4"
    nested_absmax, nested_table = parts.get(".nested_absmax"), parts.get(".nested_quant_map")
    said = _json_of(state)
    if said is None:
        return "its quant_state is no JSON object"
    size, nested_size = _whole_number(said.get("blocksize")), _whole_number(said.get("nested_blocksize"))
    result, shape = said.get("dtype"), said.get("shape")
    sizes = shape if isinstance(shape, list) else []
    if (
        size is None
        or not isinstance(result, str)
        or result not in _FLOATS
        or len(sizes) < 2
        or None in map(_whole_number, sizes)
    ):
        return "its quant_state lacks a block size, a dtype of floats, or a shape of two or more numbers"
    count, width = prod(sizes), _WIDTHS.get(main.dtype, 0)
    if prod(main.shape) * width != -(-count // 2):
        return f"its quant_state says that it has the shape {_shown(tuple(sizes))}, but it is {_shown(main.shape)}"
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
        return values.to(_dtype(result)).view(sizes)

    note = f"blocks of {size}{', their scales of 8 bits' if nested else ''}"
    return Parameter(main.name, tuple(sizes), load, note=note, dtype=kind)


_NF4, _FP4 = ".quant_state.bitsandbytes__nf4", ".quant_state.bitsandbytes__fp4"

_WIDTHS = {"uint8": 1, "int8": 1, "float16": 2, "bfloat16": 2, "int32": 4, "float32": 4, "float64": 8}
"""Bytes of the dtypes in which packed values are stored."""


def _json_of(part: Parameter) -> dict[str, Any] | None:
    """The JSON object in a tensor of bytes."""
    if prod(part.shape) > LARGEST_STATE or part.dtype != "uint8":
        return None
    try:
        said = json.loads(bytes(part.load().flatten().tolist()).decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


_ANY = frozenset(_WIDTHS)

SCHEMES = (
    Scheme("GPTQ", "qweight", frozenset({"int32"}), (("scales",), ("qzeros",)), _gptq),
    Scheme("AWQ", "qweight", frozenset({"int32"}), (("scales",), ("qzeros",)), _awq),
    Scheme("NF4", "", _ANY - {"int32"}, ((_NF4,), (".absmax",), (".quant_map",)), _bnb_4bit),
    Scheme("FP4 of bitsandbytes", "", _ANY - {"int32"}, ((_FP4,), (".absmax",), (".quant_map",)), _bnb_4bit),
    Scheme("LLM.int8()", "", frozenset({"int8"}), (("SCB",),), _bnb_int8),
    Scheme("NVFP4", "_packed", _BYTES, (("_scale",), ("_global_scale",)), _nvfp4),
    Scheme("NVFP4", "", _BYTES, (("_scale",), ("_scale_2",)), _nvfp4),
    Scheme("MXFP4", "_blocks", frozenset({"uint8"}), (("_scales",),), _mxfp4_experts),
    Scheme("MXFP4", ".blocks", frozenset({"uint8"}), ((".scales",),), _mxfp4_experts),
    Scheme("MXFP4", "_packed", _BYTES, (("_scale",),), _fp4),
    Scheme("MXFP4", "", _BYTES, (_SCALES,), _fp4),
    Scheme("compressed-tensors", "_packed", frozenset({"int32"}), (("_scale",), ("_shape",)), _pack_quantized),
    Scheme("FP8", "", _FP8, (_SCALES,), _scaled),
    Scheme("INT8", "", frozenset({"int8"}), (_SCALES,), _scaled),
    Scheme("HQQ", "W_q", _ANY, (("scale",), ("zero",), ("shape",)), _hqq),
    Scheme("INT4 of torchao", "_qdata", _BYTES, (("_scale",), ("_zero_point",)), _int4_of_torchao),
    Scheme("FP8 of torchao", "_qdata", _FP8, (("_scale",),), _scaled),
    Scheme("INT8 of torchao", "_qdata", frozenset({"int8"}), (("_scale",),), _scaled),
)
"""Of two that parts could be of, the first whose shapes fit is taken."""
