"""The parameters of a state dict: names, shapes and values, in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from spectail.networks.matrices import ConvMatrix, Skipped, Weights
from spectail.networks.names import plan_by_name
from spectail.networks.parameters import Parameter, from_tensor, weights

WRAPPINGS = (
    "state_dict",
    "model_state_dict",
    "model",
    "module",
    "net",
    "network",
    "params",
    "weights",
    "ema",
    "model_ema",
)
"""Under which names training scripts keep the state dict in a checkpoint, by precedence."""
PREFIXES = ("module.", "_orig_mod.")
"""What wrappers for several devices and for compilation put before every name."""


def state_weights(source: Mapping[Any, Any], conv: ConvMatrix, title: str = "state dict") -> Weights:
    """The matrices of a state dict in memory.

    Args:
        source: tensors by name; or a checkpoint that holds such a mapping under a usual name.
        conv: how kernels become matrices.
        title: what it is called.

    Returns:
        its matrices, views of its tensors, and what was left out.

    Raises:
        ValueError: there is no tensor in it.
    """
    state, where, skipped = unwrap(source, title)

    def reader(tensor: Tensor) -> Callable[[], Tensor]:
        return lambda: tensor.detach()

    found = [from_tensor(name, tensor, reader(tensor)) for name, tensor in state.items()]
    return named_weights(title + where, found, conv, skipped)


def named_weights(title: str, found: list[Parameter], conv: ConvMatrix, skipped: list[Skipped]) -> Weights:
    """The matrices of parameters of which only names and shapes are known.

    Args:
        title: what the source is called; a prefix that is removed from all names is added to it.
        found: the parameters.
        conv: how kernels become matrices.
        skipped: what was left out before.

    Returns:
        the matrices and what was left out.
    """
    names, removed = plain_names([parameter.name for parameter in found])
    found = [_renamed(parameter, name) for parameter, name in zip(found, names, strict=True)]
    shapes = {parameter.name: parameter.shape for parameter in found}
    planned = [
        (parameter, None if parameter.refusal else plan_by_name(parameter.name, shapes, conv)) for parameter in found
    ]
    return weights(title + (f' (without the prefix "{removed}")' if removed else ""), planned, skipped)


def _renamed(parameter: Parameter, name: str) -> Parameter:
    return Parameter(
        name, parameter.shape, parameter.load, parameter.refusal, parameter.memory, parameter.resident, parameter.note
    )


def plain_names(names: list[str]) -> tuple[list[str], str]:
    """Names without what a wrapper put before every one of them.

    Args:
        names: of all parameters.

    Returns:
        the names; and the prefix that was removed, empty if none.
    """
    removed = ""
    while names:
        prefix = next((prefix for prefix in PREFIXES if all(name.startswith(prefix) for name in names)), None)
        if prefix is None:
            break
        names = [name[len(prefix) :] for name in names]
        removed += prefix
    # a compiled part of a model is that part
    inner = [name.replace("_orig_mod.", "") for name in names]
    return (inner if len(set(inner)) == len(names) else names), removed


def unwrap(source: Mapping[Any, Any], title: str) -> tuple[dict[str, Tensor], str, list[Skipped]]:
    """The state dict in a checkpoint.

    Args:
        source: tensors by name; or a mapping that holds such a mapping under a usual name.
        title: what it is called.

    Returns:
        the tensors by name; where they were, as ' ["model"]'; what beside them was left out.

    Raises:
        ValueError: there is no tensor in it.
    """
    where, skipped, depth = "", [], 0
    while depth < 4 and not any(isinstance(value, Tensor) for value in source.values()):
        key = next((key for key in WRAPPINGS if _holds_tensors(source.get(key))), None)
        if key is None:
            break
        skipped += [
            Skipped(str(other), (), "beside the state dict in its checkpoint") for other in source if other != key
        ]
        source, where, depth = source[key], f'{where} ["{key}"]', depth + 1
    state = {str(name): value for name, value in source.items() if isinstance(value, Tensor)}
    if source and not state:
        known = ", ".join(sorted(str(key) for key in list(source)[:8]))
        raise ValueError(f"{title} holds no tensor by name, only: {known}; expected a state dict (name → tensor)")
    skipped += [
        Skipped(str(name), (), f"not a tensor ({type(value).__name__})")
        for name, value in source.items()
        if not isinstance(value, Tensor)
    ]
    return state, where, skipped


def _holds_tensors(value: object, depth: int = 0) -> bool:
    if not isinstance(value, Mapping):
        return False
    return any(
        isinstance(inner, torch.Tensor) or (depth < 3 and key in WRAPPINGS and _holds_tensors(inner, depth + 1))
        for key, inner in value.items()
    )
