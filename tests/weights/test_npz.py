"""Arrays of numpy: what numpy itself reads, and kernels of JAX as those of PyTorch."""

import io
import pickle
import struct
import zipfile

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from spectail.errors import SourceError
from spectail.weights.opening import open_weights

RNG = np.random.default_rng(0)
DENSE = RNG.standard_normal((20, 30)).astype("f4")
CONV = RNG.standard_normal((3, 3, 8, 16)).astype("f4")


def loaded(weights):
    return {matrix.name: matrix.load() for matrix in weights.matrices}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_has_what_numpy_reads(tmp_path, save):
    arrays = {
        "a": DENSE,
        "columns": np.asfortranarray(DENSE.astype("f8")),
        "big": DENSE.astype(">f4"),
        "half": DENSE.astype("f2"),
        "count": np.arange(4).reshape(2, 2),
        "objects": np.array([{"x": 1}, None], dtype=object),
    }
    save(tmp_path / "w.npz", **arrays)
    weights = open_weights(tmp_path / "w.npz")
    tensors = loaded(weights)
    assert tensors.keys() == {"a", "columns", "big", "half"}
    for name, tensor in tensors.items():
        assert np.array_equal(tensor[0].numpy(), arrays[name].astype(arrays[name].dtype.newbyteorder("=")))
    reasons = {skipped.name: skipped.reason for skipped in weights.skipped}
    assert "pickle" in reasons["objects"]
    assert "integers" in reasons["count"]


def test_npy_is_one_matrix(tmp_path):
    np.save(tmp_path / "w.npy", DENSE)
    assert np.array_equal(loaded(open_weights(tmp_path / "w.npy"))["array"][0].numpy(), DENSE)


def test_kernels_of_jax_are_weights_of_torch(tmp_path):
    # the same model in PyTorch, whose layers have out × in
    torch_state = {
        "Dense_0.weight": torch.from_numpy(DENSE.T.copy()),
        "Dense_0.bias": torch.zeros(30),
        "Conv_0.weight": torch.from_numpy(CONV.transpose(3, 2, 0, 1).copy()),
        "Conv_0.bias": torch.zeros(16),
    }
    params = {
        "Dense_0": {"kernel": DENSE, "bias": np.zeros(30, "f4")},
        "Conv_0": {"kernel": CONV, "bias": np.zeros(16, "f4")},
    }
    flat = {f"params/{layer}/{name}": value for layer, values in params.items() for name, value in values.items()}
    np.savez(tmp_path / "w.npz", **flat)
    expected = {m.name: (m.kind, m.load()) for m in open_weights(torch_state).matrices}
    for source in ({"params": params}, tmp_path / "w.npz"):
        matrices = open_weights(source).matrices
        assert {m.name for m in matrices} == expected.keys()
        for matrix in matrices:
            kind, values = expected[matrix.name]
            assert matrix.kind == kind
            assert torch.equal(matrix.load(), values)


def whole():
    file = io.BytesIO()
    np.savez(file, a=DENSE, b=CONV[0, 0])
    return file.getvalue()


@pytest.mark.parametrize("cut", range(0, len(whole()), len(whole()) // 100))
def test_an_archive_cut_off_anywhere_is_refused(tmp_path, cut):
    (tmp_path / "w.npz").write_bytes(whole()[:cut])
    with pytest.raises(SourceError):
        open_weights(tmp_path / "w.npz")


@pytest.mark.parametrize(
    "shape", ["(9223372036854775808,)", "(4611686018427387904, 4)", "(-1, 2)", "(2.5, 2)", "('a',)"]
)
def test_sizes_are_checked_against_the_file(tmp_path, shape):
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}\n".encode()
    (tmp_path / "w.npy").write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(64))
    with pytest.raises(SourceError, match=r"damaged"):
        open_weights(tmp_path / "w.npy")


def test_a_bomb_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", b"\x93NUMPY" + bytes(10**6))
    content = bytearray((tmp_path / "w.npz").read_bytes())
    at = content.rindex(b"PK\x01\x02")
    content[at + 24 : at + 28] = struct.pack("<I", 2**31)
    (tmp_path / "w.npz").write_bytes(content)
    with pytest.raises(SourceError, match="more bytes than there are"):
        open_weights(tmp_path / "w.npz")


