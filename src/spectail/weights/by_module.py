"""The parameters of a module: what it is tells how each becomes matrices."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from spectail.weights.by_name import fused_splitting, recurrent_splitting, splitting_by_name
from spectail.weights.matrix import ConvMatrix, Skipped, Weights
from spectail.weights.parameter import Parameter, from_tensor, make_weights, why_not_matrix
from spectail.weights.reparametrized import reparametrized_of_module
from spectail.weights.splitting import QKV, Splitting, bilinear, blocks, kernel, transposed, whole

_WRAPPERS = {"DataParallel", "DistributedDataParallel", "OptimizedModule", "AveragedModel"}

_HEADS = ("num_heads", "num_attention_heads", "n_heads", "n_head", "heads")


def module_weights(module: nn.Module, conv: ConvMatrix, title: str = "") -> Weights:
    """The matrices of a module, in the order of definition; the module is looked at, never changed.

    Args:
        module: any; a wrapper for several devices or for compilation is seen through.
        conv: how kernels become matrices.
        title: what it is called; its class, if empty.

    Returns:
        its matrices, each a view of the parameter as it is when it is read, and what was left out.
    """
    while type(module).__name__ in _WRAPPERS:
        module = next(module.children())
    planned: list[tuple[Parameter, Splitting | None]] = []
    skipped: list[Skipped] = []
    for path, owner, parent in _walk(module, "", None, ()):
        effective, consumed = reparametrized_of_module(owner, path)
        skipped += consumed.values()
        local = {parameter.name[len(path) :]: parameter for parameter in effective} | {
            name: from_tensor(path + name, tensor, _reader(owner, name))
            for name, tensor in owner._parameters.items()
            if tensor is not None and path + name not in consumed
        }
        shapes = {name: parameter.shape for name, parameter in local.items()}
        for name, parameter in local.items():
            plan = None if parameter.refusal else _plan(owner, parent, name, path, shapes, conv)
            planned.append((parameter, plan))
        skipped += _other_values(owner, path, consumed)
    return make_weights(title or type(module).__name__, planned, skipped)


def _walk(
    module: nn.Module, path: str, parent: nn.Module | None, above: tuple[nn.Module, ...]
) -> Iterator[tuple[str, nn.Module, nn.Module | None]]:
    """Every module under every name it has, so that tied ones are known; one that contains itself is not re-entered."""
    if module in above:
        return
    yield path, module, parent
    for name, child in module._modules.items():
        if child is None or (name == "parametrizations" and hasattr(module, "parametrizations")):
            continue
        # a compiled submodule is its module
        inner = path if name == "_orig_mod" else f"{path}{name}."
        yield from _walk(child, inner, module, (*above, module))


def _reader(owner: nn.Module, name: str) -> Callable[[], Tensor]:
    def load() -> Tensor:
        parameter = owner._parameters[name]
        assert parameter is not None
        return parameter.detach()

    return load


def _plan(
    owner: nn.Module,
    parent: nn.Module | None,
    name: str,
    path: str,
    shapes: dict[str, tuple[int, ...]],
    conv: ConvMatrix,
) -> Splitting | None:
    """How a parameter becomes matrices; by the class of its module, then by its name."""
    shape = shapes[name]
    if isinstance(owner, nn.MultiheadAttention) and name in {
        "in_proj_weight",
        "q_proj_weight",
        "k_proj_weight",
        "v_proj_weight",
    }:
        return blocks("attention", QKV) if name == "in_proj_weight" else whole("attention")
    if isinstance(owner, nn.RNNBase | nn.RNNCellBase) and name.startswith("weight_"):
        kind = next(kind for kind in ("lstm", "gru", "rnn") if kind in _class_names(owner).lower())
        return recurrent_splitting(kind, name.split("_")[1])
    if name != "weight":
        return splitting_by_name(path + name, {path + local: size for local, size in shapes.items()}, conv)
    if isinstance(owner, _ConvNd):
        return kernel(shape, conv, groups=owner.groups, transpose=owner.transposed)
    if isinstance(owner, nn.Bilinear):
        return bilinear(conv)
    if isinstance(owner, nn.Embedding | nn.EmbeddingBag):
        return whole("embedding" if isinstance(owner, nn.Embedding) else "embedding-bag")
    if len(shape) == 2:
        fused = fused_splitting(path + name, shape, heads=_heads(parent), around=type(parent).__name__)
        if fused is not None:
            return fused
        if "Conv1D" in _class_names(owner).split():
            return transposed("linear")
    if isinstance(owner, nn.Linear):
        return whole("linear")
    return splitting_by_name(path + name, {path + local: size for local, size in shapes.items()}, conv)


def _class_names(module: nn.Module) -> str:
    return " ".join(kind.__name__ for kind in type(module).__mro__)


def _heads(parent: nn.Module | None) -> int | None:
    """How many attention heads the module around a fused layer says it has."""
    for holder in (parent, getattr(parent, "config", None)):
        for name in _HEADS:
            found = getattr(holder, name, None)
            if isinstance(found, int) and not isinstance(found, bool):
                return found
    return None


def _other_values(owner: nn.Module, path: str, consumed: dict[str, Skipped]) -> Iterator[Skipped]:
    """Matrices that a module holds, but not as parameters."""
    for name, buffer in owner._buffers.items():
        if buffer is not None and path + name not in consumed and not why_not_matrix(tuple(buffer.shape)):
            yield Skipped(path + name, tuple(buffer.shape), "a buffer, not a parameter")
    packed = getattr(type(owner), "weight", None)
    if callable(packed) and type(owner).__module__.startswith(("torch.ao.nn", "torch.nn.quantized")):
        with torch.no_grad():
            yield Skipped(f"{path}weight", tuple(owner.weight().shape), "quantised and packed")  # type: ignore[operator]
