"""HQQ, value by value: W = (q − z) · s of a matrix of groups, down its columns (axis 0) or along its rows (axis 1).

A word of row r holds the values of rows r, r + R, r + 2R, … of R rows of words, the first in its highest bits; with
3 bits ten values are in a word of 32, and rows that are missing are 0.
"""

import torch


def fields(bits):
    return 10 if bits == 3 else 8 // bits


def pack(codes, bits):
    count = fields(bits)
    high = -(-codes.shape[0] // count)
    words = torch.zeros(high, codes.shape[1], dtype=torch.int32 if bits == 3 else torch.uint8)
    for row in range(codes.shape[0]):
        for col in range(codes.shape[1]):
            words[row % high, col] += int(codes[row, col]) << (bits * (count - 1 - row // high))
    return words


def dequantize(words, scale, zero, bits, axis, size, shape):
    count, high = fields(bits), words.shape[0]
    values = []
    rows, cols = (size, shape[0] * shape[1] // size) if axis == 0 else (shape[0] * shape[1] // size, size)
    for row in range(rows):
        for col in range(cols):
            code = (int(words[row % high, col]) >> (bits * (count - 1 - row // high))) & (2**bits - 1)
            at = (0, col) if axis == 0 else (row, 0)
            values.append((torch.tensor(code, dtype=scale.dtype) - zero[at]) * scale[at])
    return torch.stack(values).reshape(shape)
