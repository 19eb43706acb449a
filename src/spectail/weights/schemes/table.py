"""The schemes of quantisation: a line each, with the parts that one needs and the function that describes its weight.

Here: which there are, and in which order they are tried. Not here: what a weight of one is made of (its own file).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from spectail.weights.schemes.bitsandbytes import FP4_STATE, NF4_STATE, describe_4bit_blocks, describe_llm_int8
from spectail.weights.schemes.floats import (
    describe_mxfp4,
    describe_mxfp4_experts,
    describe_mxfp4_of_mlx,
    describe_nvfp4,
    describe_quanto,
    describe_scaled,
)
from spectail.weights.schemes.integers import (
    describe_awq,
    describe_bitnet,
    describe_gptq,
    describe_hqq,
    describe_int4_of_torchao,
    describe_mlx,
    describe_pack_quantized,
    describe_quanto_bits,
)
from spectail.weights.schemes.parts import (
    BYTES,
    FLOATS,
    FP8,
    SCALE_NAMES,
    SWIZZLED,
    WIDTHS,
    Config,
    Parts,
    StoredWeight,
    unread,
)


@dataclass(frozen=True)
class Scheme:
    """A way to quantise.

    Attributes:
        name: what it is called.
        main: the part that holds the quantised values.
        dtypes: in which dtypes it does.
        needs: the other parts, each one of some names, without which it means nothing.
        describe: the weight that the parts are.
    """

    name: str
    main: str
    dtypes: frozenset[str]
    needs: tuple[tuple[str, ...], ...]
    describe: Callable[[Parts, Config], StoredWeight] = field(repr=False)

    def missing(self, parts: Parts) -> str:
        """The names of the parts that are missing; empty if all are there."""
        missing = [names for names in self.needs if not any(name in parts for name in names)]
        return " and ".join(" or ".join(name.lstrip("._") for name in names) for names in missing)


_ANY = frozenset(WIDTHS)

_WORDS = frozenset({"int16", "int32", "int64", "uint16", "uint32"})

_DEQUANTIZE = "it is not read: model.dequantize(), and save"

_ORDER = "its values lie as one program takes them: "

_SPARSE = "its zeros are left out: load it with compressed-tensors, and save"

_ORIGINAL = "it is not read: name the model that was quantised"

SCHEMES = (
    Scheme("GPTQ", "qweight", frozenset({"int32"}), (("scales",), ("qzeros",)), describe_gptq),
    Scheme("AWQ", "qweight", frozenset({"int32"}), (("scales",), ("qzeros",)), describe_awq),
    Scheme("NF4", "", _ANY - {"int32"}, ((NF4_STATE,), (".absmax",), (".quant_map",)), describe_4bit_blocks),
    Scheme(
        "FP4 of bitsandbytes", "", _ANY - {"int32"}, ((FP4_STATE,), (".absmax",), (".quant_map",)), describe_4bit_blocks
    ),
    Scheme("LLM.int8()", "", frozenset({"int8"}), (("SCB",),), describe_llm_int8),
    Scheme("NVFP4", "_packed", BYTES, (("_scale",), ("_global_scale",)), describe_nvfp4),
    Scheme("NVFP4", "", BYTES, (("_scale",), ("_scale_2",)), describe_nvfp4),
    Scheme("MXFP4", "_blocks", frozenset({"uint8"}), (("_scales",),), describe_mxfp4_experts),
    Scheme("MXFP4", ".blocks", frozenset({"uint8"}), ((".scales",),), describe_mxfp4_experts),
    Scheme("MXFP4", "_packed", BYTES, (("_scale",),), describe_mxfp4),
    Scheme("MXFP4", "", BYTES, (SCALE_NAMES,), describe_mxfp4),
    Scheme("compressed-tensors", "_packed", frozenset({"int32"}), (("_scale",), ("_shape",)), describe_pack_quantized),
    Scheme("FP8", "", FP8, (SCALE_NAMES,), describe_scaled),
    Scheme("INT8", "", frozenset({"int8"}), (SCALE_NAMES,), describe_scaled),
    Scheme("INT8 of quanto", "._data", frozenset({"int8"}), (("_scale",),), describe_quanto),
    Scheme("FP8 of quanto", "._data", FP8, (("_scale",),), describe_quanto),
    Scheme("quanto", "._data", frozenset({"uint8"}), (("_scale",), ("._shift",)), describe_quanto_bits),
    Scheme("MLX", "", frozenset({"uint32"}), (("scales",), ("biases",)), describe_mlx),
    Scheme("MXFP4 of MLX", "", frozenset({"uint32"}), (("scales",),), describe_mxfp4_of_mlx),
    Scheme("HQQ", "W_q", _ANY, (("scale",), ("zero",), ("shape",)), describe_hqq),
    Scheme("INT4 of torchao", "_qdata", BYTES, (("_scale",), ("_zero_point",)), describe_int4_of_torchao),
    Scheme("FP8 of torchao", "_qdata", FP8, (("_scale",),), describe_scaled),
    Scheme("INT8 of torchao", "_qdata", frozenset({"int8"}), (("_scale",),), describe_scaled),
    Scheme("4 bits of torchao", "_qdata", BYTES - {"int8"}, (("_scale",),), unread(SWIZZLED)),
    Scheme("INT4 of torchao", "_qdata", _WORDS, (), unread(_ORDER + _DEQUANTIZE)),
    Scheme(
        "GPTQ or AWQ",
        "qweight",
        frozenset({"int16", "uint8"}),
        (("scales",),),
        unread(_ORDER + "save it in the format gptq or gemm"),
    ),
    Scheme("Marlin", "B", _WORDS, (("s",),), unread(_ORDER + "save it in the format gptq")),
    Scheme("Marlin, 2 of 4", "B_24", _WORDS, (("s",),), unread(_ORDER + _ORIGINAL)),
    Scheme("AQLM", "codes", _ANY | _WORDS, (("codebooks",),), unread(_ORIGINAL)),
    Scheme("VPTQ", "indices", _ANY | _WORDS, (("centroids.weight",),), unread(_ORIGINAL)),
    Scheme("HIGGS", "", _ANY | _WORDS, (("tables2",),), unread(_DEQUANTIZE)),
    Scheme("EXL2", "q_weight", _ANY | _WORDS, (("q_scale",),), unread(_ORIGINAL)),
    Scheme("EXL3", "trellis", _ANY | _WORDS, (("suh", "su"),), unread(_ORIGINAL)),
    Scheme("QuIP#", "Qidxs", _ANY | _WORDS, (("SU",),), unread(_ORIGINAL)),
    Scheme("sparse", ".compressed", _ANY | _WORDS | FLOATS | FP8, ((".bitmask",),), unread(_SPARSE)),
    Scheme("BitNet", "", frozenset({"uint8"}), (("_scale",),), describe_bitnet),
)
"""Of two that parts could be of, the first whose shapes fit is taken."""
