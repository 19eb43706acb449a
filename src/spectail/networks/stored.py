"""Weights that a state dict keeps as what they are computed from: normalised, or pruned."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from jaxtyping import Float
from torch import Tensor

from spectail.networks.matrices import Skipped
from spectail.networks.parameters import Parameter

# the ending of a weight's main part, and of what it is computed with; which way, in the order in which they are tried
_WAYS = (
    ("parametrizations.{}.original1", ("parametrizations.{}.original0",), "weight_norm"),
    ("{}_v", ("{}_g",), "weight_norm"),
    ("parametrizations.{}.original", ("parametrizations.{}.0._u", "parametrizations.{}.0._v"), "spectral_norm"),
    ("{}_orig", ("{}_u", "{}_v"), "spectral_norm"),
    ("{}_orig", ("{}_mask",), "pruned"),
)


def computed_weights(found: Iterable[Parameter]) -> tuple[list[Parameter], list[Skipped]]:
    """Put the weight that a layer acts with in the place of what it is stored as.

    Args:
        found: the parameters of a state dict.

    Returns:
        the parameters, with weights under weight_norm, spectral_norm and prune computed; and what they came from.
    """
    known = {parameter.name: parameter for parameter in found}
    result: dict[str, Parameter] = {}
    used: dict[str, Skipped] = {}
    for main in known.values():
        made = _made(main, known)
        if made is None or made[0].name in known:
            result[main.name] = main
            continue
        weight, sources, how = made
        result[main.name] = weight
        for source in (main, *sources):
            reason = f"a part of {weight.name}, analysed as it acts ({how})"
            used[source.name] = Skipped(source.name, source.shape, reason)
    kept = [weight for name, weight in result.items() if name not in used or weight.name != name]
    return [_as_it_is(parameter) for parameter in kept], list(used.values())


def _made(main: Parameter, known: dict[str, Parameter]) -> tuple[Parameter, list[Parameter], str] | None:
    """The weight of which a parameter is the main part, if it is one."""
    path, last = _last_steps(main.name)
    for pattern, others, how in _WAYS:
        before, after = pattern.split("{}")
        if main.refusal or not (last.startswith(before) and last.endswith(after) and len(last) > len(before + after)):
            continue
        name = last[len(before) : len(last) - len(after)]
        sources = [source for other in others if (source := known.get(path + other.format(name))) is not None]
        compute = _computation(how, main, sources) if len(sources) == len(others) else None
        if compute is not None:
            note = f"{how}: the weight it acts with"
            weight = replace(main, name=path + name, load=compute, memory=None, resident=False, note=note)
            return weight, sources, how
    return None


def _last_steps(name: str) -> tuple[str, str]:
    """A name before and after the module that the weight belongs to."""
    path, point, last = name.rpartition("parametrizations.")
    if point:
        return path, point + last
    path, point, last = name.rpartition(".")
    return path + point, last


def _computation(how: str, main: Parameter, sources: list[Parameter]) -> Callable[[], Tensor] | None:
    """How to compute the weight; None where the shapes are not those that it needs."""
    shapes = [source.shape for source in sources]
    if how == "weight_norm":
        g = shapes[0]
        fits = g == () or (len(g) == len(main.shape) and all(a in (1, b) for a, b in zip(g, main.shape, strict=True)))
        return (lambda: _weight_norm(main.load(), sources[0].load())) if fits else None
    if how == "pruned":
        return (lambda: main.load() * sources[0].load()) if shapes[0] == main.shape else None
    axis = next((axis for axis in (0, 1) if (main.shape[axis],) == shapes[0]), None)
    size = 1
    for length in main.shape:
        size *= length
    if axis is None or shapes[1] != (size // main.shape[axis],):
        return None
    return lambda: _spectral_norm(main.load(), sources[0].load(), sources[1].load(), axis)


def _weight_norm(v: Float[Tensor, "*shape"], g: Float[Tensor, "*scales"]) -> Float[Tensor, "*shape"]:
    """Of g · v / ‖v‖, the norm over every dimension that g does not have."""
    over = [axis for axis in range(v.ndim) if g.ndim == 0 or g.shape[axis] == 1]
    scaled: Tensor = v * (g / v.norm(dim=over, keepdim=True))
    return scaled


def _spectral_norm(
    weight: Float[Tensor, "*shape"], u: Float[Tensor, " a"], v: Float[Tensor, " b"], axis: int
) -> Float[Tensor, "*shape"]:
    """Divided by σ = uᵀWv, with the singular vectors that training has left."""
    sigma = u @ (weight.movedim(axis, 0).flatten(1) @ v)
    return weight / sigma


def _as_it_is(parameter: Parameter) -> Parameter:
    """What other parametrizations keep is named as the weight, and noted."""
    path, last = _last_steps(parameter.name)
    if not (last.startswith("parametrizations.") and last.endswith(".original")) or parameter.note:
        return parameter
    name = last.removeprefix("parametrizations.").removesuffix(".original")
    return replace(parameter, name=path + name, note="as stored: its parametrization is not known")
