"""What is no weight, by its name and shape: masks, tables, statistics, filter banks, norms, scales and biases.

Here: why a tensor of two or more dimensions maps nothing. Not here: what cannot be read at all (`parameter`). No value
is looked at.
"""

from __future__ import annotations

import re

from spectail.weights.neighbours import Neighbours, Shape, last_step

_BUFFERS = {
    "a mask": r"(\w*_)?(attn|attention|causal|self|future)?_?mask(s|ed_bias)?(_?\d+)?|tril|triu|tri|causal",
    "a fixed table of positions": (
        r"inv_freqs?|freqs?(_cis|_cos|_sin|_complex)?|(\w+_)?(cos|sin)(_\w*)?|cos_sin\w*|pe|\w*sin_?cos\w*|sinusoid\w*|rope\w*|"
        r"rotary\w*|timescales?|div_term|pos(itional|ition)?_encodings?|(positional_encoding_)?gaussian_matrix|"
        r"relative_(coords_table|position_index)|\w*coords(_table)?|\w*_ids|\w*_index(es)?|alibi\w*|slopes|_float_tensor|"
        r"embed_positions"
    ),
    "a statistic": (
        r"running_\w+|moving_(mean|var\w*)|num_batches_tracked|(\w*_)?(embed|codebook)_(avg|sum)|(\w*_)?cluster_size|"
        r"ema_(d?w|cluster_size|count|sum)"
    ),
    "a grid": r"(\w*_)?anchors?(_\w+)?|(\w*_)?grids?|prior_?s?|prior_boxes|strides?",
    "fixed noise": r"noise_(\d+|const)|noise_buffer",
}
"""What tensors are called that a module registers as buffers. A parameter of such a name is a parameter."""

_BASES = (
    r"(\w*_)?window|mel_?(basis|filters?|fb|w|bank|matrix|weights)?|fb|\w*filter_?banks?|[a-z]?(dft|stft|istft|dct|cqt)(_\w*)?|"
    r"\w*_basis|wsin|wcos|hann\w*|(blur|resample|upsample|downsample|gaussian|lowpass|sobel|box)_?(filter|kernel)\w*|filt|"
    r"\w*_kernels_(real|imag)"
)
_TRANSFORMS = (
    r"i?stft|(\w*_)?(mel_?)?spectrogram(_extractor)?|mel_?(scale|spec)\w*|logmel\w*|cqt\w*|i?dft|mfcc|"
    r"blur\w*|resample\w*"
)

_SCALES = (
    r"(\w*_)?(scales?|scaling|zeros|qzeros|zero_points?|absmax)(_inv|_\d+)?|layer_?scale\w*|scale_shift_table|modulation|"
    r"time_(decay|first|faaaa|mix_[a-z]+|maa_[a-z])|A_log|ssm_[ad]|[A-Za-z]_log"
)
_NORM = r"norm|(^|_)(ln|bn|gn|scale|gain|affine|gamma)(_|\d|$)"
_LAYER = r"proj|linear|emb|fc|conv|dense|modulation"


def why_no_weight(name: str, shape: Shape, near: Neighbours, *, parameter: bool) -> str:
    """Why a tensor of two or more dimensions is no weight; empty where it may be one.

    Args:
        name: of it.
        shape: of it.
        near: what is beside it.
        parameter: whether it is known to be a parameter, as in a module, so that it is no buffer whatever its name.

    Returns:
        what it is, in a few words.
    """
    last = last_step(name)
    layer = near.layer_of_weight(name)
    if fixed := why_fixed(name, near):
        return fixed
    if re.fullmatch(
        r"(\w*_)?bias(_?(ema|avg|shadow|hh|ih|k|v))?|pos_bias_[uv]|b_[A-Za-z_]+|bias(es)?|attention_biases|\w*bias",
        last,
    ):
        square = len(shape) > 2 and shape[-1] == shape[-2] > 1 and set(shape[:-2]) == {1}
        return "a mask, not a weight" if square else "a bias: it is added, and maps nothing"
    if not parameter and layer is None:
        for what, names in _BUFFERS.items():
            if re.fullmatch(names, last.lower()):
                return f"{what} by its name: a buffer, not a parameter"
    if layer is not None:
        return _norm(layer, shape, near.bias_of(name))
    if re.fullmatch(_SCALES, last):
        return "a scale: it multiplies, and maps nothing"
    pair = {"gamma": "beta", "beta": "gamma"}.get(last)
    if pair and near.shapes.get(name.removesuffix(last) + pair) == shape:
        return "a norm's scale or shift, element by element"
    return "a vector, shaped to broadcast" if sum(size > 1 for size in shape) <= 1 else ""


def why_fixed(name: str, near: Neighbours) -> str:
    """Why a tensor is fixed, whether its module calls it a parameter, a layer's weight or a buffer.

    Args:
        name: of it.
        near: what is beside it.

    Returns:
        which basis of signals or table of positions it is; empty where its name is not that of one.
    """
    layer = near.layer_of_weight(name)
    *steps, last = (layer or name).lower().split(".")
    inside = any(re.fullmatch(_TRANSFORMS, step) for step in steps)
    if layer is None and (re.fullmatch(_BASES, last) or (inside and not last.startswith("w"))):
        return "a fixed bank of filters by its name: a buffer, not a parameter"
    if layer is not None and inside and re.fullmatch(r"conv_?(real|imag)|(real|imag)_conv|fb|mel|window", last):
        return "a fixed bank of filters by its name"
    above, _, table = (layer or name).rpartition(".")
    whisper = table in ("embed_positions", "positional_embedding") and last_step(above) == "encoder"
    if whisper and len(near.shapes.get(f"{above}.conv1.weight", ())) == 3:
        return "a fixed table of positions: the sinusoids of Whisper's encoder"
    if name.endswith("pos_embed.pos_embed") and f"{above}.proj.weight" in near.shapes:
        return "a fixed table of positions: the sinusoids of a patch embedding"
    return ""


def _norm(layer: str, shape: Shape, bias: Shape | None) -> str:
    """Whether the weight of a layer multiplies element by element."""
    if bias == shape:
        return "a norm's scale, element by element"
    called = last_step(layer).lower()
    if re.search(_NORM, called) and not re.search(_LAYER, called) and bias is None:
        return "a norm's scale, element by element"
    return ""
