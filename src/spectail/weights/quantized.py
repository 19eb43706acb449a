"""Quantised weights: which parameters together are one, by their names, their shapes and the model's configuration.

A scheme is a function of `schemes` that describes the weight of a group of parts, and a line in `SCHEMES`.

Here: names, and what becomes of parts that are no weight. Not here: which shapes fit (`schemes`), and the arithmetic
(`dequantization`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from spectail.errors import SourceError, first_line
from spectail.weights.matrix import Skipped
from spectail.weights.neighbours import Shape
from spectail.weights.parameter import Parameter, from_tensor, why_not_matrix, why_not_values
from spectail.weights.schemes.bitsandbytes import FP4_STATE, NF4_STATE, describe_4bit_blocks, describe_llm_int8
from spectail.weights.schemes.floats import (
    describe_mxfp4,
    describe_mxfp4_experts,
    describe_mxfp4_of_mlx,
    describe_nvfp4,
    describe_quanto,
    describe_scaled,
)
from spectail.weights.schemes.integers import (
    describe_awq,
    describe_bitnet,
    describe_gptq,
    describe_hqq,
    describe_int4_of_torchao,
    describe_mlx,
    describe_pack_quantized,
    describe_quanto_bits,
)
from spectail.weights.schemes.parts import (
    BYTES,
    FLOATS,
    FP8,
    SCALE_NAMES,
    SWIZZLED,
    WIDTHS,
    Config,
    Parts,
    StoredWeight,
    dtype_called,
    shape_text,
    unread,
)

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
    *(
        "_scale_and_zero",
        "_zero_point",
        "_shape",
        "_g_idx",
        ".absmax",
        ".quant_map",
        ".nested_absmax",
        ".nested_quant_map",
    ),
    *(".quant_state.bitsandbytes__nf4", ".quant_state.bitsandbytes__fp4"),
)
"""What is put behind the name of a weight, to name a part of it: the longer ending before one that ends as it does."""

_OF_HQQ = (
    *("nbits", "group_size", "shape", "axis", "packing", "unpack_view_dtype", "view_as_float", "quant_scale"),
    *("quant_zero", "compute_dtype", "offload_meta", "encoded_state_dict", "stores_quant_config", "channel_wise"),
    *("optimize", "round_zero"),
)
"""What HQQ stores beside the values of a weight: its settings, each as a tensor."""

_OF_TORCHAO = frozenset(
    {
        *("qdata", "scale", "zero_point", "scale_and_zero", "per_tensor_scale", "act_per_tensor_scale"),
        *("act_pre_scale", "act_quant_scale", "act_quant_zero_point"),
    }
)
"""What a tensor of torchao is made of: names that are put behind the weight's, with a point."""

_INSTEAD_OF_WEIGHT = frozenset(
    {"qweight", "qzeros", "scales", "g_idx", "SCB", "weight_format", "scale", "scale_inv", "W_q", "zero", *_OF_HQQ}
)
"""What stands in the place of `weight`, to name a part of it."""

_OF_QUANTO = {
    "._data._data": "._data",
    "._data": "._data",
    "._scale": "_scale",
    "._shift": "._shift",
    "._size": "._size",
}
"""What a tensor of quanto is made of, behind the weight's name, and what these are here."""

_OF_OTHERS = frozenset(
    {
        *("biases", "B", "B_24", "B_meta", "s", "codes", "codebooks", "tables", "tables2", "indices", "res_indices"),
        *("centroids.weight", "res_centroids.weight", "outlier_centroids.weight", "outlier_indices"),
        *("q_weight", "q_scale", "q_scale_max", "q_groups", "q_group_map", "q_perm", "q_invperm"),
        *("trellis", "suh", "svh", "su", "sv", "mcg", "mul1", "Qidxs", "SU", "SV", "Wscale", "codebook_id"),
        *("dqweight", "forward_hadamard_matrix", "backward_hadamard_matrix"),
    }
)
"""… in schemes that give them names which others have, too: what is alone of these is no part."""

_SURELY_PARTS = frozenset({"qweight", "qzeros", "W_q", "SCB", "_packed", "_blocks", "_qdata"})
"""What no layer has as a weight of its own."""

_OF_ACTIVATIONS = re.compile(
    r".*[._](input|output|act|activation|[qkv])_(scale|zero_point|global_scale|amax)(_inv|_2)?|.*\.[qkv]_proj\.[kv]_scale"
)


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
    describe: Callable[[Parts, Config], StoredWeight] = field(repr=False)

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
    shapes = {parameter.name: parameter.shape for parameter in parameters}
    for name, parts in groups.items():
        if len(parts) > 1 or "" not in parts:
            sizes = _sizes(name, shapes, config) if "._data" in parts else {}
            _describe(name, parts, {**quantization, **sizes}, weights, skipped)
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


