"""The parameters of a module, and which splitting each gets by the class of its module.

Here: what classes tell. Not here: what names tell (`by_name`, which is asked where the class tells nothing), what fused
layers consist of (`fused`), how a splitting is made (`splitting`), and the circuits of heads (`heads`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from spectail.weights.adapters import KIND, adapted_by_name
from spectail.weights.by_name import neighbours_of, recurrent_splitting, splitting_by_name
from spectail.weights.fused import GROUPS, HEADS, fused_splitting, rows_of_experts
from spectail.weights.matrix import ConvMatrix, Skipped
from spectail.weights.neighbours import Neighbours
from spectail.weights.no_weights import why_fixed
from spectail.weights.parameter import Parameter, Source, from_tensor, why_not_matrix
from spectail.weights.quantized import dequantized_of_module
from spectail.weights.reparametrized import reparametrized_of_module
from spectail.weights.sharded import is_sharded, sharded_parameter
from spectail.weights.splitting import QKV, Splitting, bilinear, blocks, kernel, transposed, whole
from spectail.weights.wrappers import WRAPPERS, without_wrappers


def read_module(module: nn.Module, title: str = "", *, in_pieces: bool = False) -> Source:
    """The parameters of a module, in the order of definition; the module is looked at, never changed.

    Args:
        module: any; wrappers for devices, sharding, averages or compilation are seen through, around it and inside.
        title: what it is called; its class, if empty.
        in_pieces: whether parameters may lie in pieces on several processes; they can then be read only where their
            pieces are given (`sharded`). Else such parameters are refused.

    Returns:
        its parameters, each as it is when it is read, and matrices that it holds otherwise as skipped.
    """
    while len(module._modules) == 1 and not module._parameters:
        name, inside = next(iter(module._modules.items()))
        if name not in WRAPPERS or inside is None or inside is module:
            break
        module = inside
    parameters: list[Parameter] = []
    skipped: list[Skipped] = []
    modules: dict[str, tuple[nn.Module, nn.Module | None]] = {}
    config = _configuration(module)
    for path, owner, around in _walk(module, "", None, ()):
        modules[path.removesuffix(".")] = owner, around
        reparametrized, consumed = reparametrized_of_module(owner, path, in_pieces=in_pieces)
        dequantized, parts = dequantized_of_module(owner, path, config)
        consumed |= {part.name: part for part in parts}
        parameters += [*reparametrized, *dequantized]
        parameters += [
            sharded_parameter(path + name, tensor, _reader(owner, name))
            if in_pieces and is_sharded(tensor)
            else from_tensor(path + name, tensor, _reader(owner, name))
            for name, tensor in owner._parameters.items()
            if tensor is not None and path + name not in consumed | {weight.name: weight for weight in dequantized}
        ]
        skipped += consumed.values()
        skipped += _other_values(owner, path, consumed)
    title = title or _class_name(module)
    source = _unwrapped(Source(title, parameters, skipped, modules, config))
    return _with_adapters(source, _scales(module))


def _with_adapters(source: Source, scales: Mapping[str, Mapping[str, float]]) -> Source:
    """The source with what adapters add; their modules know α/r."""

    def scale(layer: str, adapter: str, _: int) -> float | None:
        return next(
            (of[adapter] for path, of in scales.items() if f".{path}".endswith(f".{layer}") and adapter in of), None
        )

    parameters, parts = adapted_by_name(source.parameters, scale)
    return replace(source, parameters=parameters, skipped=[*parts, *source.skipped])


def _scales(module: nn.Module) -> dict[str, dict[str, float]]:
    """α/r of each adapter of each layer, as PEFT keeps it."""
    scales = ((path, getattr(layer, "scaling", None)) for path, layer in module.named_modules())
    return {path: of for path, of in scales if isinstance(of, dict)}


def _unwrapped(source: Source) -> Source:
    """The source with the names that its parameters would have without wrappers."""
    assert source.modules is not None
    names = [parameter.name for parameter in source.parameters] + [left_out.name for left_out in source.skipped]
    shorter = iter(without_wrappers(names)[0])
    parameters = [replace(parameter, name=next(shorter)) for parameter in source.parameters]
    skipped = [replace(left_out, name=next(shorter)) for left_out in source.skipped]
    paths = [parameter.name.rpartition(".")[0] for parameter in source.parameters]
    short_paths = [parameter.name.rpartition(".")[0] for parameter in parameters]
    modules = {short: source.modules[path] for path, short in zip(paths, short_paths, strict=True)}
    return replace(source, parameters=parameters, skipped=skipped, modules=modules)


def split_by_module(source: Source, conv: ConvMatrix) -> list[Splitting | str]:
    """How each parameter of a module becomes matrices.

    Args:
        source: what was read of a module.
        conv: how kernels become matrices.

    Returns:
        of each parameter in turn, its splitting, or why it has none.
    """
    assert source.modules is not None
    near = neighbours_of(source)
    splittings: list[Splitting | str] = []
    for parameter in source.parameters:
        if parameter.factors is not None:
            splittings.append(parameter.refusal or whole(KIND))
            continue
        owner, around = source.modules[parameter.name.rpartition(".")[0]]
        splittings.append(parameter.refusal or _splitting(owner, around, parameter.name, near, conv))
    return splittings


def _walk(
    module: nn.Module, path: str, around: nn.Module | None, above: tuple[nn.Module, ...]
) -> Iterator[tuple[str, nn.Module, nn.Module | None]]:
    """Every module under every name it has, so that tied ones are known; one that contains itself is not re-entered."""
    if module in above:
        return
    yield path, module, around
    for name, child in module._modules.items():
        if child is None or (name == "parametrizations" and hasattr(module, "parametrizations")):
            continue
        yield from _walk(child, f"{path}{name}.", around if name in WRAPPERS else module, (*above, module))


def _reader(owner: nn.Module, name: str) -> Callable[[], Any]:
    def load() -> Tensor:
        parameter = owner._parameters[name]
        assert parameter is not None
        return parameter.detach()

    return load


def _splitting(
    owner: nn.Module, around: nn.Module | None, name: str, near: Neighbours, conv: ConvMatrix
) -> Splitting | str:
    """How a parameter becomes matrices; by the class of its module, then by its name."""
    shape, local = near.shapes[name], name.rpartition(".")[2]
    if fixed := why_fixed(name, near):
        return fixed
    if isinstance(owner, nn.MultiheadAttention) and local in {
        "in_proj_weight",
        "q_proj_weight",
        "k_proj_weight",
        "v_proj_weight",
    }:
        return blocks("attention", QKV) if local == "in_proj_weight" else whole("attention")
    if isinstance(owner, nn.RNNBase | nn.RNNCellBase) and local.startswith("weight_"):
        kind = next(kind for kind in ("lstm", "gru", "rnn") if kind in _class_names(owner).lower())
        return recurrent_splitting(kind, local.split("_")[1])
    if isinstance(owner, nn.LayerNorm | nn.RMSNorm) and len(shape) > 1:
        return f"a norm's {'scale' if local == 'weight' else 'shift'}, element by element"
    if local != "weight":
        return splitting_by_name(name, near, conv, parameter=True)
    if isinstance(owner, _ConvNd):
        return kernel(shape, conv, groups=owner.groups, conv_transpose=owner.transposed)
    if isinstance(owner, nn.Bilinear):
        return bilinear(conv)
    if isinstance(owner, nn.Embedding | nn.EmbeddingBag):
        return whole("embedding" if isinstance(owner, nn.Embedding) else "embedding-bag")
    if len(shape) == 2:
        class_around = _class_name(around)
        heads, groups = number_of(around, HEADS), number_of(around, GROUPS)
        fused = fused_splitting(name, shape, near, heads=heads, groups=groups, around=class_around)
        if fused is not None:
            return fused
        if "Conv1D" in _class_names(owner).split():
            return transposed("linear")
    if isinstance(owner, nn.Linear):
        return rows_of_experts(name, shape, near) or whole("linear")
    return splitting_by_name(name, near, conv, parameter=True)


def _class_name(module: nn.Module | None) -> str:
    """The name of a module's class; FSDP2 has put one of its own before it."""
    first, *others = type(module).__mro__
    return others[1].__name__ if others and others[0].__name__ == "FSDPModule" else first.__name__


