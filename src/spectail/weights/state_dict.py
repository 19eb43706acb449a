"""State dicts: where in a mapping one lies, and what its names mean.

Here: all that is the same of a state dict in memory and in a file. Not here: how files are read (`formats`), and
which splitting a name gets (`by_name`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor, nn

from spectail.errors import SourceError
from spectail.weights.adapters import adapted_by_name, scale_of_config
from spectail.weights.channels_last import as_in_torch, is_of_tensorflow, of_tensorflow
from spectail.weights.formats.pickle_machine import StandIn
from spectail.weights.matrix import Skipped
from spectail.weights.parameter import Parameter, Source, from_array, from_tensor
from spectail.weights.quantized import dequantized_by_name, parts_of_tensor
from spectail.weights.reparametrized import reparametrized_by_name
from spectail.weights.untrusted import printable
from spectail.weights.wrappers import without_wrappers

WRAPPINGS = (
    *("state_dict", "model_state_dict", "model_state", "model", "module", "net", "network", "params", "weights"),
    *("ema", "model_ema"),
)
"""Under which names training scripts keep the state dict in a checkpoint, by precedence."""

SETTINGS = ("args", "config", "cfg", "model_args", "model_config", "hparams", "hyper_parameters")
"""Under which names they keep the model's configuration beside it."""

MOST_NAMES = 2_000_000
"""Tensors of one source, counted under each name that they have."""

DEEPEST = 100
"""Mappings in one another, past which nothing is looked for."""

Tree = Any
"""Tensors, arrays or parameters, and mappings of them by name, as deep as they are; and whatever else lies beside."""


class Members(dict[Any, Tree]):
    """What a module holds, by name: its names are those of a state dict, however deep."""


class TensorParts(Members):
    """What one quantised tensor is made of, by name."""


def read_mapping(mapping: Mapping[Any, Any], title: str, key: str | None = None) -> Source:
    """The parameters of a state dict in memory.

    Args:
        mapping: tensors, arrays or lists of rows by name; or a checkpoint that holds such mappings.
        title: what it is called.
        key: of the one that is meant, where there are several; by default the model's, or all.

    Returns:
        views of its tensors, under the names that are stored.

    Raises:
        SourceError: it holds things, but no tensor by name; or none under this key.
    """
    rows = {name: np.array(value) for name, value in mapping.items() if _is_list_of_rows(value)}
    return source_of_tree({**mapping, **rows} if rows else mapping, title, title, key)


def _is_list_of_rows(value: Any) -> bool:
    """Whether something is a list of lists of equally many numbers, one at least of them no integer."""
    if not isinstance(value, list) or not value or not isinstance(value[0], list):
        return False
    try:
        return np.array(value).dtype == np.float64
    except ValueError:  # of unequal lengths
        return False


def source_of_tree(tree: Tree, where: str, title: str, key: str | None = None) -> Source:
    """The parameters in a checkpoint: of the state dict that is the model's, or else of all in it.

    The model's is the one under a usual name (`WRAPPINGS`), or the only one. Several of which none has a usual name
    are taken all, their keys before their names.

    Args:
        tree: what the checkpoint holds.
        where: what it is called in messages.
        title: what it is called.
        key: of the state dict that is meant; "a.b" is b in a.

    Returns:
        its parameters, under the names that are stored, and what was left out.

    Raises:
        SourceError: it holds no tensor by name, or no tensor under this key.

    >>> import torch
    >>> checkpoint = {"model": {"fc.weight": torch.ones(3, 2)}, "ema": {"fc.weight": torch.ones(3, 2)}, "epoch": 3}
    >>> [one.name for one in source_of_tree(checkpoint, "checkpoint", "checkpoint").skipped]
    ['ema', 'epoch']
    """
    finder = _Finder(where)
    keys, skipped = [], list[Skipped]()
    partitioned, config = _named_by_deepspeed(tree), _configuration_in(tree)
    if key is not None:
        tree, keys = finder.under(tree, key), [key]
    else:
        while isinstance(tree, Mapping) and not isinstance(tree, Members):
            chosen = finder.choose(tree, first=not keys)
            if chosen is None:
                break
            skipped += [finder.beside(name, value, chosen) for name, value in tree.items() if name != chosen]
            tree, keys = tree[chosen], [*keys, str(chosen)]
    parameters: list[Parameter] = []
    leaves = [(".".join(path) or "tensor", value) for path, value in finder.leaves(tree, ())]  # one alone has no name
    graph = any(is_of_tensorflow(name) for name, _ in leaves)
    for name, value in leaves:
        leaf = as_parameter(value, name)
        if leaf is not None and graph:
            leaf = of_tensorflow(leaf)
        elif leaf is not None and not isinstance(value, Parameter | Tensor):  # an array of JAX or Keras in memory
            leaf = as_in_torch(leaf)
        if leaf is not None:
            parameters.append(leaf)
        else:
            optimizer = "an optimizer's state" if _is_optimizer(value) else ""
            skipped.append(Skipped(_short(name), (), optimizer or f"not a tensor ({_kind_of(value)})"))
    if not parameters and (tree or not isinstance(tree, Mapping)):
        several = isinstance(tree, Mapping)
        names = ", ".join(_short(one.name) for one in skipped[:8]) if several else f"a {_kind_of(tree)}"
        raise SourceError(
            f"{where} holds no tensor by name, only {names}; expected a state dict, as model.state_dict() gives"
        )
    check_placeholders(parameters, where, partitioned)
    return Source(title_of_keys(title, tuple(keys)), parameters, skipped, config=config)