def _sizes(name: str, shapes: Mapping[str, Shape], config: Mapping[str, Any]) -> dict[str, int]:
    """How many outputs or inputs a layer has, of which the quantised values do not tell: by its bias, or its name."""
    path = name.removesuffix("weight")
    bias = shapes.get(f"{path}bias", ())
    if len(bias) == 1:
        return {"outputs": bias[0]}
    hidden = config.get("hidden_size")
    layer = path.rstrip(".").rpartition(".")[2]
    if not isinstance(hidden, int) or not re.fullmatch(r"([qkvo]|gate|up|down|out)_proj", layer):
        return {}
    return {"outputs" if layer in ("o_proj", "out_proj", "down_proj") else "inputs": hidden}


def dequantized_of_module(
    owner: nn.Module, path: str, config: Mapping[str, Any]
) -> tuple[list[Parameter], list[Skipped]]:
    """The quantised weights that a module holds, as what they mean.

    Args:
        owner: the module; its submodules are not looked at.
        path: of it, with the point at its end.
        config: of the model.

    Returns:
        its weights of known schemes; and the parameters and buffers that these are made of, or that are no weights.
    """
    stored = {**owner._parameters, **owner._buffers}
    if all(tensor is None or _is_plain(tensor) for tensor in stored.values()):
        return [], []
    parts = [
        from_tensor(path + inner, part, part.detach)
        for name, tensor in stored.items()
        if tensor is not None and not is_lazy(tensor)
        for inner, part in parts_of_tensor(name, tensor).items()
    ]
    parameters, skipped = dequantized_by_name(parts, config)
    of_owner = {path + name for name in stored}
    return (
        [parameter for parameter in parameters if parameter.note.startswith("dequantised")],
        [part for part in skipped if part.name in of_owner],
    )


def _is_plain(tensor: Tensor) -> bool:
    return type(tensor) in (Tensor, nn.Parameter) and tensor.dtype.is_floating_point and tensor.dtype.itemsize > 1


def parts_of_tensor(name: str, tensor: Tensor) -> dict[str, Tensor]:
    """What a tensor is made of that a package keeps in one object, under the names that a state dict has for it.

    Args:
        name: of the tensor.
        tensor: any.

    Returns:
        its parts, where it is of torchao or bitsandbytes; else itself.
    """
    attributes = vars(tensor) if type(tensor) is not Tensor else {}
    if isinstance(attributes.get("qdata"), Tensor):
        return {f"{name}.{key}": part for key, part in attributes.items() if isinstance(part, Tensor)}
    if isinstance(attributes.get("_data"), Tensor) and isinstance(attributes.get("_scale"), Tensor):
        inner = {
            key: getattr(attributes[key], "_data", attributes[key])
            for key in ("_data", "_scale", "_shift")
            if key in attributes
        }
        return {f"{name}.{key}": part for key, part in inner.items()} | {f"{name}._size": torch.tensor(tensor.shape)}
    parts = {name: tensor}
    if hasattr(attributes.get("quant_state"), "as_dict"):
        parts |= {f"{name}.{key}": part for key, part in attributes["quant_state"].as_dict(packed=True).items()}
    if isinstance(attributes.get("SCB"), Tensor):
        parts |= {f"{name.rpartition('.')[0]}.SCB".lstrip("."): attributes["SCB"]}
    return parts


def _place(name: str) -> tuple[str, str]:
    """The weight that a parameter belongs to, and as what."""
    path, point, last = name.rpartition(".")
    if last in _INSTEAD_OF_WEIGHT and not path.endswith("weight"):
        return f"{path}{point}weight", last
    if last in _OF_TORCHAO and path:
        return path, f"_{last}"
    other = f"{path.rpartition('.')[2]}.{last}" if last == "weight" else last
    if other in _OF_OTHERS and not path.endswith("weight"):
        return f"{name.removesuffix(other)}weight", other
    of_quanto = next((ending for ending in _OF_QUANTO if name.endswith(ending)), "")
    if of_quanto and name != of_quanto:
        return name.removesuffix(of_quanto), _OF_QUANTO[of_quanto]
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
    shapes = ", ".join(f"{part.name.rpartition('.')[2]} {shape_text(part.shape)}" for part in parts.values())
    reason = reason or f"the shapes of its parts do not fit one another ({shapes})"
    _skip_all(parts, f"quantised ({scheme.name}), but {reason}", skipped)


def _why_unreadable(parts: Parts) -> str:
    """Which part is refused for more than that it is no matrix of floats."""
    for part in parts.values():
        usual = ("", part.dtype and why_not_values(dtype_called(part.dtype)), why_not_matrix(part.shape))
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
    plain = "" in parts and parts[""].dtype in FLOATS | FP8 and not any(role.startswith(".") for role in parts)
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
    except (ArithmeticError, IndexError, RuntimeError, ValueError) as error:
        raise SourceError(f"{name} cannot be dequantised ({scheme}): {first_line(error):.200}") from error
    return values


