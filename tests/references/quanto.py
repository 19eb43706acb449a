"""Quanto: 2 and 4 bits packed down the rows, one group a row, value by value.

The format: optimum-quanto, `pack_weights` and `QBitsDequantizer`.
"""

import torch


def pack(codes, bits):
    """Value `row` of a column in bits · (row // bytes) of byte row % bytes."""
    height = -(-len(codes) * bits // 8)
    packed = torch.zeros(height, codes.shape[1], dtype=torch.uint8)
    for row in range(len(codes)):
        for col in range(codes.shape[1]):
            packed[row % height, col] |= int(codes[row, col]) << (bits * (row // height))
    return packed


def dequantize(codes, scales, shifts):
    """Of rows that are groups; each operation rounds to the dtype of the scales."""
    result = torch.empty(codes.shape, dtype=scales.dtype)
    for row in range(codes.shape[0]):
        for col in range(codes.shape[1]):
            code, scale, shift = int(codes[row, col]), scales[row, 0], shifts[row, 0]
            if shifts.is_floating_point():
                result[row, col] = scale * torch.tensor(code, dtype=scales.dtype) - shift
            else:
                result[row, col] = scale * torch.tensor(code - int(shift), dtype=scales.dtype)
    return result
