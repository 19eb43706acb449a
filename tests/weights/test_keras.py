"""Keras: every variable as h5py itself reads it, under the names of layers, out × in."""

import io
import json
import zipfile

import numpy as np
import pytest
import torch

from spectail.errors import SourceError
from spectail.weights.opening import open_weights

h5py = pytest.importorskip("h5py")
RNG = np.random.default_rng(0)
DENSE = RNG.standard_normal((20, 30)).astype("f4")
HEAD = RNG.standard_normal((30, 5)).astype("f4")
CONV = RNG.standard_normal((3, 3, 8, 16)).astype("f4")
DEPTHWISE = RNG.standard_normal((3, 3, 16, 2)).astype("f4")


def h5(arrays, **options):
    file = io.BytesIO()
    with h5py.File(file, "w") as content:
        for name, values in arrays.items():
            content.create_dataset(name, data=values, **options)
    return file.getvalue()


def keras_archive(path, compression=zipfile.ZIP_STORED):
    """As Keras 3 writes it: layers are numbered by class, their variables by their order."""
    weights = h5(
        {
            "layers/conv2d/vars/0": CONV,
            "layers/conv2d/vars/1": np.zeros(16, "f4"),
            "layers/depthwise_conv2d/vars/0": DEPTHWISE,
            "layers/dense/vars/0": DENSE,
            "layers/dense_1/vars/0": HEAD,
            "layers/dense_1/vars/1": np.zeros(5, "f4"),
            "optimizer/vars/1": DENSE,
        }
    )
    layers = [
        ("Conv2D", "stem"),
        ("DepthwiseConv2D", "depth"),
        ("Dense", "hidden"),
        ("Dense", "head"),
        ("Lambda", "evil"),
    ]
    members = [{"class_name": kind, "config": {"name": name}} for kind, name in layers]
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("metadata.json", "{}")
        archive.writestr("config.json", json.dumps({"class_name": "Sequential", "config": {"layers": members}}))
        archive.writestr("model.weights.h5", weights)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_keras_archive_is_the_same_model_in_torch(tmp_path, compression):
    path = tmp_path / "m.keras"
    keras_archive(path, compression)
    state = {
        "stem.weight": torch.from_numpy(CONV.transpose(3, 2, 0, 1).copy()),
        "stem.bias": torch.zeros(16),
        "depth.depthwise_weight": torch.from_numpy(DEPTHWISE.reshape(3, 3, 1, 32).transpose(3, 2, 0, 1).copy()),
        "hidden.weight": torch.from_numpy(DENSE.T.copy()),
        "head.weight": torch.from_numpy(HEAD.T.copy()),
        "head.bias": torch.zeros(5),
    }
    expected = {matrix.name: matrix for matrix in open_weights(state).matrices}
    weights = open_weights(path)
    assert {matrix.name for matrix in weights.matrices} == expected.keys()
    for matrix in weights.matrices:
        assert matrix.kind == expected[matrix.name].kind
        assert torch.equal(matrix.load(), expected[matrix.name].load())
    assert "an optimizer's state" in {skipped.reason for skipped in weights.skipped}


@pytest.mark.parametrize("options", [{}, {"chunks": (7, 5)}, {"chunks": (7, 5), "compression": "gzip"}])
def test_an_older_file_names_a_layer_once(tmp_path, options):
    path = tmp_path / "m.h5"
    path.write_bytes(h5({"model_weights/hidden/hidden/kernel:0": DENSE}, **options))
    (matrix,) = open_weights(path).matrices
    assert matrix.name == "hidden.weight"
    assert np.array_equal(matrix.load()[0].numpy(), DENSE.T)


def test_links_and_external_values_are_not_followed(tmp_path):
    (tmp_path / "other.h5").write_bytes(h5({"secret": DENSE}))
    (tmp_path / "raw").write_bytes(DENSE.tobytes())
    with h5py.File(tmp_path / "m.h5", "w") as content:
        content["a"] = HEAD
        content["out"] = h5py.ExternalLink("other.h5", "/secret")
        content["soft"] = h5py.SoftLink("/a")
        content["loop/again"] = content["/"]
        content.create_dataset("raw", (20, 30), "f4", external=[(str(tmp_path / "raw"), 0, 2400)])
        content.create_dataset("huge", (2**31, 2**31), "f4", chunks=(64, 64))
    weights = open_weights(tmp_path / "m.h5")
    assert [matrix.name for matrix in weights.matrices] == ["a"]
    reasons = {skipped.name: skipped.reason for skipped in weights.skipped}
    assert "not followed" in reasons["out"]
    assert "not followed" in reasons["soft"]
    assert "another file" in reasons["raw"]
    assert "without values" in reasons["huge"]


