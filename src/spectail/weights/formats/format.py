"""What a format of files is to the rest of the room: each file of this folder but `table.py` makes one of these."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from spectail.weights.parameter import Source


@dataclass(frozen=True)
class Format:
    """A kind of file that weights are read from.

    Attributes:
        describe: what such a file is, in words: "a file of safetensors".
        endings: of the names of such files; one of these settles what a file is taken for.
        recognises: whether a file that starts with these bytes is of the format; asked of one without a known ending.
        tensors: what a file holds: its parameters, unread, in its order. It never runs what the file says, and
            raises a SourceError where the file is not what it should be.
        how_to_convert: what to do where a file cannot be read, or not all of it.
    """

    describe: str
    endings: tuple[str, ...]
    recognises: Callable[[bytes], bool] = field(repr=False)
    tensors: Callable[[Path], Source] = field(repr=False)
    how_to_convert: str
