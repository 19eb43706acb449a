"""State dicts as `torch.save` writes them: pickles, of which nothing but tensors and plain values is ever made.

Here: all that is known of these files. Not here: where in a checkpoint its state dict lies (`state_dict`).
"""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from spectail.errors import SourceError
from spectail.weights.formats.format import Format
from spectail.weights.parameter import Source, from_tensor
from spectail.weights.state_dict import find_state_dict, title_of_keys
from spectail.weights.untrusted import FileStamp, check_unchanged, open_file, printable, size_of, stamp_of

MEMORY_FILLING = re.compile(rb"\n(bytearray|encode|_rebuild_device_\w+)\n")
"""What PyTorch's restricted unpickler allows, no state dict needs, and a few bytes can fill the memory with."""

LARGEST_PICKLE = 100_000_000
"""Bytes of names, shapes and places, without the values: more than those of any model."""

LEAST_MAPPED = 2**23
"""Bytes of a mapped file that may stay in memory, however small its tensors are."""

_HOW_TO_CONVERT = "save model.state_dict(), or a .safetensors file, where you have the model"


def _recognises(start: bytes) -> bool:
    """A zip archive since PyTorch 1.6, a bare pickle before."""
    return start[:4] == b"PK\x03\x04" or start[:1] == b"\x80"


def _tensors(path: Path) -> Source:
    """The tensors of a checkpoint, unread where the file can be mapped; the old format is held in memory.

    Raises:
        SourceError: the file cannot be read, is no state dict, or is a pickle that would run code: it is not run.
    """
    stamp = stamp_of(path)
    mapped = _is_zip(path)
    state, keys, skipped = find_state_dict(_unpickled(path, mapped), str(path))
    _check_sizes(path, state)
    title = title_of_keys(path.name, keys)
    if not mapped:
        return Source(title, [from_tensor(name, tensor, tensor.detach) for name, tensor in state.items()], skipped)
    reader = _MappedReader(path, stamp, state)
    parameters = []
    for name, tensor in state.items():
        read = partial(reader.read, name)
        parameters.append(from_tensor(name, tensor, read, resident=False, load_rows=read))
    return Source(title, parameters, skipped)


class _MappedReader:
    """Copies tensors out of a mapped file; it is mapped anew before what was read of it exceeds the largest tensor.

    A mapping that is kept would come to hold the whole file in memory; one for each tensor reads all names again.
    """

    def __init__(self, path: Path, stamp: FileStamp, state: dict[str, Tensor]) -> None:
        self._path, self._stamp = path, stamp
        self._state: dict[str, Tensor] | None = state
        self._most = max(LEAST_MAPPED, *map(_bytes_of, state.values())) if state else 0
        self._read = 0

    def read(self, name: str, *rows: int) -> Tensor:
        """A tensor, or its rows from one index up to another, in memory of its own."""
        # a mapped file that became shorter ends the process that reads it
        check_unchanged(self._path, self._stamp)
        if self._state is None:
            self._state, self._read = find_state_dict(_unpickled(self._path, mapped=True), str(self._path))[0], 0
        stored = self._state[name].detach()
        values = (stored[slice(*rows)] if rows else stored).clone()
        self._read += _bytes_of(values)
        if self._read >= self._most:
            self._state = None
        return values


def _bytes_of(tensor: Tensor) -> int:
    if is_lazy(tensor) or tensor.is_meta or tensor.layout is not torch.strided:
        return 0
    # a system maps some pages around those that are read
    return min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes()) + 2**16


def _is_zip(path: Path) -> bool:
    """Whether a checkpoint is in the format that can be mapped.

    Raises:
        SourceError: it is a program, damaged, or something else altogether.
    """
    with open_file(path) as file:
        start = file.read(4)
        if start[:1] == b"\x80":
            file.seek(0)
            _check_memory(path, file.read)
            return False
    if not _recognises(start):
        what = "empty" if not start else f"no checkpoint: it starts with {start!r}"
        raise SourceError(f"{path} is {what}; expected {FORMAT.describe}")
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            _check_entries(path, entries)
            for entry in entries:
                if entry.filename.endswith(".pkl"):
                    with archive.open(entry) as file:
                        _check_memory(path, file.read)
    except _RefusedError:
        raise
    except Exception as error:  # zipfile raises many, where an archive is damaged
        raise SourceError(f"{path} is a damaged zip archive: {error!s:.200}") from None
    return True


