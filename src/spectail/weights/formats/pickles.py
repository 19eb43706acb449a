"""Files of `torch.save`, and other pickles of weights: state dicts, checkpoints, whole modules, TorchScript archives.

Of a pickle nothing is made but tensors and containers (`pickle_machine`): whole modules are read by what they were
made of, and what a file names beside its weights is noted and left alone.

Here: all that is known of these files. Not here: where in a checkpoint its state dict lies (`state_dict`).
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spectail.errors import SourceError
from spectail.weights.channels_last import of_paddle
from spectail.weights.formats.format import Format
from spectail.weights.formats.pickle_machine import Persistent, StandIn, read_pickle
from spectail.weights.matrix import Skipped
from spectail.weights.parameter import Parameter, Source, dtype_name, from_array, why_not_matrix, why_not_values
from spectail.weights.state_dict import DEEPEST, Members, TensorParts, Tree, source_of_tree
from spectail.weights.stored import StoredFile
from spectail.weights.untrusted import printable

LARGEST_PICKLE = 2**32
"""Bytes of a pickle: of names, shapes and places, and of numpy arrays that lie in it."""

_HOW_TO_CONVERT = "save model.state_dict(), or a .safetensors file, where you have the model"

_MAGIC = 0x1950A86A20F9469CFC6C

_BARE = (b"\x80", b"(", b"c", b"}", b"]")
"""How pickles start: those of protocol 2 and later, and older ones of a dict, a list, a call."""

_STORAGES = {
    "Double": torch.float64,
    "Float": torch.float32,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Long": torch.int64,
    "Int": torch.int32,
    "Short": torch.int16,
    "Char": torch.int8,
    "Byte": torch.uint8,
    "Bool": torch.bool,
    "ComplexDouble": torch.complex128,
    "ComplexFloat": torch.complex64,
    "QInt8": torch.qint8,
    "QInt32": torch.qint32,
    "QUInt8": torch.quint8,
    "Untyped": torch.uint8,
}

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
    tree = _Reader(file, storages).tree(content, DEEPEST)
    source = source_of_tree(tree, file.name, file.title, key)
    if file.ending == ".pdparams":
        source = replace(source, parameters=[*map(of_paddle, source.parameters)])
    return replace(source, skipped=(*source.skipped, *_not_built(names)))


def _not_built(names: Mapping[str, bool]) -> Iterator[Skipped]:
    strange = [n for n in names if not _KNOWN.fullmatch(n) or _DANGEROUS.fullmatch(n)]
    for name in strange[:20]:
        yield Skipped(printable(name[:100]), (), "named in the pickle; it was not built, and nothing of it was run")
    if len(strange) > 20:
        yield Skipped(f"{len(strange) - 20} further names", (), "named in the pickle, not built")


@dataclass(frozen=True)
class _Storage:
    """Where values lie in a file: from a byte on, so many bytes; in a zip archive after the header there."""

    start: int
    size: int
    zipped: bool = False


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


def _zipped(file: StoredFile) -> tuple[Any, dict[str, _Storage], dict[str, bool]]:
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
    content, names = _read(file, _stored(file, entries[main]).stream())
    storages = {
        name.rpartition("/")[2]: _Storage(entry.header_offset, entry.file_size, zipped=True)
        for name, entry in entries.items()
        if name.startswith(f"{folder}data/")
    }
    return content, storages, names


def _stored(file: StoredFile, entry: zipfile.ZipInfo) -> StoredFile:
    """What an entry of an archive holds that is not compressed."""
    start = _behind_header(file, entry.header_offset)
    if start + entry.file_size > file.size:
        raise SourceError(f"{file.name} is a damaged zip archive: it ends before {printable(entry.filename):.100} does")
    return file.part(start, entry.file_size)


def _behind_header(file: StoredFile, start: int) -> int:
    """Where the bytes of an entry begin whose header in the archive begins at a byte."""
    header = bytes(file.read(start, 30)) if 0 <= start <= file.size - 30 else b""
    if header[:4] != b"PK\x03\x04":
        raise SourceError(f"{file.name} is a damaged zip archive: an entry is not where it should be")
    return start + 30 + int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")


def _check_size(file: StoredFile, size: int) -> None:
    if size > LARGEST_PICKLE:
        raise SourceError(f"{file.name} has a pickle of {size} bytes, more than that of any model: {_HOW_TO_CONVERT}")


def _read(file: StoredFile, stream: Any) -> tuple[Any, dict[str, bool]]:
    names: dict[str, bool] = {}
    try:
        return read_pickle(stream, names=names), names
    except SourceError as error:
        raise SourceError(f"{file.name} cannot be read: {error}") from None


def _bare(file: StoredFile) -> tuple[Any, dict[str, _Storage], dict[str, bool]]:
    """The same of a file that is a pickle; in the format of torch.save before 1.6, the values follow it."""
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
    sizes = dict(_storage_sizes(content))
    if not isinstance(keys, list):
        raise SourceError(f"{file.name} is damaged: it does not say in which order its values lie")
    at, storages = stream.tell(), dict[str, _Storage]()
    for key in keys:
        count = int.from_bytes(file.read(at, 8), "little") if at + 8 <= file.size else 0
        size = count * sizes.get(key, 0)
        if not isinstance(key, str) or key not in sizes or at + 8 + size > file.size:
            raise SourceError(f"{file.name} is damaged: it ends before its values do")
        storages[key] = _Storage(at + 8, size)
        at += 8 + size
    return content, storages, names


def _storage_sizes(content: Any) -> Iterator[tuple[str, int]]:
    """Of every storage that is named in a pickle: its key, and bytes of a value."""
    visited: set[int] = set()
    todo: list[Any] = [content]
    while todo:
        value = todo.pop()
        if isinstance(value, Persistent):
            storage = _storage_of(value)
            if storage is not None:
                yield storage[0], storage[1].itemsize
        if isinstance(value, StandIn | dict | list | tuple | set | frozenset) and id(value) not in visited:
            visited.add(id(value))
            todo += _inside(value)


def _inside(value: Any) -> list[Any]:
    if isinstance(value, StandIn):
        return [value.arguments, value.keywords, value.state, value.entries, value.items]
    return [*value.keys(), *value.values()] if isinstance(value, dict) else list(value)


def _storage_of(value: object) -> tuple[str, torch.dtype, int] | None:
    """Of a storage that is named from outside: its key, dtype, and the first value of a view of it."""
    if not isinstance(value, Persistent) or not isinstance(value.name, tuple) or len(value.name) < 5:
        return None
    what, kind, key, _, _, *view = value.name
    if what != "storage" or not isinstance(kind, StandIn) or not isinstance(key, str):
        return None
    dtype = _STORAGES.get(kind.name.rpartition(".")[2].removesuffix("Storage"))
    first = view[0][1] if view and isinstance(view[0], tuple) and len(view[0]) == 3 else 0
    return None if dtype is None or not _is_size(first) else (key, dtype, first)


def _is_size(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**62


def _parts_of_tensor(value: StandIn) -> dict[str, StandIn] | None:
    """The tensors that a quantised tensor of torchao is made of, by their names; None of anything else."""
    name, arguments = value.name.rpartition(".")[2], value.arguments or ()
    if name in ("_rebuild_parameter", "_rebuild_parameter_with_state") and arguments:
        return _parts_of_tensor(arguments[0]) if isinstance(arguments[0], StandIn) else None
    if name != "_rebuild_from_type_v2" or len(arguments) != 4 or not isinstance(arguments[3], dict):
        return None
    parts = {key: part for key, part in arguments[3].items() if isinstance(key, str) and isinstance(part, StandIn)}
    return {key: part for key, part in parts.items() if _is_tensor(part)} if "qdata" in parts else None


def _is_tensor(value: StandIn) -> bool:
    return value.name.startswith(("torch._utils._rebuild", "torch._tensor._rebuild"))


class _Reader:
    """Makes parameters of what a pickle says of tensors, and mappings of what holds them."""

    def __init__(self, file: StoredFile, storages: Mapping[str, _Storage]) -> None:
        self._file, self._storages = file, storages
        self._trees: dict[int, Tree] = {}
        self._open: set[int] = set()

    def tree(self, value: Any, depth: int) -> Tree:
        """Containers as dicts and tensors as parameters, down to a depth; all else as it is."""
        if not isinstance(value, StandIn | dict | list | tuple) or id(value) in self._open or depth < 0:
            return None if isinstance(value, dict | list | tuple) else value
        if id(value) not in self._trees:
            self._open.add(id(value))  # what contains itself is not entered again
            self._trees[id(value)] = self._made(value, depth - 1)
            self._open.discard(id(value))
        return self._trees[id(value)]

    def _made(self, value: Any, depth: int) -> Tree:
        if isinstance(value, dict):
            return {key: self.tree(inner, depth) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            if any(isinstance(inner, StandIn | dict | list | tuple) for inner in value):
                return {str(index): self.tree(inner, depth) for index, inner in enumerate(value)}
            return value
        parts = _parts_of_tensor(value)
        if parts is not None:
            return TensorParts((name, self.tree(part, depth)) for name, part in parts.items())
        tensor = self._tensor(value)
        if tensor is not None:
            return tensor
        state = value.state if isinstance(value.state, dict) else {}
        if isinstance(state.get("_modules"), dict | StandIn) or isinstance(state.get("_parameters"), dict | StandIn):
            return self._module(state, depth)
        if value.name.startswith("__torch__."):
            return Members((name, self.tree(inner, depth)) for name, inner in state.items())
        entries = value.entries
        if not entries and value.name == "collections.OrderedDict" and value.arguments:
            pairs = value.arguments[0] if isinstance(value.arguments[0], list) else []
            entries = {pair[0]: pair[1] for pair in pairs if isinstance(pair, list | tuple) and len(pair) == 2}
        if entries or value.name.endswith(("Dict", "defaultdict")):
            return {key: self.tree(inner, depth) for key, inner in entries.items()}
        if value.items and any(isinstance(inner, StandIn | dict | list | tuple) for inner in value.items):
            return {str(index): self.tree(inner, depth) for index, inner in enumerate(value.items)}
        return value

    def _module(self, state: Mapping[str, Any], depth: int) -> Tree:
        """A module by its parts, under the names that its state dict has for them."""
        members = Members()
        for part in ("_parameters", "_buffers", "_modules"):
            inner = self.tree(state.get(part), depth)
            for name, value in inner.items() if isinstance(inner, dict) else ():
                if part == "_buffers" and isinstance(value, Parameter) and not value.refusal:
                    value = replace(value, refusal="a buffer, not a parameter")
                if value is not None:
                    members[name] = value
        return members

    def _tensor(self, value: StandIn) -> Parameter | None:
        """The parameter that a call to make a tensor stands for; None where it stands for something else."""
        name, arguments = value.name.rpartition(".")[2], value.arguments or ()
        module = value.name.rpartition(".")[0]
        if module in ("torch._utils", "torch._tensor"):
            if name in ("_rebuild_parameter", "_rebuild_parameter_with_state") and arguments:
                inner = self.tree(arguments[0], 1)
                return inner if isinstance(inner, Parameter) else _opaque("a parameter of an unknown kind")
            if name in ("_rebuild_tensor", "_rebuild_tensor_v2") and len(arguments) >= 4:
                storage, offset, size, stride = arguments[:4]
                return self._strided(storage, offset, size, stride)
            if name == "_rebuild_tensor_v3" and len(arguments) >= 7:
                storage, offset, size, stride = arguments[:4]
                return self._strided(storage, offset, size, stride, arguments[6])
            if name == "_rebuild_from_type_v2" and len(arguments) == 4 and isinstance(arguments[0], StandIn):
                call = StandIn(arguments[0].name, arguments[2] if isinstance(arguments[2], tuple) else ())
                inner = self._tensor(call)
                kind = arguments[1].name if isinstance(arguments[1], StandIn) else "tensor subclass"
                if inner is not None and not inner.refusal.startswith("of a kind"):
                    return inner
                return _opaque(f"a {printable(kind.rpartition('.')[2])}, whose values are not plain: gather it first")
            if name == "_rebuild_meta_tensor_no_storage":
                return _opaque("without values: it was saved from the meta device")
            if name == "_rebuild_qtensor":
                return _opaque("quantised and packed")
            if name in ("_rebuild_sparse_tensor", "_rebuild_sparse_csr_tensor", "_rebuild_nested_tensor"):
                return _opaque("not dense")
            if name == "_rebuild_device_tensor_from_numpy" and arguments:
                inner = self.tree(arguments[0], 1)
                return inner if isinstance(inner, Parameter) else None
            if name.startswith("_rebuild"):
                return _opaque(f"of a kind that is not read ({printable(name)})")
        if module.startswith("numpy"):
            return self._array(name, value)
        return None

    def _strided(self, storage: Any, offset: Any, size: Any, stride: Any, dtype: Any = None) -> Parameter:
        """A tensor by where its values lie in a storage."""
        place = _storage_of(storage)
        if place is None:
            return _opaque("of a kind of storage that is not read")
        key, stored, first = place
        if isinstance(dtype, StandIn):
            named = getattr(torch, dtype.name.removeprefix("torch."), None) if dtype.name.startswith("torch.") else None
            if not isinstance(named, torch.dtype):
                return _opaque(f"of the dtype {printable(dtype.name)}, which is not known here")
            stored = named
        size, stride = (tuple(one) if isinstance(one, tuple | list) else one for one in (_plain(size), _plain(stride)))
        if not (
            _is_size(offset)
            and isinstance(size, tuple)
            and isinstance(stride, tuple)
            and len(size) == len(stride) <= 64
            and all(map(_is_size, (*size, *stride)))
        ):
            raise SourceError(f"{self._file.name} is damaged: a tensor of it has no proper shape")
        offset += first
        count = prod(size)
        span = 1 + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) if count else 0
        where = self._storages.get(key)
        if count and (where is None or (offset + span) * stored.itemsize > where.size):
            raise SourceError(f"{self._file.name} is damaged: a tensor of it claims more bytes than the file has")
        refusal = why_not_values(stored) or why_not_matrix(size)
        if count > span:
            refusal = "expanded: fewer values are stored than its shape has"
        layout = tuple(sorted(zip(size, stride, strict=True)))

        def load_rows(start: int, stop: int) -> Tensor:
            rows = (stop - start, *size[1:])
            return self._values(key, offset + start * stride[0], rows, stride, stored)

        return Parameter(
            name="",
            shape=size,
            load=partial(self._values, key, offset, size, stride, stored),
            refusal=refusal,
            memory=None if refusal else (key, offset, stored, layout),
            resident=False,
            load_rows=load_rows if size else None,
            dtype=dtype_name(stored),
        )

    def _values(
        self, key: str, offset: int, size: tuple[int, ...], stride: tuple[int, ...], dtype: torch.dtype
    ) -> Tensor:
        """Read the bytes between the first and the last value, and no others."""
        place = self._storages[key]
        start = _behind_header(self._file, place.start) if place.zipped else place.start
        span = 1 + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) if prod(size) else 0
        if start + (offset + span) * dtype.itemsize > self._file.size:
            raise SourceError(f"{self._file.name} is damaged: it ends before its values do")
        if not span:
            return torch.empty(size, dtype=dtype)
        values = torch.frombuffer(self._file.read(start + offset * dtype.itemsize, span * dtype.itemsize), dtype=dtype)
        return values.as_strided(size, stride)

    def _array(self, name: str, value: StandIn) -> Parameter | None:
        """A numpy array, whose values lie in the pickle."""
        if name == "_reconstruct" and isinstance(value.state, tuple) and len(value.state) >= 5:
            _, shape, dtype, by_columns, values = value.state[:5]
        elif name == "_frombuffer" and len(value.arguments or ()) == 4:
            values, dtype, shape, order = value.arguments or ()
            by_columns = order == "F"
        else:
            return None
        if isinstance(values, StandIn) and values.name == "_codecs.encode" and values.arguments:
            text = values.arguments[0]
            values = text.encode("latin1", "replace") if isinstance(text, str) else None
        kind = _numpy_dtype(dtype)
        if kind is None or not isinstance(values, bytes | bytearray):
            return _opaque("a numpy array of a kind that is not read")
        if not isinstance(shape, tuple) or not all(map(_is_size, shape)) or len(shape) > 32:
            raise SourceError(f"{self._file.name} is damaged: an array of it has no proper shape")
        if prod(shape) * kind.itemsize != len(values):
            raise SourceError(f"{self._file.name} is damaged: an array of it has {len(values)} bytes for {shape}")
        array = np.frombuffer(values, kind).reshape(shape, order="F" if by_columns else "C")
        return from_array(array)


def _numpy_dtype(value: object) -> np.dtype[Any] | None:
    """A dtype of plain numbers; None of anything else."""
    if not isinstance(value, StandIn) or not value.arguments:
        return None
    code = value.arguments[0]
    if not isinstance(code, str) or not re.fullmatch(r"[<>|=]?(b1|[iu][1248]|f[248]|c8|c16)", code):
        return None
    order = value.state[1] if isinstance(value.state, tuple) and len(value.state) > 1 else "="
    dtype = np.dtype(code)
    return dtype.newbyteorder(">") if order == ">" else dtype


def _plain(value: Any) -> Any:
    """A shape may be of a class of its own: torch.Size of a tuple."""
    return (
        value.arguments[0] if isinstance(value, StandIn) and value.name == "torch.Size" and value.arguments else value
    )


def _opaque(reason: str) -> Parameter:
    return Parameter("", (), lambda: torch.empty(0), reason)


FORMAT = Format(
    describe="a file of torch.save",
    endings=(".pt", ".pth", ".bin", ".ckpt", ".pkl", ".tar", ".th", ".model", ".pdparams"),
    recognises=_recognises,
    tensors=_tensors,
    how_to_convert=_HOW_TO_CONVERT,
)
