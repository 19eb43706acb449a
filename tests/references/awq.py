"""AWQ in the orders gemm and gemv, as AutoAWQ's `WQLinear_GEMM` and `WQLinear_GEMV` define them: element by element.

Of gemm, a word holds eight outputs; the i-th four bits from the lowest hold output order[i] of the eight. Of gemv, it
holds eight inputs, or the zero points of eight groups, one after the other; rows are filled up with zeros.
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


def pack_gemv(codes, zeros, scales):
    """Outputs × inputs, and outputs × groups, as they are stored."""
    size = codes.shape[1] // zeros.shape[1]
    multiple = 1 if size >= 128 else {64: 2, 32: 4}[size]
    words = -(-zeros.shape[1] // 8)
    words = -(-words // multiple) * multiple

    def packed(values, count):
        rows = torch.zeros(len(values), count, dtype=torch.int32)
        for row in range(len(values)):
            for at in range(values.shape[1]):
                word = (int(rows[row, at // 8]) & 0xFFFFFFFF) | int(values[row, at]) << (4 * (at % 8))
                rows[row, at // 8] = word - 2**32 if word >= 2**31 else word
        return rows

    filled = torch.zeros(len(scales), 8 * words, dtype=scales.dtype)
    filled[:, : scales.shape[1]] = scales
    return {"qweight": packed(codes, codes.shape[1] // 8), "qzeros": packed(zeros, words), "scales": filled}


def dequantize_gemv(codes, zeros, scales):
    size = codes.shape[1] // zeros.shape[1]
    weight = torch.empty(codes.shape, dtype=scales.dtype)
    for out in range(codes.shape[0]):
        for i in range(codes.shape[1]):
            code = torch.tensor(int(codes[out, i]) - int(zeros[out, i // size]), dtype=scales.dtype)
            weight[out, i] = code * scales[out, i // size]
    return weight
