"""Layers that are several in one, and stacks of experts: what models call them, and what they consist of.

Here: query, key and value; gate and up; experts; the projections of Mamba. Not here: who asks (`by_name`, for modules
`by_module`), how rows of a weight become matrices (`splitting`), and the circuits of each attention head (`heads`).
"""

from __future__ import annotations

import re

from spectail.weights.neighbours import Neighbours, Shape, last_step
from spectail.weights.splitting import (
    GATE_UP,
    QKV,
    Place,
    Splitting,
    blocks,
    grouped_heads,
    sections,
    split_heads,
    stack,
    transposed,
    whole,
)

FUSED = frozenset(
    {"qkv", "qkv_proj", "wqkv", "in_proj", "in_proj_weight", "c_attn", "to_qkv", "attn_qkv", "fused_qkv", "w_pack"}
)
"""What models call one layer that computes query, key and value: one after the other in its output."""

FUSED_BY_HEAD = frozenset({"query_key_value", "linear_qkv"})
"""… and one that computes them head by head (GPT-NeoX, BLOOM); as layers of other names do in `MODULES_BY_HEAD`."""

MODULES_BY_HEAD = frozenset({"DisentangledSelfAttention", "DebertaSelfAttention", "GPTBigCodeAttention"})

FUSED_KV = frozenset({"kv", "kv_proj", "to_kv", "wkv", "linear_kv"})
"""… key and value, one after the other."""

FUSED_HALVES = {
    **dict.fromkeys(("gate_up_proj", "gate_and_up_proj", "gate_up"), ("down_proj", GATE_UP)),
    **{"w13": ("w2", GATE_UP), "w12": ("w3", GATE_UP), "Wi": ("Wo", GATE_UP), "wi": ("wo", GATE_UP)},
    **{"mlp1": ("mlp2", GATE_UP), "fc1": ("fc2", GATE_UP), "linear_fc1": ("linear_fc2", GATE_UP)},
    **{"input_linear": ("output_linear", GATE_UP), "linear_in": ("linear_out", GATE_UP)},
    **{"dense_h_to_4h": ("dense_4h_to_h", GATE_UP)},
    **{"ffn_up": ("ffn_down", GATE_UP), "ffn_gate_up_exps": ("ffn_down_exps", GATE_UP)},
    **{"net.0.proj": ("net.2", GATE_UP[::-1]), "ff_proj": ("ff_out", GATE_UP[::-1])},
}
"""Layers whose outputs are two halves that are multiplied, where the layer behind takes half as many inputs as these
give outputs: which one that is, and which half is which."""

_SURELY_HALVES = frozenset({"gate_up_proj", "gate_and_up_proj", "gate_up", "w13", "w12"})

_OUTPUTS = (
    "o_proj",
    "out_proj",
    "proj",
    "dense",
    "wo",
    "c_proj",
    "to_out.0",
    "to_out",
    "out",
    "proj_out",
    "linear_proj",
    "attn_output",
)
"""What models call the layer behind the attention: it takes as many inputs as there are queries."""

HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads", "heads")
"""What configurations and modules call the number of their attention heads …"""

GROUPS = ("num_key_value_heads", "num_kv_heads", "n_head_kv", "multi_query_group_num", "num_query_groups")
"""… and of their keys and values, where several heads share one."""

_ROUTERS = ("router.layer", "router", "gate", "ffn_gate_inp")

_EXPERTS = re.compile(r"expert|(^|_)moe(_|$)|_exps$")


def fused_splitting(
    name: str, shape: Shape, near: Neighbours, *, heads: int | None = None, groups: int | None = None, around: str = ""
) -> Splitting | None:
    """The layers of one fused layer, split.

    Args:
        name: of the parameter.
        shape: of it, 2-d.
        near: what is beside it.
        heads: how many the module has, where that is known.
        groups: how many keys and values.
        around: the class of the module that the layer is in, where that is known.

    Returns:
        its splitting; whole and noted where the order inside is not known; None where it is no fused layer.
    """
    path = near.layer_of_weight(name)
    layer = last_step(name if path is None else path)
    if layer.lower() == "in_proj" and (projected := _mamba(name, shape, near)):
        return projected
    if layer == "x_proj" and (projected := _mamba_state(name, shape, near)):
        return projected
    if layer in ("kv_a_proj_with_mqa", "kv_b_proj"):
        return _latent(name, layer, shape, near, heads)
    if layer.lower() in FUSED | FUSED_BY_HEAD or last_step(name) == "in_proj_weight":
        return _attention(name, layer, shape, near, heads, groups, around)
    if layer.lower() in FUSED_KV and shape[0] % 2 == 0:
        return blocks("attention", QKV[1:], note="fused k, v")
    if layer in ("linear1", "to_qkv_mlp_proj"):
        return _with_mlp(name, layer, shape, near)
    return _halves(name, shape, near)


