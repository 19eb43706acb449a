"""What is not read is named: what it is, and what to do."""

import io
import tarfile
import zipfile

import pytest
import torch

from spectail.errors import SourceError
from spectail.weights.opening import open_weights


def a_tar():
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("model.pt"), io.BytesIO())
    return content.getvalue()


def a_zip():
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("folder/config.json", "{}")
    return content.getvalue()


FILES = [
    ("model.safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "git lfs pull"),
    ("model.bin", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "git lfs pull"),
    ("model.gguf", b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    ("model.pt", b"/annex/objects/SHA256E-s1048576--0a1b.pt\n", "git annex get"),
    ("model.pt", b'{"error":"Access to this model is restricted"}', "the answer of a server"),
    ("model.pt", b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>NoSuchKey</Code>', "the answer of a server"),
    ("model.safetensors", b"../../blobs/0a1b2c", "cp -rL"),  # a hub's cache, copied by what does not keep links
    ("model.safetensors.index.json", b"../../blobs/0a1b2c", "cp -rL"),
    ("model.safetensors.index.json", b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    ("model.safetensors", b"<!DOCTYPE HTML><title>", "a page of a web site"),
    ("model.pt.gz", b"\x1f\x8b\x08", "gunzip"),
    ("model.tar.gz", b"\x1f\x8b\x08", "tar xf"),
    ("model.7z", b"7z\xbc\xaf\x27\x1c", "7z x"),
    ("model.rar", b"Rar!\x1a\x07\x01", "unrar"),
    ("model.zip", a_zip(), "unzip it"),
    ("model.nemo", a_tar(), "tar xf"),
    ("model.mlmodel", b"\x08\x04\x12\x10", "of Core ML"),
    ("flax_model.msgpack", b"\x82\xa6params\x80", "flax.serialization.msgpack_restore"),
    ("model.ckpt.index", b"\0\0\x08", "tf.train.load_checkpoint"),
    ("model.ckpt.data-00000-of-00001", bytes(9), "tf.train.load_checkpoint"),
    ("model.ckpt.meta", b"\n\x05", "tf.train.load_checkpoint"),
    ("saved_model.pb", b"\x08\x01\x12", "tf2onnx.convert --saved-model"),
    ("model.tflite", b"\x20\0\0\0TFL3", "tf2onnx.convert --tflite"),
    ("model-0000.params", b"\x12\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0", "mxnet.nd.load"),
    ("net.caffemodel", b"\n\x07", "of Caffe"),
    ("inference.pdiparams", bytes(20), "paddle2onnx"),
    ("openvino_model.bin", bytes(20), "of OpenVINO"),
    ("openvino_model.xml", b'<?xml version="1.0"?>', "OpenVINO"),
    ("model.engine", b"ftrt\0\0\0\0", "TensorRT"),
    ("model.plan", bytes(20), "TensorRT"),
    ("model.pte", b"\x1c\0\0\0ET12", "ExecuTorch"),
    ("model.ort", b"\x1c\0\0\0ORTM", "ONNX Runtime"),
    ("model.bin", b"\x06\0\0\0\x0c\0WhisperSpec\0", "CTranslate2"),
    ("ggml-model.bin", b"lmgg\x01\0\0\0", "convert_llama_ggml_to_gguf.py"),
    ("program.pt2", a_zip(), "torch.export.load(IN).state_dict"),
    ("net.mat", b"MATLAB 5.0 MAT-file", "scipy.io.loadmat"),
    ("yolov4.weights", bytes(20), "Darknet"),
]


def test_a_link_to_nothing_is_told_and_what_fetches_it(tmp_path):
    (tmp_path / "a.pt").symlink_to("gone.pt")
    (tmp_path / "b.pt").symlink_to(".git/annex/objects/0a/SHA256E-s9--0a.pt")
    with pytest.raises(SourceError, match=r"a\.pt is a link to gone\.pt, which does not exist$"):
        open_weights(tmp_path / "a.pt")
    with pytest.raises(SourceError, match=r"which does not exist: git annex get fetches it"):
        open_weights(tmp_path / "b.pt")


@pytest.mark.parametrize(("name", "content", "what"), FILES, ids=[one[0] for one in FILES])
def test_a_file_that_is_not_read_is_named_in_one_sentence(name, content, what, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError) as error:
        open_weights(tmp_path / name)
    sentence = str(error.value)
    assert what in sentence
    assert name in sentence
    assert "\n" not in sentence
    assert len(sentence) < 300 + len(str(tmp_path))


FOLDERS = [
    (["saved_model.pb", "variables/variables.index"], "SavedModel"),
    (["checkpoint", "model.ckpt-5.index", "model.ckpt-5.data-00000-of-00001"], "tf.train.load_checkpoint"),
    (["flax_model.msgpack", "config.json"], "of Flax"),
    (["Manifest.json", "Data/com.apple.CoreML/model.mlmodel", "Data/com.apple.CoreML/weights/weight.bin"], "Core ML"),
    (["openvino_model.xml", "openvino_model.bin"], "OpenVINO"),
    (["_METADATA", "manifest.ocdbt", "d/0123"], "Orbax"),
    (["w/.zarray", "w/0.0"], "Zarr"),
    (["consolidated.00.pth", "consolidated.01.pth", "params.json", "tokenizer.model"], "convert_llama_weights_to_hf"),
]


@pytest.mark.parametrize(("names", "what"), FOLDERS, ids=[one[1] for one in FOLDERS])
def test_a_folder_that_is_not_read_is_named_in_one_sentence(names, what, tmp_path):
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"{}")
    with pytest.raises(SourceError, match=what) as error:
        open_weights(tmp_path)
    assert "\n" not in str(error.value)


def test_a_tokenizer_is_no_model(tmp_path):
    (tmp_path / "tokenizer.model").write_bytes(b"\n\x0e\n\x05<unk>")
    torch.save({"w.weight": torch.ones(3, 3)}, tmp_path / "consolidated.00.pth")
    assert len(open_weights(tmp_path).matrices) == 1
