"""AWQ in the order gemm, as AutoAWQ's `WQLinear_GEMM` defines it: element by element.

A word holds eight outputs; the i-th four bits from the lowest hold output order[i] of the eight.
"""

import torch

ORDER = (0, 2, 4, 6, 1, 3, 5, 7)


def pack(values):
    """Rows × outputs → rows × outputs / 8 words."""
    words = torch.empty(values.shape[0], values.shape[1] // 8, dtype=torch.int32)
    for row in range(words.shape[0]):
        for col in range(words.shape[1]):
            word = sum(int(values[row, 8 * col + ORDER[i]]) << (4 * i) for i in range(8))
            words[row, col] = word - 2**32 if word >= 2**31 else word
    return words


def dequantize(qweight, qzeros, scales):
    (width, words), groups = qweight.shape, scales.shape[0]
    weight = torch.empty(8 * words, width, dtype=scales.dtype)
    for i in range(width):
        group = i // (width // groups)
        for out in range(8 * words):
            at = ORDER.index(out % 8) * 4
            code, zero = ((int(packed[out // 8]) >> at) & 15 for packed in (qweight[i], qzeros[group]))
            weight[out, i] = torch.tensor(code - zero, dtype=scales.dtype) * scales[group, out]
    return weight
