"""Files that are often taken for weights, or hold some in a format that is not read, and what converts each.

Here: sentences. Not here: which format reads a file (`table`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from spectail.weights.stored import StoredFile

_MXNET = "of MXNet: spectail.analyze({k: v.asnumpy() for k, v in mxnet.nd.load(IN).items()}) analyses it"
_MATLAB = "of MATLAB: spectail.analyze(scipy.io.loadmat(IN)) analyses it"
_FLAX = "of Flax: spectail.analyze(flax.serialization.msgpack_restore(open(IN, 'rb').read())) analyses it"
_ORBAX = "of Orbax: spectail.analyze(orbax.checkpoint.PyTreeCheckpointer().restore(IN)) analyses it"
_ZARR = "of Zarr: spectail.analyze({name: a[:] for name, a in zarr.open(IN).arrays()}) analyses it"
_CAFFE = "of Caffe: spectail.analyze({n: b[0].data for n, b in caffe.Net(TEXT, IN, 0).params.items()}) analyses it"
_TENSORFLOW = (
    "a checkpoint of TensorFlow: r = tf.train.load_checkpoint(IN without .index) and "
    "spectail.analyze({n: r.get_tensor(n) for n in r.get_variable_to_shape_map()}) analyse it"
)
_SAVED_MODEL = "python -m tf2onnx.convert --saved-model FOLDER --output OUT.onnx converts it"
_ENGINE = "an engine of TensorRT, for one graphics card: name the .onnx file that it was built from"
_EXECUTORCH = "a program of ExecuTorch: name the checkpoint that it was exported from"
_COREML = "of Core ML: name the model that it was converted from"
_OPENVINO = "of OpenVINO: name the model that it was converted from"
_GGML = "of llama.cpp before GGUF: python convert_llama_ggml_to_gguf.py --input IN --output OUT.gguf converts it"

_REFUSED = "the answer of a server that did not have or give it, not the file itself: download it again"

_BY_START: tuple[tuple[int, bytes, str], ...] = (
    (0, b"version https://git-lfs", "a git-lfs pointer, not the file itself: git lfs pull fetches it"),
    (0, b"/annex/objects/", "a git-annex pointer, not the file itself: git annex get fetches it"),
    (0, b"../", "the text of a symbolic link, not the file itself: copy the folder anew with cp -rL"),
    (0, b"<!doctype html", "a page of a web site, not the file itself: download it again"),
    (0, b"<html", "a page of a web site, not the file itself: download it again"),
    (0, b'{"error', _REFUSED),
    (38, b"<error>", _REFUSED),
    (39, b"<error>", _REFUSED),
    (0, b"\x1f\x8b", "compressed: tar xf unpacks a .tar.gz, gunzip any other"),
    (0, b"bzh", "compressed: tar xf unpacks a .tar.bz2, bunzip2 any other"),
    (0, b"\xfd7zxz", "compressed: tar xf unpacks a .tar.xz, unxz any other"),
    (0, b"(\xb5/\xfd", "compressed: tar xf unpacks a .tar.zst, unzstd any other"),
    (0, b"\x04\x22m\x18", "compressed: unlz4 unpacks it"),
    (0, b"7z\xbc\xaf", "a 7z archive: 7z x unpacks it"),
    (0, b"rar!\x1a", "a rar archive: unrar x unpacks it"),
    (257, b"ustar", "a tar archive: tar xf unpacks it; name what is in it"),
    (0, b"lmgg", _GGML),
    (0, b"fmgg", _GGML),
    (0, b"tjgg", _GGML),
    (4, b"tfl3", "of TFLite: python -m tf2onnx.convert --tflite IN --output OUT.onnx converts it"),
    (4, b"ortm", "of ONNX Runtime: name the .onnx file that it was made from"),
    (4, b"et12", _EXECUTORCH),
    (0, b"ftrt", _ENGINE),
    (0, b"\x12\x01\0\0\0\0\0\0", _MXNET),
    (0, b"|tzr|", "of tensorizer: TensorDeserializer(IN) reads it; safetensors.torch.save_file saves it"),
    (0, b"matlab ", _MATLAB),
    (0, b"<?xml", "XML, as OpenVINO writes beside a .bin: name the model that it was converted from"),
    (0, b"pk\x03\x04", "a zip archive, but no checkpoint: unzip it, and name what is in it"),
)
"""From which byte on, what stands there at the start of a file, in lower case, and what such a file is."""

_BY_NAME = {
    r"openvino_\w*\.bin": _OPENVINO,
    r".*\.mlmodelc?|coremldata\.bin": _COREML,
    r".*\.msgpack": _FLAX,
    r".*\.(index|meta|data-\d+-of-\d+)": _TENSORFLOW,
    r".*\.pb": "a graph of TensorFlow: " + _SAVED_MODEL,
    r".*\.caffemodel": _CAFFE,
    r".*\.(pdiparams|pdmodel)": "of Paddle, for inference: paddle2onnx --model_dir IN --save_file OUT.onnx converts it",
    r".*\.(engine|plan|trt)": _ENGINE,
    r".*\.pte": _EXECUTORCH,
    r".*\.pt2": "a program of torch.export: torch.save(torch.export.load(IN).state_dict, OUT) saves its weights",
    r".*\.joblib": "of joblib: joblib.load(IN) reads it, where it is trusted; then numpy.savez what is in it",
    r".*\.weights": "of Darknet: name the model that it was converted to, or from",
    r"tokenizer\.model|.*\.spm|spiece\.model": "a tokenizer, not a model",
}
"""What files are called that nobody recognises by their start."""


def what_else(file: StoredFile) -> str:
    """What a file is that no format recognises, and what converts it; empty where that is not known."""
    start = file.start(512)
    if re.match(rb"[\x01-\x20]\0\0\0..\w*Spec\0", start, re.DOTALL):
        return "of CTranslate2: name the model that it was converted from"
    lowered = start.lower()
    by_start = (sentence for at, mark, sentence in _BY_START if lowered.startswith(mark, at))
    by_name = (sentence for name, sentence in _BY_NAME.items() if re.fullmatch(name, file.title.lower()))
    return next(by_name, "") if file.ending == ".pt2" else next(by_start, "") or next(by_name, "")


_FOLDERS = {
    r"_CHECKPOINT_METADATA|_METADATA|(.*/)?manifest\.ocdbt": _ORBAX,
    r"saved_model\.pb": "a SavedModel of TensorFlow: " + _SAVED_MODEL,
    r"(\w+\.)?ckpt\.index|checkpoint|.*\.index|variables/variables\.index": _TENSORFLOW,
    r"flax_model.*\.msgpack": _FLAX,
    r"Manifest\.json|model\.mil|coremldata\.bin": _COREML,
    r"(.*/)?\.zarray|(.*/)?zarr\.json": _ZARR,
    r"openvino_\w*\.xml": _OPENVINO,
}
"""What a file is called that tells what the folder is."""


def what_folder(names: Sequence[str]) -> str:
    """What a folder is of which no file is read, by the names of its files; empty where that is not known."""
    fitting = (what for pattern, what in _FOLDERS.items() if any(re.fullmatch(pattern, name) for name in names))
    return next(fitting, "")
