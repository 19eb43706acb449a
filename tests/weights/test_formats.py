"""Weights in files: what they give, what is refused, and how much memory reading takes."""

import json
import os
import pickle
import struct
import sys
import zipfile

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from forked import execute, finish, start
from spectail.weights.opening import open_weights


def a_model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.Conv2d(3, 4, 2), nn.LSTM(3, 5))


def write_shards(folder, ending=".safetensors"):
    """The model's tensors in two files and an index."""
    state, places = a_model().state_dict(), {}
    names = list(state)
    stem = "model" if ending == ".safetensors" else "pytorch_model"
    for number, part in enumerate((names[::2], names[1::2]), 1):
        shard = f"{stem}-{number:05}-of-00002{ending}"
        tensors = {name: state[name] for name in part}
        (save_file if ending == ".safetensors" else torch.save)(tensors, folder / shard)
        places |= dict.fromkeys(part, shard)
    index = folder / f"{stem}{ending}.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return index


def write(kind, folder):
    """The model in a file of a kind; what to open."""
    state = a_model().state_dict()
    if kind.startswith("shards"):
        index = write_shards(folder, ".bin" if "bin" in kind else ".safetensors")
        return folder if "folder" in kind else index
    name = {"folder": "model.safetensors", "folder of bin": "pytorch_model.bin"}.get(kind, kind)
    path = folder / name
    if path.suffix == ".safetensors":
        save_file(state, path)
    elif name == "old.pt":
        torch.save(state, path, _use_new_zipfile_serialization=False)
    else:
        torch.save({"state_dict": state, "epoch": 3} if name == "wrapped.pth" else state, path)
    return folder if kind.startswith("folder") else path


KINDS = [
    *("one.safetensors", "one.pt", "old.pt", "wrapped.pth", "one.bin", "no_known_ending"),
    *("folder", "folder of bin", "shards", "shards of bin", "shards in a folder", "shards of bin in a folder"),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("spelled", [str, lambda path: path], ids=["string", "path"])
def test_a_file_gives_what_its_state_dict_gives(kind, spelled, tmp_path):
    weights = open_weights(spelled(write(kind, tmp_path)))
    expected = {matrix.name: matrix for matrix in open_weights(a_model().state_dict()).matrices}
    assert {matrix.name for matrix in weights.matrices} == expected.keys()
    for matrix in weights.matrices:
        assert matrix.kind == expected[matrix.name].kind
        assert torch.equal(matrix.load(), expected[matrix.name].load())
    assert {left_out.name for left_out in weights.skipped} >= {"0.bias", "2.bias_ih_l0"}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e5m2])
def test_safetensors_of_every_floating_dtype_are_read_to_the_bit(dtype, tmp_path):
    tensor = torch.randn(5, 7, generator=torch.Generator().manual_seed(0)).to(dtype)
    save_file({"w": tensor, "n": torch.ones(3, 3, dtype=torch.int64)}, tmp_path / "x.safetensors")
    weights = open_weights(tmp_path / "x.safetensors")
    (matrix,) = weights.matrices
    assert matrix.load().dtype is (dtype if dtype.itemsize > 1 else torch.float32)
    assert matrix.dtype == str(dtype).removeprefix("torch.")
    assert torch.equal(matrix.load()[0].float(), tensor.float())
    assert "integers (int64)" in weights.skipped[0].reason


SMALL_FLOATS = {
    "F8_E8M0": (1.0, "powers of two (float8_e8m0fnu): scales"),
    "F6_E2M3": (0.75, "quantised and packed (F6_E2M3)"),
    "F6_E3M2": (0.75, "quantised and packed (F6_E3M2)"),
    "F4": (0.5, "quantised and packed (float4_e2m1fn_x2)"),
    "I4": (0.5, "of a dtype that is not known (I4)"),  # which the format may come to have
    "F128": (16.0, "of a dtype that is not known (F128)"),
}


