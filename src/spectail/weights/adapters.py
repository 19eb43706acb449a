"""Adapters: what LoRA, LoHa and LoKr add to a weight, as the factors that it is the product of.

Here: which parameters together are one adapter, by their names as PEFT, kohya, diffusers, LyCORIS and loralib write
them. Not here: the spectrum of a product (`spectra/low_rank`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import isfinite, prod, sqrt
from typing import Any

import torch

from spectail.weights.matrix import Factors, Skipped
from spectail.weights.parameter import Parameter

KIND = "lora"
"""The kind of the matrix that an adapter adds to a weight."""

_LORA = (
    (r"(?P<base>.+)\.lora_A(\.(?P<adapter>[^.]+))?\.weight", "lora_A", "lora_B"),
    (r"(?P<base>.+)\.lora_embedding_A(\.(?P<adapter>[^.]+))?", "lora_embedding_A", "lora_embedding_B"),
    (r"(?P<base>.+)\.lora_A", "lora_A", "lora_B"),
    (r"(?P<base>.+)\.lora_down\.weight", "lora_down", "lora_up"),
    (r"(?P<base>.+)[._]lora\.down\.weight", "lora.down", "lora.up"),
)
"""How the right factor is named, what its name has for that, and what the left factor's name has in its place."""

PREFIX = "base_model.model."
"""What PEFT puts before the names of the model."""

_ScaleOf = Callable[[str, str, int], float | None]
"""α/r of an adapter, by the name of its layer, its own name, and r; None where it is not known."""


def adapted_by_name(parameters: Sequence[Parameter], scale_of: _ScaleOf) -> tuple[list[Parameter], list[Skipped]]:
    """Replace the stored parameters of each adapter by the matrix that it adds to a weight.

    Args:
        parameters: of a state dict or a module.
        scale_of: tells α/r where no parameter says it.

    Returns:
        the parameters, with ΔW under the name of its base weight, where there are several or the weight itself is
        there too followed in brackets by the adapter's name, or "lora"; and the parameters that ΔW came from.
    """
    by_name = {parameter.name: parameter for parameter in parameters}
    candidates = {main: _lora(main, by_name) or _lycoris(main, by_name) for main in by_name}
    adapters = {main: adapter for main, adapter in candidates.items() if adapter is not None}
    if not adapters:
        return list(parameters), []
    used = {part for adapter in adapters.values() for part in adapter.parts.values()}
    names = [adapter.weight for adapter in adapters.values()]
    result, skipped = [], list[Skipped]()
    for name, parameter in by_name.items():
        if name in adapters:
            adapter = adapters[name]
            label = adapter.label or KIND
            several = names.count(adapter.weight) > 1 or (adapter.weight in by_name and adapter.weight not in used)
            whole = f"{adapter.weight}[{label}]" if several else adapter.weight
            result.append(_delta(whole, adapter, by_name, scale_of))
        if name in used:
            whole = next(adapter.weight for adapter in adapters.values() if name in adapter.parts.values())
            skipped.append(
                Skipped(name, parameter.shape, f"a part of the adapter of {whole}, analysed as what it adds")
            )
        elif name not in adapters:
            result.append(parameter)
    return result, skipped


def scale_of_config(config: Mapping[str, Any]) -> _ScaleOf:
    """What an `adapter_config.json` of PEFT says of α/r; it is α/√r with `use_rslora`.

    >>> scale_of_config({"lora_alpha": 16, "alpha_pattern": {"q_proj": 4}})("layers.0.q_proj", "", 8)
    0.5
    """

    def scale(layer: str, _: str, rank: int) -> float | None:
        alpha = config.get("lora_alpha", config.get("alpha"))
        patterns = config.get("alpha_pattern")
        for pattern, value in patterns.items() if isinstance(patterns, Mapping) else ():
            if layer == pattern or layer.endswith(f".{pattern}") or _fits(pattern, layer):
                alpha = value
                break
        if not isinstance(alpha, int | float) or not isfinite(alpha):
            return None
        return float(alpha) / (sqrt(rank) if config.get("use_rslora") else rank)

    return scale


def _fits(pattern: str, layer: str) -> bool:
    """Whether a layer fits a pattern of PEFT's configuration, a regular expression; one that is not valid fits none."""
    if len(pattern) > 200:
        return False
    try:
        return re.fullmatch(rf"(.*\.)?({pattern})", layer) is not None
    except re.error:
        return False


class _Adapter:
    """The parameters of one adapter by the part that each plays."""

    def __init__(self, layer: str, label: str, how: str, parts: Mapping[str, str]) -> None:
        self.layer = layer.removeprefix(PREFIX)
        self.label, self.how, self.parts = label, how, dict(parts)

    @property
    def weight(self) -> str:
        """The name of the base weight."""
        return f"{self.layer}.weight"


def _lora(main: str, by_name: Mapping[str, Parameter]) -> _Adapter | None:
    """The pair of which a parameter is the right factor."""
    for pattern, right, left in _LORA:
        match = re.fullmatch(pattern, main)
        if match is None:
            continue
        layer, label = match["base"], match.groupdict().get("adapter") or ""
        other = left.join(main.rsplit(right, 1))
        if other not in by_name:
            continue
        parts = {"right": main, "left": other}
        magnitude = f"{layer}.lora_magnitude_vector" + (f".{label}" if label else "")
        for part, name in (
            ("alpha", f"{layer}.alpha"),
            ("core", f"{layer}.lora_mid.weight"),
            *(("magnitude", name) for name in (magnitude, f"{magnitude}.weight", f"{layer}.dora_scale")),
        ):
            parts |= {part: name} if name in by_name else {}
        sizes = by_name[main].shape, by_name[other].shape
        if all(len(size) >= 2 for size in sizes) and sizes[0][0] == sizes[1][1]:
            return _Adapter(layer, label, "embedding" if "embedding" in right else "lora", parts)
    return None


