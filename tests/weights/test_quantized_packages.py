"""Quantised weights have the bits that the packages give which made them; these need not be installed."""

from dataclasses import replace

import pytest
import torch

from spectail.weights.opening import open_weights
from spectail.weights.state_dict import as_in_the_model, read_mapping

pytestmark = pytest.mark.filterwarnings("ignore")
FLOATS = (torch.float16, torch.bfloat16, torch.float32)


def weight_of(state, name="a.weight", **quantization):
    source = replace(read_mapping(state, "state dict"), config={"quantization_config": quantization})
    source = as_in_the_model(source)
    assert [one.name for one in source.parameters] == [name], source.skipped
    return source.parameters[0].load()


def same_bits(a, b):
    assert a.dtype == b.dtype
    return torch.equal(a.contiguous().view(torch.uint8), b.contiguous().view(torch.uint8))


def test_experts_of_gpt_oss_are_what_transformers_gives():
    mxfp4 = pytest.importorskip("transformers.integrations.mxfp4")
    blocks, scales = torch.randint(256, (3, 8, 4, 16)).to(torch.uint8), torch.randint(255, (3, 8, 4)).to(torch.uint8)
    state = {"a_blocks": blocks, "a_scales": scales}
    assert same_bits(weight_of(state, "a"), mxfp4.convert_moe_packed_tensors(blocks, scales))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("grid", [(2, 3), (1, 1), (256, 12)])
def test_8_bit_floats_in_blocks_are_what_transformers_gives(dtype, grid):
    fp8 = pytest.importorskip("transformers.integrations.finegrained_fp8")
    values, scales = torch.randn(256, 384).to(torch.float8_e4m3fn), torch.rand(grid).to(dtype)
    expected = fp8.Fp8Dequantize(None)._dequantize_one(values, scales)
    assert same_bits(weight_of({"a.weight": values, "a.weight_scale_inv": scales}), expected)


def test_4_bit_floats_in_bytes_with_powers_of_two_are_what_transformers_gives():
    fp8 = pytest.importorskip("transformers.integrations.finegrained_fp8")
    values = torch.randint(-128, 128, (64, 64), dtype=torch.int8)
    scales = torch.randint(100, 150, (64, 4)).to(torch.uint8).view(torch.float8_e8m0fnu)
    expected = fp8.Fp8Dequantize(None)._dequantize_one(values, scales)
    assert same_bits(weight_of({"a.weight": values, "a.scale": scales}), expected)


@pytest.mark.parametrize("kind", ["nf4", "fp4"])
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("stored", [torch.uint8, torch.bfloat16])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(64, 192), (96, 80)])
def test_4_bit_blocks_are_what_bitsandbytes_gives(kind, nested, stored, dtype, shape):
    bnb = pytest.importorskip("bitsandbytes.functional")
    weight = torch.randn(shape, dtype=dtype)
    packed, quant = bnb.quantize_4bit(
        weight, blocksize=64, quant_type=kind, compress_statistics=nested, quant_storage=stored
    )
    state = {"a.weight": packed, **{f"a.weight.{name}": part for name, part in quant.as_dict(packed=True).items()}}
    if shape[1] % 64 == 0:
        expected = bnb.dequantize_4bit(packed, quant)
    else:  # its CPU kernel takes blocks to begin anew in each row, which quantize_4bit does not: its general one does
        general = pytest.importorskip("bitsandbytes.backends.default.ops")._dequantize_4bit_compute.__wrapped__
        absmax = bnb.dequantize_blockwise(quant.absmax, quant.state2) + quant.offset if nested else quant.absmax
        expected = general(packed.view(torch.uint8).reshape(-1), absmax, quant.code, 64, shape, dtype)
    assert same_bits(weight_of(state), expected)


@pytest.mark.parametrize("kind", ["nf4", "fp4"])
@pytest.mark.parametrize("way", ["module", "state dict", "parameters"])
def test_layers_of_bitsandbytes_are_read_as_they_are(kind, way):
    bnb = pytest.importorskip("bitsandbytes")
    layer = bnb.nn.Linear4bit(64, 32, bias=False, quant_type=kind)
    layer.weight = bnb.nn.Params4bit(torch.randn(32, 64), requires_grad=False, quant_type=kind)
    model = torch.nn.Sequential(layer.to("cpu"))
    expected = bnb.functional.dequantize_4bit(layer.weight.data, layer.weight.quant_state)
    sources = {"module": model, "state dict": model.state_dict(), "parameters": dict(model.named_parameters())}
    (matrix,) = open_weights(sources[way]).matrices
    assert (matrix.name, matrix.dtype) == ("0.weight", kind)
    assert same_bits(matrix.load()[0], expected)


def test_int8_rows_are_what_bitsandbytes_gives():
    bnb = pytest.importorskip("bitsandbytes.functional")
    codes, absmax, _ = bnb.int8_vectorwise_quant(torch.randn(20, 30).half())
    assert same_bits(weight_of({"a.weight": codes, "a.SCB": absmax}), bnb.int8_vectorwise_dequant(codes, absmax))


