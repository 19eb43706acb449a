"""What quantised values mean: the arithmetic of each scheme, as pure functions of its tensors.

Every function gives the bits of the scheme's reference implementation: in the same dtype, in the same order of
operations. None makes more than a few tensors of the weight's size.

Here: numbers. Not here: which parameters belong together, and whether their shapes fit (`quantized`).
"""

from __future__ import annotations

from math import lcm

import torch
from jaxtyping import Float, Int, Num, Shaped, UInt8
from torch import Tensor

E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0)
"""Values of the sixteen codes of a 4-bit float: a sign, two bits of exponent, one of mantissa (OCP MX v1.0, §5.3.3)."""


def unpack_bits(words: Shaped[Tensor, "*batch words"], bits: int) -> UInt8[Tensor, "*batch values"]:
    """Whole numbers of few bits out of 32-bit words, which are read as one stream of bits, the lowest first.

    With 2, 4 or 8 bits a word holds 16, 8 or 4 values; with 3 bits three words hold 32, and two of these lie in two
    words.

    Args:
        words: int32; as many as hold whole values, a multiple of 3 for 3 bits.
        bits: of each value, at most 8.

    Returns:
        the values, in the order in which they were packed.

    Source: AutoGPTQ, `QuantLinear.pack`; compressed-tensors, `pack_to_int32`.

    >>> unpack_bits(torch.tensor([0x76543210], dtype=torch.int32), 4).tolist()
    [0, 1, 2, 3, 4, 5, 6, 7]
    """
    period = lcm(bits, 32)
    groups = words.reshape(*words.shape[:-1], -1, period // 32)
    values = torch.empty(*groups.shape[:-1], period // bits, dtype=torch.uint8, device=words.device)
    for index in range(period // bits):
        word, start = divmod(index * bits, 32)
        value = groups[..., word] >> start
        if start + bits > 32:
            low = 32 - start
            value = (value & (2**low - 1)) | (groups[..., word + 1] << low)
        values[..., index] = value & (2**bits - 1)
    return values.flatten(-2)


def unpack_words(words: Shaped[Tensor, "*batch words"], bits: int) -> UInt8[Tensor, "*batch values"]:
    """Whole numbers out of 32-bit words of which each holds as many as it can, the lowest first; no value in two words.

    Source: compressed-tensors before 0.11, `pack_to_int32`: ten values of 3 bits a word.
    """
    shifts = range(0, 32 - bits + 1, bits)
    values = [((words >> shift) & (2**bits - 1)).to(torch.uint8) for shift in shifts]
    return torch.stack(values, -1).flatten(-2)


def unpack_rows(packed: Shaped[Tensor, "rows cols"], bits: int) -> UInt8[Tensor, "unpacked cols"]:
    """Whole numbers of which a word holds several, as far apart as there are rows of words, the first in its high bits.

    Args:
        packed: uint8; int32 with ten values of 3 bits a word.
        bits: of each value.

    Returns:
        as many times more rows as a word holds values.

    Source: HQQ, `BitPack`.

    >>> unpack_rows(torch.tensor([[0x31, 0x42]], dtype=torch.uint8), 4).tolist()
    [[3, 4], [1, 2]]
    """
    count = 10 if bits == 3 else 8 // bits
    shifts = range(bits * (count - 1), -1, -bits)
    return torch.cat([((packed >> shift) & (2**bits - 1)).to(torch.uint8) for shift in shifts])


def unpack_halves(packed: UInt8[Tensor, "*packed"], bits: int) -> UInt8[Tensor, "*values"]:
    """Whole numbers of which a byte holds several, as `unpack_rows` has them, but with the first in the low bits.

    Source: quanto, `unpack`.

    >>> unpack_halves(torch.tensor([[0x31, 0x42]], dtype=torch.uint8), 4).tolist()
    [[1, 2], [3, 4]]
    """
    return torch.cat([(packed >> shift) & (2**bits - 1) for shift in range(0, 8, bits)])


def unpack_awq(words: Shaped[Tensor, "*batch words"]) -> UInt8[Tensor, "*batch values"]:
    """Eight 4-bit numbers a 32-bit word, in the order 0 2 4 6 1 3 5 7 from the lowest bits on.

    Source: AutoAWQ, `WQLinear_GEMM.from_linear`, `reverse_awq_order`.

    >>> unpack_awq(torch.tensor([0x75316420], dtype=torch.int32)).tolist()
    [0, 1, 2, 3, 4, 5, 6, 7]
    """
    shifts = (0, 16, 4, 20, 8, 24, 12, 28)
    return torch.stack([((words >> shift) & 15).to(torch.uint8) for shift in shifts], -1).flatten(-2)


def lookup_nibbles(
    packed: UInt8[Tensor, "*batch bytes"], table: Float[Tensor, " 16"], *, high_first: bool = False
) -> Float[Tensor, "*batch values"]:
    """Two 4-bit codes a byte, each the index of a value in a table.

    Args:
        packed: the bytes.
        table: the value of each code; its dtype is that of the result.
        high_first: whether the first value of a byte is in its high half, as bitsandbytes has it.

    Returns:
        twice as many values as bytes.

    Source: OCP MX v1.0; bitsandbytes, `dequantize_4bit`.
    """
    codes = torch.arange(256, device=packed.device)
    low, high = table.to(packed.device)[codes & 15], table.to(packed.device)[codes >> 4]
    pairs = torch.stack((high, low) if high_first else (low, high), -1)
    return pairs[packed.int()].flatten(-2)


def e2m1(packed: Shaped[Tensor, "*batch bytes"], dtype: torch.dtype) -> Float[Tensor, "*batch values"]:
    """4-bit floats, two a byte, the first in the low half; exact in every floating dtype."""
    return lookup_nibbles(packed.view(torch.uint8), torch.tensor(E2M1, dtype=dtype))


def e8m0(exponents: Shaped[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Powers of two of which a byte holds the exponent: 2^(e − 127), in float32.

    Args:
        exponents: uint8, or float8_e8m0fnu, which is the same byte.

    Returns:
        the powers; NaN for the code 255, as OCP MX v1.0 (§5.4.1) has it. Programs that take it for 2¹²⁸ do not agree
        with themselves on what comes of it.

    >>> e8m0(torch.tensor([126, 127, 130], dtype=torch.uint8)).tolist()
    [0.5, 1.0, 8.0]
    """
    return exponents.view(torch.float8_e8m0fnu).float()


def affine(
    codes: Num[Tensor, "rows cols"], scales: Float[Tensor, "down across"], zeros: Float[Tensor, "down across"]
) -> Float[Tensor, "rows cols"]:
    """(q − z) · s in the dtype of the scales, which broadcast, as z does; z need not be whole.

    Source: HQQ (Badri and Shaji, 2023), `Quantizer.dequantize`.
    """
    values = codes.to(scales.dtype)
    values -= zeros.to(scales.dtype)
    values *= scales
    return values


def affine_rows(
    codes: UInt8[Tensor, "rows cols"], scales: Float[Tensor, "rows 1"], shifts: Num[Tensor, "rows 1"]
) -> Float[Tensor, "rows cols"]:
    """(q − z) · s where z is whole, else q · s − z, each operation in the dtype of the scales.

    Source: quanto, `QBitsDequantizer`.
    """
    if not shifts.is_floating_point():
        return affine(codes, scales, shifts.to(scales.dtype))
    values = codes.to(scales.dtype)
    values *= scales
    values -= shifts.to(scales.dtype)
    return values


def scaled_and_added(
    codes: UInt8[Tensor, "*rows cols"], scales: Float[Tensor, "*rows groups"], added: Float[Tensor, "*rows groups"]
) -> Float[Tensor, "*rows cols"]:
    """The sums q · s + b of groups, each operation in the dtype of the scales.

    Source: MLX, `affine_dequantize`. There is no reference without its own package.
    """
    values = codes.to(scales.dtype)
    grouped = values.view(*scales.shape, -1)
    grouped *= scales[..., None]
    grouped += added.to(scales.dtype)[..., None]
    return values


def affine_groups(
    codes: Num[Tensor, "rows cols"],
    scales: Float[Tensor, "rows groups"],
    zeros: Num[Tensor, "rows groups"] | None,
    group_of: Int[Tensor, " cols"] | None = None,
) -> Float[Tensor, "rows cols"]:
    """(q − z) · s in the dtype of the scales, where columns that belong to one group share z and s.

    Args:
        codes: whole numbers q.
        scales: s of each row and group.
        zeros: z; none is 0.
        group_of: the group of each column, in any order; if not given, groups are as wide as one another, side by side.

    Returns:
        the weight, out × in.

    Source: GPTQ (Frantar et al., 2023) as AutoGPTQ stores it, with act-order where `group_of` is not ascending;
    AutoAWQ, `dequantize_gemm`; compressed-tensors, `dequantize`.
    """
    values = codes.to(scales.dtype, memory_format=torch.contiguous_format)
    if group_of is None:
        grouped = values.view(*scales.shape, -1)
        if zeros is not None:
            grouped -= zeros.to(scales.dtype)[..., None]
        grouped *= scales[..., None]
        return values
    if zeros is not None:
        values -= zeros.to(scales.dtype)[:, group_of]
    values *= scales[:, group_of]
    return values


def scaled(
    values: Num[Tensor, "*shape"], scales: Float[Tensor, "*broadcast"], zeros: Num[Tensor, "*other"] | None = None
) -> Float[Tensor, "*shape"]:
    """(q − z) · s in float32, for scales that broadcast: one a tensor, an output channel, an expert.

    Source: compressed-tensors, `dequantize`; transformers, `Fp8Dequantize`. Both round the product once, to the dtype
    of their result. Here the caller does that: float32 holds both factors exactly.
    """
    result = values.float()
    if zeros is not None:
        result -= zeros.float()
    result *= scales.float()
    return result


def scaled_blocks(
    values: Num[Tensor, "*stack rows cols"],
    scales: Float[Tensor, "*stack down across"],
    zeros: Num[Tensor, "*stack down across"] | None,
    block: tuple[int, int],
) -> Float[Tensor, "*stack rows cols"]:
    """The products (q − z) · s in float32, where the values of a block share s; blocks at the edges may be cut off.

    Args:
        values: q.
        scales: of each block.
        zeros: z of each block; none is 0.
        block: its rows and columns.

    Returns:
        the weight.

    Source: DeepSeek-V3, `weight_dequant` (Liu et al., 2024, §3.3); transformers, `Fp8Dequantize`; compressed-tensors.
    """
    high, wide = block
    result = values.to(torch.float32, memory_format=torch.contiguous_format)
    *stack, down, across = scales.shape
    if result.shape[-2:] == (down * high, across * wide):
        blocks = result.view(*stack, down, high, across, wide)
        if zeros is not None:
            blocks -= zeros.float()[..., :, None, :, None]
        blocks *= scales.float()[..., :, None, :, None]
        return result
    for index in range(down):
        rows = result[..., index * high : (index + 1) * high, :]
        if zeros is not None:
            rows -= _widened(zeros, index, wide, result.shape[-1])
        rows *= _widened(scales, index, wide, result.shape[-1])
    return result


def _widened(blocks: Shaped[Tensor, "*stack down across"], index: int, wide: int, cols: int) -> Tensor:
    """A row of blocks as a row of the weight, in float32."""
    row: Tensor = blocks[..., index : index + 1, :].float().repeat_interleave(wide, -1)
    return row[..., :cols]


def mxfp4(blocks: UInt8[Tensor, "*rows bytes"], scales: UInt8[Tensor, "*rows"]) -> Float[Tensor, "*rows values"]:
    """4-bit floats with a power of two for each block, in bfloat16.

    Args:
        blocks: 16 bytes a block, two values a byte.
        scales: exponents of the powers of two.

    Returns:
        32 values a block.

    Source: OCP MX v1.0; transformers, `convert_moe_packed_tensors`.
    """
    values = e2m1(blocks, torch.bfloat16)
    values *= e8m0(scales)[..., None]
    return values


def fp4_groups(
    packed: Shaped[Tensor, "*rows bytes"], scales: Float[Tensor, "*rows groups"], dtype: torch.dtype
) -> Float[Tensor, "*rows values"]:
    """4-bit floats with a scale for each group, multiplied in the dtype of the scales.

    Args:
        packed: two values a byte.
        scales: of each group, with whatever is common to all groups in them.
        dtype: of the result.

    Returns:
        the weight.

    Source: NVFP4, as TensorRT Model Optimizer (`NVFP4QTensor.dequantize`) and compressed-tensors
    (`NVFP4PackedCompressor`) store it.
    """
    values = e2m1(packed, scales.dtype)
    grouped = values.view(*scales.shape, -1)
    grouped *= scales[..., None]
    return values.to(dtype)


def int4_groups(
    packed: UInt8[Tensor, "*rows bytes"], scales: Float[Tensor, "*rows groups"], zeros: Float[Tensor, "*rows groups"]
) -> Float[Tensor, "*rows values"]:
    """The sums q · s + z in float32, of signed 4-bit numbers, two a byte, the first in the low half.

    Source: FBGEMM, `int4_row_quantize_zp` and `pack_int4`, as torchao's Int4Tensor stores them. There is no reference
    for a CPU: on a graphics card the product is rounded on the way.
    """
    signed = torch.tensor([*range(8), *range(-8, 0)], dtype=torch.float32)
    values = lookup_nibbles(packed, signed)
    grouped = values.view(*scales.shape, -1)
    grouped *= scales.float()[..., None]
    grouped += zeros.float()[..., None]
    return values


def table_blocks(
    packed: UInt8[Tensor, " bytes"],
    table: Float[Tensor, " 16"],
    absmax: Float[Tensor, " blocks"],
    size: int,
    count: int,
) -> Float[Tensor, " count"]:
    """4-bit codes of a table, with a scale for each block of values in a row, in float32.

    Args:
        packed: two codes a byte, the first in the high half.
        table: the value of each code: sixteen quantiles of a normal distribution (NF4), or a 4-bit float (FP4).
        absmax: the largest absolute value of each block.
        size: values in a block; the last may have fewer.
        count: of all values.

    Returns:
        the values, in a row.

    Source: QLoRA (Dettmers et al., 2023); bitsandbytes, `dequantize_4bit`.
    """
    values = lookup_nibbles(packed, table.float(), high_first=True)[:count]
    return _scaled_in_a_row(values, absmax, size)


def table_bytes(
    codes: UInt8[Tensor, " count"], table: Float[Tensor, " 256"], absmax: Float[Tensor, " blocks"], size: int
) -> Float[Tensor, " count"]:
    """8-bit codes of a table, with a scale for each block of values in a row, in float32.

    Source: bitsandbytes, `dequantize_blockwise`: the scales of 4-bit blocks may be quantised once more in this way.
    """
    return _scaled_in_a_row(table.float()[codes.int()], absmax, size)


def _scaled_in_a_row(
    values: Float[Tensor, " count"], absmax: Float[Tensor, " blocks"], size: int
) -> Float[Tensor, " count"]:
    whole = len(values) // size
    values[: whole * size].view(whole, size).mul_(absmax[:whole, None].float())
    values[whole * size :] *= absmax[whole:].float()
    return values


def int8_rows(codes: Int[Tensor, "rows cols"], absmax: Float[Tensor, " rows"]) -> Float[Tensor, "rows cols"]:
    """The products q · absmax / 127 in float32, the division as a product with 1/127.

    Source: LLM.int8() (Dettmers et al., 2022); bitsandbytes, `int8_vectorwise_dequant`.
    """
    result = codes.float()
    result *= absmax.float()[:, None]
    result *= 7.874015718698502e-3
    return result