def _lycoris(main: str, by_name: Mapping[str, Parameter]) -> _Adapter | None:
    """The LoHa or LoKr adapter of which a parameter is the first part."""
    match = re.fullmatch(r"(?P<base>.+)\.(?P<first>hada_w1_a|lokr_w1|lokr_w1_a)(\.(?P<adapter>[^.]+))?", main)
    if match is None:
        return None
    layer, label = match["base"], match["adapter"] or ""
    kind = match["first"].partition("_")[0]
    whole = {
        role: name
        for role in ("w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b", "t1", "t2")
        if (name := f"{layer}.{kind}_{role}" + (f".{label}" if label else "")) in by_name
    }
    complete = all({f"{w}_a", f"{w}_b"} <= whole.keys() or (kind == "lokr" and w in whole) for w in ("w1", "w2"))
    if not complete or any(len(by_name[name].shape) < 2 for name in whole.values()):
        return None
    if "t1" in whole or "t2" in whole or any(len(by_name[name].shape) > 2 for name in whole.values()):
        whole["core"] = main
    if f"{layer}.alpha" in by_name:
        whole["alpha"] = f"{layer}.alpha"
    return _Adapter(layer, label, {"hada": "loha", "lokr": "lokr"}[kind], whole)


def _delta(name: str, adapter: _Adapter, by_name: Mapping[str, Parameter], scale_of: _ScaleOf) -> Parameter:
    """ΔW as a parameter that knows its factors."""
    parts = {part: by_name[name] for part, name in adapter.parts.items()}
    shape: tuple[int, ...]
    rank, shape = _rank_and_shape(adapter.how, {part: parameter.shape for part, parameter in parts.items()})
    notes = [{"lora": "LoRA", "embedding": "LoRA", "loha": "LoHa", "lokr": "LoKr"}[adapter.how]]
    notes[0] += f" of rank {rank}" if rank else ""
    read = [parameter for part, parameter in parts.items() if part not in ("alpha", "magnitude")]
    refusal = next((f"{parameter.name}: {parameter.refusal}" for parameter in read if parameter.refusal), "")
    if "core" in parts:
        refusal = "an adapter with a core between its factors; merge it into its model to measure that"
    scale: float | None = None
    if "alpha" not in parts and rank:
        scale = scale_of(adapter.layer, adapter.label, rank)
        if scale is None:
            notes.append("its α is not known: taken as r")
    notes += ["DoRA: without its magnitudes"] if {"magnitude"} & parts.keys() else []
    notes += ["kernel flattened"] if adapter.how == "lora" and prod(parts["right"].shape[2:]) > 1 else []
    factors = partial(_factors, adapter.how, parts, rank, scale)
    most = {"loha": rank**2, "lokr": min(shape)}.get(adapter.how, rank)
    return Parameter(
        name, shape, lambda: factors().product(), refusal, None, False, "; ".join(notes), rank=most, factors=factors
    )


def _rank_and_shape(how: str, shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, tuple[int, int]]:
    """r, where there is one, and rows × columns of ΔW."""
    if how == "lora":
        return shapes["right"][0], (shapes["left"][0], prod(shapes["right"][1:]))
    if how == "embedding":
        return shapes["right"][0], (shapes["right"][1], shapes["left"][0])
    if how == "loha":
        return shapes["w1_a"][1], (shapes["w1_a"][0], shapes["w1_b"][1])
    sizes = [shapes[w] if w in shapes else (shapes[f"{w}_a"][0], shapes[f"{w}_b"][1]) for w in ("w1", "w2")]
    ranks = [shapes[f"{w}_b"][0] for w in ("w1", "w2") if w not in shapes]
    return ranks[0] if ranks else 0, (sizes[0][0] * sizes[1][0], sizes[0][1] * sizes[1][1])


def _factors(how: str, parts: Mapping[str, Parameter], rank: int, scale: float | None) -> Factors:
    """Read the parts and put them together, in float64, the scale with the left one."""
    loaded = {part: parameter.load() for part, parameter in parts.items()}
    values = {part: value.detach().cpu().to(torch.float64) for part, value in loaded.items()}
    if "alpha" in values and rank:
        scale = float(values["alpha"]) / rank
    scale = 1.0 if scale is None else scale
    if how == "lora":
        return Factors(values["left"].flatten(1) * scale, values["right"].flatten(1))
    if how == "embedding":
        return Factors(values["right"].T * scale, values["left"].T)
    if how == "loha":  # a product of entries has the products of columns, and of rows, as factors
        left = torch.einsum("ip,iq->ipq", values["w1_a"], values["w2_a"]).flatten(1)
        right = torch.einsum("pj,qj->pqj", values["w1_b"], values["w2_b"]).flatten(0, 1)
        return Factors(left * scale, right)
    first, second = (values[w] if w in values else values[f"{w}_a"] @ values[f"{w}_b"] for w in ("w1", "w2"))
    return Factors(first * scale, second, kronecker=True)
