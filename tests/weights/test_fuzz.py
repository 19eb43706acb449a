"""Damaged and made-up files: read, or refused in one sentence; never run, never a crash."""

import io
import json
import os
import pickle
import struct
import tempfile
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed.checkpoint as dcp
from hypothesis import example, given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError
from safetensors.torch import load as load_with_the_library
from safetensors.torch import save
from torch import nn

from spectail.errors import SourceError
from spectail.weights.opening import open_weights

MANY = settings(max_examples=120)


def tried(content, ending):
    """Everything that a file with this content gives, or the sentence with which it is refused."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"x{ending}"
        path.write_bytes(content)
        try:
            weights = open_weights(path)
            tensors = {}
            for matrix in weights.matrices:
                tensors[matrix.name] = matrix.load()
                assert tensors[matrix.name].shape == (matrix.slices, matrix.rows, matrix.cols)
                assert tensors[matrix.name].numel() <= len(content)  # no values that the file does not have
        except ValueError as refused:
            said = str(refused)
            assert said
            assert "\n" not in said
            assert len(said) < 1000
            return said
        assert os.listdir(folder) == [path.name]
        return tensors


def a_state():
    torch.manual_seed(0)
    return {**nn.LSTM(2, 3).state_dict(), "w.weight": torch.ones(2, 2).half(), "i": torch.ones(2, 2, dtype=torch.int8)}


def as_zip(state, *, old=False):
    """Without checksums, which would tell nearly all damage before it reaches what reads a file."""
    file = io.BytesIO()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(state, file, _use_new_zipfile_serialization=not old)
    finally:
        torch.serialization.set_crc32_options(True)
    return file.getvalue()


WHOLE = {
    ".safetensors": save(a_state()),
    ".pt": as_zip(a_state()),
    ".pth": as_zip(a_state(), old=True),
}

damage = st.lists(
    st.tuples(
        st.sampled_from(["set", "cut", "remove", "insert", "repeat"]), st.integers(0, 2**16), st.binary(max_size=9)
    ),
    min_size=1,
    max_size=6,
)


def as_npz(state):
    file = io.BytesIO()
    np.savez(file, **{name: value.float().numpy() for name, value in state.items()})
    return file.getvalue()


def as_npy(state):
    file = io.BytesIO()
    np.save(file, state["weight_ih_l0"].numpy())
    return file.getvalue()


def as_gguf(state):
    gguf = pytest.importorskip("gguf")
    with tempfile.TemporaryDirectory() as folder:
        writer = gguf.GGUFWriter(Path(folder) / "x", "llama")
        writer.add_array("tokens", ["a", "b"])
        for name, value in state.items():
            writer.add_tensor(name, value.float().numpy())
        writer.add_tensor("q", np.zeros((2, 34), "u1"), raw_dtype=gguf.GGMLQuantizationType.Q8_0)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return (Path(folder) / "x").read_bytes()


def as_onnx(state):
    onnx = pytest.importorskip("onnx")
    tensors = [onnx.numpy_helper.from_array(value.float().numpy(), name) for name, value in state.items()]
    node = onnx.helper.make_node("MatMul", ["x", "w.weight"], ["y"])
    return onnx.helper.make_model(onnx.helper.make_graph([node], "g", [], [], tensors)).SerializeToString()


def as_h5(state):
    h5py, file = pytest.importorskip("h5py"), io.BytesIO()
    with h5py.File(file, "w") as content:
        for name, value in state.items():
            content[f"layers/dense/{name}/kernel"] = value.float().numpy()
    return file.getvalue()


def as_keras(state):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("config.json", json.dumps({"class_name": "Sequential", "config": {"layers": []}}))
        archive.writestr("model.weights.h5", as_h5(state))
    return file.getvalue()


OTHERS = {".npz": as_npz, ".npy": as_npy, ".gguf": as_gguf, ".onnx": as_onnx, ".h5": as_h5, ".keras": as_keras}


def damaged(content, steps):
    for kind, where, what in steps:
        where %= len(content) + 1
        if kind == "set":
            content = content[:where] + what + content[where + len(what) :]
        elif kind == "cut":
            content = content[:where]
        elif kind == "remove":
            content = content[:where] + content[where + len(what) :]
        elif kind == "insert":
            content = content[:where] + what + content[where:]
        else:
            content = content[:where] + content[max(0, where - 40) : where] + content[where:]
    return content


@pytest.mark.parametrize("ending", WHOLE)
def test_undamaged_files_are_read_whole(ending):
    assert len(tried(WHOLE[ending], ending)) == 9


@pytest.mark.parametrize("ending", WHOLE)
@MANY
@given(steps=damage)
def test_a_damaged_file_is_read_or_refused(ending, steps):
    tried(damaged(WHOLE[ending], steps), ending)


@pytest.mark.parametrize("ending", WHOLE)
def test_a_file_cut_off_anywhere_is_read_or_refused(ending):
    content = WHOLE[ending]
    for length in range(0, len(content), max(1, len(content) // 150)):
        result = tried(content[:length], ending)
        assert isinstance(result, str)


@pytest.mark.parametrize("ending", OTHERS)
def test_a_damaged_file_of_another_format_is_read_or_refused(ending):
    content = OTHERS[ending](a_state())

    @settings(max_examples=12)
    @given(steps=damage, byte=st.integers(0, 255))
    def read_or_refused(steps, byte):
        tried(damaged(content, steps), ending)
        at = steps[0][1] % min(len(content), 2000)  # most of what is not values lies there
        tried(content[:at] + bytes([byte]) + content[at + 1 :], ending)

    whole = tried(content, ending)
    assert not isinstance(whole, str)
    read_or_refused()
    for length in range(0, len(content), len(content) // 20):
        result = tried(content[:length], ending)
        assert isinstance(result, str) or result.keys() == whole.keys()  # without what fills up the last block


@pytest.mark.parametrize("word", [b"MatMul", b"w.weight"])
def test_a_name_of_an_onnx_graph_that_is_no_text_is_refused(word):
    content = OTHERS[".onnx"](a_state())
    assert word in content
    assert "is no text" in tried(content.replace(word, b"\x80" + word[1:]), ".onnx")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [".metadata", "__0_0.distcp"])
def test_a_damaged_distributed_checkpoint_is_read_or_refused(name, tmp_path):
    dcp.save({"model": a_state(), "epoch": 3}, checkpoint_id=tmp_path, no_dist=True)
    content, size = (tmp_path / name).read_bytes(), sum(path.stat().st_size for path in tmp_path.iterdir())

    @settings(max_examples=12)
    @given(steps=damage)
    def read_or_refused(steps):
        (tmp_path / name).write_bytes(damaged(content, steps))
        with suppress(SourceError):
            for matrix in open_weights(tmp_path).matrices:
                assert matrix.load().numel() <= size

    read_or_refused()


@MANY
@given(place=st.integers(0, 10**6), byte=st.integers(0, 255))
def test_one_changed_byte_of_a_pickle_inside_a_checkpoint_is_read_or_refused(place, byte):
    content = bytearray(WHOLE[".pt"])
    start = content.index(b"\x80\x02")
    content[start + place % 900] = byte
    tried(bytes(content), ".pt")


@MANY
@given(content=st.binary(max_size=200))
@example(content=b"PK\x03\x04")
@example(content=b"\x80\x02.")
def test_any_bytes_are_refused(content):
    for ending in (".safetensors", ".pt", ""):
        result = tried(content, ending)
        assert isinstance(result, str) or not result


numbers = st.one_of(
    st.integers(-3, 9), st.sampled_from([2**31, 2**32, 2**62, 2**63, 2**64, -(2**63)]), st.floats(), st.booleans()
)
anything = st.recursive(
    st.none() | numbers | st.text(max_size=5), lambda inner: st.lists(inner, max_size=4), max_leaves=6
)
entries = st.one_of(
    anything,
    st.fixed_dictionaries(
        {},
        optional={
            "dtype": st.sampled_from(["F32", "F16", "BF16", "U8", "F4", "C64", "X"]) | anything,
            "shape": st.lists(st.integers(0, 4), max_size=3) | st.lists(numbers, max_size=5) | anything,
            "data_offsets": st.tuples(st.integers(0, 64), st.integers(0, 64))
            | st.lists(numbers, max_size=3)
            | anything,
            "more": anything,
        },
    ),
)
headers = st.dictionaries(st.text(max_size=6) | st.just("__metadata__"), entries, max_size=4)


@MANY
@given(header=headers, values=st.binary(max_size=64))
def test_a_made_up_header_is_read_or_refused(header, values):
    text = json.dumps(header).encode()
    tried(struct.pack("<Q", len(text)) + text + values, ".safetensors")


@MANY
@given(
    header=st.dictionaries(
        st.text("abc", min_size=1, max_size=2),
        st.fixed_dictionaries(
            {
                "dtype": st.sampled_from(["F32", "F16", "BF16", "U8"]),
                "shape": st.lists(st.integers(0, 3), max_size=3),
                "data_offsets": st.tuples(st.integers(0, 24), st.integers(0, 24)).map(list),
            }
        ),
        max_size=2,
    ),
    values=st.binary(max_size=24),
)
def test_what_the_library_of_the_format_refuses_is_refused_and_what_it_reads_is_read(header, values):
    text = json.dumps(header).encode()
    content = struct.pack("<Q", len(text)) + text + values
    result = tried(content, ".safetensors")
    try:
        expected = load_with_the_library(content)
    except SafetensorError:
        assert isinstance(result, str)
    else:
        for name, tensor in result.items():
            # as bits: NaN is not equal to itself
            assert (
                bytes(tensor.contiguous().view(torch.uint8).numpy())
                == bytes(expected[name].contiguous().view(torch.uint8).numpy())
                or tensor.numel() == 0
            )


class Runs:
    """A pickle that makes a folder when it is run."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("form", ["zip", "old", *range(6)])