def _attention(
    name: str, layer: str, shape: Shape, near: Neighbours, heads: int | None, groups: int | None, around: str
) -> Splitting | None:
    rows, cols = shape
    steps = name.lower().split(".")
    called = layer.lower()
    multihead = last_step(name) == "in_proj_weight"
    fused = "" if multihead else "fused q, k, v"
    if called == "c_attn" and cols == 3 * rows:
        return blocks("attention", QKV, stored_transposed=True, note=fused)
    if called == "c_attn" and cols == 2 * rows:
        return blocks("attention", QKV[1:], stored_transposed=True, note="fused k, v")
    queries = _queries(name, layer, shape, near)
    thirds = rows == 3 * queries if queries else rows == 3 * cols
    if not thirds and not (queries and rows > queries and (rows - queries) % 2 == 0):
        unclear = layer.lower() not in ("in_proj", "c_attn") and rows > cols
        return whole("attention", f"{fused}: not split, as their sizes are not known") if unclear else None
    by_head = called in FUSED_BY_HEAD or around in MODULES_BY_HEAD or (called == "in_proj" and "deberta" in steps)
    model = str(near.setting("model_type") or "").lower()
    multi_query = near.setting("multi_query_attention") is True or (
        near.setting("multi_query") is True and near.setting("new_decoder_architecture") is not True
    )
    by_head = (by_head or model.startswith(("internlm2", "gpt_bigcode"))) and not (
        multi_query and called in FUSED_BY_HEAD
    )
    if called == "c_attn" and not thirds:  # GPT-BigCode's, with one key and value for all heads
        by_head = False
    if called == "wqkv" and layer == "wqkv" and not thirds and not model:
        return whole("attention", f"{fused}: not split, as their order is not known")
    if by_head:
        return _by_head(rows, queries, thirds, near, heads, groups)
    if called == "qkv_proj" and "h" in steps:  # CodeGen: in the order of the cores that it was trained on
        return whole("attention", f"{fused}: not split, as their order is not known")
    if thirds:
        return blocks("attention", QKV, note=fused)
    keys = (rows - (queries or 0)) // 2
    if queries is None or keys > queries or queries % keys:
        return whole("attention", f"{fused}: not split, as their sizes are not known")
    return sections("attention", (("q", queries), ("k", keys), ("v", keys)), note=fused)


def _by_head(
    rows: int, queries: int | None, thirds: bool, near: Neighbours, heads: int | None, groups: int | None
) -> Splitting:
    heads = heads or _number(near.setting(*HEADS))
    groups = groups or _number(near.setting(*GROUPS))
    if thirds:
        groups = heads
    note = "fused q, k, v, head by head"
    if heads and groups and heads % groups == 0 and rows % (heads + 2 * groups) == 0:
        width = rows // (heads + 2 * groups)
        if queries is None or queries == heads * width:
            return grouped_heads(heads, groups, note)
    return whole("attention", f"{note}: not split, as the number of heads is not known")


