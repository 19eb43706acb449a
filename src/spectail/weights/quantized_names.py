"""What the parts of a quantised weight are called: from the name of a parameter to the weight that it is a part of.

Here: names. Not here: what becomes of the parts (`quantized`), and which scheme they are of (`schemes`).
"""

from __future__ import annotations

AFTER_WEIGHT = (
    *(
        "_qdata",
        "_packed",
        "_blocks",
        ".blocks",
        ".scales",
        "_scales",
        "_scale_inv",
        "_scale_2",
        "_global_scale",
        "_scale",
    ),
    *(
        "_scale_and_zero",
        "_zero_point",
        "_shape",
        "_g_idx",
        ".absmax",
        ".quant_map",
        ".nested_absmax",
        ".nested_quant_map",
        ".compressed",
        ".bitmask",
        ".row_offsets",
    ),
    *(".quant_state.bitsandbytes__nf4", ".quant_state.bitsandbytes__fp4"),
)
"""What is put behind the name of a weight, to name a part of it; `_global_scale` before `_scale`, in which it ends."""

_OF_HQQ = (
    *("nbits", "group_size", "shape", "axis", "packing", "unpack_view_dtype", "view_as_float", "quant_scale"),
    *("quant_zero", "compute_dtype", "offload_meta", "encoded_state_dict", "stores_quant_config", "channel_wise"),
    *("optimize", "round_zero"),
)
"""What HQQ stores beside the values of a weight: its settings, each as a tensor."""

_OF_TORCHAO = frozenset(
    {
        *("qdata", "scale", "zero_point", "scale_and_zero", "per_tensor_scale", "act_per_tensor_scale"),
        *("act_pre_scale", "act_quant_scale", "act_quant_zero_point"),
    }
)
"""What a tensor of torchao is made of: names that are put behind the weight's, with a point."""

INSTEAD_OF_WEIGHT = frozenset(
    {"qweight", "qzeros", "scales", "g_idx", "SCB", "weight_format", "scale", "scale_inv", "W_q", "zero", *_OF_HQQ}
)
"""What stands in the place of `weight`, to name a part of it."""

_OF_QUANTO = {
    "._data._data": "._data",
    "._data": "._data",
    "._scale": "_scale",
    "._shift": "._shift",
    "._size": "._size",
}
"""What a tensor of quanto is made of, as endings of the weight's name, and what each is called here."""

_OF_OTHERS = frozenset(
    {
        *("biases", "B", "B_24", "B_meta", "s", "codes", "codebooks", "tables", "tables2", "indices", "res_indices"),
        *("centroids.weight", "res_centroids.weight", "outlier_centroids.weight", "outlier_indices"),
        *("q_weight", "q_scale", "q_scale_max", "q_groups", "q_group_map", "q_perm", "q_invperm"),
        *("trellis", "suh", "svh", "su", "sv", "mcg", "mul1", "Qidxs", "SU", "SV", "Wscale", "codebook_id"),
        *("dqweight", "forward_hadamard_matrix", "backward_hadamard_matrix"),
    }
)
"""… in schemes whose names of parts other layers have, too: what has such a name and is alone is no part."""

SURELY_PARTS = frozenset({"qweight", "qzeros", "W_q", "SCB", "_packed", "_blocks", "_qdata"})
"""What no layer has as a weight of its own."""


def place_of(name: str) -> tuple[str, str]:
    """The weight that a parameter belongs to, and as what.

    Args:
        name: of the parameter.

    Returns:
        the name of the weight, and of the part: "" of the weight itself, and of what belongs to none.

    >>> place_of("layers.0.q_proj.weight_scale_inv"), place_of("layers.0.q_proj.qweight"), place_of("norm.weight")
    (('layers.0.q_proj.weight', '_scale_inv'), ('layers.0.q_proj.weight', 'qweight'), ('norm.weight', ''))
    """
    path, point, last = name.rpartition(".")
    if last in INSTEAD_OF_WEIGHT and not path.endswith("weight"):
        return f"{path}{point}weight", last
    if last in _OF_TORCHAO and path:
        return path, f"_{last}"
    other = f"{path.rpartition('.')[2]}.{last}" if last == "weight" else last
    if other in _OF_OTHERS and not path.endswith("weight"):
        return f"{name.removesuffix(other)}weight", other
    of_quanto = next((ending for ending in _OF_QUANTO if name.endswith(ending)), "")
    if of_quanto and name != of_quanto:
        return name.removesuffix(of_quanto), _OF_QUANTO[of_quanto]
    ending = next((ending for ending in AFTER_WEIGHT if name.endswith(ending)), "")
    weight = name.removesuffix(ending)
    if ending and last.startswith("_"):  # torchao: `._weight_scale` of `.weight`
        weight = f"{path}{point}{weight.removeprefix(f'{path}{point}_')}"
    return weight, ending