_ANY = frozenset(WIDTHS)

_WORDS = frozenset({"int16", "int32", "int64", "uint16", "uint32"})

_DEQUANTIZE = "it is not read: model.dequantize(), and save"

_ORDER = "its values lie as one program takes them: "

_ORIGINAL = "it is not read: name the model that was quantised"

SCHEMES = (
    Scheme("GPTQ", "qweight", frozenset({"int32"}), (("scales",), ("qzeros",)), describe_gptq),
    Scheme("AWQ", "qweight", frozenset({"int32"}), (("scales",), ("qzeros",)), describe_awq),
    Scheme("NF4", "", _ANY - {"int32"}, ((NF4_STATE,), (".absmax",), (".quant_map",)), describe_4bit_blocks),
    Scheme(
        "FP4 of bitsandbytes", "", _ANY - {"int32"}, ((FP4_STATE,), (".absmax",), (".quant_map",)), describe_4bit_blocks
    ),
    Scheme("LLM.int8()", "", frozenset({"int8"}), (("SCB",),), describe_llm_int8),
    Scheme("NVFP4", "_packed", BYTES, (("_scale",), ("_global_scale",)), describe_nvfp4),
    Scheme("NVFP4", "", BYTES, (("_scale",), ("_scale_2",)), describe_nvfp4),
    Scheme("MXFP4", "_blocks", frozenset({"uint8"}), (("_scales",),), describe_mxfp4_experts),
    Scheme("MXFP4", ".blocks", frozenset({"uint8"}), ((".scales",),), describe_mxfp4_experts),
    Scheme("MXFP4", "_packed", BYTES, (("_scale",),), describe_mxfp4),
    Scheme("MXFP4", "", BYTES, (SCALE_NAMES,), describe_mxfp4),
    Scheme("compressed-tensors", "_packed", frozenset({"int32"}), (("_scale",), ("_shape",)), describe_pack_quantized),
    Scheme("FP8", "", FP8, (SCALE_NAMES,), describe_scaled),
    Scheme("INT8", "", frozenset({"int8"}), (SCALE_NAMES,), describe_scaled),
    Scheme("INT8 of quanto", "._data", frozenset({"int8"}), (("_scale",),), describe_quanto),
    Scheme("FP8 of quanto", "._data", FP8, (("_scale",),), describe_quanto),
    Scheme("quanto", "._data", frozenset({"uint8"}), (("_scale",), ("._shift",)), describe_quanto_bits),
    Scheme("MLX", "", frozenset({"uint32"}), (("scales",), ("biases",)), describe_mlx),
    Scheme("MXFP4 of MLX", "", frozenset({"uint32"}), (("scales",),), describe_mxfp4_of_mlx),
    Scheme("HQQ", "W_q", _ANY, (("scale",), ("zero",), ("shape",)), describe_hqq),
    Scheme("INT4 of torchao", "_qdata", BYTES, (("_scale",), ("_zero_point",)), describe_int4_of_torchao),
    Scheme("FP8 of torchao", "_qdata", FP8, (("_scale",),), describe_scaled),
    Scheme("INT8 of torchao", "_qdata", frozenset({"int8"}), (("_scale",),), describe_scaled),
    Scheme("4 bits of torchao", "_qdata", BYTES - {"int8"}, (("_scale",),), unread(SWIZZLED)),
    Scheme("INT4 of torchao", "_qdata", _WORDS, (), unread(_ORDER + _DEQUANTIZE)),
    Scheme(
        "GPTQ or AWQ",
        "qweight",
        frozenset({"int16", "uint8"}),
        (("scales",),),
        unread(_ORDER + "save it in the format gptq or gemm"),
    ),
    Scheme("Marlin", "B", _WORDS, (("s",),), unread(_ORDER + "save it in the format gptq")),
    Scheme("Marlin, 2 of 4", "B_24", _WORDS, (("s",),), unread(_ORDER + _ORIGINAL)),
    Scheme("AQLM", "codes", _ANY | _WORDS, (("codebooks",),), unread(_ORIGINAL)),
    Scheme("VPTQ", "indices", _ANY | _WORDS, (("centroids.weight",),), unread(_ORIGINAL)),
    Scheme("HIGGS", "", _ANY | _WORDS, (("tables2",),), unread(_DEQUANTIZE)),
    Scheme("EXL2", "q_weight", _ANY | _WORDS, (("q_scale",),), unread(_ORIGINAL)),
    Scheme("EXL3", "trellis", _ANY | _WORDS, (("suh", "su"),), unread(_ORIGINAL)),
    Scheme("QuIP#", "Qidxs", _ANY | _WORDS, (("SU",),), unread(_ORIGINAL)),
    Scheme("BitNet", "", frozenset({"uint8"}), (("_scale",),), describe_bitnet),
)
"""Of two that parts could be of, the first whose shapes fit is taken."""