@pytest.mark.parametrize("dtype", SMALL_FLOATS)
def test_values_that_are_not_read_are_named_and_those_beside_them_are_read(dtype, tmp_path):
    bytes_each, reason = SMALL_FLOATS[dtype]
    size = int(8 * 4 * bytes_each)
    header = {"a.weight": entry(dtype, (8, 4), (0, size)), "b.weight": entry("F32", (2, 2), (size, size + 16))}
    path = tmp_path / "model.safetensors"
    path.write_bytes(file_of(header, bytes(size + 16)))
    weights = open_weights(path)
    assert [matrix.name for matrix in weights.matrices] == ["b.weight"]
    assert reason in {one.name: one.reason for one in weights.skipped}["a.weight"]


def test_layers_of_a_file_are_in_the_order_of_their_numbers(tmp_path):
    save_file({f"h.{number}.weight": torch.ones(2, 2) for number in range(12)}, tmp_path / "x.safetensors")
    names = [matrix.name for matrix in open_weights(tmp_path).matrices]
    assert names == [f"h.{number}.weight" for number in range(12)]


def test_tied_weights_of_a_checkpoint_count_once(tmp_path):
    weight = torch.randn(4, 3)
    torch.save({"a.weight": weight, "b.weight": weight}, tmp_path / "x.pt")
    (matrix,) = open_weights(tmp_path / "x.pt").matrices
    assert matrix.note == "tied to b.weight"
    assert torch.equal(matrix.load()[0], weight)


MEASURE = """
import resource, sys
from spectail.weights.opening import open_weights
import torch
torch.set_num_threads(1)
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
open_weights(sys.argv[2]).matrices[0].load()  # whatever is loaded on first use
before = peak()
for matrix in open_weights(sys.argv[1]).matrices:
    assert matrix.load().sum() != 0
print(peak() - before)
"""


@pytest.mark.parametrize("kind", ["safetensors", "pt"])
def test_reading_takes_the_memory_of_one_matrix_whatever_the_size_of_the_file(kind, tmp_path):
    state = {f"{number}.weight": torch.ones(512, 512) for number in range(96)}
    paths = [tmp_path / f"{size}.{kind}" for size in ("large", "small")]
    for path, tensors in zip(paths, (state, {"0.weight": state["0.weight"].clone()}), strict=True):
        (save_file if kind == "safetensors" else torch.save)(tensors, path)
    code, printed = finish(start(tmp_path, execute, MEASURE, *paths))
    assert code == 0, printed
    # the file has 96 MiB, a matrix 1 MiB; 8 MiB of a mapped file may stay, and the allocator keeps some
    assert int(printed) < 14 * 2**20