def _latent(name: str, layer: str, shape: Shape, near: Neighbours, heads: int | None) -> Splitting | None:
    """Latent attention (DeepSeek): keys and values from what they are compressed to, beside a key of positions."""
    if layer == "kv_a_proj_with_mqa":
        behind = near.renamed(name, layer, "kv_b_proj")
        latent = behind[1] if behind is not None and len(behind) == 2 else 0
        if not 0 < latent < shape[0]:
            return None
        return sections("attention", (("kv", latent), ("k of positions", shape[0] - latent)), note="fused latent kv, k")
    heads = heads or _number(near.setting(*HEADS))
    behind = near.renamed(name, layer, "o_proj")
    values = behind[1] // heads if heads and behind is not None and len(behind) == 2 else 0
    if heads is None or not 0 < values * heads < shape[0] or shape[0] % heads:
        return whole("attention", "fused k, v, head by head: not split, as the number of heads is not known")
    return split_heads(heads, (("k", shape[0] // heads - values), ("v", values)), "fused k, v, head by head")


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _queries(name: str, layer: str, shape: Shape, near: Neighbours) -> int | None:
    """How many outputs of a fused layer are queries: as many as the layer behind takes."""
    path, point, last = name.rpartition(".")
    if last == "in_proj_weight":
        behind = near.shapes.get(f"{path}{point}out_proj.weight")
        return behind[1] if behind and len(behind) == 2 else None
    sizes = (near.renamed(name, layer, other) for other in _OUTPUTS)
    behind = next((size for size in sizes if size is not None and len(size) == 2), None)
    return behind[1] if behind is not None and behind[1] <= shape[0] else None


def _halves(name: str, shape: Shape, near: Neighbours) -> Splitting | None:
    """Gate and up of one layer."""
    for layer, (other, labels) in FUSED_HALVES.items():
        behind = near.renamed(name, layer, other)
        sure = layer in _SURELY_HALVES and behind is None and near.renamed(name, layer, layer) is not None
        if (sure and shape[0] % 2 == 0) or (behind and len(behind) == 2 and shape[0] == 2 * behind[1]):
            return blocks("linear", labels, note="fused gate, up")
    return None


def _with_mlp(name: str, layer: str, shape: Shape, near: Neighbours) -> Splitting | None:
    """Attention and MLP of one block in one layer (Flux): q, k, v, and what the MLP takes, gated or not."""
    other = {"linear1": ("linear2",), "to_qkv_mlp_proj": ("to_out", "to_out.0")}[layer]
    behind = next((size for one in other if (size := near.renamed(name, layer, one)) is not None), None)
    if behind is None or len(behind) != 2 or behind[1] <= shape[1]:
        return None
    rows, width = shape
    hidden = behind[1] - width
    qkv = tuple((letter, width) for letter in QKV)
    note = "fused q, k, v and MLP"
    if rows == 3 * width + hidden:
        return sections("attention", (*qkv, ("mlp", hidden)), note=note)
    if rows == 3 * width + 2 * hidden:
        return sections("attention", (*qkv, ("gate", hidden), ("up", hidden)), note=note)
    return None


def _mamba(name: str, shape: Shape, near: Neighbours) -> Splitting | None:
    """What a Mamba's first layer computes."""
    decay = near.shapes.get(f"{name.removesuffix('in_proj.weight')}A_log")
    behind = near.renamed(name, "in_proj", "out_proj")
    if decay is None or behind is None or len(behind) != 2:
        return None
    width, rows = behind[1], shape[0]
    if rows == 2 * width:
        return blocks("linear", ("x", "gate"), note="fused x, gate")
    kernel = near.renamed(name, "in_proj", "conv1d")
    states = kernel[0] - width if kernel else 0
    if kernel is None or len(decay) != 1 or states % 2 or rows != width + kernel[0] + decay[0]:
        return None
    parts = (("gate", width), ("x", width), ("B", states // 2), ("C", states // 2), ("dt", decay[0]))
    return sections("linear", parts, note="fused gate, x, B, C, dt")


def _mamba_state(name: str, shape: Shape, near: Neighbours) -> Splitting | None:
    """What a Mamba computes its step and its state from."""
    decay = near.shapes.get(f"{name.removesuffix('x_proj.weight')}A_log")
    step = near.renamed(name, "x_proj", "dt_proj")
    if decay is None or step is None or (len(decay), len(step)) != (2, 2) or shape[0] != step[1] + 2 * decay[1]:
        return None
    return sections("linear", (("dt", step[1]), ("B", decay[1]), ("C", decay[1])), note="fused dt, B, C")


def is_expert_stack(name: str, shape: Shape, near: Neighbours) -> bool:
    """Whether a tensor of three or more dimensions holds a matrix an expert, whatever it is called.

    Args:
        name: of it.
        shape: of it.
        near: what is beside it.

    Returns:
        True where its name speaks of experts that are not named one by one, or the layer behind is stacked as well.
    """
    if len(shape) < 3:
        return False
    bias = near.bias_of(name)
    if bias is not None and len(bias) > 1:
        return bias[0] == shape[0] and bias != shape
    if _expert_path(name) and not (bias is not None and len(shape) > 3):
        return True
    pair = _pair(name, shape, near)
    return pair is not None and pair[0]


def _expert_path(name: str) -> bool:
    steps = name.lower().split(".")
    last = max((index for index, step in enumerate(steps) if _EXPERTS.search(step)), default=None)
    return (
        last is not None
        and not any(step.isdigit() for step in steps[last + 1 :])
        and not re.search(r"expert_?\d+", steps[last])
    )


def experts(name: str, shape: Shape, near: Neighbours) -> Splitting:
    """A matrix for each expert, or one for each half of it where its outputs are gate and up.

    Args:
        name: of the parameter.
        shape: of it, three dimensions or more.
        near: what is beside it.

    Returns:
        the matrices; halves are split where it is known which axis is out: by the layer behind, or else by the bias,
        the router or the configuration.
    """
    pair = _pair(name, shape, near) or _alone(name, shape, near)
    if pair is None:
        fused = any(near.renamed(name, layer, layer) is not None for layer in _SURELY_HALVES)
        return stack(shape, "expert", note="fused gate, up: not split, as it is not known along which axis" * fused)
    _, turned, labels = pair
    interleaved = bool(labels) and _interleaved(name, near)
    order = "alternating" if interleaved else "one after the other"
    note = f"fused gate, up, {order}" if labels else ""
    return stack(shape, "expert", stored_transposed=turned, parts=labels, interleaved=interleaved, note=note)


def _pair(name: str, shape: Shape, near: Neighbours) -> tuple[bool, bool, tuple[str, ...]] | None:
    """Of a layer of experts and the one behind it: whether they fit; whether they are in × out; which halves it has."""
    for layer, (other, labels) in FUSED_HALVES.items():
        behind = near.renamed(name, layer, other)
        before = near.renamed(name, other, layer)
        first, second = (shape, behind) if behind is not None else (before, shape)
        if first is None or second is None or len(first) != len(second) or first[:-2] != second[:-2] or len(first) < 3:
            continue
        (a, b), (c, d) = first[-2:], second[-2:]
        for turned, (inputs, outputs, next_inputs, next_outputs) in ((False, (b, a, d, c)), (True, (a, b, c, d))):
            if inputs == next_outputs and outputs in (next_inputs, 2 * next_inputs):
                gated = behind is not None and outputs == 2 * next_inputs
                return True, turned, labels if gated else ()
    return None


def _alone(name: str, shape: Shape, near: Neighbours) -> tuple[bool, bool, tuple[str, ...]] | None:
    """As `_pair`, where the layer behind is not there: the bias, the router or the configuration tells the axis."""
    bias = near.bias_of(name)
    path = near.layer_of_weight(name) or name
    above = [path.rsplit(".", count)[0] for count in (1, 2) if path.count(".") >= count]
    routers = (near.shapes.get(f"{one}.{router}.weight") for one in above for router in _ROUTERS)
    router = next((size for size in routers if size is not None and size[:1] == shape[:1] and len(size) == 2), None)
    hidden = router[1] if router is not None else near.setting("hidden_size")
    if bias is not None and len(bias) == 2:
        outputs = [bias[-1] == size for size in shape[-2:]]
    else:
        behind = last_step(path) in {other for other, _ in FUSED_HALVES.values()}  # it gives what the others take
        outputs = [(size == hidden) is behind for size in shape[-2:]] if hidden in shape[-2:] else [False, False]
    if outputs[0] == outputs[1]:
        return None
    turned = outputs[1]
    fused = any(near.renamed(name, layer, layer) is not None for layer in _SURELY_HALVES)
    return True, turned, GATE_UP if fused and shape[-1 if turned else -2] % 2 == 0 else ()


def _interleaved(name: str, near: Neighbours) -> bool:
    """Whether gate and up alternate, as in gpt-oss: its experts have biases, or its layers are mlp1 and mlp2."""
    model = near.setting("model_type")
    if model is not None:
        return model == "gpt_oss"
    return near.bias_of(name) is not None


def rows_of_experts(name: str, shape: Shape, near: Neighbours) -> Splitting | None:
    """Experts one below the other in one matrix (DBRX, MegaBlocks); how many, the router tells.

    Args:
        name: of the parameter.
        shape: of it, 2-d.
        near: what is beside it.

    Returns:
        a matrix an expert, or None where it is none of these.
    """
    above, experts_, below = name.partition(".experts.")
    last = re.fullmatch(r"(?:mlp\.)?(w1|v1|w2)(?:\.weight)?", below)
    if not experts_ or last is None:
        return None
    routers = (near.shapes.get(f"{above}.{router}.weight") for router in _ROUTERS)
    router = next((size for size in routers if size is not None and len(size) == 2), None)
    if router is None or shape[1] != router[1] or shape[0] % router[0] or shape[0] == router[0]:
        return None
    count = router[0]
    one = transposed("expert") if last[1] == "w2" else whole("expert")
    view = one.places[0].view
    places = tuple(Place(str(index), view, (index, count)) for index in range(count))
    return Splitting("expert", places, f"{count} experts in one matrix")
