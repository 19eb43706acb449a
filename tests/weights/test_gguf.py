"""GGUF: each tensor is bit for bit what llama.cpp's own package makes of it."""

import struct

import numpy as np
import pytest

from spectail.errors import SourceError
from spectail.weights.opening import open_weights

gguf = pytest.importorskip("gguf")
Q = gguf.GGMLQuantizationType
RNG = np.random.default_rng(0)
COMPUTED = sorted((kind for kind in gguf.quants._type_traits if kind != Q.BF16), key=int)


def written(path):
    """A file with a tensor of every type that the package computes; scales are small, as halves of random bits."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_array("tokenizer.ggml.tokens", ["a", "b", "ü"])
    writer.add_tensor("token_embd.weight", RNG.standard_normal((16, 8)).astype("f4"))
    writer.add_tensor("output.weight", RNG.standard_normal((16, 8)).astype("f2"))
    writer.add_tensor("output_norm.weight", np.ones(8, "f4"))
    for index, kind in enumerate(COMPUTED):
        width = 2 * gguf.GGML_QUANT_SIZES[kind][1]
        blocks = RNG.integers(0, 60, (6, width), dtype=np.uint8)
        writer.add_tensor(f"blk.{index}.ffn_up.weight", blocks, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("gguf") / "w.gguf"
    written(path)
    return path


def test_every_type_is_what_the_package_computes(path):
    matrices = {matrix.name: matrix for matrix in open_weights(path).matrices}
    reader = gguf.GGUFReader(path)
    expected = {t.name: t for t in reader.tensors if len(t.shape) == 2}
    assert matrices.keys() == expected.keys()
    for name, tensor in expected.items():
        with np.errstate(all="ignore"):
            values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype("f4")
        own = matrices[name].load()[0].float().numpy()
        assert own.shape == tuple(reversed(tensor.shape.tolist()))
        assert np.array_equal(own, values, equal_nan=True), name
    assert matrices["blk.0.ffn_up.weight"].dtype == COMPUTED[0].name.lower()


def test_a_file_cut_off_anywhere_is_refused(path, tmp_path):
    content = path.read_bytes()
    end = len(content) - 64  # the last tensor is filled up to a multiple of 32 bytes
    for cut in range(0, end, end // 100):
        (tmp_path / "w.gguf").write_bytes(content[:cut])
        with pytest.raises(SourceError):
            open_weights(tmp_path / "w.gguf")


@pytest.mark.parametrize(("tensors", "entries"), [(2**63, 0), (0, 2**63), (2**63, 2**63)])
def test_counts_are_checked_against_the_file(tmp_path, tensors, entries):
    (tmp_path / "w.gguf").write_bytes(b"GGUF" + struct.pack("<IQQ", 3, tensors, entries) + bytes(100))
    with pytest.raises(SourceError, match=r"damaged"):
        open_weights(tmp_path / "w.gguf")


KINDS = {
    "token_embd.weight": ((16, 8), "embedding", 1),
    "output.weight": ((16, 8), "linear", 1),
    "blk.0.attn_q.weight": ((8, 8), "linear", 1),
    "blk.0.attn_k.weight": ((4, 8), "linear", 1),
    "blk.0.attn_v.weight": ((4, 8), "linear", 1),
    "blk.0.attn_output.weight": ((8, 8), "linear", 1),
    "blk.0.ffn_gate.weight": ((12, 8), "linear", 1),
    "blk.0.ffn_up.weight": ((12, 8), "linear", 1),
    "blk.0.ffn_down.weight": ((8, 12), "linear", 1),
    "blk.1.attn_qkv.weight": ((16, 8), "attention", 3),
    "blk.1.attn_output.weight": ((8, 8), "linear", 1),
    "blk.1.ffn_up.weight": ((24, 8), "linear", 2),  # Phi-3: gate and up
    "blk.1.ffn_down.weight": ((8, 12), "linear", 1),
    "blk.2.ffn_gate_inp.weight": ((3, 8), "linear", 1),
    "blk.2.ffn_gate_exps.weight": ((3, 12, 8), "expert", 3),
    "blk.2.ffn_down_exps.weight": ((3, 8, 12), "expert", 3),
}


def test_names_of_llama_cpp_have_kinds_layers_and_heads(tmp_path):
    writer = gguf.GGUFWriter(tmp_path / "w.gguf", "llama")
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    for name, (shape, _, _) in KINDS.items():
        writer.add_tensor(name, RNG.standard_normal(shape).astype("f4"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    matrices = open_weights(tmp_path / "w.gguf", heads=True).matrices
    for name, (_, kind, count) in KINDS.items():
        rows = [matrix for matrix in matrices if matrix.name.partition("[")[0] == name]
        assert {matrix.kind for matrix in rows} == {kind}, name
        assert len(rows) == count, name
        assert {matrix.layer for matrix in rows} == {name[:5] if name.startswith("blk") else ""}
    circuits = [matrix.name for matrix in matrices if "circuit" in matrix.kind]
    assert circuits == [
        f"blk.{layer}[{what} head {head}]" for layer in (0, 1) for what in ("QK", "OV") for head in range(4)
    ]
