"""The formats, one line each, and which one a file is.

Here: what is true of all formats, and what is told of files that are none. Not here: anything of one of them.
"""

from __future__ import annotations

from spectail.errors import SourceError
from spectail.weights.formats import gguf, keras, npz, onnx, pickles, safetensors
from spectail.weights.parameter import Source
from spectail.weights.stored import StoredFile

FORMATS = (
    safetensors.FORMAT,
    npz.FORMAT,
    gguf.FORMAT,
    keras.FORMAT,
    onnx.FORMAT,
    pickles.FORMAT,
)
"""Of two that recognise a file, the first is taken."""

ENDINGS = tuple(ending for format_ in FORMATS for ending in format_.endings)

NOT_READ = (
    (b"version https://git-lfs", "a git-lfs pointer, not the file itself: git lfs pull fetches it"),
    (b"<!DOCTYPE html", "a page of a web site, not the file itself: download it again"),
    (b"<html", "a page of a web site, not the file itself: download it again"),
    (b"\x1f\x8b", "compressed: gunzip it first"),
    (b"BZh", "compressed: bunzip2 it first"),
    (b"\xfd7zXZ", "compressed: unxz it first"),
    (b"7z\xbc\xaf", "a 7z archive: unpack it first"),
    (b"(\xb5/\xfd", "compressed: unzstd it first"),
    (b"ustar", "a tar archive: tar xf it, and name what is in it"),
    (b"ggml", "of llama.cpp before GGUF: its convert_llama_ggml_to_gguf.py converts it"),
    (b"\x1c\x00\x00\x00TFL3", "of TFLite: python -m tf2onnx.convert --tflite IN --output OUT.onnx converts it"),
    (b"<?xml", "XML, as OpenVINO writes beside a .bin: save the model that it was converted from"),
    (b"PK\x03\x04", "a zip archive, but no checkpoint: unzip it first"),
)
"""How files start that are often taken for weights, and what to do with them."""


def read_tensors(file: StoredFile, key: str | None = None) -> Source:
    """The tensors of one file, by how it starts; or by its ending, where no format recognises it.

    Args:
        file: of any format.
        key: of the state dict that is meant, in a file that holds several.

    Returns:
        what it holds, unread.

    Raises:
        SourceError: it cannot be read, is of no known format, is not what its ending says, or has no keys.
    """
    format_ = next((one for one in FORMATS if one.recognises(file)), None)
    start = file.start(512)
    if format_ is None:
        for mark, sentence in NOT_READ:
            if start.lower().startswith(mark.lower()) or (mark == b"ustar" and start[257:262] == mark):
                raise SourceError(f"{file.name} is {sentence}")
        format_ = next((one for one in FORMATS if file.ending in one.endings), None)
    if format_ is None:
        what = f"no checkpoint: it starts with {start[:4]!r}" if start else "empty"
        raise SourceError(f"{file.name} is {what}; expected {' or '.join(one.describe for one in FORMATS)}")
    if key is not None and format_.one:
        raise SourceError(f"{file.name} is one {format_.one}, without keys; it has none under key={key!r:.80}")
    return format_.tensors(file, key)
