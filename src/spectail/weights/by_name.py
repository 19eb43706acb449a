"""Which splitting a parameter gets by its name, its shape and its neighbours: all that a state dict knows.

Here: what models call their layers. Not here: what classes of modules tell (`by_module`), what fused layers consist of
(`fused`), how a splitting is made (`splitting`), the circuits of heads (`heads`), and what wrappers and
parametrizations did to the names (`state_dict`, `reparametrized`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from spectail.weights.adapters import KIND
from spectail.weights.fused import experts, fused_splitting, is_expert_stack, rows_of_experts
from spectail.weights.kernels import kernel_by_name, looks_like_kernel
from spectail.weights.matrix import ConvMatrix
from spectail.weights.neighbours import Neighbours, Shape, last_step
from spectail.weights.no_weights import why_no_weight
from spectail.weights.parameter import Source
from spectail.weights.splitting import GATES, Splitting, bilinear, blocks, squeezed, stack, transposed, whole

_RECURRENT = re.compile(r"weight_(ih|hh|hr)(_l\d+)?(_reverse)?")

_EMBEDDING = re.compile(
    r"\w*(embed|embedding|embeddings|embed_tokens|emb|embed_positions)s?\d?|wte|wpe|tok_embeddings|shared|embed_\w+|"
    r"relative_attention_bias|(token|position)_embd|token_types"  # the last three of GGUF
)

_TABLE = re.compile(
    r"\w*(embed|embeds|embedding|embeddings|emb|tokens?|latents|queries|query|bias_table|prompts?)(_[hwtxyz])?|pos|"
    r"(abs|rel|absolute|relative)_?pos\w*|position\w*|pe|w[tp]e|const(ant)?|input"
)
"""What models call tables of vectors that are parameters of their own: positions, tokens, queries."""

_LINEAR = re.compile(
    r"\w*(linear|dense|proj|proj_\w+|projection|fc|head|classifier|reduction|out|output|query|key|value|receptance|gate|gate_inp\w*|router|"
    r"pooler|predictions|decoder|lm_head|up|down|wi|wo|w_in|w_out|lin|mlp|adapter|score)_?\d*|(attn_)?[qkvorg]|w[qkvo1-3iog]|"
    r"(linear|fc|c|to|add|dense|project)_\w+|layer|\w+_proj_\w+|(to|W|w)_?(q|k|v|out)|Wi|Wo|Wqkv|wi_\d|(key|value)_\w+"
)


def split_by_name(source: Source, conv: ConvMatrix) -> list[Splitting | str]:
    """How each parameter becomes matrices, where only names and shapes are known.

    Args:
        source: what was read.
        conv: how kernels become matrices.

    Returns:
        of each parameter in turn, its splitting, or why it has none.
    """
    near = neighbours_of(source)
    return [
        parameter.refusal
        or (splitting_by_name(parameter.name, near, conv) if parameter.factors is None else whole(KIND))
        for parameter in source.parameters
    ]


def neighbours_of(source: Source) -> Neighbours:
    """What is known of all parameters of a source."""
    return Neighbours({parameter.name: parameter.shape for parameter in source.parameters}, source.config)


def splitting_by_name(name: str, near: Neighbours, conv: ConvMatrix, *, parameter: bool = False) -> Splitting | str:
    """How a parameter becomes matrices, as far as its name and its neighbours tell.

    Args:
        name: of the parameter.
        near: what is beside it.
        conv: how a kernel becomes matrices.
        parameter: whether it is known that it is one, not a buffer.

    Returns:
        its splitting; of kind "weight" where names and shapes do not tell; why it has none where it is no weight.
    """
    shape = near.shapes[name]
    if len(shape) < 2 or 0 in shape:
        return "no matrix"
    layer = near.layer_of_weight(name)
    if layer is not None and last_step(name) != "weight" and (original := near.original(name)) is not None:
        return splitting_by_name(original, near, conv, parameter=parameter)
    expert = is_expert_stack(name, shape, near)
    if not expert and (reason := why_no_weight(name, shape, near, parameter=parameter)):
        return reason
    path, _, last = name.rpartition(".")
    module = last_step(layer if layer is not None else name)
    recurrent = _RECURRENT.fullmatch(last)
    if recurrent and len(shape) == 2:
        return _recurrent(path, recurrent, near.shapes)
    if last in ("weight", "recurrent_weight") and (gates := _gates_of_keras(path, shape, near)):
        return gates
    if expert:
        return (
            why_no_weight(name, shape, near, parameter=parameter)
            if last.endswith("bias")
            else experts(name, shape, near)
        )
    if len(shape) == 3 and layer is not None and "bilinear" in module.lower():
        return bilinear(conv)
    if len(shape) > 2:
        if layer is None and _TABLE.fullmatch(module.lower()):
            return squeezed("embedding")
        if looks_like_kernel(name, shape, near):
            return kernel_by_name(name, shape, near, conv)
        return stack(shape)
    return _of_two_dimensions(name, shape, near, module, layer)


def _of_two_dimensions(name: str, shape: Shape, near: Neighbours, module: str, layer: str | None) -> Splitting:
    last = last_step(name)
    if last in {"q_proj_weight", "k_proj_weight", "v_proj_weight"}:
        return whole("attention")
    several = fused_splitting(name, shape, near) or rows_of_experts(name, shape, near)
    if several is not None:
        return several
    if last == "weight" and re.fullmatch(r"c_attn|c_fc|c_proj|q_attn", module) and near.stored_in_by_out:
        return transposed("linear")
    if layer is None:
        return whole("embedding" if _TABLE.fullmatch(module.lower()) else "weight")
    if _EMBEDDING.fullmatch(module):
        return whole("embedding")
    # in a sequence, what is not first and has two dimensions
    later = module.isdigit() and int(module) > 0
    if near.bias_of(name) == (shape[0],) or later or _LINEAR.fullmatch(module):
        return whole("linear")
    return whole("weight")


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


def _gates_of_keras(path: str, shape: Shape, near: Neighbours) -> Splitting | None:
    """The gates of a layer of Keras, known by its `recurrent_weight`; a GRU's are in another order than PyTorch's."""
    hidden = near.shapes.get(f"{path}.recurrent_weight".lstrip("."), ())
    if len(hidden) != 2 or len(shape) != 2 or hidden[0] != shape[0] or not hidden[1] or hidden[0] % hidden[1]:
        return None
    kind = {len(gates): kind for kind, gates in GATES.items()}.get(hidden[0] // hidden[1])
    if kind == "gru":
        return blocks(kind, ("update gate", "reset gate", "new"))
    return None if kind is None else recurrent_splitting(kind, "hh")


def _recurrent(path: str, name: re.Match[str], shapes: Mapping[str, Shape]) -> Splitting:
    """The gates, whose number is the height of the hidden-to-hidden weight over the width of the hidden state."""
    role, layer, direction = (group or "" for group in name.groups())
    prefix = f"{path}." if path else ""
    hidden = shapes.get(f"{prefix}weight_hh{layer}{direction}", (0, 0))
    projection = shapes.get(f"{prefix}weight_hr{layer}{direction}")
    if len(hidden) != 2:
        return whole("weight")
    width = projection[-1] if projection else hidden[1]
    kinds = {len(gates) * width: kind for kind, gates in GATES.items()}
    kind = kinds.get(hidden[0]) if width else None
    if kind is None or (role == "ih" and shapes[prefix + name.group()][0] != hidden[0]):
        return whole("weight")
    return recurrent_splitting(kind, role)
