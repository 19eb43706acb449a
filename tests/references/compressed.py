"""compressed-tensors' pack-quantized, element by element: signed numbers plus half of their range, streams of bits."""

import torch

from references.bits import from_words, to_words


def pack(codes, bits):
    """A row of words for each row of codes."""
    return torch.stack([to_words(row + 2 ** (bits - 1), bits) for row in codes])


def dequantize(packed, shape, scales, zeros, bits, group_of):
    """`zeros` are packed down the outputs, a column for each group; none where they are all 0."""
    out, width = shape
    half = 2 ** (bits - 1)
    points = None if zeros is None else [from_words(zeros[:, g], bits, out) for g in range(zeros.shape[1])]
    weight = torch.empty(out, width, dtype=scales.dtype)
    for o in range(out):
        codes = from_words(packed[o], bits, width)
        for i in range(width):
            group = group_of(i)
            zero = 0 if points is None else points[group][o] - half
            weight[o, i] = torch.tensor(codes[i] - half - zero, dtype=scales.dtype) * scales[o, group]
    return weight
