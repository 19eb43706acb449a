"""The formats, one line each, and which one a file is.

Here: what is true of all formats. Not here: anything of one of them, and files that are none (`foreign`).
"""

from __future__ import annotations

from spectail.errors import SourceError
from spectail.weights.formats import gguf, keras, npz, onnx, pickles, safetensors
from spectail.weights.formats.foreign import what_else
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
    if format_ is None:
        if sentence := what_else(file):
            raise SourceError(f"{file.name} is {sentence}")
        format_ = next((one for one in FORMATS if file.ending in one.endings), None)
    if format_ is None:
        what = f"no checkpoint: it starts with {file.start(4)!r}" if file.size else "empty"
        raise SourceError(f"{file.name} is {what}; expected {' or '.join(one.describe for one in FORMATS)}")
    if key is not None and format_.one:
        raise SourceError(f"{file.name} is one {format_.one}, without keys; it has none under key={key!r:.80}")
    return format_.tensors(file, key)
