"""Weights that a layer computes from what is stored before it acts: weight_norm, spectral_norm, pruning and others.

Here: how they are computed, from a module without changing it, and from the names of what is stored. Not here: how
what was computed becomes matrices.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import parametrize

from spectail.weights.kernels import is_transposed
from spectail.weights.matrix import Skipped
from spectail.weights.neighbours import Neighbours
from spectail.weights.parameter import Parameter, dtype_name, from_tensor, why_not_matrix, why_not_values
from spectail.weights.sharded import is_sharded, shape_read_by, whole_values

_Recipe = tuple[str, Callable[[], Tensor], dict[str, Tensor], str]
"""A weight's name, how it is computed, from what, and what that is called."""


def reparametrized_of_module(
    owner: nn.Module, path: str, *, in_pieces: bool = False
) -> tuple[list[Parameter], dict[str, Skipped]]:
    """The weights that a module computes before it acts: parametrized, normalised or pruned.

    Args:
        owner: the module; its submodules are not looked at.
        path: of it, with the point at its end.
        in_pieces: whether what they are made of may lie in pieces on several processes.

    Returns:
        the weights it acts with; and, by name, the parameters and buffers that they are made of.
    """
    weights: list[Parameter] = []
    consumed: dict[str, Skipped] = {}
    for name, compute, sources, how in (*_parametrized(owner, path), *_hooked(owner, path)):
        whole = path + name
        for source, tensor in sources.items():
            shape = tuple(tensor.shape)
            consumed[path + source] = Skipped(path + source, shape, f"a part of {whole}, analysed as it acts ({how})")
        is_here = not (in_pieces and any(is_sharded(tensor) for tensor in sources.values()))
        try:
            weight = compute() if is_here else shape_read_by(compute)
        except Exception as error:  # whatever a user's own parametrization raises
            consumed[whole] = Skipped(whole, (), f"its parametrization cannot be computed: {error}")
            continue
        if is_here:
            parameter = from_tensor(whole, weight, compute, resident=False)
        else:
            refusal = why_not_values(weight.dtype) or why_not_matrix(tuple(weight.shape))
            parameter = Parameter(
                whole, tuple(weight.shape), compute, refusal, resident=False, dtype=dtype_name(weight.dtype)
            )
        # what was computed lies in memory that is used again: only the module says what is shared
        memory = (id(owner), name)
        weights.append(replace(parameter, memory=memory, note=f"{how}: the weight it acts with"))
    return weights, consumed


def _parametrized(owner: nn.Module, path: str) -> list[_Recipe]:
    """Weights under `torch.nn.utils.parametrize`, by a copy of it in evaluation mode: in training, it may change."""
    recipes: list[_Recipe] = []
    if not parametrize.is_parametrized(owner):
        return recipes
    for name, chain in owner.parametrizations.items():  # type: ignore[union-attr,operator]

        def compute(name: str = name) -> Tensor:
            chain: Any = owner.parametrizations[name]  # type: ignore[index]
            whole = whole_values(dict(_values(chain)), f"{path}parametrizations.{name}.")
            with torch.no_grad():
                return _plain(copy.deepcopy(chain, whole).eval()())

        sources = {f"parametrizations.{name}.{inner}": tensor for inner, tensor in _values(chain)}
        recipes.append((name, compute, sources, "+".join(_name_of(step) for step in chain)))
    return recipes


def _hooked(owner: nn.Module, path: str) -> list[_Recipe]:
    """Weights that a hook of `torch.nn.utils` computes before each call: weight_norm, spectral_norm, prune."""
    recipes: list[_Recipe] = []
    for hook in owner._forward_pre_hooks.values():
        kind = type(hook).__name__
        name = getattr(hook, "name", None) or getattr(hook, "_tensor_name", None)
        ends = {"WeightNorm": ("_g", "_v"), "SpectralNorm": ("_orig", "_u", "_v")}.get(kind)
        if hasattr(hook, "apply_mask"):
            kind, ends = "pruned", ("_orig", "_mask")
        if name is None or ends is None:
            continue

        def compute(hook: Any = hook, kind: str = kind) -> Tensor:
            module = _with_whole_values(owner, path)
            with torch.no_grad():
                if kind == "pruned":
                    return _plain(hook.apply_mask(module))
                if kind == "SpectralNorm":
                    return _plain(hook.compute_weight(module, do_power_iteration=False))
                return _plain(hook.compute_weight(module))

        tensors = owner._parameters | owner._buffers
        sources = {name + end: tensor for end in ends if (tensor := tensors.get(name + end)) is not None}
        recipes.append((name, compute, sources, _name_of(hook) if kind != "pruned" else kind))
    return recipes