def test_a_file_cut_off_anywhere_is_refused(tmp_path):
    keras_archive(tmp_path / "whole.keras")
    for ending, content in ((".h5", h5({"a/kernel": DENSE})), (".keras", (tmp_path / "whole.keras").read_bytes())):
        path = tmp_path / f"m{ending}"
        for cut in range(0, len(content), len(content) // 30):
            path.write_bytes(content[:cut])
            with pytest.raises(SourceError):
                open_weights(path)


LSTM = {
    "kernel": RNG.standard_normal((6, 16)).astype("f4"),
    "recurrent_kernel": RNG.standard_normal((4, 16)).astype("f4"),
}
GRU = {
    "kernel": RNG.standard_normal((6, 12)).astype("f4"),
    "recurrent_kernel": RNG.standard_normal((4, 12)).astype("f4"),
}


@pytest.mark.parametrize("numbered", [False, True])
def test_recurrent_layers_have_a_row_a_gate(tmp_path, numbered):
    arrays = {}
    for layer, kernels in (("bidirectional/forward_layer", LSTM), ("gru", GRU)):
        for number, (name, values) in enumerate(kernels.items()):
            arrays[f"layers/{layer}/cell/vars/{number}" if numbered else f"{layer}/cell/{name}:0"] = values
    (tmp_path / "m.weights.h5").write_bytes(h5(arrays))
    matrices = {matrix.name: matrix for matrix in open_weights(tmp_path / "m.weights.h5").matrices}
    gates = {"bidirectional.forward_layer.cell": ("input gate", "forget gate", "cell", "output gate")}
    gates["gru.cell"] = ("update gate", "reset gate", "new")  # Keras has the update gate first
    for layer, labels in gates.items():
        for index, gate in enumerate(labels):
            for name, key in (("weight", "kernel"), ("recurrent_weight", "recurrent_kernel")):
                matrix = matrices.pop(f"{layer}.{name}[{gate}]")
                values = (LSTM if len(labels) == 4 else GRU)[key][:, 4 * index : 4 * index + 4]
                assert np.array_equal(matrix.load()[0].numpy(), values.T)
                assert matrix.kind == ("lstm" if len(labels) == 4 else "gru")
    assert not matrices


def test_heads_of_attention_lie_beside_one_another(tmp_path):
    query, output = RNG.standard_normal((8, 2, 3)).astype("f4"), RNG.standard_normal((2, 3, 8)).astype("f4")
    paths = {"a/query_dense/vars/0": query, "a/_key_dense/vars/0": query, "a/output_dense/vars/0": output}
    (tmp_path / "m.h5").write_bytes(h5({f"layers/{path}": values for path, values in paths.items()}))
    matrices = {matrix.name: matrix for matrix in open_weights(tmp_path / "m.h5").matrices}
    assert set(matrices) == {"a.query_dense.weight", "a._key_dense.weight", "a.output_dense.weight"}
    assert np.array_equal(matrices["a._key_dense.weight"].load()[0].numpy(), query.reshape(8, 6).T)
    assert np.array_equal(matrices["a.output_dense.weight"].load()[0].numpy(), output.reshape(6, 8).T)


def test_a_file_of_weights_alone_tells_what_its_layers_are(tmp_path):
    pointwise = RNG.standard_normal((1, 8, 9)).astype("f4")
    arrays = {"separable_conv1d_1/vars/0": np.zeros((3, 8, 1), "f4"), "separable_conv1d_1/vars/1": pointwise}
    (tmp_path / "m.weights.h5").write_bytes(h5({f"layers/{path}": values for path, values in arrays.items()}))
    matrices = open_weights(tmp_path / "m.weights.h5").matrices
    assert [(one.name, one.kind) for one in matrices] == [
        ("separable_conv1d_1.depthwise_weight", "conv1d"),
        ("separable_conv1d_1.pointwise_weight", "conv1d"),
    ]
