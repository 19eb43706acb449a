"""State dicts: where in a mapping one lies, and what its names mean.

Here: all that is the same of a state dict in memory and in a file. Not here: how files are read (`formats`), and
which splitting a name gets (`by_name`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from spectail.errors import SourceError
from spectail.weights.matrix import Skipped
from spectail.weights.parameter import Source, from_tensor
from spectail.weights.quantized import dequantized_by_name
from spectail.weights.reparametrized import reparametrized_by_name
from spectail.weights.untrusted import printable
from spectail.weights.wrappers import without_wrappers

WRAPPINGS = (
    *("state_dict", "model_state_dict", "model_state", "model", "module", "net", "network", "params", "weights"),
    *("ema", "model_ema"),
)
"""Under which names training scripts keep the state dict in a checkpoint, by precedence."""

DEPTH = 3
"""How deep in a checkpoint its state dict may lie."""


def read_mapping(mapping: Mapping[Any, Any], title: str) -> Source:
    """The parameters of a state dict in memory.

    Args:
        mapping: tensors by name; or a checkpoint that holds such a mapping under a usual name.
        title: what it is called.

    Returns:
        views of its tensors, under the names that are stored.

    Raises:
        SourceError: it holds things, but no tensor by name.
    """
    state, keys, skipped = find_state_dict(mapping, title)
    parameters = [from_tensor(name, tensor, tensor.detach) for name, tensor in state.items()]
    return Source(title_of_keys(title, keys), parameters, skipped)


def as_in_the_model(source: Source) -> Source:
    """The parameters by the names that the model itself has for them, each weight as its layer acts with it.

    Args:
        source: parameters under the names that are stored.

    Returns:
        them, without the prefixes of wrappers, which the title then names; weights that are stored in several
        parameters, quantised or parametrized, are computed from these, which are listed as skipped.
    """
    names, removed = without_wrappers([printable(parameter.name) for parameter in source.parameters])
    prefixes = ", ".join(f'"{wrapper}."' for wrapper in removed)
    title = source.title + (f" (its names without the prefix {prefixes})" if removed else "")
    named = [replace(parameter, name=name) for parameter, name in zip(source.parameters, names, strict=True)]
    dequantized, parts = dequantized_by_name(named, source.config)
    parameters, sources = reparametrized_by_name(dequantized)
    return Source(title, parameters, [*parts, *sources, *source.skipped], config=source.config)


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
        SourceError: it holds things, but no tensor by name, or several mappings of which none has a usual name.
    """
    keys: tuple[str, ...] = ()
    skipped: list[Skipped] = []
    while len(keys) < DEPTH and not any(isinstance(value, Tensor) for value in source.values()):
        states = [
            key for key, value in source.items() if isinstance(key, str) and _holds_state(value, DEPTH - len(keys))
        ]
        usual = [key for key in WRAPPINGS if key in states]
        if len(states) > 1 and not usual:
            several = ", ".join(map(_short, states[:8]))
            raise SourceError(f"{title} holds several state dicts, {several}; expected one: save the one that you mean")
        if not states:
            break
        key = (usual or states)[0]
        skipped += [
            Skipped(_short(other), (), "beside the state dict in its checkpoint") for other in source if other != key
        ]
        source, keys = source[key], (*keys, key)
    state = {str(name): value for name, value in source.items() if isinstance(value, Tensor)}
    if source and not state:
        keys_there = ", ".join(_short(key) for key in list(source)[:8])
        raise SourceError(
            f"{title} holds no tensor by name, only {keys_there}; expected a state dict, as model.state_dict() gives"
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
