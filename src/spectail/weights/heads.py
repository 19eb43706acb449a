"""The two circuits of each attention head: which positions it looks at (QK), and what it writes from there (OV).

Here: from the matrices of a layer to those of its heads. Not here: which rows of a fused layer are queries, keys and
values (`fused`), how they become matrices (`splitting`), and which parameter is split how (`by_module`, `by_name`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from spectail.weights.by_module import number_of
from spectail.weights.fused import GROUPS, HEADS
from spectail.weights.matrix import Factors, LastRead, Skipped, WeightMatrix, Weights
from spectail.weights.neighbours import Neighbours
from spectail.weights.parameter import Source

_ROLES = {
    "q": r"q_proj|query|to_q|q|wq|q_lin|query_proj|q_proj_weight|attn_q",
    "k": r"k_proj|key|to_k|k|wk|k_lin|key_proj|k_proj_weight|attn_k",
    "v": r"v_proj|value|to_v|v|wv|v_lin|value_proj|v_proj_weight|attn_v",
    "o": r"o_proj|out_proj|dense|c_proj|to_out\.0|o|wo|out_lin|proj|Wo|output\.dense|attn_output",
}

_SPLIT = re.compile(r"(?P<path>.*?)\.?[^.]+(?:\.weight)?\[(?P<role>[qkv])\]")

_WHOLE = re.compile(
    r"(?P<path>.*?)\.?(?:" + "|".join(f"(?P<{role}>{names})" for role, names in _ROLES.items()) + r")(?:\.weight)?"
)


def with_heads(weights: Weights, source: Source) -> Weights:
    """Add the circuits of each attention head; a module or a configuration tells how many heads there are.

    Of head h with queries Q, keys K, values V, each size × inputs, and outputs O, outputs × size: QᵀK and OV, known by
    their factors, so that their rank is at most the size. Rotary positions are not in QᵀK: it is the circuit of a
    position with itself.

    Args:
        weights: of a model.
        source: what they were made of.

    Returns:
        them, and behind them two rows a head, read together once for all heads of a layer; as skipped, the layers whose
        heads cannot be told apart.
    """
    near = Neighbours({}, source.config)
    matrices, skipped, last = list(weights.matrices), list(weights.skipped), LastRead()
    for path, layer in _layers(weights.matrices).items():
        around = _holders(source, layer["q"])
        heads = _first(number_of(module, HEADS) for module in around) or _whole_number(near.setting(*HEADS))
        groups = _first(number_of(module, GROUPS) for module in around) or _whole_number(near.setting(*GROUPS)) or heads
        circuits = _circuits(path, layer, heads, groups, last) if heads and groups else []
        matrices += circuits
        if not circuits:
            why = "its number of heads is not known, or does not divide its queries, keys and values"
            skipped.append(Skipped(f"{path}[heads]".lstrip("."), (), why))
    return replace(weights, matrices=tuple(matrices), skipped=tuple(skipped))


def _layers(matrices: Iterable[WeightMatrix]) -> dict[str, dict[str, WeightMatrix]]:
    """Attention layers by path, each with its four matrices."""
    layers: dict[str, dict[str, WeightMatrix]] = {}
    for matrix in matrices:
        split = _SPLIT.fullmatch(matrix.name)
        match = split or _WHOLE.fullmatch(matrix.name)
        if match is None or matrix.slices != 1:
            continue
        role = split["role"] if split else next(role for role in _ROLES if match[role] is not None)
        path = re.sub(r"(^|\.)self$", "", match["path"])  # BERT's queries are in attention.self, beside its outputs
        layers.setdefault(path, {}).setdefault(role, matrix)
    return {path: layer for path, layer in layers.items() if layer.keys() == _ROLES.keys()}


def _holders(source: Source, queries: WeightMatrix) -> list[torch.nn.Module | None]:
    """The module that has the queries, and the one around it, where modules are known."""
    path = queries.name.partition("[")[0].rpartition(".")[0]
    return list((source.modules or {}).get(path, ()))


def _first(numbers: Iterable[int | None]) -> int | None:
    return next((number for number in numbers if number), None)


def _whole_number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _circuits(path: str, layer: dict[str, WeightMatrix], heads: int, groups: int, last: LastRead) -> list[WeightMatrix]:
    q, k, v, o = (layer[role] for role in _ROLES)
    if heads % groups or q.rows % heads or k.rows % groups or v.rows % groups or o.cols % heads:
        return []
    size, value_size = q.rows // heads, v.rows // groups
    if k.rows != groups * size or o.cols != heads * value_size:
        return []
    results = []
    for called, (first, second), rows, rank, note in (
        ("QK", (q, k), q.cols, size, f"QᵀK of a head of {size}, as without rotary positions"),
        ("OV", (o, v), o.rows, value_size, f"OV of a head of {value_size}"),
    ):
        read = partial(last.values, partial(_both_sides, first.load, second.load, called == "OV", heads, groups))
        for head in range(heads):
            name = f"{path}[{called} head {head}]".lstrip(".")
            factors = partial(_factors, read, head, rows)
            circuit = WeightMatrix(name, f"{called} circuit", rows, second.cols, 1, read, note)
            view = partial(_product, head, rows)
            results.append(replace(circuit, view=view, product=True, rank=rank, factors=factors))
    return results


def _both_sides(
    first: Callable[[], Tensor], second: Callable[[], Tensor], columns: bool, heads: int, groups: int
) -> Float[Tensor, "heads rows_and_cols size"]:
    """Of every head, the left factor of its circuit and, below it, the right one transposed, as they are stored.

    Args:
        first: reads the queries, whose rows are the heads', or the outputs, whose columns are.
        second: reads the keys or values, whose rows are those of the groups.
        columns: whether the heads of the first are its columns.
        heads: how many.
        groups: how many keys and values.
    """
    left, right = first()[0].detach(), second()[0].detach()
    left = left.T if columns else left
    tall, shared = left.reshape(heads, -1, left.shape[1]).mT, right.reshape(groups, -1, right.shape[1]).mT
    return torch.cat([tall, shared.repeat_interleave(heads // groups, 0)], 1)


def _factors(read: Callable[[], Tensor], head: int, rows: int) -> Factors:
    return _factors_of(head, rows, read())


def _factors_of(head: int, rows: int, sides: Float[Tensor, "heads rows_and_cols size"]) -> Factors:
    both = sides[head].double()
    return Factors(both[:rows], both[rows:].T)


def _product(head: int, rows: int, sides: Float[Tensor, "heads rows_and_cols size"]) -> Float[Tensor, "1 rows cols"]:
    return _factors_of(head, rows, sides).product()[None]