def compressed(compressor, dtype, *, group_size=None, zero=None, scale_dtype=None, common=None, **arguments):
    """The state that compressed-tensors makes of a weight, and the weight that it makes of this again."""
    pytest.importorskip("compressed_tensors")
    from compressed_tensors.compressors import BaseCompressor
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme

    weights = QuantizationArgs(group_size=group_size, scale_dtype=scale_dtype, zp_dtype=scale_dtype, **arguments)
    scheme = QuantizationScheme(targets=["Linear"], weights=weights)
    columns = 1 if group_size is None else 96 // group_size
    scale = 2.0 ** torch.randint(-9, 3, (40, columns)) if scale_dtype is torch.uint8 else torch.rand(40, columns) + 0.1
    state = {"weight": torch.randn(40, 96, dtype=dtype), "weight_scale": scale.to(dtype)}
    state |= {} if zero is None else {"weight_zero_point": torch.randint(-zero, zero, (40, columns), dtype=torch.int8)}
    state |= {} if common is None else {"weight_global_scale": common}
    chosen = BaseCompressor.get_value_from_registry(compressor)
    stored = chosen.compress(state, scheme)
    expected = chosen.decompress(dict(stored), scheme)["weight"]
    return {f"a.{name}": part for name, part in stored.items()}, expected


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("group_size", [None, 32])
@pytest.mark.parametrize("dtype", FLOATS)
def test_packed_integers_are_what_compressed_tensors_gives(bits, symmetric, group_size, dtype):
    zero = None if symmetric else 2 ** (bits - 1)
    strategy = "channel" if group_size is None else "group"
    settings = {"num_bits": bits, "type": "int", "symmetric": symmetric, "strategy": strategy, "group_size": group_size}
    state, expected = compressed("pack-quantized", dtype, zero=zero, **settings)
    assert same_bits(weight_of(state), expected)


@pytest.mark.parametrize("kind", ["int", "float"])
@pytest.mark.parametrize("dtype", FLOATS)
def test_8_bits_are_what_compressed_tensors_gives(kind, dtype):
    state, expected = compressed(f"{kind}-quantized", dtype, num_bits=8, type=kind, strategy="channel")
    assert same_bits(weight_of(state), expected)


@pytest.mark.parametrize(
    ("compressor", "settings"),
    [
        ("mxfp4-pack-quantized", {"num_bits": 4, "group_size": 32, "scale_dtype": torch.uint8, "strategy": "group"}),
        ("mxfp8-quantized", {"num_bits": 8, "group_size": 32, "scale_dtype": torch.uint8, "strategy": "group"}),
        *(
            (
                "nvfp4-pack-quantized",
                {"num_bits": 4, "group_size": 16, "scale_dtype": torch.float8_e4m3fn, "strategy": "tensor_group"}
                | {"common": common},
            )
            for common in (torch.tensor([7.7]), torch.tensor(7.7))
        ),
    ],
)
@pytest.mark.parametrize("dtype", FLOATS)
def test_small_floats_are_what_compressed_tensors_gives(compressor, settings, dtype):
    state, expected = compressed(compressor, dtype, type="float", **settings)
    assert same_bits(weight_of(state), expected)


@pytest.mark.parametrize("bits", [8, 6, 4, 3, 2, 1])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("as_float", [False, True])
def test_hqq_is_what_its_package_gives(bits, axis, dtype, as_float):
    hqq = pytest.importorskip("hqq.core.quantize")
    packed, meta = hqq.Quantizer.quantize(
        torch.randn(32, 64), bits, True, 16, False, False, axis, True, dtype, as_float, "cpu"
    )
    meta |= {"compute_dtype": dtype, "scale": meta["scale"].to(dtype), "zero": meta["zero"].to(dtype)}
    expected = hqq.Quantizer.dequantize(packed, meta)
    settings = {name: part for name, part in meta.items() if name != "group_size"}
    encode = pytest.importorskip("hqq.core.utils").encode_safetensor_type
    state = {"a.W_q": packed, **{f"a.{name}": encode(part) for name, part in settings.items()}}
    assert same_bits(weight_of(state), expected)


@pytest.mark.parametrize("kind", ["float8", "int8", "int4 in bytes", "int3 in bytes"])
@pytest.mark.parametrize("way", ["a module", "in memory", "a checkpoint", "a checkpoint of parameters", "flat names"])
def test_what_torchao_stores_is_what_it_gives(kind, way, tmp_path):
    quantization = pytest.importorskip("torchao.quantization")
    support = pytest.importorskip("torchao.prototype.safetensors.safetensors_support")
    group = quantization.PerGroup(32)
    settings = {
        "float8": quantization.Float8WeightOnlyConfig(),
        "int8": quantization.Int8WeightOnlyConfig(version=2),
        "int4 in bytes": quantization.IntxWeightOnlyConfig(weight_dtype=torch.int4, granularity=group),
        "int3 in bytes": quantization.IntxWeightOnlyConfig(weight_dtype=torch.int3, granularity=group),
    }
    model = torch.nn.Sequential(torch.nn.Linear(64, 48, bias=False))
    quantization.quantize_(model, settings[kind])
    expected, state = model[0].weight.dequantize(), model.state_dict()
    if way == "flat names":
        state, _ = support.flatten_tensor_state_dict(state)
    elif way.startswith("a checkpoint"):
        torch.save(state if way == "a checkpoint" else dict(model.named_parameters()), tmp_path / "x.pt")
    in_memory = {"a module": model, "in memory": state, "flat names": state}
    weights = open_weights(in_memory.get(way, tmp_path / "x.pt"))
    (matrix,) = weights.matrices
    assert matrix.name == "0.weight"
    assert torch.equal(matrix.load()[0], expected)