class _RefusedError(SourceError):
    """Why a file is refused, in a sentence that needs nothing added."""


def _check_entries(path: Path, entries: list[zipfile.ZipInfo]) -> None:
    """An archive must be one of torch.save, which compresses nothing.

    Raises:
        SourceError: it is not.
    """
    size = size_of(path)
    if any(entry.filename.endswith("/constants.pkl") for entry in entries):
        raise _RefusedError(f"{path} is a TorchScript archive, which is a program; it was not run: {_HOW_TO_CONVERT}")
    if any(entry.compress_type != zipfile.ZIP_STORED or entry.file_size > size for entry in entries):
        what = "it is compressed, or claims more bytes than it has"
        raise _RefusedError(f"{path} is no checkpoint of torch.save: {what}")
    if any(entry.filename.endswith(".pkl") and entry.file_size > LARGEST_PICKLE for entry in entries):
        raise _RefusedError(
            f"{path} has a pickle of more than {LARGEST_PICKLE} bytes; it was not run: {_HOW_TO_CONVERT}"
        )


def _check_memory(path: Path, read: Callable[[int], bytes]) -> None:
    """A pickle must not make values that are larger than itself.

    Raises:
        SourceError: it can.
    """
    before = b""
    while block := read(2**20):
        call = MEMORY_FILLING.search(before + block)
        if call:
            name = call[1].decode()
            raise _RefusedError(
                f"{path} is a pickle that can fill the memory ({name}); it was not run: {_HOW_TO_CONVERT}"
            )
        before = block[-64:]


def _unpickled(path: Path, mapped: bool) -> Mapping[Any, Any]:
    """What a checkpoint holds, by PyTorch's restricted unpickler."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror or error}") from None
    except Exception as error:  # a damaged file may raise any
        raise SourceError(_refusal(path, error)) from None
    if not isinstance(content, Mapping):
        raise SourceError(f"{path} holds a {type(content).__name__}; expected a state dict: {_HOW_TO_CONVERT}")
    return content


def _refusal(path: Path, error: Exception) -> str:
    """What PyTorch's refusal of a file means, in one sentence."""
    text = str(error)
    name = re.search(r"(?:GLOBAL|[Uu]nsupported class|Unsupported type:?|build) ([\w.]+\.[\w.]+)", text)
    if isinstance(error, pickle.UnpicklingError) and name:
        return f"{path} is a pickle that would run code ({name[1]:.80}); it was not run: {_HOW_TO_CONVERT}"
    if "Unsupported operand" in text:
        what = "a damaged checkpoint, or a pickle of another kind than torch.save's"
        return f"{path} is {what}; it was not run: {_HOW_TO_CONVERT}"
    sentence = text.rpartition("WeightsUnpickler error:")[2].strip().partition("\n")[0]
    reason = "it ends too early" if isinstance(error, EOFError) else sentence or type(error).__name__
    return f"{path} is damaged, or no state dict: {printable(reason[:200])}"


def _check_sizes(path: Path, state: Mapping[str, Tensor]) -> None:
    """No tensor may have more values than the file has bytes for.

    Raises:
        SourceError: one has.
    """
    size = size_of(path)
    for name, tensor in state.items():
        if tensor.layout is torch.strided and not tensor.is_meta and tensor.untyped_storage().nbytes() > size:
            raise SourceError(f"{path} is damaged: {printable(name):.200} claims more bytes than the file has")


FORMAT = Format(
    describe="a file of torch.save",
    endings=(".pt", ".pth", ".bin"),
    recognises=_recognises,
    tensors=_tensors,
    how_to_convert=_HOW_TO_CONVERT,
)