def check_placeholders(parameters: Sequence[Parameter], where: str, partitioned: Collection[Any] = ()) -> None:
    """Refuse a checkpoint that holds the names of weights, but not their values.

    Args:
        parameters: of a checkpoint.
        where: what it is called in messages.
        partitioned: names of parameters of which it is known that they are not empty.

    Raises:
        SourceError: all of several parameters are empty, or one is empty that is known not to be.
    """
    empty = sum(0 in one.shape for one in parameters)
    if len(parameters) == empty > 1 or any(0 in one.shape and one.name in partitioned for one in parameters):
        raise SourceError(
            f"{where} has {empty} empty tensors: placeholders of DeepSpeed's ZeRO stage 3, whose values lie in other "
            "files; merge them with the zero_to_fp32.py that lies beside: python zero_to_fp32.py . merged"
        )


def _configuration_in(tree: Tree) -> dict[str, Any]:
    """What a checkpoint says of its model: numbers and words, by name."""
    config: dict[str, Any] = {}
    for key in SETTINGS if isinstance(tree, Mapping) and not isinstance(tree, Members) else ():
        value = tree.get(key)
        entries = value.state if isinstance(value, StandIn) else getattr(value, "__dict__", value)
        if isinstance(entries, Mapping):
            config |= {
                name: entry
                for name, entry in entries.items()
                if isinstance(name, str) and isinstance(entry, int | float | str)
            }
    return config


def _named_by_deepspeed(tree: Tree) -> set[Any]:
    """The parameters of which a checkpoint of DeepSpeed says which shape each has, wherever its values lie."""
    groups = tree.get("param_shapes") if isinstance(tree, Mapping) else None
    groups = groups.values() if isinstance(groups, Mapping) else groups if isinstance(groups, list) else ()
    return {name for group in groups if isinstance(group, Mapping) for name in group}


def as_parameter(value: Any, name: str = "") -> Parameter | None:
    """A tensor, an array or a parameter as a parameter of this name; None of anything else."""
    if isinstance(value, Parameter):
        return replace(value, name=name)
    if isinstance(value, Tensor):
        return from_tensor(name, value, value.detach)
    if isinstance(value, np.ndarray) or (
        hasattr(value, "__array__") and hasattr(value, "shape") and hasattr(value, "dtype") and not np.isscalar(value)
    ):
        return from_array(np.asarray(value), name)
    return None


