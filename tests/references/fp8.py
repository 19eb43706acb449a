"""8-bit floats from their bits, and their scales: element by element.

The formats: Micikevicius et al. (2022) for e4m3fn and e5m2, Noune et al. (2022) for the fnuz ones.
"""

import math

import torch

FORMATS = {  # bits of the exponent and the mantissa, bias, and whether there are no infinities and no negative zero
    torch.float8_e4m3fn: (4, 3, 7, False),
    torch.float8_e5m2: (5, 2, 15, False),
    torch.float8_e4m3fnuz: (4, 3, 8, True),
    torch.float8_e5m2fnuz: (5, 2, 16, True),
}


def value(byte, dtype):
    exponent_bits, mantissa_bits, bias, fnuz = FORMATS[dtype]
    sign = -1.0 if byte >> 7 else 1.0
    exponent, mantissa = (byte >> mantissa_bits) & (2**exponent_bits - 1), byte & (2**mantissa_bits - 1)
    if fnuz and byte == 0x80:
        return math.nan
    if dtype == torch.float8_e4m3fn and byte & 0x7F == 0x7F:
        return math.nan
    if dtype == torch.float8_e5m2 and exponent == 31:
        return math.nan if mantissa else sign * math.inf
    if exponent == 0:
        return sign * mantissa * 2.0 ** (1 - bias - mantissa_bits)
    return sign * (2**mantissa_bits + mantissa) * 2.0 ** (exponent - bias - mantissa_bits)


def dequantize(weight, scale_of):
    """value · scale of each element in float32; `scale_of` gives the scale of row and column, a 0-d tensor."""
    stored = weight.view(torch.uint8)
    result = torch.empty(weight.shape)
    for row in range(weight.shape[0]):
        for col in range(weight.shape[1]):
            result[row, col] = torch.tensor(value(int(stored[row, col]), weight.dtype)) * scale_of(row, col).float()
    return result