def of_tensorflow(seed=0):
    """Variables of a graph, and the same in PyTorch."""
    rng = np.random.default_rng(seed)

    def random(*shape):
        return rng.standard_normal(shape).astype("f4")

    attention, dense, conv, depthwise = random(1, 24, 72), random(24, 48), random(3, 3, 8, 16), random(3, 3, 16, 2)
    query, table, t5 = random(24, 20), random(50, 24), random(24, 32)
    variables = {
        "model/h0/attn/c_attn/w:0": attention,
        "model/h0/attn/c_attn/b:0": np.zeros(72, "f4"),
        "model/h0/ln_1/g:0": np.ones(24, "f4"),
        "model/wte:0": table,
        "bert/encoder/layer_0/attention/self/query/kernel:0": query,
        "bert/encoder/layer_0/attention/self/query/kernel/adam_m:0": query,
        "bert/encoder/layer_0/attention/self/query/kernel/adam_v:0": query,
        "resnet_v1_50/block1/unit_1/conv1/weights:0": conv,
        "resnet_v1_50/block1/unit_1/conv1/weights/Momentum:0": conv,
        "mobilenet/separable/depthwise_weights:0": depthwise,
        "encoder/block_000/layer_000/SelfAttention/q:0": t5,
        "head/dense/kernel:0": dense,
        "head/dense/kernel/ExponentialMovingAverage:0": dense,
        "global_step:0": np.array(3),
    }
    torch_state = {
        "model.h0.attn.c_attn.weight": attention[0].T,
        "model.wte": table,
        "bert.encoder.layer_0.attention.self.query.weight": query.T,
        "resnet_v1_50.block1.unit_1.conv1.weight": conv.transpose(3, 2, 0, 1),
        "mobilenet.separable.depthwise_weight": depthwise.reshape(3, 3, 32).transpose(2, 0, 1)[:, None],
        "encoder.block_000.layer_000.SelfAttention.q.weight": t5.T,
        "head.dense.weight": dense.T,
        "head.dense.weight_ema": dense.T,
    }
    return variables, {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in torch_state.items()}


@pytest.mark.parametrize("kind", ["npz", "pickle", "safetensors", "arrays", "tensors", "without outputs"])
def test_variables_of_tensorflow_are_weights_of_torch(kind, tmp_path):
    variables, torch_state = of_tensorflow()
    source = variables
    if kind == "npz":
        np.savez(source := tmp_path / "w.npz", **variables)
    elif kind == "pickle":
        (source := tmp_path / "w.pkl").write_bytes(pickle.dumps(variables))
    elif kind == "safetensors":
        save_file(
            {name: np.ascontiguousarray(one) for name, one in variables.items()}, source := tmp_path / "w.safetensors"
        )
    elif kind == "tensors":
        source = {name: torch.from_numpy(np.array(one)) for name, one in variables.items()}
    elif kind == "without outputs":
        source = {name.removesuffix(":0"): one for name, one in variables.items()}
    weights = open_weights(source)
    expected = {m.name: (m.kind, m.load()) for m in open_weights(torch_state).matrices}
    assert {m.name for m in weights.matrices} == expected.keys()
    assert "model.h0.attn.c_attn.weight[k]" in expected  # fused, as in PyTorch
    for matrix in weights.matrices:
        assert (matrix.kind, torch.equal(matrix.load(), expected[matrix.name][1])) == (expected[matrix.name][0], True)
    states = [one.name for one in weights.skipped if one.reason == "an optimizer's state"]
    assert len(states) == 3


def test_layers_of_haiku_have_their_names_between_slashes_too():
    params = {"mlp/~/linear_0": {"w": DENSE, "b": np.zeros(30, "f4")}, "conv2_d": {"w": CONV, "b": np.zeros(16, "f4")}}
    tensors = loaded(open_weights(params))
    assert np.array_equal(tensors["mlp.linear_0.weight"][0].numpy(), DENSE.T)
