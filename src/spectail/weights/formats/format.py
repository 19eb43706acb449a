"""What a format of files is to the rest of the room: each file of this folder but `table.py` makes one of these.

Not here: which formats there are (`table`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from spectail.weights.parameter import Source
from spectail.weights.stored import StoredFile


@dataclass(frozen=True)
class Format:
    """A kind of file that weights are read from.

    Attributes:
        describe: what such a file is, in words: "a file of safetensors".
        endings: of the names of such files; one of these settles what a file is taken for that nobody recognises.
        recognises: whether a file is of the format, by how it starts.
        tensors: what a file holds: its parameters, unread, in its order, with the key of the state dict that is
            meant, where it may hold several. It never runs what the file says, and raises a SourceError where the
            file is not what it should be.
        how_to_convert: what to do where a file cannot be read, or not all of it.
        one: what such a file is one of, where it never has keys: "state dict"; "" where it may have some.
    """

    describe: str
    endings: tuple[str, ...]
    recognises: Callable[[StoredFile], bool] = field(repr=False)
    tensors: Callable[[StoredFile, str | None], Source] = field(repr=False)
    how_to_convert: str
    one: str = ""
