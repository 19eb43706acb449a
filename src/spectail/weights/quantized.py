"""Quantised weights: which parameters together are one, by their names, their shapes and the model's configuration.

Here: what becomes of the parts, and of those that are no weight. Not here: what they are called (`quantized_names`),
which shapes fit (`schemes`), and the arithmetic (`dequantization`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from spectail.errors import SourceError, first_line
from spectail.weights.matrix import Skipped
from spectail.weights.neighbours import Shape
from spectail.weights.parameter import Parameter, from_tensor, why_not_matrix, why_not_values
from spectail.weights.quantized_names import AFTER_WEIGHT, INSTEAD_OF_WEIGHT, SURELY_PARTS, place_of
from spectail.weights.schemes.parts import (
    FLOATS,
    FP8,
    Config,
    Parts,
    dtype_called,
    shape_text,
)
from spectail.weights.schemes.table import SCHEMES, Scheme

_OF_ACTIVATIONS = re.compile(
    r".*[._](input|output|act|activation|[qkv])_(scale|zero_point|global_scale|amax)(_inv|_2)?|.*\.[qkv]_proj\.[kv]_scale"
)


def dequantized_by_name(
    parameters: Sequence[Parameter], config: Mapping[str, Any]
) -> tuple[list[Parameter], list[Skipped]]:
    """Replace the stored parts of each quantised weight by the weight that they mean.

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
    places = [place_of(parameter.name) for parameter in parameters]
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
    tensors = {**owner._parameters, **owner._buffers}
    if all(tensor is None or _is_plain(tensor) for tensor in tensors.values()):
        return [], []
    parts = [
        from_tensor(path + inner, part, part.detach)
        for name, tensor in tensors.items()
        if tensor is not None and not is_lazy(tensor)
        for inner, part in parts_of_tensor(name, tensor).items()
    ]
    parameters, skipped = dequantized_by_name(parts, config)
    of_owner = {path + name for name in tensors}
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
            if role in AFTER_WEIGHT and name.endswith("weight"):
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
        surely = role in SURELY_PARTS or (role in AFTER_WEIGHT and name.endswith(("weight", "_proj")))
        if role and (surely or (several and role in INSTEAD_OF_WEIGHT and "" not in parts)):
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