def _class_names(module: nn.Module) -> str:
    return " ".join(kind.__name__ for kind in type(module).__mro__)


def number_of(around: nn.Module | None, names: tuple[str, ...]) -> int | None:
    """How many attention heads, or keys and values, the module around a layer says it has."""
    # of a module only what it has itself: some warn where they are asked for more
    own = vars(around) if around is not None else {}
    for look_up in (own.get, partial(getattr, own.get("config"))):
        for name in names:
            number = look_up(name, None)
            if isinstance(number, int) and not isinstance(number, bool):
                return number
    return None


def _configuration(module: nn.Module) -> Mapping[str, Any]:
    """What a model says of itself, as models of Hugging Face do."""
    config = getattr(module, "config", None)
    if isinstance(config, Mapping):
        return dict(config)
    try:
        values = config.to_dict()  # type: ignore[union-attr]
    except Exception:  # whatever a user's own object does
        return {}
    return values if isinstance(values, Mapping) else {}


def _other_values(owner: nn.Module, path: str, consumed: dict[str, Skipped]) -> Iterator[Skipped]:
    """Matrices that a module holds, but not as parameters."""
    for name, buffer in owner._buffers.items():
        if buffer is not None and path + name not in consumed and not why_not_matrix(tuple(buffer.shape)):
            yield Skipped(path + name, tuple(buffer.shape), "a buffer, not a parameter")
    packed = getattr(type(owner), "weight", None)
    if callable(packed) and type(owner).__module__.startswith(("torch.ao.nn", "torch.nn.quantized")):
        with torch.no_grad():
            yield Skipped(f"{path}weight", tuple(owner.weight().shape), "quantised and packed")  # type: ignore[operator]
