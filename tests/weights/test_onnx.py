"""ONNX: every initialiser as onnx itself reads it, out × in whatever node uses it."""

import numpy as np
import pytest

from spectail.errors import SourceError
from spectail.weights.opening import open_weights

onnx = pytest.importorskip("onnx")
helper, numpy_helper = onnx.helper, onnx.numpy_helper
RNG = np.random.default_rng(0)
GEMM, GEMM_T, MATMUL = (RNG.standard_normal((8, 12)).astype("f4") for _ in range(3))
CONV = RNG.standard_normal((16, 4, 3, 3)).astype("f2")


def model():
    tensors = {"gemm": GEMM, "gemm_t": GEMM_T, "matmul": MATMUL, "conv.weight": CONV, "shape": np.ones((2, 2), "i8")}
    constant = RNG.standard_normal((6, 5)).astype("f4")
    typed = helper.make_tensor("typed", onnx.TensorProto.FLOAT, [3, 4], np.arange(12.0))
    nodes = [
        helper.make_node("Gemm", ["x", "gemm"], ["a"]),
        helper.make_node("Gemm", ["x", "gemm_t"], ["b"], transB=1),
        helper.make_node("MatMul", ["x", "matmul"], ["c"]),
        helper.make_node("Conv", ["x", "conv.weight"], ["d"]),
        helper.make_node("Reshape", ["x", "shape"], ["e"]),
        helper.make_node("Constant", [], ["constant"], value=numpy_helper.from_array(constant)),
        helper.make_node("MatMul", ["x", "constant"], ["f"]),
    ]
    graph = helper.make_graph(nodes, "g", [], [], [*(numpy_helper.from_array(v, n) for n, v in tensors.items()), typed])
    turned = {"gemm": GEMM.T, "gemm_t": GEMM_T, "matmul": MATMUL.T, "constant": constant.T}
    return helper.make_model(graph), {**turned, "typed": np.arange(12, dtype="f4").reshape(3, 4)}


@pytest.mark.parametrize("external", [False, True])
def test_initialisers_are_out_by_in(tmp_path, external):
    whole, expected = model()
    path = tmp_path / "m.onnx"
    options = {"save_as_external_data": True, "location": "m.data", "size_threshold": 0} if external else {}
    onnx.save(whole, path, **options)
    weights = open_weights(path)
    matrices = {matrix.name: matrix for matrix in weights.matrices}
    assert matrices.keys() == {*expected, "conv.weight"}
    for name, values in expected.items():
        assert np.array_equal(matrices[name].load()[0].numpy(), values), name
    slices = matrices["conv.weight"].load().numpy()
    assert np.array_equal(np.sort(slices.ravel()), np.sort(CONV.ravel()))
    assert slices.shape[1:] == (16, 4)
    assert {skipped.name: skipped.reason for skipped in weights.skipped}["shape"].startswith("an argument of Reshape")


def external(**entries):
    tensor = onnx.TensorProto(name="w", data_type=1, dims=[4, 4], data_location=1)
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    return helper.make_model(helper.make_graph([], "g", [], [], [tensor])).SerializeToString()


@pytest.mark.parametrize(
    "entries",
    [
        {"location": "../secret"},
        {"location": "/etc/passwd"},
        {"location": ""},
        {"location": "link"},
        {"location": "data", "offset": "9223372036854775808"},
        {"location": "data", "offset": "-1"},
        {"location": "data", "offset": "1"},
        {"location": "data", "length": "63"},
    ],
)
def test_external_data_lies_in_the_folder_and_in_its_file(tmp_path, entries):
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "secret").write_bytes(bytes(64))
    (home / "link").symlink_to(tmp_path / "secret")
    (home / "data").write_bytes(bytes(64))
    (home / "m.onnx").write_bytes(external(**entries))
    with pytest.raises(SourceError):
        open_weights(home / "m.onnx")


def test_sizes_are_checked_against_the_file(tmp_path):
    for dims in ([2**62, 4], [-1, 4], [4, 5]):
        for tensor in (
            onnx.TensorProto(name="w", data_type=1, dims=dims, raw_data=bytes(64)),
            onnx.TensorProto(name="w", data_type=1, dims=dims, float_data=[0.0] * 16),
        ):
            whole = helper.make_model(helper.make_graph([], "g", [], [], [tensor]))
            (tmp_path / "m.onnx").write_bytes(whole.SerializeToString())
            with pytest.raises(SourceError, match=r"damaged"):
                open_weights(tmp_path / "m.onnx")


def test_a_file_cut_off_anywhere_is_refused_or_has_what_is_there(tmp_path):
    content = model()[0].SerializeToString()
    for cut in range(0, len(content), len(content) // 100):
        (tmp_path / "m.onnx").write_bytes(content[:cut])
        with pytest.raises(SourceError):
            open_weights(tmp_path / "m.onnx")
