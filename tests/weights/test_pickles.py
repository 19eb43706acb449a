"""Checkpoints as training programs write them: what lies beside the weights never hides them, and is never made."""

import argparse
import collections
import dataclasses
import datetime
import enum
import io
import pathlib
import pickle
import random
import zipfile

import numpy as np
import pytest
import torch
from torch import nn

from spectail.weights.formats.pickle_machine import PickleError, StandIn, read_pickle
from spectail.weights.formats.table import read_tensors
from spectail.weights.opening import open_weights
from spectail.weights.stored import local_file


class Colour(enum.Enum):
    RED = 1


@dataclasses.dataclass
class Options:
    width: int = 3


class Net(nn.Module):
    """A module of somebody else's, with everything that modules have."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.Flatten())
        self.rnn = nn.LSTM(6, 4)
        self.tied, self.head = nn.Embedding(7, 4), nn.Linear(4, 7, bias=False)
        self.head.weight = self.tied.weight
        self.turned = nn.Parameter(torch.randn(4, 9).T)
        self.register_buffer("mask", torch.ones(6, 6))
        self.options, self.act = Options(), nn.GELU()


def net():
    torch.manual_seed(0)
    return Net()


def names(source, **options):
    return [matrix.name for matrix in open_weights(source, **options).matrices]


STATE = nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 4)).state_dict()

EXTRAS = {
    "namespace": argparse.Namespace(lr=0.1),
    "path": pathlib.Path("/tmp/x"),
    "defaultdict": collections.defaultdict(list, a=[1]),
    "dataclass": Options(),
    "enum": Colour.RED,
    "numpy scalar": np.float64(0.93),
    "numpy array": np.arange(6).reshape(2, 3),
    "numpy random state": np.random.RandomState(0).get_state(),
    "numpy generator": np.random.default_rng(0),
    "python random state": random.Random(0).getstate(),
    "torch random state": torch.get_rng_state(),
    "datetime": datetime.datetime(2026, 1, 1),
    "scalar tensor": torch.tensor(3.5),
    "counter": collections.Counter("hello"),
    "set": {1, 2},
    "complex": 3 + 4j,
    "range": range(5),
    "slice": slice(3),
    "device": torch.device("cpu"),
    "dtype": torch.float16,
    "size": torch.Size([2, 3]),
    "function": len,
    "class": Net,
    "bytes": b"abc",
    "deep": [[[[{"a": (1, [2])}]]]],
    "optimizer": torch.optim.Adam(nn.Linear(4, 3).parameters()).state_dict(),
}


@pytest.mark.parametrize("new", [True, False], ids=["zip", "old"])
@pytest.mark.parametrize("key", ["model", "state_dict", "anything"])
@pytest.mark.parametrize("extra", EXTRAS)
def test_what_lies_beside_a_state_dict_never_hides_it(extra, key, new, tmp_path):
    content = {"before": EXTRAS[extra], key: STATE, "after": EXTRAS[extra], "epoch": 3}
    torch.save(content, tmp_path / "x.ckpt", _use_new_zipfile_serialization=new)
    weights = open_weights(tmp_path / "x.ckpt")
    assert [one.name for one in weights.matrices] == ["0.weight", "1.weight"]
    assert torch.equal(weights.matrices[1].load()[0], STATE["1.weight"])
    assert {"before", "after", "epoch"} <= {one.name for one in weights.skipped}


@pytest.mark.parametrize("extra", EXTRAS)
def test_what_lies_among_the_tensors_never_hides_them(extra, tmp_path):
    torch.save({**STATE, "config": EXTRAS[extra]}, tmp_path / "x.pt")
    assert names(tmp_path / "x.pt")[:2] == ["0.weight", "1.weight"]


@pytest.mark.parametrize("new", [True, False], ids=["zip", "old"])
@pytest.mark.parametrize("wrapped", [lambda m: m, lambda m: {"model": m}, lambda m: (m, Options())], ids="mdt")
def test_a_whole_module_is_read_as_its_state_dict_to_the_bit(wrapped, new, tmp_path):
    model = net()
    torch.save(wrapped(model), tmp_path / "x.pt", _use_new_zipfile_serialization=new)
    torch.save(model.state_dict(), tmp_path / "state.pt")
    whole, state = open_weights(tmp_path / "x.pt"), open_weights(tmp_path / "state.pt")
    expected = {matrix.name: matrix.load() for matrix in state.matrices if matrix.name != "mask"}
    assert {matrix.name for matrix in whole.matrices} == set(expected)
    for matrix in whole.matrices:
        assert torch.equal(matrix.load(), expected[matrix.name])
    reasons = {one.name: one.reason for one in whole.skipped}
    assert reasons["mask"] == "a buffer, not a parameter"
    assert "tied" in reasons["head.weight"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ((STATE, Options()), ["0.weight", "1.weight"]),
        ([STATE, STATE], ["0.0.weight", "0.1.weight"]),
        ({"G": STATE, "D": {"fc.weight": torch.ones(3, 2)}}, ["G.0.weight", "G.1.weight", "D.fc.weight"]),
        ({"encoder_state": STATE, "decoder_state": {"w": torch.ones(3, 2)}, "n": 1}, None),
        ({"model": STATE, "ema": STATE, "best_val_loss": torch.tensor(1.0)}, ["0.weight", "1.weight"]),
        ({"model": {"state_dict": STATE, "ema": STATE}}, ["0.weight", "1.weight"]),
        ({"params": {"Dense_0": {"kernel": np.ones((3, 2))}, "model": {"kernel": np.ones((2, 2))}}}, None),
        (torch.ones(3, 2), ["tensor"]),
    ],
)
def test_where_the_state_dicts_of_a_checkpoint_lie(content, expected, tmp_path):
    torch.save(content, tmp_path / "x.pt")
    if expected is None:
        key = "params" if "params" in content else None
        parts = content[key] if key else content
        expected = [f"{a}.{b}" for a, part in parts.items() if isinstance(part, dict) for b in part if "bias" not in b]
    assert [name for name in names(tmp_path / "x.pt") if not name.startswith("1.0")][: len(expected)] == expected


def test_another_state_dict_is_named_and_read_by_its_key(tmp_path):
    torch.save({"model": STATE, "ema": {"a.weight": torch.ones(3, 2)}}, tmp_path / "x.pt")
    reasons = {one.name: one.reason for one in open_weights(tmp_path / "x.pt").skipped}
    assert reasons["ema"] == 'another state dict beside "model"; key="ema" asks for it'
    assert names(tmp_path / "x.pt", key="ema") == ["a.weight"]


def test_numpy_arrays_of_a_pickle_are_weights(tmp_path):
    array = np.arange(12, dtype=">f4").reshape(3, 4)
    for protocol in (2, 4, 5):
        content = {"model": {"w": array, "turned": np.asfortranarray(array)}, "__author__": "x"}
        (tmp_path / "x.pkl").write_bytes(pickle.dumps(content, protocol=protocol))
        for matrix in open_weights(tmp_path / "x.pkl").matrices:
            assert matrix.load()[0].tolist() == array.tolist()


def test_only_the_bytes_of_a_tensor_are_read(tmp_path):
    big = torch.randn(1000, 40)
    torch.save({"rows": big[10:20], "part": big[::7, 3:9], "turned": big.T}, tmp_path / "x.pt")
    loaded = {matrix.name: matrix.load()[0] for matrix in open_weights(tmp_path / "x.pt").matrices}
    assert torch.equal(loaded["rows"], big[10:20])
    assert torch.equal(loaded["part"], big[::7, 3:9])


def test_placeholders_of_zero_are_named_with_what_merges_them(tmp_path):
    torch.save({"module": {"a.weight": torch.empty(0), "b.weight": torch.empty(0)}}, tmp_path / "x.pt")
    with pytest.raises(ValueError, match=r"ZeRO stage 3.*zero_to_fp32.py"):
        open_weights(tmp_path / "x.pt")


class Hostile:
    def __reduce__(self):
        return eval, ("1/0",)


@pytest.mark.parametrize("protocol", range(6))
def test_a_machine_makes_nothing_but_containers(protocol):
    value = read_pickle(io.BytesIO(pickle.dumps({"a": Hostile(), "b": [1, 2.5, "x", None, True]}, protocol)))
    assert value["b"] == [1, 2.5, "x", None, True]
    assert isinstance(value["a"], StandIn)
    assert (value["a"].name.split(".")[-1], value["a"].arguments) == ("eval", ("1/0",))


def nested(depth, start, end):
    return b"\x80\x04" + start * depth + b"N" + end * depth + b"."


@pytest.mark.parametrize(
    "bomb",
    [
        nested(10**5, b"(", b"t"),  # tuples in tuples, and then as a key
        b"\x80\x04}" + nested(10**5, b"(", b"t")[2:-1] + b"Ns.",
        b"\x80\x04" + b"}" * 10**5 + b"N.",
        b"\x80\x04\x8e" + (2**62).to_bytes(8, "little") + b"x.",
        b"\x80\x04]r\xff\xff\xff\x7f.",
        b"\x80\x04\x95" + (2**62).to_bytes(8, "little") + b"N.",
        b"\x80\x04\x8b" + (2**31 - 1).to_bytes(4, "little") + b"x.",
        b"\x80\x04]q\x00" + b"(h\x00h\x00h\x00e" * 40 + b".",
        b"I" + b"9" * 10**5 + b"\n.",
    ],
    ids=["deep", "deep key", "wide", "long", "memory", "frame", "integer", "itself", "digits"],
)
def test_bombs_are_refused_or_harmless(bomb, tmp_path):
    (tmp_path / "x.pkl").write_bytes(bomb)
    with pytest.raises(ValueError, match=r"x\.pkl"):
        open_weights(tmp_path / "x.pkl")


def test_a_pickle_with_more_steps_than_any_model_is_refused():
    with pytest.raises(PickleError, match="more than 5 steps"):
        read_pickle(io.BytesIO(pickle.dumps(list(range(9)))), most_steps=5)


def test_modules_in_one_another_under_many_names_are_refused_before_they_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("spectail.weights.state_dict.MOST_NAMES", 2000)
    part = nn.Linear(2, 2)
    for _ in range(30):
        part = nn.Sequential(part, part)
    torch.save(part, tmp_path / "x.pt")
    with pytest.raises(ValueError, match="more than 2000 names"):
        open_weights(tmp_path / "x.pt")


def test_the_directory_of_an_archive_is_read_once(tmp_path):
    torch.save({f"{index}.weight": torch.ones(2, 2) for index in range(2000)}, tmp_path / "x.pt")
    file, read = local_file(tmp_path / "x.pt"), list[int]()
    counted = dataclasses.replace(file, read=lambda at, count: read.append(count) or file.read(at, count))
    assert len(read_tensors(counted).parameters) == 2000
    with zipfile.ZipFile(tmp_path / "x.pt") as archive:
        pickled = archive.getinfo("x/data.pkl").file_size
        directory = file.size - archive.start_dir
    assert sum(read) < 1.1 * (pickled + directory) + 10_000


@pytest.mark.parametrize("protocol", [2, 4])
def test_linear_layers_of_paddle_are_turned_and_nothing_else(tmp_path, protocol):
    linear, table, kernel = (
        np.random.default_rng(0).standard_normal(shape) for shape in ((4, 6), (9, 5), (6, 3, 2, 2))
    )
    state = {"fc.weight": linear, "fc.bias": np.zeros(6), "word_embeddings.weight": table, "conv.weight": kernel}
    with (tmp_path / "model.pdparams").open("wb") as file:
        pickle.dump({**state, "StructuredToParameterName@@": {"fc.weight": "linear_0.w_0"}}, file, protocol)
    matrices = {matrix.name: matrix for matrix in open_weights(tmp_path).matrices}
    assert np.array_equal(matrices["fc.weight"].load()[0].numpy(), linear.T)
    assert np.array_equal(matrices["word_embeddings.weight"].load()[0].numpy(), table)
    assert (matrices["conv.weight"].rows, matrices["conv.weight"].cols) == (6, 3)
