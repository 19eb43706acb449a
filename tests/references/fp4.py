"""4-bit floats (e2m1) from their bits, with powers of two (MXFP4) or 8-bit floats (NVFP4) as scales.

The formats: OCP Microscaling Formats v1.0, §5.3.3 and §6.1; NVFP4 of TensorRT Model Optimizer.
"""

import math

import torch

from references import fp8


def value(code):
    sign, exponent, mantissa = (-1.0 if code & 8 else 1.0), (code >> 1) & 3, code & 1
    return math.copysign(mantissa * 0.5 if exponent == 0 else (1 + mantissa / 2) * 2.0 ** (exponent - 1), sign)


def code(packed, row, col):
    """Of a matrix, two columns a byte, the first in the low half."""
    byte = int(packed[row, col // 2])
    return byte >> 4 if col % 2 else byte & 15


def mxfp4(packed, exponents):
    """rows × columns / 2 bytes and rows × columns / 32 exponents, in bfloat16."""
    result = torch.empty(packed.shape[0], 2 * packed.shape[1], dtype=torch.bfloat16)
    for row in range(result.shape[0]):
        for col in range(result.shape[1]):
            result[row, col] = value(code(packed, row, col)) * 2.0 ** (int(exponents[row, col // 32]) - 127)
    return result


def nvfp4(packed, scales, common, *, divided):
    """With an e4m3 scale for 16 values, multiplied by the common scale (modelopt), or divided (compressed-tensors)."""
    result = torch.empty(packed.shape[0], 2 * packed.shape[1], dtype=torch.bfloat16 if divided else torch.float32)
    for row in range(result.shape[0]):
        for col in range(result.shape[1]):
            byte = int(scales.view(torch.uint8)[row, col // 16])
            scale = torch.tensor(fp8.value(byte, torch.float8_e4m3fn))
            scale = scale / common.float() if divided else scale * common.float()
            result[row, col] = torch.tensor(value(code(packed, row, col))) * scale
    return result