def _with_whole_values(owner: nn.Module, path: str) -> nn.Module:
    """The module; where it is sharded, a copy of it with whole tensors."""
    whole = whole_values(owner._parameters | owner._buffers, path)
    if not whole:
        return owner
    like = nn.Module()  # of no other class: FSDP2 makes its own anew where they are copied
    like.__dict__ |= owner.__dict__
    for table in ("_parameters", "_buffers"):
        like.__dict__[table] = {name: whole.get(id(value), value) for name, value in getattr(owner, table).items()}
    return like


def _plain(tensor: Tensor) -> Tensor:
    return tensor.detach()


def _values(module: nn.Module) -> list[tuple[str, Tensor]]:
    return [*module.named_parameters(), *module.named_buffers()]


def _name_of(step: object) -> str:
    name = type(step).__name__
    return {"_WeightNorm": "weight_norm", "WeightNorm": "weight_norm", "_SpectralNorm": "spectral_norm"}.get(
        name, {"SpectralNorm": "spectral_norm", "_Orthogonal": "orthogonal"}.get(name, name)
    )


# the name of a weight's main part, and of what it is computed with, {} for the weight's own; how. The first that fits
_PATTERNS = (
    ("parametrizations.{}.original1", ("parametrizations.{}.original0",), "weight_norm"),
    ("{}_v", ("{}_g",), "weight_norm"),
    ("parametrizations.{}.original", ("parametrizations.{}.0._u", "parametrizations.{}.0._v"), "spectral_norm"),
    ("{}_orig", ("{}_u", "{}_v"), "spectral_norm"),
    ("{}_bar", ("{}_u", "{}_v"), "spectral_norm"),  # of before PyTorch had it
    ("{}_orig", ("{}_mask",), "pruned"),
)


def reparametrized_by_name(parameters: Iterable[Parameter]) -> tuple[list[Parameter], list[Skipped]]:
    """Replace the stored parts of each weight by the weight that its layer acts with.

    Args:
        parameters: of a state dict.

    Returns:
        the parameters, with weights under weight_norm, spectral_norm and prune computed; and what they came from.
        A weight that is stored beside its parts is taken as it is stored.
    """
    by_name = {parameter.name: parameter for parameter in parameters}
    near = Neighbours({name: parameter.shape for name, parameter in by_name.items()})
    result: dict[str, Parameter] = {}
    consumed: dict[str, Skipped] = {}
    for main in by_name.values():
        match = _matching(main, by_name, near)
        if match is None:
            result[main.name] = main
            continue
        weight, sources, how = match
        if weight.name not in by_name:
            result[main.name] = weight
        for source in (main, *sources):
            reason = f"a part of {weight.name}, analysed as it acts ({how})"
            consumed[source.name] = Skipped(source.name, source.shape, reason)
    remaining = [weight for name, weight in result.items() if name not in consumed or weight.name != name]
    return [_kept_as_stored(parameter) for parameter in remaining], list(consumed.values())


def _matching(
    main: Parameter, by_name: Mapping[str, Parameter], near: Neighbours
) -> tuple[Parameter, list[Parameter], str] | None:
    """The weight of which a parameter is the main part, if it is one."""
    path, last = _last_steps(main.name)
    for pattern, others, how in _PATTERNS:
        before, after = pattern.split("{}")
        if main.refusal or not (last.startswith(before) and last.endswith(after) and len(last) > len(before + after)):
            continue
        name = last[len(before) : len(last) - len(after)]
        sources = [source for other in others if (source := by_name.get(path + other.format(name))) is not None]
        compute = _computation(how, path + name, main, sources, near) if len(sources) == len(others) else None
        if compute is not None:
            note = f"{how}: the weight it acts with"
            return Parameter(path + name, main.shape, compute, resident=False, note=note), sources, how
    return None