@settings(max_examples=60)
@given(steps=damage | st.just([]))
def test_a_damaged_pickle_that_would_run_code_is_not_run_either(form, steps):
    with tempfile.TemporaryDirectory() as folder:
        made = str(Path(folder) / "made")
        thing = {"w": Runs(made)}
        content = pickle.dumps(thing, protocol=form) if isinstance(form, int) else as_zip(thing, old=form == "old")
        result = tried(damaged(content, steps), ".pt")
        assert isinstance(result, str) or not result
        assert not os.listdir(folder)


index_text = st.one_of(
    st.binary(max_size=60),
    anything.map(json.dumps).map(str.encode),
    st.dictionaries(st.text(max_size=4), anything, max_size=3).map(
        lambda map_: json.dumps({"weight_map": map_}).encode()
    ),
    st.text(max_size=12).map(lambda shard: json.dumps({"weight_map": {"w": shard}}).encode()),
    st.sampled_from(["..", ".", "/", "\\", "x.index.json", "~", "C:\\x", "%2e%2e/x", "a" * 5000, "\ud800"]).map(
        lambda shard: json.dumps({"weight_map": {"w": shard}}).encode()
    ),
)


@MANY
@given(content=index_text)
def test_a_made_up_index_is_refused_or_empty(content):
    result = tried(content, ".index.json")
    assert isinstance(result, str) or not result
