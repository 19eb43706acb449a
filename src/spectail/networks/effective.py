"""Weights that a module computes from others: what it acts with, without changing it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from spectail.networks.matrices import Skipped
from spectail.networks.parameters import Parameter, from_tensor

_Recipe = tuple[str, Callable[[], Tensor], dict[str, Tensor], str]
"""A weight's name, how it is computed, from what, and what that is called."""


def effective_weights(owner: nn.Module, path: str) -> tuple[list[Parameter], dict[str, Skipped]]:
    """The weights that a module computes before it acts: parametrized, normalised or pruned.

    Args:
        owner: the module; its submodules are not looked at.
        path: of it, with the point at its end.

    Returns:
        the weights it acts with; and, by name, the parameters and buffers that they are made of.
    """
    found: list[Parameter] = []
    consumed: dict[str, Skipped] = {}
    for name, compute, sources, how in (*_parametrized(owner), *_hooked(owner)):
        whole = path + name
        for source, tensor in sources.items():
            shape = tuple(tensor.shape)
            consumed[path + source] = Skipped(path + source, shape, f"a part of {whole}, analysed as it acts ({how})")
        try:
            seen = compute()
        except Exception as error:  # whatever a user's own parametrization raises
            consumed[whole] = Skipped(whole, (), f"its parametrization cannot be computed: {error}")
            continue
        parameter = from_tensor(whole, seen, compute, resident=False)
        # what was computed lies in memory that is used again: only the module says what is shared
        memory = (id(owner), name)
        found.append(replace(parameter, memory=memory, note=f"{how}: the weight it acts with"))
    return found, consumed


def _parametrized(owner: nn.Module) -> list[_Recipe]:
    """Weights under `torch.nn.utils.parametrize`, by a copy of it in evaluation mode: in training, it may change."""
    found: list[_Recipe] = []
    if not parametrize.is_parametrized(owner):
        return found
    for name, chain in owner.parametrizations.items():  # type: ignore[union-attr,operator]

        def compute(name: str = name) -> Tensor:
            chain = copy.deepcopy(owner.parametrizations[name]).eval()  # type: ignore[index,union-attr]
            with torch.no_grad():
                return _plain(chain())

        sources = {f"parametrizations.{name}.{inner}": tensor for inner, tensor in _values(chain)}
        found.append((name, compute, sources, "+".join(_called(step) for step in chain)))
    return found


def _hooked(owner: nn.Module) -> list[_Recipe]:
    """Weights that a hook of `torch.nn.utils` computes before each call: weight_norm, spectral_norm, prune."""
    found: list[_Recipe] = []
    for hook in owner._forward_pre_hooks.values():
        kind = type(hook).__name__
        name = getattr(hook, "name", None) or getattr(hook, "_tensor_name", None)
        ends = {"WeightNorm": ("_g", "_v"), "SpectralNorm": ("_orig", "_u", "_v")}.get(kind)
        if hasattr(hook, "apply_mask"):
            kind, ends = "pruned", ("_orig", "_mask")
        if name is None or ends is None:
            continue

        def compute(hook: Any = hook, kind: str = kind) -> Tensor:
            with torch.no_grad():
                if kind == "pruned":
                    return _plain(hook.apply_mask(owner))
                if kind == "SpectralNorm":
                    return _plain(hook.compute_weight(owner, do_power_iteration=False))
                return _plain(hook.compute_weight(owner))

        held = owner._parameters | owner._buffers
        sources = {name + end: tensor for end in ends if (tensor := held.get(name + end)) is not None}
        found.append((name, compute, sources, _called(hook) if kind != "pruned" else kind))
    return found


def _plain(tensor: Tensor) -> Tensor:
    return tensor.detach()


def _values(module: nn.Module) -> list[tuple[str, Tensor]]:
    return [*module.named_parameters(), *module.named_buffers()]


def _called(step: object) -> str:
    name = type(step).__name__
    return {"_WeightNorm": "weight_norm", "WeightNorm": "weight_norm", "_SpectralNorm": "spectral_norm"}.get(
        name, {"SpectralNorm": "spectral_norm", "_Orthogonal": "orthogonal"}.get(name, name)
    )