class Runs:
    """A pickle that makes a file when it is run."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("form", ["zip", "old", "pickle 0", "pickle 2", "pickle 4"])
def test_a_pickle_that_would_run_code_and_holds_no_weights_is_refused_and_never_run(form, tmp_path):
    path, made = tmp_path / "x.pt", tmp_path / "made"
    if form.startswith("pickle"):
        path.write_bytes(pickle.dumps(Runs(made), protocol=int(form[-1])))
    else:
        torch.save(Runs(made), path, _use_new_zipfile_serialization=form != "old")
    sentence = refusal(path)
    assert "holds no tensor by name, only a posix.mkdir; expected a state dict" in sentence
    assert not made.exists()
    assert str(path) in sentence


@pytest.mark.parametrize("form", ["zip", "old"])
def test_a_hostile_entry_beside_the_weights_is_named_and_never_run(form, tmp_path):
    path, made = tmp_path / "x.pt", tmp_path / "made"
    content = {"model": a_model().state_dict(), "x": Runs(made)}
    torch.save(content, path, _use_new_zipfile_serialization=form != "old")
    weights = open_weights(path)
    assert [matrix.name for matrix in weights.matrices] == [one.name for one in open_weights(a_model()).matrices]
    assert "posix.mkdir" in {one.name for one in weights.skipped if "nothing of it was run" in one.reason}
    assert not made.exists()


def test_a_pickle_that_replaces_a_checkpoint_after_it_was_opened_is_not_run_either(tmp_path):
    path = write("one.pt", tmp_path)
    matrix = open_weights(path).matrices[0]
    torch.save({"0.weight": Runs(tmp_path / "made")}, path)
    with pytest.raises(ValueError, match="has changed since it was opened"):
        matrix.load()
    assert not (tmp_path / "made").exists()


@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning", "ignore:`torch.jit:DeprecationWarning")
def test_the_weights_of_a_torchscript_archive_are_read_and_its_program_is_not_run(tmp_path):
    model = nn.Sequential(nn.Linear(5, 4), nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2)))
    torch.jit.save(torch.jit.script(model), tmp_path / "x.pt")
    weights = open_weights(tmp_path / "x.pt")
    assert [matrix.name for matrix in weights.matrices] == ["0.weight", "1.0.weight"]
    assert torch.equal(weights.matrices[0].load()[0], model[0].weight)


def refusal(source):
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        open_weights(source)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def file_of(header, values=b"", *, length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + values


def entry(dtype="F32", shape=(2, 2), offsets=(0, 16)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


TWICE = b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}'


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "has 0 bytes"),
        (b"\x01\x02", "has 2 bytes"),
        (file_of({}, length=50), "claims a header of 50 bytes; the file has 10"),
        (file_of({}, length=100_000_000), "claims a header of 100000000 bytes"),
        (file_of({}, length=2**64 - 1), "claims a header of 18446744073709551615 bytes"),
        (file_of(b"not json"), "is not what it must be"),
        (file_of(b"[1, 2]"), "must be a JSON object, not a list"),
        (file_of(b"\xff\xfe{}"), "is not what it must be"),
        (file_of(b"[" * 90_000), "nested too deep"),
        (file_of(b'{"a":' * 90_000), "nested too deep"),
        (file_of(b"[" + b"0," * 4_100_000 + b"0]"), "more entries than that of any model"),
        (file_of(TWICE, b"\0"), "says 'a' twice"),
        (file_of({"__metadata__": 3}), "__metadata__"),
        (file_of({"a": 3}), "without its dtype, shape and data_offsets"),
        (file_of({"a": {"dtype": "F32"}}), "without its dtype, shape and data_offsets"),
        (file_of({"a": entry()}, bytes(15)), "expected two ascending, of at most 15"),
        (file_of({"a": entry(offsets=(0, 20))}, bytes(16)), "expected two ascending, of at most 16"),
        (file_of({"a": entry(offsets=(16, 0))}, bytes(16)), "expected two ascending"),
        (file_of({"a": entry(offsets=(-16, 0))}, bytes(16)), "expected two ascending"),
        (file_of({"a": entry(offsets=(0, 16, 16))}, bytes(16)), "expected two ascending"),
        (file_of({"a": entry(offsets=(0, 2**70))}, bytes(16)), "expected two ascending"),
        (file_of({"a": entry(shape=(-2, -2))}, bytes(16)), "none negative"),
        (file_of({"a": entry(shape=(2.0, 2))}, bytes(16)), "whole numbers"),
        (file_of({"a": entry(shape=(True, 4))}, bytes(16)), "whole numbers"),
        (file_of({"a": entry(shape=(2**62, 4))}, bytes(16)), "takes 16 bytes, but F32"),
        (file_of({"a": entry(shape=(2**32, 2**32))}, bytes(16)), "takes 16 bytes, but F32"),
        (file_of({"a": entry(shape=[1] * 70 + [4])}, bytes(16)), "has the shape"),
        (file_of({"a": entry(dtype="F64")}, bytes(16)), "takes 16 bytes, but F64"),
        (file_of({"a": entry(dtype="F31")}, bytes(16)), "takes 16 bytes, but F31"),
        (file_of({"a": entry(dtype="X32")}, bytes(16)), "has the dtype"),
        (file_of({"a": entry(dtype=["F32"])}, bytes(16)), "has the dtype"),
        (file_of({"a": entry(), "b": entry(offsets=(8, 24))}, bytes(24)), "overlap"),
        (file_of({"a": entry(), "b": entry()}, bytes(16)), "overlap"),
        (file_of({"a": entry(offsets=(4, 20))}, bytes(20)), "leave 4 bytes"),
        (file_of({"a": entry()}, bytes(17)), "the file at"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_a_lying_safetensors_file_is_refused_in_one_sentence(content, reason, tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    said = refusal(path)
    assert reason in said
    assert str(path) in said
    assert len(said) < 500 + len(str(path))


@pytest.mark.parametrize("kind", ["one.safetensors", "one.pt"])
def test_a_file_that_changes_or_vanishes_after_it_was_opened_is_refused(kind, tmp_path):
    path = write(kind, tmp_path)
    *_, matrix = open_weights(path).matrices
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(ValueError, match="has changed since it was opened"):
        matrix.load()
    path.unlink()
    with pytest.raises(ValueError, match="cannot be read: No such file"):
        matrix.load()


def test_what_is_no_file_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.safetensors")
    assert "is no file" in refusal(tmp_path / "pipe.safetensors")
    assert "is no file" in refusal("/dev/zero")
    assert "No such file" in refusal(tmp_path / "missing.pt")
    for name in ("a\0b.pt", "a" * 5000 + ".pt"):
        assert "cannot be read" in refusal(name)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"hello", "no checkpoint"),
        (b"\x80\x02", "ends too early"),
        (b"PK\x03\x04" + bytes(90), "damaged zip archive"),
    ],
)
def test_a_damaged_checkpoint_is_refused(content, reason, tmp_path):
    (tmp_path / "x.pt").write_bytes(content)
    assert reason in refusal(tmp_path / "x.pt")


def long_integer(number):
    content = number.to_bytes(8, "little")
    return b"\x8a" + bytes([len(content)]) + content


@pytest.mark.parametrize("old", [False, True], ids=["zip", "old"])
@pytest.mark.parametrize(
    "greedy",
    [
        b"c__builtin__\nbytearray\n" + long_integer(10**11) + b"\x85R",
        b"c_codecs\nencode\nX\x01\0\0\0aX\x05\0\0\0ascii\x86R",
        b"ctorch._utils\n_rebuild_device_tensor_from_cpu_tensor\n)R",
    ],
    ids=["bytearray", "encode", "rebuild"],
)
def test_what_would_fill_the_memory_is_not_made(greedy, old, tmp_path):
    path = tmp_path / "x.pt"
    content = b"\x80\x02" + greedy + b"."
    if old:
        path.write_bytes(content)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x/data.pkl", content)
            archive.writestr("x/version", "3\n")
    if b"rebuild" in greedy:
        assert open_weights(path).matrices == ()
    else:
        assert "holds no tensor by name" in refusal(path)


def test_a_checkpoint_with_more_values_than_bytes_is_refused(tmp_path):
    torch.save({"w": torch.ones(3, 3)}, tmp_path / "x.pt")
    with zipfile.ZipFile(tmp_path / "x.pt") as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(tmp_path / "y.pt", "w") as archive:
        for name, content in records.items():
            shape = long_integer(10**6) * 2 + b"\x86"
            archive.writestr(name, content.replace(b"K\x03K\x03\x86", shape) if name.endswith(".pkl") else content)
    assert "damaged" in refusal(tmp_path / "y.pt")


def test_a_compressed_archive_is_refused_before_it_is_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", bytes(10**7))
    assert "it is compressed" in refusal(tmp_path / "x.pt")


def test_a_checkpoint_of_anything_else_is_refused(tmp_path):
    torch.save([1, 2], tmp_path / "x.pt")
    assert "holds no tensor by name, only a list; expected a state dict" in refusal(tmp_path / "x.pt")
    torch.save({"epoch": 1}, tmp_path / "x.pt")
    assert "holds no tensor by name, only epoch" in refusal(tmp_path / "x.pt")


@pytest.mark.parametrize("new", [True, False])
def test_a_checkpoint_of_a_training_is_read_in_both_formats(tmp_path, new):
    model = nn.Linear(3, 4)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    whole = {"step": 1, "model_state": model.state_dict(), "optimizer_state": optimizer.state_dict()}
    torch.save(whole, tmp_path / "x.pt", _use_new_zipfile_serialization=new)
    weights = open_weights(tmp_path / "x.pt")
    assert weights.title == 'x.pt["model_state"]'
    assert torch.equal(weights.matrices[0].load()[0], model.weight)


@pytest.mark.parametrize(
    "where", ["../out.safetensors", "/etc/out.safetensors", "a/../../out.safetensors", "", "..", "a\0"]
)
def test_an_index_that_points_out_of_its_folder_is_refused(where, tmp_path):
    (tmp_path / "in").mkdir()
    save_file({"w": torch.ones(2, 2)}, tmp_path / "out.safetensors")
    index = tmp_path / "in" / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"w": where}}))
    said = refusal(index)
    assert "outside its folder; it was not opened" in said
    assert str(index) in said


def test_a_link_out_of_the_folder_is_refused_unless_it_is_a_cache_of_hugging_face(tmp_path):
    snapshot = tmp_path / "models--a--b" / "snapshots" / "1234"
    blobs = tmp_path / "models--a--b" / "blobs"
    for folder in (snapshot, blobs):
        folder.mkdir(parents=True)
    for place in (tmp_path, blobs):
        save_file({"w": torch.ones(2, 2)}, place / "abcd")
    (snapshot / "model.safetensors.index.json").write_text('{"weight_map": {"w": "1.safetensors"}}')
    (snapshot / "1.safetensors").symlink_to("../../blobs/abcd")
    assert len(open_weights(snapshot).matrices) == 1
    (snapshot / "1.safetensors").unlink()
    (snapshot / "1.safetensors").symlink_to(tmp_path / "abcd")
    assert "a link out of its folder" in refusal(snapshot)
    (snapshot / "1.safetensors").unlink()
    (snapshot / "1.safetensors").symlink_to("1.safetensors")
    assert "1.safetensors" in refusal(snapshot)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "is not what it must be"),
        ("[]", "must be a JSON object"),
        ("{}", "has no weight_map"),
        ('{"weight_map": []}', "has no weight_map"),
        ('{"weight_map": {"w": 3}}', "has no weight_map"),
        ('{"weight_map": {"w": "1.safetensors", "w": "1.safetensors"}}', "twice"),
        ('{"weight_map": {"w": "missing.safetensors"}}', "which is missing"),
        ('{"weight_map": {"w": "1.safetensors", "x": "1.safetensors"}}', "does not have x"),
        ('{"weight_map": ' + "[" * 90_000, "nested too deep"),
    ],
    ids=lambda value: value[:30],
)
def test_a_wrong_index_is_refused(content, reason, tmp_path):
    save_file({"w": torch.ones(2, 2)}, tmp_path / "1.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text(content)
    assert reason in refusal(tmp_path)


def test_shards_in_both_forms_are_read_in_one(tmp_path):
    for at in (1, 2):
        state = {f"l{at}.weight": torch.full((3, 2), float(at))}
        save_file(state, tmp_path / f"model-0000{at}-of-00002.safetensors")
        torch.save({name: -one for name, one in state.items()}, tmp_path / f"pytorch_model-0000{at}-of-00002.bin")
    assert [float(matrix.load()[0, 0, 0]) for matrix in open_weights(tmp_path).matrices] == [1, 2]


def test_a_tensor_in_two_shards_without_an_index_is_not_taken_from_either(tmp_path):
    for at in (1, 2):
        save_file({"w": torch.full((3, 2), float(at))}, tmp_path / f"model-0000{at}-of-00002.safetensors")
    assert "w is in model-00001-of-00002.safetensors and in model-00002-of-00002.safetensors" in refusal(tmp_path)


def test_names_of_files_may_be_of_any_kind(tmp_path):
    for name in ("a b", "模型 é 😀", "line\nbreak", "-x", "x.safetensors"):
        folder = tmp_path / name
        folder.mkdir()
        save_file({"w": torch.ones(3, 2)}, folder / "MODEL.SAFETENSORS")
        for source in (folder, folder / "MODEL.SAFETENSORS"):
            assert [matrix.name for matrix in open_weights(source).matrices] == ["w"]


def test_pieces_without_their_metadata_say_so(tmp_path):
    (tmp_path / "pytorch_model_fsdp_0").mkdir()
    (tmp_path / "pytorch_model_fsdp_0" / "__0_0.distcp").write_bytes(b"x")
    assert "its .metadata is missing" in refusal(tmp_path)


@pytest.mark.parametrize("name", ["model.onnx", "model.gguf", "model.h5", "model.npz", "pytorch_model.bin"])
def test_a_pointer_of_git_lfs_is_told_whatever_it_is_called(name, tmp_path):
    (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\r\noid sha256:" + "ab" * 32 + "\r\n")
    assert "git lfs pull" in refusal(tmp_path / name)


def test_placeholders_of_zero_3_are_told_in_safetensors_too(tmp_path):
    save_file({"a.weight": torch.empty(0), "b.weight": torch.empty(0)}, tmp_path / "model.safetensors")
    assert "ZeRO stage 3" in refusal(tmp_path)


def test_a_tensor_that_the_index_does_not_name_is_listed(tmp_path):
    save_file({"w": torch.ones(2, 2), "x": torch.ones(2, 2)}, tmp_path / "1.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {"w": "1.safetensors"}}')
    weights = open_weights(tmp_path)
    assert [matrix.name for matrix in weights.matrices] == ["w"]
    assert [(left_out.name, left_out.reason) for left_out in weights.skipped] == [
        ("x", "in 1.safetensors, but not in the index")
    ]


def test_a_folder_is_clear_or_refused(tmp_path):
    assert "has no file of weights" in refusal(tmp_path)
    (tmp_path / "logs" / "version_0" / "checkpoints").mkdir(parents=True)
    deep = tmp_path / "logs" / "version_0" / "checkpoints" / "last.ckpt"
    deep.touch()
    assert "has files of weights further down only, in logs/version_0/checkpoints; name one" in refusal(tmp_path)
    deep.unlink()
    (tmp_path / "config.json").write_text("{}")
    save_file({"a": torch.ones(2, 2)}, tmp_path / "adapter.safetensors")
    assert open_weights(tmp_path).title == f"{tmp_path.name}/adapter.safetensors"
    torch.save({"b": torch.ones(2, 2)}, tmp_path / "other.pt")
    assert "has several files of weights: adapter.safetensors, other.pt; name one" in refusal(tmp_path)
    torch.save({"b": torch.ones(2, 2)}, tmp_path / "pytorch_model.bin")
    assert [matrix.name for matrix in open_weights(tmp_path).matrices] == ["b"]
    save_file({"c": torch.ones(2, 2)}, tmp_path / "model.safetensors")
    assert [matrix.name for matrix in open_weights(tmp_path).matrices] == ["c"]
    (tmp_path / "model.safetensors.index.json").write_text("{}")
    assert "has both model.safetensors and model.safetensors.index.json" in refusal(tmp_path)


def test_a_factory_of_the_current_folder_is_called(tmp_path, monkeypatch):
    (tmp_path / "my_models_of_this_test.py").write_text(
        "import torch, sys\n"
        "def net(): return torch.nn.Linear(3, 2)\n"
        "def state(): return net().state_dict()\n"
        "def broken(): raise RuntimeError('no luck')\n"
        "def leaves(): sys.exit(3)\n"
        "def number(): return 3\n"
        "size = 3\n"
    )
    monkeypatch.chdir(tmp_path)
    path = list(sys.path)
    name = "my_models_of_this_test"
    for what in ("net", "state"):
        weights = open_weights(f"{name}:{what}")
        assert [(matrix.name, matrix.rows) for matrix in weights.matrices] == [("weight", 2)]
        assert weights.title == f"{name}:{what}"
    assert "broken() failed: RuntimeError: no luck" in refusal(f"{name}:broken")
    assert "leaves() failed: SystemExit: 3" in refusal(f"{name}:leaves")
    assert "returned a int; expected a module or a state dict" in refusal(f"{name}:number")
    assert "size is a int, not a function" in refusal(f"{name}:size")
    assert "has no missing" in refusal(f"{name}:missing")
    assert "cannot be imported: ModuleNotFoundError" in refusal("no_such_package_at_all:net")
    assert "neither a file nor package.module:factory" in refusal("C:/models/x.pt")
    assert sys.path == path
