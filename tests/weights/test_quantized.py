"""Quantised weights are measured as what they mean, to the bit, and what belongs to them is never taken for weights."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from references import awq, bnb, compressed, fp4, fp8, gptq, hqq, quanto
from references import bits as bits_of
from spectail.errors import SourceError
from spectail.weights.opening import open_weights
from spectail.weights.state_dict import as_in_the_model, read_mapping

FLOATS = (torch.float16, torch.bfloat16, torch.float32)


def opened(state, **quantization):
    """The parameters of a state dict by name, and why the others are left out."""
    config = {"quantization_config": quantization} if quantization else {}
    source = as_in_the_model(replace(read_mapping(state, "state dict"), config=config))
    return {one.name: one for one in source.parameters}, {one.name: one.reason for one in source.skipped}


def numbers(*shape, below, seed=0, dtype=torch.int64, start=0):
    return torch.randint(start, below, shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def floats(*shape, dtype=torch.float32, seed=0):
    return (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 0.1 + 0.01).to(dtype)


def same_bits(a, b):
    """NaN where the other is NaN, too."""
    return (
        a.dtype == b.dtype
        and a.shape == b.shape
        and torch.equal(a.isnan(), b.isnan())
        and torch.equal(a.nan_to_num(0.5, 2.0, -2.0), b.nan_to_num(0.5, 2.0, -2.0))
    )


# ---- GPTQ


def gptq_parts(bits, dtype=torch.float16, *, second=False, order=None, width=64, out=32, groups=2):
    codes, zeros = numbers(width, out, below=2**bits), numbers(groups, out, below=2**bits, seed=1)
    zeros[0, 0], zeros[0, 1] = 0, 2**bits - 1  # where the first format wraps around
    if bits == 3 and not second:
        zeros[zeros == 0] = 1
    qweight, qzeros = gptq.pack(codes, zeros, bits, second=second)
    g_idx = torch.arange(width, dtype=torch.int32) // (width // groups) if order is None else order
    return {"qweight": qweight, "qzeros": qzeros, "scales": floats(groups, out, dtype=dtype), "g_idx": g_idx}


def as_layer(parts, path="layers.0.q_proj"):
    return {f"{path}.{name}": part for name, part in parts.items()}


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("second", [False, True])
def test_gptq_is_what_its_specification_says(bits, dtype, second):
    parts = gptq_parts(bits, dtype, second=second)
    parameters, skipped = opened(as_layer(parts), checkpoint_format="gptq_v2" if second else "gptq")
    weight = parameters["layers.0.q_proj.weight"]
    assert torch.equal(weight.load(), gptq.dequantize(**parts, bits=bits, second=second))
    assert (weight.dtype, weight.note) == (f"int{bits}", "dequantised: GPTQ, groups of 32")
    assert set(skipped) == {f"layers.0.q_proj.{name}" for name in parts}
    assert set(skipped.values()) == {"a part of layers.0.q_proj.weight, analysed dequantised (GPTQ)"}


def test_gptq_with_act_order_has_groups_of_scattered_inputs():
    order = torch.arange(64, dtype=torch.int32)[torch.randperm(64, generator=torch.Generator().manual_seed(1))] // 32
    parts = gptq_parts(4, order=order)
    weight = opened(as_layer(parts))[0]["layers.0.q_proj.weight"]
    assert torch.equal(weight.load(), gptq.dequantize(**parts, bits=4))


def test_gptq_without_g_idx_or_with_one_that_says_nothing_has_groups_side_by_side():
    parts = gptq_parts(4)
    expected = gptq.dequantize(**parts, bits=4)
    for g_idx in (None, torch.zeros(64, dtype=torch.int32), torch.empty(0, dtype=torch.int32)):
        changed = {name: part for name, part in parts.items() if name != "g_idx"}
        changed |= {} if g_idx is None else {"g_idx": g_idx}
        assert torch.equal(opened(as_layer(changed))[0]["layers.0.q_proj.weight"].load(), expected)


def test_zero_points_tell_the_second_format_of_gptq_where_no_configuration_does():
    codes, zeros = numbers(64, 32, below=16), torch.full((2, 32), 8)
    for second in (False, True):
        qweight, qzeros = gptq.pack(codes, zeros, 4, second=second)
        parts = gptq_parts(4) | {"qweight": qweight, "qzeros": qzeros}
        expected = gptq.dequantize(**parts, bits=4, second=second)
        assert torch.equal(opened(as_layer(parts))[0]["layers.0.q_proj.weight"].load(), expected)


# ---- AWQ


@pytest.mark.parametrize("dtype", FLOATS)
def test_awq_is_what_its_specification_says(dtype):
    codes, zeros, scales = numbers(64, 48, below=16), numbers(4, 48, below=16, seed=1), floats(4, 48, dtype=dtype)
    parts = {"qweight": awq.pack(codes), "qzeros": awq.pack(zeros), "scales": scales}
    parameters, skipped = opened(as_layer(parts))
    weight = parameters["layers.0.q_proj.weight"]
    assert torch.equal(weight.load(), awq.dequantize(**parts))
    assert (weight.shape, weight.dtype, weight.note) == ((48, 64), "int4", "dequantised: AWQ, groups of 16")
    assert len(skipped) == 3


@pytest.mark.parametrize(("width", "size"), [(256, 128), (256, 64), (512, 32), (256, 256), (1280, 128)])
@pytest.mark.parametrize("said", [{}, {"quant_method": "awq", "version": "gemv", "q_group_size": True}])
def test_awq_that_is_packed_along_its_inputs_is_told_by_its_shapes(width, size, said):
    out, groups = 16, width // size
    codes, zeros = numbers(out, width, below=16), numbers(out, groups, below=16, seed=1)
    scales = floats(out, groups, dtype=torch.float16)
    said = {name: size if value is True else value for name, value in said.items()}
    parameters, skipped = opened(as_layer(awq.pack_gemv(codes, zeros, scales)), **said)
    weight = parameters["layers.0.q_proj.weight"]
    assert torch.equal(weight.load(), awq.dequantize_gemv(codes, zeros, scales))
    assert (weight.shape, weight.dtype) == ((out, width), "int4")
    assert weight.note.startswith("dequantised: AWQ, gemv, ")
    assert len(skipped) == 3


def test_the_configuration_tells_awq_from_gptq_where_shapes_fit_both():
    codes, zeros, scales = numbers(16, 256, below=16), numbers(16, 8, below=16), floats(16, 8, dtype=torch.float16)
    parameters, _ = opened(as_layer(awq.pack_gemv(codes, zeros, scales)), quant_method="awq")
    assert torch.equal(parameters["layers.0.q_proj.weight"].load(), awq.dequantize_gemv(codes, zeros, scales))


def test_awq_along_its_inputs_says_which_groups_do_not_fit():
    parts = awq.pack_gemv(numbers(8, 256, below=16), numbers(8, 4, below=16), floats(8, 4, dtype=torch.float16))
    for said, reason in (({"group_size": 48}, "256 inputs in groups of 48"), ({"group_size": 32}, "in groups of 32")):
        parameters, skipped = opened(as_layer(parts), **said)
        assert not parameters
        assert reason in skipped["layers.0.q_proj.qweight"]
    # where shapes leave groups of 128 and one group, the scales themselves must tell
    parts = awq.pack_gemv(numbers(8, 256, below=16), numbers(8, 2, below=16), floats(8, 2, dtype=torch.float16))
    parts["scales"][:, 5] = 1.0
    with pytest.raises(SourceError, match="6 scales a row are not those of 256 inputs"):
        opened(as_layer(parts))[0]["layers.0.q_proj.weight"].load()


# ---- 8-bit floats


@pytest.mark.parametrize("dtype", fp8.FORMATS)
def test_every_8_bit_float_is_what_its_bits_say(dtype):
    stored = torch.arange(256, dtype=torch.int32).to(torch.uint8).view(dtype).reshape(16, 16)
    matrix = open_weights({"weight": stored}).matrices[0]
    assert matrix.dtype == str(dtype).removeprefix("torch.")
    assert same_bits(matrix.load()[0], fp8.dequantize(stored, lambda row, col: torch.tensor(1.0)))


@pytest.mark.parametrize(
    ("shape", "scale_of", "note"),
    [
        ((), lambda s: lambda row, col: s, "one scale a tensor"),
        ((1,), lambda s: lambda row, col: s[0], "one scale a tensor"),
        ((40,), lambda s: lambda row, col: s[row], "one scale an output channel"),
        ((40, 1), lambda s: lambda row, col: s[row, 0], "one scale an output channel"),
        ((3, 2), lambda s: lambda row, col: s[row // 16, col // 16], "blocks of 16 × 16"),
        ((40, 4), lambda s: lambda row, col: s[row, col // 8], "groups of 8"),
    ],
)
@pytest.mark.parametrize("name", ["weight_scale", "weight_scale_inv", "scale"])
@pytest.mark.parametrize("dtype", FLOATS)
def test_8_bit_floats_are_multiplied_by_their_scales(shape, scale_of, note, name, dtype):
    values, scale = (torch.randn(40, 32)).to(torch.float8_e4m3fn), floats(*shape, dtype=dtype)
    state = {"a.weight": values, f"a.{name}": scale, "a.input_scale": torch.ones(1, 1)}
    parameters, skipped = opened(state, weight_block_size=[16, 16])
    weight = parameters["a.weight"]
    assert torch.equal(weight.load(), fp8.dequantize(values, scale_of(scale)).to(dtype))
    assert (weight.dtype, weight.note) == ("float8_e4m3fn", f"dequantised: FP8, {note}")
    assert skipped["a.input_scale"] == "a scale of activations, not of a weight"


def test_blocks_are_128_wide_where_no_configuration_says_how_wide_even_if_the_last_is_cut_off():
    values, scale = torch.randn(200, 300).to(torch.float8_e4m3fn), floats(2, 3)
    weight = opened({"a.weight": values, "a.weight_scale_inv": scale})[0]["a.weight"]
    factors = scale.repeat_interleave(128, 0)[:200].repeat_interleave(128, 1)[:, :300]
    assert torch.equal(weight.load(), values.float() * factors)


def test_scales_that_are_powers_of_two_are_exponents_in_bytes():
    values, exponents = torch.randn(8, 64).to(torch.float8_e4m3fn), numbers(8, 2, below=140, start=110).to(torch.uint8)
    expected = values.float() * 2.0 ** (exponents.float() - 127).repeat_interleave(32, 1)
    for scale in (exponents, exponents.view(torch.float8_e8m0fnu)):
        assert torch.equal(
            opened({"a.weight": values, "a.weight_scale": scale})[0]["a.weight"].load().float(), expected
        )


def test_experts_have_scales_of_their_own_and_are_read_one_by_one():
    values = torch.randn(3, 16, 32).to(torch.float8_e4m3fn)
    for shape in ((3,), (3, 1, 1), (3, 16), (3, 16, 1), (3, 1, 32), (1,), (3, 2, 4)):
        scale = floats(*shape)
        weight = opened({"experts.down_proj": values, "experts.down_proj_scale": scale})[0]["experts.down_proj"]
        whole = weight.load()
        last = scale if len(scale) == 1 else scale[2]
        if shape == (3, 2, 4):
            last = last.repeat_interleave(8, 0).repeat_interleave(8, 1)
        elif shape == (3, 16):
            last = last[:, None]
        assert torch.equal(whole[2], values[2].float() * last)
        assert torch.equal(weight.load_rows(1, 3), whole[1:])


# ---- 4-bit floats


def test_mxfp4_is_what_its_specification_says():
    packed, exponents = numbers(8, 64, below=256).to(torch.uint8), numbers(8, 4, below=255, seed=1).to(torch.uint8)
    exponents[0, :2] = torch.tensor([0, 254])
    expected = fp4.mxfp4(packed, exponents)
    for name, part in (("weight_packed", packed), ("weight", packed), ("weight", packed.view(torch.int8))):
        parameters, skipped = opened({f"a.{name}": part, "a.weight_scale": exponents})
        assert same_bits(parameters["a.weight"].load(), expected)
        assert parameters["a.weight"].note == "dequantised: MXFP4, groups of 32"
        assert "a.weight_scale" in skipped


def test_experts_of_gpt_oss_are_in_by_out_and_read_one_by_one():
    blocks, scales = numbers(3, 8, 4, 16, below=256).to(torch.uint8), numbers(3, 8, 4, below=200).to(torch.uint8)
    expected = torch.stack([fp4.mxfp4(a.flatten(1), b).T for a, b in zip(blocks, scales, strict=True)])
    state = {"mlp.experts.down_proj_blocks": blocks, "mlp.experts.down_proj_scales": scales}
    weight = opened(state)[0]["mlp.experts.down_proj"]
    assert weight.shape == (3, 128, 8)
    assert torch.equal(weight.load(), expected)
    assert torch.equal(weight.load_rows(1, 2), expected[1:2])


def test_the_first_files_of_gpt_oss_are_out_by_in():
    blocks, scales = numbers(3, 8, 4, 16, below=256).to(torch.uint8), numbers(3, 8, 4, below=200).to(torch.uint8)
    weight = opened({"mlp.mlp1_weight.blocks": blocks, "mlp.mlp1_weight.scales": scales})[0]["mlp.mlp1_weight"]
    assert torch.equal(weight.load()[2], fp4.mxfp4(blocks[2].flatten(1), scales[2]))


@pytest.mark.parametrize("divided", [False, True])
def test_nvfp4_is_what_its_specification_says(divided):
    packed, scales = numbers(8, 32, below=256).to(torch.uint8), floats(8, 4).mul(900).to(torch.float8_e4m3fn)
    common = torch.tensor([77.7]) if divided else torch.tensor(0.0123)
    names = ("weight_packed", "weight_global_scale") if divided else ("weight", "weight_scale_2")
    state = {f"a.{names[0]}": packed, "a.weight_scale": scales, f"a.{names[1]}": common}
    weight = opened(state)[0]["a.weight"]
    assert torch.equal(weight.load(), fp4.nvfp4(packed, scales, common, divided=divided))
    assert (weight.dtype, weight.note) == ("float4_e2m1fn", "dequantised: NVFP4, groups of 16")


def test_a_stack_of_nvfp4_experts_has_a_common_scale_an_expert():
    packed, scales = numbers(3, 8, 32, below=256).to(torch.uint8), floats(3, 8, 4).mul(900).to(torch.float8_e4m3fn)
    common = torch.tensor([0.1, 0.2, 0.3])
    state = {"experts.up": packed, "experts.up_scale": scales, "experts.up_scale_2": common}
    weight = opened(state)[0]["experts.up"]
    assert torch.equal(weight.load()[1], fp4.nvfp4(packed[1], scales[1], common[1], divided=False))
    assert torch.equal(weight.load_rows(2, 3), weight.load()[2:])


def test_the_power_of_two_that_is_no_number_reaches_the_row():
    packed, exponents = numbers(8, 16, below=256).to(torch.uint8), torch.full((8, 1), 255, dtype=torch.uint8)
    assert opened({"a.weight_packed": packed, "a.weight_scale": exponents})[0]["a.weight"].load().isnan().all()


# ---- compressed-tensors


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("dtype", FLOATS)
def test_pack_quantized_is_what_its_specification_says(bits, symmetric, groups, dtype):
    half = 2 ** (bits - 1)
    codes, zeros = numbers(20, 48, below=half, start=-half), numbers(20, groups, below=half, start=-half, seed=1)
    parts = {"weight_packed": compressed.pack(codes, bits), "weight_scale": floats(20, groups, dtype=dtype)}
    packed_zeros = None if symmetric else compressed.pack(zeros.T, bits).T.contiguous()
    parts |= {"weight_shape": torch.tensor([20, 48])} | ({} if symmetric else {"weight_zero_point": packed_zeros})
    expected = compressed.dequantize(
        parts["weight_packed"], (20, 48), parts["weight_scale"], packed_zeros, bits, lambda i: i // (48 // groups)
    )
    weight = opened(as_layer(parts, "a"))[0]["a.weight"]
    assert torch.equal(weight.load(), expected)
    assert weight.dtype == f"int{bits}"


def test_pack_quantized_with_act_order_has_groups_of_scattered_inputs():
    codes, g_idx = numbers(20, 48, below=8, start=-8), torch.arange(48, dtype=torch.int32) % 3
    parts = {"weight_packed": compressed.pack(codes, 4), "weight_scale": floats(20, 3), "weight_g_idx": g_idx}
    parts |= {"weight_shape": torch.tensor([20, 48])}
    expected = compressed.dequantize(parts["weight_packed"], (20, 48), parts["weight_scale"], None, 4, lambda i: i % 3)
    assert torch.equal(opened(as_layer(parts, "a"))[0]["a.weight"].load(), expected)


def test_before_version_0_11_no_value_of_3_bits_was_in_two_words():
    codes = numbers(2, 40, below=4, start=-4)
    words = [
        [sum(int(v + 4) << (3 * i) for i, v in enumerate(row[at : at + 10])) for at in range(0, 40, 10)]
        for row in codes
    ]
    parts = {"weight_packed": torch.tensor(words, dtype=torch.int32).view(2, 4), "weight_scale": torch.ones(2, 1)}
    parts |= {"weight_shape": torch.tensor([2, 40])}
    quantization = {"config_groups": {"group_0": {"weights": {"num_bits": 3}}}}
    # 40 values of 3 bits are 4 words either way: with 96 values, the numbers of words differ
    assert opened(as_layer(parts, "a"), **quantization)[0]["a.weight"].shape == (2, 40)
    codes = numbers(2, 96, below=4, start=-4)
    rows = [
        [sum(int(v + 4) << (3 * i) for i, v in enumerate(row[at : at + 10])) for at in range(0, 96, 10)]
        for row in codes
    ]
    parts |= {"weight_packed": torch.tensor(rows, dtype=torch.int32), "weight_shape": torch.tensor([2, 96])}
    assert torch.equal(opened(as_layer(parts, "a"), **quantization)[0]["a.weight"].load(), codes.float())


@pytest.mark.parametrize("shape", [(1,), (20, 1), (2, 3)])
def test_int8_is_less_its_zero_point_and_multiplied(shape):
    codes, zeros = numbers(20, 48, below=127, start=-128).to(torch.int8), numbers(*shape, below=9).to(torch.int8)
    scale = floats(*shape, dtype=torch.bfloat16)
    state = {"a.weight": codes, "a.weight_scale": scale, "a.weight_zero_point": zeros}
    down, across = 20 // (shape[0] if len(shape) > 1 else 1), 48 // (shape[-1] if len(shape) > 1 else 1)
    grid = [
        one.reshape(shape if len(shape) > 1 else (1, 1)).repeat_interleave(down, 0).repeat_interleave(across, 1)
        for one in (scale, zeros)
    ]
    weight = opened(state)[0]["a.weight"]
    assert torch.equal(weight.load(), (codes.bfloat16() - grid[1].bfloat16()) * grid[0])
    assert weight.dtype == "int8"


# ---- bitsandbytes


def nf4_parts(shape=(12, 32), *, size=16, nested=False, kind="nf4", dtype="bfloat16", name="a.weight"):
    count = shape[0] * shape[1]
    table = bnb.nf4_table() if kind == "nf4" else torch.tensor([fp4.value(code) / 6 for code in range(16)])
    absmax, blocks = floats(count // size), count // size
    said = {"quant_type": kind, "blocksize": size, "dtype": dtype, "shape": list(shape)}
    parts = {"": bnb.pack(numbers(count, below=16)), ".absmax": absmax, ".quant_map": table}
    if nested:
        said |= {"nested_blocksize": 8, "nested_dtype": "float32", "nested_offset": 0.0321}
        parts[".absmax"] = numbers(blocks, below=256).to(torch.uint8)
        parts |= {".nested_absmax": floats(blocks // 8), ".nested_quant_map": torch.linspace(-1, 1, 256)}
    parts[f".quant_state.bitsandbytes__{kind}"] = torch.frombuffer(
        bytearray(json.dumps(said).encode()), dtype=torch.uint8
    )
    return {name + ending: part for ending, part in parts.items()}


@pytest.mark.parametrize("kind", ["nf4", "fp4"])
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("stored", [torch.uint8, torch.bfloat16, torch.float32])
def test_blocks_of_bitsandbytes_are_what_their_specification_says(kind, nested, dtype, stored):
    state = nf4_parts(kind=kind, nested=nested, dtype=dtype)
    absmax = state["a.weight.absmax"]
    if nested:
        inner = (state["a.weight.nested_quant_map"], state["a.weight.nested_absmax"])
        absmax = bnb.absmax_of_nested(absmax, *inner, 8, 0.0321)
    packed, table = state["a.weight"], state["a.weight.quant_map"]
    expected = bnb.dequantize(packed, table, absmax, 16, (12, 32), getattr(torch, dtype))
    parameters, skipped = opened(state | {"a.weight": packed.flatten().view(stored)[:, None]})
    weight = parameters["a.weight"]
    assert torch.equal(weight.load(), expected)
    assert (weight.shape, weight.dtype) == ((12, 32), kind)
    assert len(skipped) == len(state) - 1


def test_llm_int8_is_divided_by_127_by_its_reciprocal():
    codes, absmax = numbers(12, 32, below=128, start=-127).to(torch.int8), floats(12)
    state = {"a.weight": codes, "a.SCB": absmax, "a.weight_format": torch.tensor(0, dtype=torch.uint8)}
    parameters, skipped = opened(state)
    assert torch.equal(parameters["a.weight"].load(), codes * absmax[:, None] * (1 / 127))
    assert set(skipped) == {"a.SCB", "a.weight_format"}
    other = opened(state | {"a.weight_format": torch.tensor(2, dtype=torch.uint8)})[1]
    assert "in an order of one graphics card's" in other["a.weight"]


# ---- HQQ


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("dtype", FLOATS)
def test_hqq_is_what_its_specification_says(bits, axis, dtype):
    size, count = 16, 24 * 32
    rows, cols = (size, count // size) if axis == 0 else (count // size, size)
    codes, grid = numbers(rows, cols, below=2**bits), (1, cols) if axis == 0 else (rows, 1)
    scale, zero = floats(*grid, dtype=dtype), floats(*grid, dtype=dtype, seed=1) * 7
    state = {"a.W_q": hqq.pack(codes, bits), "a.scale": scale, "a.zero": zero, "a.shape": torch.tensor([24, 32])}
    state |= {"a.nbits": torch.tensor(bits), "a.axis": torch.tensor(axis), "a.group_size": torch.tensor(size)}
    parameters, skipped = opened(state)
    weight = parameters["a.weight"]
    assert torch.equal(weight.load(), hqq.dequantize(state["a.W_q"], scale, zero, bits, axis, size, (24, 32)))
    assert (weight.dtype, weight.note) == (f"int{bits}", "dequantised: HQQ, groups of 16")
    assert len(skipped) == len(state)


# ---- torchao


def test_4_bits_of_torchao_are_multiplied_and_their_zeros_added():
    codes, scales, zeros = (
        numbers(24, 64, below=8, start=-8),
        floats(2, 24).bfloat16(),
        floats(2, 24, seed=1).bfloat16(),
    )
    packed = (codes[:, ::2] & 15 | (codes[:, 1::2] & 15) << 4).to(torch.uint8).view(torch.int8)
    expected = codes * scales.float().T.repeat_interleave(32, 1) + zeros.float().T.repeat_interleave(32, 1)
    for names in ("a._weight_{}", "a.weight.{}"):
        state = {
            names.format(name): part for name, part in (("qdata", packed), ("scale", scales), ("zero_point", zeros))
        }
        parameters, skipped = opened(state)
        assert torch.equal(parameters["a.weight"].load(), expected)
        assert set(skipped) == set(state)


# ---- files, and what is around


def test_a_quantised_file_is_read_part_by_part(tmp_path):
    blocks, scales = numbers(3, 8, 4, 16, below=256).to(torch.uint8), numbers(3, 8, 4, below=200).to(torch.uint8)
    state = as_layer(gptq_parts(4)) | nf4_parts() | {"embed.weight": torch.randn(8, 4)}
    state |= {"b.weight": torch.randn(64, 64).to(torch.float8_e5m2), "b.weight_scale": torch.tensor(0.5)}
    state |= {"mlp.experts.down_proj_blocks": blocks, "mlp.experts.down_proj_scales": scales}
    state |= {"f4.weight": numbers(8, 32, below=256).to(torch.uint8).view(torch.float4_e2m1fn_x2)}
    state |= {"f4.weight_scale": floats(8, 4).to(torch.float8_e4m3fn), "f4.weight_scale_2": torch.tensor(0.1)}
    save_file(state, tmp_path / "model.safetensors")
    of_file, in_memory = open_weights(tmp_path / "model.safetensors"), open_weights(state)
    expected = {matrix.name: matrix.load() for matrix in in_memory.matrices}
    assert len(expected) == len(of_file.matrices) == 8
    for matrix, values in of_file.each():
        assert torch.equal(values, expected[matrix.name]), matrix.name
    reasons = {one.name: one.reason for one in of_file.skipped}
    assert reasons == {one.name: one.reason for one in in_memory.skipped}


def test_a_module_of_quantised_layers_has_the_rows_of_its_state_dict():
    class Layer(nn.Module):
        def __init__(self, parts):
            super().__init__()
            for name, part in parts.items():
                if part.dtype.is_floating_point:
                    setattr(self, name, nn.Parameter(part, requires_grad=False))
                else:
                    self.register_buffer(name, part)

    fp8_parts = {"weight": torch.randn(64, 64).to(torch.float8_e4m3fn), "weight_scale_inv": floats(4, 4)}
    int8_parts = {"weight": numbers(8, 16, below=99).to(torch.int8), "SCB": floats(8)}
    layers = [Layer(parts) for parts in (gptq_parts(4), fp8_parts, int8_parts)]
    model = nn.ModuleDict({"a": layers[0], "b": layers[1], "c": layers[2], "d": nn.Linear(3, 3)})
    of_module, of_state = open_weights(model), open_weights(model.state_dict())
    expected = {matrix.name: matrix for matrix in of_state.matrices}
    assert len(of_module.matrices) == 4
    for matrix in of_module.matrices:
        assert (matrix.note, matrix.dtype) == (expected[matrix.name].note, expected[matrix.name].dtype)
        assert torch.equal(matrix.load(), expected[matrix.name].load())
    reasons = {one.name: one.reason for one in of_state.skipped}
    assert {one.name: one.reason for one in of_module.skipped}.items() >= (
        reasons.items() - {("d.bias", reasons["d.bias"])}
    )


def test_a_layer_of_fused_queries_keys_and_values_is_split_after_it_is_dequantised():
    parts = gptq_parts(4, width=32, out=96)
    names = [matrix.name for matrix in open_weights(as_layer(parts, "layers.0.attn.qkv_proj")).matrices]
    assert names == [f"layers.0.attn.qkv_proj.weight[{part}]" for part in "qkv"]


def test_scales_of_other_things_stay_what_they_are():
    state = {"norm.weight": torch.ones(8, 8), "norm.scale": torch.ones(8, 8), "logit_scale": torch.ones(())}
    state |= {"a.weight": torch.ones(8, 8), "a_scale": torch.ones(8, 8), "b_shape": torch.ones(3, 3)}
    parameters, skipped = opened(state)
    assert set(parameters) == set(state)
    assert skipped == {}


def test_a_scale_beside_a_weight_in_floats_is_not_applied_and_no_weight():
    state = {"a.weight": torch.ones(8, 8), "a.weight_scale_inv": torch.ones(8, 8)}
    parameters, skipped = opened(state)
    assert torch.equal(parameters["a.weight"].load(), torch.ones(8, 8))
    assert skipped == {"a.weight_scale_inv": "a part of quantisation beside a.weight, which is stored in float32"}


# ---- what does not fit


def gone(parts, *names):
    return {name: part for name, part in parts.items() if not name.endswith(names)}


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (gone(as_layer(gptq_parts(4)), "scales"), "quantised (GPTQ), but without its scales"),
        (gone(as_layer(gptq_parts(4)), "qzeros"), "quantised (GPTQ), but without its qzeros"),
        (gone(as_layer(gptq_parts(4)), "qzeros", "scales"), "quantised (GPTQ), but without its scales and qzeros"),
        (gone(as_layer(gptq_parts(4)), "qweight"), "of which the quantised values are missing"),
        (gone(nf4_parts(), "absmax"), "quantised (NF4), but without its absmax"),
        (gone(nf4_parts(), "nf4"), "without its quant_state.bitsandbytes__nf4"),
        (gone(nf4_parts(nested=True), "nested_absmax"), "its nested_absmax or its nested_quant_map is missing"),
        ({"a.weight_scale_inv": torch.ones(8, 8)}, "of which the quantised values are missing"),
        ({"a.down_proj_blocks": torch.ones(2, 8, 4, 16, dtype=torch.uint8)}, "but without its scales"),
        ({"a.down_proj_scales": torch.ones(2, 8, 4, dtype=torch.uint8)}, "of which the quantised values are missing"),
        (
            {"a.W_q": torch.ones(8, 8, dtype=torch.uint8), "a.scale": torch.ones(1, 8), "a.zero": torch.ones(1, 8)},
            "its shape",
        ),
        ({"a.weight_packed": torch.ones(8, 8, dtype=torch.int32), "a.weight_scale": torch.ones(8, 8)}, "its shape"),
    ],
)
def test_where_a_part_is_missing_nothing_is_measured_and_the_reason_names_it(state, reason):
    parameters, skipped = opened(state)
    assert parameters == {}
    assert all(reason in one for one in skipped.values()), skipped


def changed(parts, **others):
    return {name: others.get(name.rpartition(".")[2], part) for name, part in parts.items()}


HUGE = 2**40
E4M3 = torch.ones(8, 8).to(torch.float8_e4m3fn)


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (changed(as_layer(gptq_parts(4)), scales=torch.ones(2, 31)), "do not fit one another"),
        (changed(as_layer(gptq_parts(4)), scales=torch.ones(64)), "do not fit one another"),
        (changed(as_layer(gptq_parts(4)), scales=torch.ones(2, 32, dtype=torch.int32)), "its scales are int32"),
        (changed(as_layer(gptq_parts(4)), scales=torch.ones(0, 32)), "do not fit one another"),
        (changed(as_layer(gptq_parts(4)), g_idx=torch.ones(7, dtype=torch.int32)), "its g_idx has the shape 7"),
        (changed(as_layer(gptq_parts(4)), qweight=torch.ones(1, 1, dtype=torch.int32).expand(HUGE, 32)), "expanded"),
        (
            {"a.weight": E4M3, "a.weight_scale": torch.ones(3, 5, 7)},
            "do not fit one another (weight 8×8, weight_scale 3×5×7)",
        ),
        ({"a.weight": E4M3, "a.weight_scale": torch.ones(0)}, "do not fit one another"),
        ({"a.weight": E4M3, "a.weight_scale": torch.ones(8, dtype=torch.int64)}, "its scales are int64"),
        ({"a.weight": E4M3, "a.weight_scale": torch.ones(1).expand(HUGE)}, "expanded"),
        ({"a.weight": E4M3[0], "a.weight_scale": torch.ones(1)}, "it has the shape 8"),
    ],
)
def test_parts_that_do_not_fit_are_skipped_with_a_reason_that_names_them(state, reason):
    parameters, skipped = opened(state)
    assert parameters == {}
    assert all(reason in one for one in skipped.values()), skipped


@pytest.mark.parametrize("size", [0, -1, 7, HUGE, True, "128", None, [128], 1.5])
def test_a_configuration_that_does_not_fit_is_not_believed(size):
    parts = gptq_parts(4)
    expected = gptq.dequantize(**parts, bits=4)
    weight = opened(as_layer(gone(parts, "g_idx")), group_size=size, bits=size, checkpoint_format=size)[0]
    assert torch.equal(weight["layers.0.q_proj.weight"].load(), expected)
    state = {"a.weight": torch.randn(16, 16).to(torch.float8_e4m3fn), "a.weight_scale_inv": torch.ones(2, 2)}
    for block in (size, [size, size], {"a": size}):
        assert opened(state, weight_block_size=block)[0]["a.weight"].note == "dequantised: FP8, blocks of 8 × 8"


@pytest.mark.parametrize(
    "said",
    [
        {"blocksize": 0},
        {"blocksize": HUGE},
        {"blocksize": "16"},
        {"shape": [HUGE, HUGE]},
        {"shape": [12, -32]},
        {"shape": 384},
        {"shape": None},
        {"dtype": "Tensor"},
        {"dtype": "int8"},
        {"dtype": 5},
        {"dtype": []},
        {"blocksize": 15},
    ],
)
def test_a_quant_state_that_does_not_fit_is_not_believed(said):
    state = nf4_parts()
    name = "a.weight.quant_state.bitsandbytes__nf4"
    text = json.dumps(json.loads(bytes(state[name].tolist())) | said).encode()
    parameters, skipped = opened(state | {name: torch.frombuffer(bytearray(text), dtype=torch.uint8)})
    assert parameters == {}
    assert all("quantised (NF4), but" in reason for reason in skipped.values())


def test_an_offset_that_is_no_number_of_a_computer_is_an_error_of_that_weight_only():
    name = "a.weight.quant_state.bitsandbytes__nf4"
    state = nf4_parts(nested=True)
    text = json.dumps(json.loads(bytes(state[name].tolist())) | {"nested_offset": 10**400}).encode()
    weight = opened(state | {name: torch.tensor(list(text), dtype=torch.uint8)})[0]["a.weight"]
    with pytest.raises(SourceError, match=r"a\.weight cannot be dequantised"):
        weight.load()


@pytest.mark.parametrize("text", [b"", b"[" * 10000, b"\xff\xfe", b"[1]", b'{"blocksize": 1e999}', b"x" * 2**17])
def test_a_quant_state_that_is_no_json_is_named(text):
    state = nf4_parts() | {"a.weight.quant_state.bitsandbytes__nf4": torch.tensor(list(text), dtype=torch.uint8)}
    parameters, skipped = opened(state)
    assert parameters == {}
    assert all("its quant_state" in reason for reason in skipped.values())


def test_a_group_that_does_not_exist_is_an_error_of_that_weight_only():
    parts = gptq_parts(4) | {"g_idx": torch.full((64,), 2, dtype=torch.int32)}
    weight = opened(as_layer(parts))[0]["layers.0.q_proj.weight"]
    with pytest.raises(
        SourceError, match=r"layers.0.q_proj.weight cannot be dequantised \(GPTQ\): its g_idx names groups"
    ):
        weight.load()


def test_scales_that_are_not_finite_reach_the_row():
    values = {"a.weight": E4M3, "a.weight_scale": torch.tensor(float("nan"))}
    assert opened(values)[0]["a.weight"].load().isnan().all()


# ---- quanto, MLX


@pytest.mark.parametrize("bits", [2, 4])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize(("groups", "width", "shape"), [(12, 64, (6, 128)), (7, 20, (7, 20))])
def test_quanto_is_what_its_specification_says(bits, dtype, whole, groups, width, shape):
    codes, scales = numbers(groups, width, below=2**bits), floats(groups, 1, dtype=dtype)
    shifts = numbers(groups, 1, below=2**bits, dtype=torch.int8) if whole else floats(groups, 1, dtype=dtype, seed=1)
    parts = {"._data._data": quanto.pack(codes, bits), "._scale": scales, "._shift": shifts}
    state = {f"a.weight{name}": part for name, part in parts.items()} | {"a.bias": torch.zeros(shape[0])}
    parameters, skipped = opened({**state, "a.input_scale": torch.ones(()), "a.output_scale": torch.ones(())})
    weight = parameters["a.weight"]
    assert same_bits(weight.load(), quanto.dequantize(codes, scales, shifts).reshape(shape))
    assert (weight.dtype, weight.note) == (f"int{bits}", f"dequantised: quanto, groups of {width}")
    assert {f"a.weight{name}" for name in parts} <= set(skipped)


def test_quanto_without_a_bias_has_its_shape_from_the_configuration_or_is_not_read():
    parts = {
        "._data._data": numbers(8, 128, below=256).to(torch.uint8),
        "._scale": floats(16, 1),
        "._shift": floats(16, 1),
    }
    for name, shape in {"o_proj": (512, 4), "gate_proj": (4, 512)}.items():
        state = {f"{name}.weight{role}": part for role, part in parts.items()}
        source = as_in_the_model(replace(read_mapping(state, ""), config={"hidden_size": 512}))
        assert [one.shape for one in source.parameters] == [shape]
        parameters, skipped = opened(state)
        assert not parameters
        assert all("its groups do not tell its shape" in reason for reason in skipped.values())


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("stored", [torch.int8, torch.float8_e4m3fn, torch.float8_e5m2])
def test_8_bits_of_quanto_are_multiplied_by_their_scales(dtype, stored):
    values, scales = (torch.randn(6, 8) * 30).to(stored), floats(6, 1, dtype=dtype)
    parameters, _ = opened({"a.weight._data": values, "a.weight._scale": scales})
    assert same_bits(parameters["a.weight"].load(), scales * values.to(dtype))


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 8])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("stack", [(), (3,)])
def test_mlx_adds_its_biases_to_what_it_scaled(bits, dtype, stack):
    codes = numbers(*stack, 4, 128, below=2**bits)
    words = torch.stack([bits_of.to_words(row.tolist(), bits) for row in codes.reshape(-1, 128)])
    scales, biases = floats(*stack, 4, 2, dtype=dtype), floats(*stack, 4, 2, dtype=dtype, seed=1)
    state = {"a.weight": words.view(torch.uint32).reshape(*stack, 4, -1), "a.scales": scales, "a.biases": biases}
    parameters, skipped = opened(state, bits=bits, group_size=64)
    of = [index // 64 for index in range(128)]
    assert same_bits(parameters["a.weight"].load(), codes.to(dtype) * scales[..., of] + biases[..., of])
    assert set(skipped) == {"a.weight", "a.scales", "a.biases"} - {"a.weight"}
    parameters, skipped = opened(state, bits=8, group_size=64, a={"bits": bits, "group_size": 64})
    assert parameters["a.weight"].dtype == f"int{bits}"
    parameters, skipped = opened(state)
    assert not parameters
    assert "does not say how many bits" in skipped["a.weight"]


def test_mxfp4_of_mlx_is_what_its_specification_says():
    packed, exponents = numbers(4, 32, below=256).to(torch.uint8), numbers(4, 2, below=140, start=120).to(torch.uint8)
    parameters, _ = opened({"a.weight": packed.view(torch.uint32), "a.scales": exponents})
    assert same_bits(parameters["a.weight"].load(), fp4.mxfp4(packed, exponents))


INT, FLOAT = torch.int32, torch.float16
UNREAD = {
    "Marlin": {"B": (4, 64, INT), "s": (2, 32, FLOAT), "workspace": (16, INT)},
    "Marlin, 2 of 4": {"B_24": (4, 64, INT), "B_meta": (4, 8, torch.int16), "s": (2, 32, FLOAT)},
    "AQLM": {"codes": (8, 8, 2, torch.int8), "codebooks": (2, 256, 1, 8, FLOAT), "scales": (8, 1, 1, 1, FLOAT)},
    "VPTQ": {"centroids.weight": (1, 4096, FLOAT), "indices": (1, 4, 9, INT), "weight_scale": (8, FLOAT)},
    "HIGGS": {
        "weight": (8, 8, torch.int16),
        "scales": (8, 2, FLOAT),
        "tables": (16, FLOAT),
        "tables2": (16, 16, FLOAT),
    },
    "EXL2": {"q_weight": (4, 64, INT), "q_scale": (2, 8, INT), "q_scale_max": (2, FLOAT), "q_invperm": (9, INT)},
    "EXL3": {"trellis": (4, 4, 64, torch.int16), "suh": (64, FLOAT), "svh": (64, FLOAT)},
    "QuIP#": {"Qidxs": (8, 8, torch.int64), "SU": (64, FLOAT), "SV": (64, FLOAT)},
    "sparse": {"weight.compressed": (8, 16, FLOAT), "weight.bitmask": (8, 4, torch.uint8), "weight.shape": (2, INT)},
    "BitNet": {"weight": (8, 32, torch.uint8), "weight_scale": (1, torch.bfloat16)},
    "GPTQ or AWQ": {"qweight": (8, 32, torch.int16), "scales": (2, 32, FLOAT), "qzeros": (2, 32, FLOAT)},
    "4 bits of torchao": {"_weight_qdata": (8, 16, torch.uint8), "_weight_scale": (8, 2, torch.float8_e4m3fn)},
    "FP8 of torchao": {"_weight_qdata": (8, 32, torch.float8_e4m3fn), "_weight_scale": (8, 1, torch.float8_e8m0fnu)},
    "INT4 of torchao": {"_weight_qdata": (1, 2, 32, 4, INT), "_weight_scale_and_zero": (4, 8, 2, FLOAT)},
}


@pytest.mark.parametrize("scheme", UNREAD)
def test_weights_of_schemes_that_are_not_read_are_never_measured_and_named(scheme):
    state = {
        f"layers.0.q_proj.{name}": torch.ones(shape, dtype=dtype) for name, (*shape, dtype) in UNREAD[scheme].items()
    }
    parameters, skipped = opened(state)
    main = next(iter(state))
    assert f"quantised ({scheme})" in skipped[main if scheme != "VPTQ" else "layers.0.q_proj.indices"]
    assert not [name for name, one in parameters.items() if not one.refusal]


def test_powers_of_two_alone_are_scales(tmp_path):
    save_file(
        {"a.x": torch.ones(9, 8, dtype=torch.float8_e8m0fnu), "b.weight": torch.ones(3, 3)}, tmp_path / "x.safetensors"
    )
    weights = open_weights(tmp_path / "x.safetensors")
    assert [matrix.name for matrix in weights.matrices] == ["b.weight"]
    assert "powers of two" in weights.skipped[0].reason