def _last_steps(name: str) -> tuple[str, str]:
    """A name in two: the path of the module that the weight belongs to, and what the module calls it."""
    path, point, last = name.rpartition("parametrizations.")
    if point:
        return path, point + last
    path, point, last = name.rpartition(".")
    return path + point, last


def _computation(
    how: str, weight: str, main: Parameter, sources: list[Parameter], near: Neighbours
) -> Callable[[], Tensor] | None:
    """How to compute the weight; None where the shapes are not those that it needs."""
    shapes = [source.shape for source in sources]
    if how == "weight_norm":
        g = shapes[0]
        fits = g == () or (len(g) == len(main.shape) and all(a in (1, b) for a, b in zip(g, main.shape, strict=True)))
        return (lambda: _weight_norm(main.load(), sources[0].load())) if fits else None
    if how == "pruned":
        return (lambda: main.load() * sources[0].load()) if shapes[0] == main.shape else None
    size = math.prod(main.shape)
    axes = [axis for axis, length in enumerate(main.shape) if length and shapes == [(length,), (size // length,)]]
    if not axes:
        return None
    # PyTorch normalises a transposed convolution along its second axis, all else along the first
    by_default = 1 if is_transposed(weight, main.shape, near) else 0
    axes.sort(key=lambda axis: (axis != by_default, axis))
    return lambda: _spectral_norm(main.load(), sources[0].load(), sources[1].load(), axes)


def _weight_norm(v: Float[Tensor, "*shape"], g: Float[Tensor, "*scales"]) -> Float[Tensor, "*shape"]:
    """The weight g · v / ‖v‖, the norm over every dimension that g lacks; as PyTorch computes it, to the last bit."""
    over = [axis for axis in range(v.ndim) if g.ndim == 0 or g.shape[axis] == 1]
    if len(over) == v.ndim - 1:
        by_torch: Tensor = torch._weight_norm(v, g, next(axis for axis in range(v.ndim) if axis not in over))
        return by_torch
    scaled: Tensor = v * (g / torch.linalg.vector_norm(v, dim=over, keepdim=True))
    return scaled


def _spectral_norm(
    weight: Float[Tensor, "*shape"], u: Float[Tensor, " a"], v: Float[Tensor, " b"], axes: Sequence[int]
) -> Float[Tensor, "*shape"]:
    """W divided by σ = uᵀWv, with the singular vectors that training has left.

    Where W may be unfolded along several axes, the one is taken along which u is the direction of Wv, as the power
    iteration leaves it; the first, where there is no such axis, as before a first step of training.
    """
    half = weight.dtype in (torch.float16, torch.bfloat16)
    exact, u, v = (tensor.float() if half else tensor for tensor in (weight, u, v))
    images = [exact.movedim(axis, 0).flatten(1) @ v for axis in axes]
    alignments = [float(u @ image / image.norm()) for image in images]
    best = max(range(len(axes)), key=alignments.__getitem__)
    sigma = u @ images[best if alignments[best] > _ALIGNED else 0]
    return (exact / sigma).to(weight.dtype)


_ALIGNED = 0.5
"""Cosine of u with Wv above which they belong together; of vectors that know nothing of one another it is near 0."""


def _kept_as_stored(parameter: Parameter) -> Parameter:
    """What other parametrizations keep is named as the weight, and noted."""
    path, last = _last_steps(parameter.name)
    if not (last.startswith("parametrizations.") and last.endswith(".original")) or parameter.note:
        return parameter
    name = last.removeprefix("parametrizations.").removesuffix(".original")
    return replace(parameter, name=path + name, note="as stored: its parametrization is not known")
