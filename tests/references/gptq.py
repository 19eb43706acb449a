"""GPTQ, as AutoGPTQ's `QuantLinear` defines it: element by element.

qweight is (in · bits / 32) × out: each column one stream of bits. qzeros is groups × (out · bits / 32): each row one
stream. W[o, i] = scales[g, o] · (q[i, o] − z[g, o]) with g = g_idx[i]; z is what is stored plus one, modulo 2^bits
(not of 3 bits), in the first format, and what is stored in gptq_v2.
"""

import torch

from references.bits import from_words, to_words


def pack(codes, zeros, bits, *, second=False):
    """qweight and qzeros of codes (in × out) and zero points (groups × out)."""
    qweight = torch.stack([to_words(codes[:, out], bits) for out in range(codes.shape[1])], 1)
    stored = zeros if second else (zeros - 1) % 2**bits
    return qweight, torch.stack([to_words(row, bits) for row in stored])


def dequantize(qweight, qzeros, scales, g_idx, bits, *, second=False):
    width, out = len(g_idx), scales.shape[1]
    columns = [from_words(qweight[:, o], bits, width) for o in range(out)]
    zeros = [from_words(row, bits, out) for row in qzeros]
    weight = torch.empty(out, width, dtype=scales.dtype)
    for o in range(out):
        for i in range(width):
            group = int(g_idx[i])
            zero = zeros[group][o]
            if not second:
                zero = zero + 1 if bits == 3 else (zero + 1) % 2**bits
            weight[o, i] = scales[group, o] * torch.tensor(columns[o][i] - zero, dtype=scales.dtype)
    return weight
