"""Which splitting a parameter gets by its name, its shape and its neighbours: all that a state dict knows.

Here: what models call their layers. Not here: how a splitting is made (`splitting`), and what wrappers and
parametrizations did to the names (`state_dict`, `reparametrized`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from spectail.weights.matrix import ConvMatrix
from spectail.weights.parameter import Source
from spectail.weights.splitting import (
    GATES,
    QKV,
    Splitting,
    bilinear,
    blocks,
    interleaved_heads,
    kernel,
    stack,
    transposed,
    whole,
)

Shapes = Mapping[str, tuple[int, ...]]

FUSED = frozenset({"qkv", "qkv_proj", "wqkv", "in_proj", "in_proj_weight", "c_attn", "to_qkv", "attn_qkv", "fused_qkv"})
"""What models call one layer that computes query, key and value: one after the other in its output."""

FUSED_BY_HEAD = frozenset({"query_key_value"})
"""… and one that computes them head by head (GPT-NeoX, BLOOM); as layers of other names do in `MODULES_BY_HEAD`."""

MODULES_BY_HEAD = frozenset({"DisentangledSelfAttention", "DebertaSelfAttention", "GPTBigCodeAttention"})

_RECURRENT = re.compile(r"weight_(ih|hh|hr)(_l\d+)?(_reverse)?")

_TRANSPOSED = re.compile(r"transpose|deconv|upconv|up_?conv", re.IGNORECASE)

_EMBEDDING = re.compile(r"\w*(embed|embedding|embeddings|embed_tokens|emb)s?|wte|wpe|tok_embeddings|shared|embed_\w+")

_LINEAR = re.compile(
    r"\w*(linear|dense|proj|fc|head|classifier|reduction|out|query|key|value)\d*|[qkvo]|w[qkvo1-3]|(linear|fc|c)_\w+"
)


def split_by_name(source: Source, conv: ConvMatrix) -> list[Splitting | str]:
    """How each parameter becomes matrices, where only names and shapes are known.

    Args:
        source: what was read.
        conv: how kernels become matrices.

    Returns:
        of each parameter in turn, its splitting, or why it has none.
    """
    shapes = {parameter.name: parameter.shape for parameter in source.parameters}
    return [parameter.refusal or splitting_by_name(parameter.name, shapes, conv) for parameter in source.parameters]


def splitting_by_name(name: str, shapes: Shapes, conv: ConvMatrix) -> Splitting | str:
    """How a parameter becomes matrices, as far as its name and its neighbours tell.

    Args:
        name: of the parameter.
        shapes: of every parameter of the model, by name.
        conv: how a kernel becomes matrices.

    Returns:
        its splitting; of kind "weight" where names and shapes do not tell; why it has none where it is a mask.
    """
    shape = shapes[name]
    path, _, last = name.rpartition(".")
    module = path.rpartition(".")[2]
    if last == "bias" and len(shape) == 4 and shape[:2] == (1, 1) and shape[2] == shape[3]:
        return "a mask, not a weight"  # a causal one, as old checkpoints of GPT-2 keep it
    recurrent = _RECURRENT.fullmatch(last)
    if recurrent and len(shape) == 2:
        return _recurrent(path, recurrent, shapes)
    if len(shape) == 3 and last == "weight" and "bilinear" in module.lower():
        return bilinear(conv)
    if len(shape) in (3, 4, 5) and last == "weight":
        note = "grouped, if its module is: a state dict does not tell" if shape[1] == 1 < shape[0] else ""
        return kernel(shape, conv, transpose=bool(_TRANSPOSED.search(path)), note=note)
    if len(shape) != 2:
        return stack()
    if last in {"q_proj_weight", "k_proj_weight", "v_proj_weight"}:
        return whole("attention")
    fused = fused_splitting(name, shape)
    if fused is not None:
        return fused
    if last == "weight" and re.fullmatch(r"c_attn|c_fc|c_proj|q_attn", module) and _stores_in_by_out(shapes):
        return transposed("linear")
    if last == "weight" and _EMBEDDING.fullmatch(module):
        return whole("embedding")
    bias = shapes.get(f"{path}.bias" if path else "bias")
    if last == "weight" and (bias == (shape[0],) or _LINEAR.fullmatch(module)):
        return whole("linear")
    return whole("weight")


def fused_splitting(name: str, shape: Sequence[int], *, heads: int | None = None, around: str = "") -> Splitting | None:
    """Query, key and value of one fused layer, split.

    Args:
        name: of the parameter.
        shape: of it, 2-d.
        heads: how many the module has, where that is known.
        around: the class of the module that the layer is in, where that is known.

    Returns:
        its splitting; whole and noted where the order inside is not known; None where it is no fused layer.
    """
    rows, cols = shape
    steps = name.lower().split(".")
    layer = next((step for step in reversed(steps) if step != "weight"), "")
    if layer == "c_attn" and cols == 3 * rows:
        return blocks("attention", QKV, stored_transposed=True, note="fused q, k, v")
    if rows != 3 * cols or layer not in FUSED | FUSED_BY_HEAD:
        return None
    if layer in FUSED_BY_HEAD or around in MODULES_BY_HEAD or (layer == "in_proj" and "deberta" in steps):
        if heads and cols % heads == 0:
            return interleaved_heads(heads, "fused q, k, v, head by head")
        return whole("attention", "fused q, k, v, head by head: not split, as the number of heads is not known")
    if layer == "qkv_proj" and "h" in steps:  # CodeGen: in the order of the cores that it was trained on
        return whole("attention", "fused q, k, v: not split, as their order is not known")
    return blocks("attention", QKV, note="" if layer == "in_proj_weight" else "fused q, k, v")


def recurrent_splitting(kind: str, role: str) -> Splitting:
    """The gates of a recurrent layer's weights.

    Args:
        kind: "rnn", "gru" or "lstm".
        role: "ih" and "hh" have a block of rows for each gate; "hr" projects the hidden state.

    Returns:
        one matrix a gate, or the one of the projection.
    """
    if role == "hr":
        return whole(kind, "projection of the hidden state")
    return blocks(kind, GATES[kind])


def _recurrent(path: str, name: re.Match[str], shapes: Shapes) -> Splitting:
    """Gates told by how many times taller the hidden-to-hidden weight is than the hidden state is wide."""
    role, layer, direction = (group or "" for group in name.groups())
    prefix = f"{path}." if path else ""
    hidden = shapes.get(f"{prefix}weight_hh{layer}{direction}", (0, 0))
    projection = shapes.get(f"{prefix}weight_hr{layer}{direction}")
    width = projection[-1] if projection else hidden[-1]
    kinds = {len(gates) * width: kind for kind, gates in GATES.items()}
    kind = kinds.get(hidden[0]) if width else None
    if kind is None or (role == "ih" and shapes[prefix + name.group()][0] != hidden[0]):
        return whole("weight")
    return recurrent_splitting(kind, role)


def _stores_in_by_out(shapes: Shapes) -> bool:
    """Whether a GPT-2 keeps its linear layers in × out, as Hugging Face's does: its c_attn tells."""
    return any(
        name.endswith("c_attn.weight") and len(shape) == 2 and shape[1] == 3 * shape[0]
        for name, shape in shapes.items()
    )
