"""The formats, one line each, and which one a file is.

Here: what is true of all formats. Not here: anything of one of them.
"""

from __future__ import annotations

from pathlib import Path

from spectail.errors import SourceError
from spectail.weights.formats import pickles, safetensors
from spectail.weights.parameter import Source
from spectail.weights.untrusted import open_file

FORMATS = (
    safetensors.FORMAT,
    pickles.FORMAT,
)
"""Of two that recognise a file, the first is taken."""

ENDINGS = tuple(ending for format_ in FORMATS for ending in format_.endings)

_START = 64
"""Bytes of a file that must be enough to recognise it."""


def read_tensors(path: Path) -> Source:
    """The tensors of one file, by its ending; or, without a known one, by how it starts.

    Args:
        path: of the file.

    Returns:
        what it holds, unread.

    Raises:
        SourceError: it cannot be read, is of no known format, or is not what its ending says.
    """
    format_ = next((one for one in FORMATS if path.suffix in one.endings), None)
    if format_ is None:
        with open_file(path) as file:
            start = file.read(_START)
        format_ = next((one for one in FORMATS if one.recognises(start)), None)
        if format_ is None:
            what = f"no checkpoint: it starts with {start[:4]!r}" if start else "empty"
            raise SourceError(f"{path} is {what}; expected {' or '.join(one.describe for one in FORMATS)}")
    return format_.tensors(path)