class _Finder:
    """Looks for state dicts in a checkpoint; each part is looked through once."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._worths: dict[int, int] = {}
        self._count = 0

    def worth(self, value: Any, depth: int = DEEPEST) -> int:
        """2 where there is a matrix to analyse in it, 1 where there is a tensor, 0 where there is none."""
        if isinstance(value, nn.Module | TensorParts):
            return 2
        if not isinstance(value, Mapping):
            leaf = value if isinstance(value, Parameter) else as_parameter(value)
            return 0 if leaf is None else 1 if leaf.refusal else 2
        if _is_optimizer(value) or depth < 0:
            return 0
        if id(value) not in self._worths:
            self._worths[id(value)] = 0  # what contains itself is not entered again
            self._worths[id(value)] = max((self.worth(inner, depth - 1) for inner in value.values()), default=0)
        return self._worths[id(value)]

    def choose(self, tree: Mapping[Any, Tree], *, first: bool) -> Any:
        """Under which key the model's state dict lies; None where it is this mapping itself."""
        worths = {key: self.worth(value) for key, value in tree.items()}
        most = max(worths.values(), default=0)
        states = [key for key, value in tree.items() if self._is_state(value) and worths[key] == most > 0]
        usual = [key for key in WRAPPINGS if key in states]
        if not first and len(states) > 1:  # a layer may be called "model" too, but none is called "state_dict"
            usual = [key for key in usual if "state" in key]
        direct = any(worths[key] == most for key, value in tree.items() if not self._is_state(value))
        if usual:
            return usual[0]
        return states[0] if len(states) == 1 and not direct else None

    @staticmethod
    def _is_state(value: Any) -> bool:
        return isinstance(value, Mapping | nn.Module) and not isinstance(value, TensorParts)

    def beside(self, key: Any, value: Any, chosen: Any) -> Skipped:
        """Why what lies beside the state dict is not analysed."""
        if self._is_state(value) and self.worth(value) == 2:
            reason = f'another state dict beside "{_short(chosen)}"; key="{_short(key)}" asks for it'
            return Skipped(_short(key), (), reason)
        return Skipped(_short(key), (), "beside the state dict in its checkpoint")

    def under(self, tree: Tree, key: str) -> Tree:
        """The part of a checkpoint under a key."""
        here, rest = tree, key
        while rest and isinstance(here, Mapping):
            names = {str(name): name for name in here}
            step = max((name for name in names if rest == name or rest.startswith(f"{name}.")), key=len, default=None)
            if step is None:
                break
            here, rest = here[names[step]], rest[len(step) + 1 :]
        if rest or not self.worth(here):
            keys = [_short(name) for name, value in tree.items() if self._is_state(value) and self.worth(value)]
            known = f"there are {', '.join(keys[:8])}" if keys else "it is one state dict, without keys"
            raise SourceError(f"{self._where} has no state dict under key={key!r:.80}; {known}")
        return here

    def leaves(self, tree: Tree, path: tuple[str, ...], depth: int = DEEPEST) -> Iterator[tuple[tuple[str, ...], Any]]:
        """Every tensor, and what else there is, with the keys that lead to it."""
        self._count += 1
        if self._count > MOST_NAMES:
            raise SourceError(f"{self._where} has more than {MOST_NAMES} names, more than any model")
        if isinstance(tree, nn.Module):
            tree = tree.state_dict()
        if isinstance(tree, Tensor) and path and len(parts := parts_of_tensor(path[-1], tree)) > 1:
            for name, part in parts.items():
                yield (*path[:-1], name), part
            return
        if isinstance(tree, Mapping) and depth >= 0 and (not path or self.worth(tree)):
            for key, value in tree.items():
                yield from self.leaves(
                    value, (*path, str(key) if isinstance(key, str | int) else _short(key)), depth - 1
                )
        elif path or as_parameter(tree) is not None:
            yield path, tree


def _kind_of(value: object) -> str:
    """What a value is an instance of, or would have been."""
    return printable(value.name if isinstance(value, StandIn) else type(value).__name__)[:60]


def _is_optimizer(value: object) -> bool:
    return isinstance(value, Mapping) and {"state", "param_groups"} <= value.keys()


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
    reparametrized, sources = reparametrized_by_name(dequantized)
    adapter = source.config.get("adapter_config", {})
    parameters, factors = adapted_by_name(reparametrized, scale_of_config(adapter if isinstance(adapter, dict) else {}))
    return Source(title, parameters, [*parts, *sources, *factors, *source.skipped], config=source.config)


def title_of_keys(title: str, keys: tuple[str, ...]) -> str:
    """What the part of a checkpoint under these keys is called."""
    return title + "".join(f'["{_short(key)}"]' for key in keys)


def _short(name: object) -> str:
    text = name if isinstance(name, str) else f"{name!r:.60}" if isinstance(name, int | float) else type(name).__name__
    return printable(text[:60])
