"""Files of `torch.save`, and other pickles of weights: state dicts, checkpoints, whole modules, TorchScript archives.

Of a pickle nothing is made but tensors and containers (`pickle_machine`): whole modules are read by what they were
made of, and what a file names beside its weights is noted and left alone.

Here: where in a file its pickle and its values lie. Not here: what a pickle says of tensors (`pickled_tensors`), and
where in a checkpoint its state dict lies (`state_dict`).
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from io import BytesIO
from typing import Any

from spectail.errors import SourceError
from spectail.weights.channels_last import of_paddle
from spectail.weights.formats.checksum import Checksum
from spectail.weights.formats.format import Format
from spectail.weights.formats.pickle_machine import read_pickle
from spectail.weights.formats.pickled_tensors import Storage, behind_header, number_at, storage_sizes, tree_of
from spectail.weights.matrix import Skipped
from spectail.weights.parameter import Source
from spectail.weights.state_dict import source_of_tree
from spectail.weights.stored import StoredFile
from spectail.weights.untrusted import printable

LARGEST_PICKLE = 2**32
"""Bytes of a pickle: of names, shapes and places, and of numpy arrays that lie in it."""

_HOW_TO_CONVERT = "save model.state_dict(), or a .safetensors file, where you have the model"

_MAGIC = 0x1950A86A20F9469CFC6C

_BARE = (b"\x80", b"(", b"c", b"}", b"]")
"""How pickles start: those of protocol 2 and later, and older ones of a dict, a list, a call."""

_KNOWN = re.compile(r"(torch|collections|numpy|builtins|__builtin__|_codecs|copyreg|copy_reg|__torch__)\..*")
"""Names that a file of weights has; others are told to the user."""

_DANGEROUS = re.compile(r".*\.(eval|exec|compile|getattr|__import__|open|load|system|hub\..*)")
"""… but these, whatever module they are said to be of."""


def _recognises(file: StoredFile) -> bool:
    """A zip archive with a data.pkl since PyTorch 1.6, a bare pickle before."""
    start = file.start(4)
    if start == b"PK\x03\x04":
        try:
            return any(_is_main(entry.filename) for entry in _directory(file))
        except SourceError:
            return file.ending in FORMAT.endings
    return start[:1] == b"\x80" and start[1:2] in b"\x02\x03\x04\x05"


def _is_main(name: str) -> bool:
    return name.count("/") == 1 and name.endswith("/data.pkl")


def _tensors(file: StoredFile, key: str | None) -> Source:
    """The tensors of a checkpoint, unread.

    Raises:
        SourceError: the file cannot be read, or holds no tensor.
    """
    archive = file.start(4) == b"PK\x03\x04"
    content, storages, names = _zipped(file) if archive else _bare(file)
    source = source_of_tree(tree_of(content, file, storages), file.name, file.title, key)
    if file.ending == ".pdparams":
        source = replace(source, parameters=[*map(of_paddle, source.parameters)])
    return replace(source, skipped=(*source.skipped, *_not_built(names)))


def numbers_beside(file: StoredFile) -> Callable[[Sequence[str | int]], object]:
    """What gives the numbers that a checkpoint keeps beside its weights, such as the step that it is of.

    Args:
        file: of a state dict, or of a checkpoint that holds one.

    Returns:
        a function of the keys that lead to a number: that number, also of a tensor or of numpy; else what is there.

    Raises:
        SourceError: the file cannot be read.
    """
    archive = file.start(4) == b"PK\x03\x04"
    content, storages, _ = _zipped(file) if archive else _bare(file)
    return lambda keys: number_at(content, keys, file, storages)


def _not_built(names: Mapping[str, bool]) -> Iterator[Skipped]:
    strange = [n for n in names if not _KNOWN.fullmatch(n) or _DANGEROUS.fullmatch(n)]
    for name in strange[:20]:
        yield Skipped(printable(name[:100]), (), "named in the pickle; it was not built, and nothing of it was run")
    if len(strange) > 20:
        yield Skipped(f"{len(strange) - 20} further names", (), "named in the pickle, not built")


@lru_cache(maxsize=2)
def _directory(file: StoredFile) -> tuple[zipfile.ZipInfo, ...]:
    """The entries of an archive; read once, to recognise a file and to read it."""
    try:
        with zipfile.ZipFile(file.stream()) as archive:
            return tuple(archive.infolist())
    except SourceError:
        raise
    except Exception as error:  # zipfile raises many, where an archive is damaged
        raise SourceError(f"{file.name} is a damaged zip archive: {error!s:.200}") from None


def _zipped(file: StoredFile) -> tuple[Any, dict[str, Storage], dict[str, bool]]:
    """What the pickle of an archive holds, where its storages lie, and what it names."""
    entries = {entry.filename: entry for entry in _directory(file)}
    main = next((name for name in entries if _is_main(name)), None)
    if main is None:
        raise SourceError(f"{file.name} is a zip archive, but none of torch.save: it has no data.pkl; unzip it first")
    folder = main.removesuffix("data.pkl")
    order = f"{folder}byteorder"
    read = [e for name, e in entries.items() if name.startswith((main, f"{folder}data/", order))]
    if any(e.compress_type != zipfile.ZIP_STORED or e.file_size > file.size for e in read):
        what = "it is compressed, or claims more bytes than it has"
        raise SourceError(f"{file.name} is no checkpoint of torch.save: {what}")
    if order in entries and _stored(file, entries[order]).start() == b"big":
        raise SourceError(f"{file.name} was saved in big-endian order; {_HOW_TO_CONVERT}, on another machine")
    _check_size(file, entries[main].file_size)
    pickle = _stored(file, entries[main])
    program = pickle.read(0, pickle.size)
    Checksum(entries[main]).check(pickle, 0, program)
    content, names = _read(file, BytesIO(program))
    storages = {
        name.rpartition("/")[2]: Storage(entry.header_offset, entry.file_size, Checksum(entry))
        for name, entry in entries.items()
        if name.startswith(f"{folder}data/")
    }
    return content, storages, names


def _stored(file: StoredFile, entry: zipfile.ZipInfo) -> StoredFile:
    """What an entry of an archive holds that is not compressed."""
    start = behind_header(file, entry.header_offset)
    if start + entry.file_size > file.size:
        raise SourceError(f"{file.name} is a damaged zip archive: it ends before {printable(entry.filename):.100} does")
    return file.part(start, entry.file_size)


def _check_size(file: StoredFile, size: int) -> None:
    if size > LARGEST_PICKLE:
        raise SourceError(f"{file.name} has a pickle of {size} bytes, more than that of any model: {_HOW_TO_CONVERT}")


def _read(file: StoredFile, stream: Any) -> tuple[Any, dict[str, bool]]:
    names: dict[str, bool] = {}
    try:
        return read_pickle(stream, names=names), names
    except SourceError as error:
        raise SourceError(f"{file.name} cannot be read: {error}") from None


def _bare(file: StoredFile) -> tuple[Any, dict[str, Storage], dict[str, bool]]:
    """As `_zipped`, of a file that is a bare pickle; in the format of torch.save before 1.6, the values follow it."""
    start = file.start(4)
    if start[:1] not in _BARE:
        what = f"no checkpoint: it starts with {start!r}" if start else "empty"
        raise SourceError(f"{file.name} is {what}; expected {FORMAT.describe}")
    stream = file.stream()
    content, names = _read(file, stream)
    if content != _MAGIC:
        return content, {}, names
    version, _ = _read(file, stream)
    system, _ = _read(file, stream)
    if version != 1001 or not isinstance(system, dict) or not system.get("little_endian", True):
        raise SourceError(f"{file.name} was saved by an old PyTorch on another kind of machine; {_HOW_TO_CONVERT}")
    content, names = _read(file, stream)
    keys, _ = _read(file, stream)
    sizes = dict(storage_sizes(content))
    if not isinstance(keys, list):
        raise SourceError(f"{file.name} is damaged: it does not say in which order its values lie")
    at, storages = stream.tell(), dict[str, Storage]()
    for key in keys:
        count = int.from_bytes(file.read(at, 8), "little") if at + 8 <= file.size else 0
        size = count * sizes.get(key, 0)
        if not isinstance(key, str) or key not in sizes or at + 8 + size > file.size:
            raise SourceError(f"{file.name} is damaged: it ends before its values do")
        storages[key] = Storage(at + 8, size)
        at += 8 + size
    return content, storages, names


FORMAT = Format(
    describe="a file of torch.save",
    endings=(".pt", ".pth", ".bin", ".ckpt", ".pkl", ".tar", ".th", ".model", ".pdparams"),
    recognises=_recognises,
    tensors=_tensors,
    how_to_convert=_HOW_TO_CONVERT,
)
