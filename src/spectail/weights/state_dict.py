"""The parameters of a state dict: names, shapes and values, in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from spectail.errors import SourceError
from spectail.weights.by_name import splitting_by_name
from spectail.weights.matrix import ConvMatrix, Skipped, Weights
from spectail.weights.parameter import Parameter, from_tensor, make_weights
from spectail.weights.reparametrized import reparametrized_by_name
from spectail.weights.untrusted import printable

WRAPPINGS = (
    *("state_dict", "model_state_dict", "model_state", "model", "module", "net", "network", "params", "weights"),
    *("ema", "model_ema"),
)
"""Under which names training scripts keep the state dict in a checkpoint, by precedence."""

PREFIXES = ("module.", "_orig_mod.")
"""What wrappers for several devices and for compilation put before every name."""

DEPTH = 3
"""How deep in a checkpoint its state dict may lie."""


def state_weights(source: Mapping[Any, Any], conv: ConvMatrix, title: str = "state dict") -> Weights:
    """The matrices of a state dict in memory.

    Args:
        source: tensors by name; or a checkpoint that holds such a mapping under a usual name.
        conv: how kernels become matrices.
        title: what it is called.

    Returns:
        its matrices, views of its tensors, and what was left out.

    Raises:
        ValueError: it holds things, but no tensor by name.
    """

    def reader(tensor: Tensor) -> Callable[[], Tensor]:
        return lambda: tensor.detach()

    state, keys, skipped = find_state_dict(source, title)
    found = [from_tensor(name, tensor, reader(tensor)) for name, tensor in state.items()]
    return named_weights(title_of_keys(title, keys), found, conv, skipped)


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
    names, removed = without_prefixes([printable(parameter.name) for parameter in found])
    named = [replace(parameter, name=name) for parameter, name in zip(found, names, strict=True)]
    named, parts = reparametrized_by_name(named)
    shapes = {parameter.name: parameter.shape for parameter in named}
    planned = [
        (parameter, None if parameter.refusal else splitting_by_name(parameter.name, shapes, conv))
        for parameter in named
    ]
    title += f' (its names without the prefix "{removed}")' if removed else ""
    return make_weights(title, planned, [*parts, *skipped])


def without_prefixes(names: list[str]) -> tuple[list[str], str]:
    """Names without what a wrapper put before every one of them.

    Args:
        names: of all parameters.

    Returns:
        the names; and the prefix that was removed, empty if none.
    """
    removed = ""
    while prefix := next((one for one in PREFIXES if names and all(name.startswith(one) for name in names)), ""):
        names = [name.removeprefix(prefix) for name in names]
        removed += prefix
    # a compiled part of a model is that part
    inner = [name.replace("_orig_mod.", "") for name in names]
    return (inner if len(set(inner)) == len(set(names)) else names), removed


def title_of_keys(title: str, keys: tuple[str, ...]) -> str:
    """What the part of a checkpoint under these keys is called."""
    return title + "".join(f'["{_short(key)}"]' for key in keys)


def find_state_dict(source: Mapping[Any, Any], title: str) -> tuple[dict[str, Tensor], tuple[str, ...], list[Skipped]]:
    """The state dict in a checkpoint.

    Args:
        source: tensors by name; or a mapping that holds such a mapping under a usual name, or one of another name.
        title: what it is called.

    Returns:
        the tensors by name; under which keys they were; what beside them was left out.

    Raises:
        ValueError: it holds things, but no tensor by name, or several mappings of which none has a usual name.
    """
    keys: tuple[str, ...] = ()
    skipped: list[Skipped] = []
    while len(keys) < DEPTH and not any(isinstance(value, Tensor) for value in source.values()):
        held = [key for key, value in source.items() if isinstance(key, str) and _holds_state(value, DEPTH - len(keys))]
        usual = [key for key in WRAPPINGS if key in held]
        if len(held) > 1 and not usual:
            several = ", ".join(map(_short, held[:8]))
            raise SourceError(f"{title} holds several state dicts, {several}; expected one: save the one that you mean")
        if not held:
            break
        key = (usual or held)[0]
        skipped += [
            Skipped(_short(other), (), "beside the state dict in its checkpoint") for other in source if other != key
        ]
        source, keys = source[key], (*keys, key)
    state = {str(name): value for name, value in source.items() if isinstance(value, Tensor)}
    if source and not state:
        known = ", ".join(_short(key) for key in list(source)[:8])
        raise SourceError(
            f"{title} holds no tensor by name, only {known}; expected a state dict, as model.state_dict() gives"
        )
    others = [(name, value) for name, value in source.items() if not isinstance(value, Tensor)]
    skipped += [Skipped(_short(name), (), f"not a tensor ({type(value).__name__})") for name, value in others]
    return state, keys, skipped


def _short(name: object) -> str:
    text = name if isinstance(name, str) else f"{name!r:.60}" if isinstance(name, int | float) else type(name).__name__
    return printable(text[:60])


def _holds_state(value: object, depth: int) -> bool:
    """Whether a value is a state dict of a model, or holds one under a usual name."""
    if not isinstance(value, Mapping) or {"state", "param_groups"} <= value.keys():
        return False
    if any(isinstance(inner, Tensor) for inner in value.values()):
        return True
    return depth > 1 and any(_holds_state(value.get(key), depth - 1) for key in WRAPPINGS)
