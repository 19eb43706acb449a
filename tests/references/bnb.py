"""bitsandbytes' 4-bit blocks, element by element: two codes a byte, the first in the high half, a scale a block."""

import torch
from scipy.stats import norm


def nf4_table():
    """Quantiles of a normal distribution, eight positive, seven negative, and 0; the largest is 1.

    Dettmers et al. (2023), eq. (4), with the offset of bitsandbytes' `create_normal_map`.
    """
    offset = 0.9677083
    positive = [norm.ppf(offset + (0.5 - offset) * k / 8) for k in range(8)]
    negative = [-norm.ppf(offset + (0.5 - offset) * k / 7) for k in range(7)]
    values = torch.tensor(sorted([*positive, 0.0, *negative]), dtype=torch.float64)
    return (values / values.max()).float()


def pack(codes):
    pairs = codes.reshape(-1, 2)
    return (pairs[:, 0] * 16 + pairs[:, 1]).to(torch.uint8)[:, None]


def dequantize(packed, table, absmax, size, shape, dtype):
    values = []
    for index in range(packed.numel() * 2):
        byte = int(packed.flatten()[index // 2])
        code = byte & 15 if index % 2 else byte >> 4
        values.append(table[code] * absmax[index // size])
    return torch.stack(values).reshape(shape).to(dtype)


def absmax_of_nested(codes, table, absmax, size, offset):
    scales = [table[int(code)] * absmax[index // size] for index, code in enumerate(codes)]
    return torch.stack(scales) + torch.tensor(offset)
