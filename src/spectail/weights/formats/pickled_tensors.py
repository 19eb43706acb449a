"""Tensors and arrays of pickles: what the calls that would make them say, as parameters that are read when asked for.

Here: containers, modules, tensors and arrays by what a pickle says of them. Not here: how a pickle is read
(`pickle_machine`), and the files that pickles and values lie in (`pickles`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spectail.errors import SourceError
from spectail.weights.formats.checksum import Checksum
from spectail.weights.formats.pickle_machine import Persistent, StandIn
from spectail.weights.parameter import Parameter, dtype_name, from_array, why_not_matrix, why_not_values
from spectail.weights.state_dict import DEEPEST, Members, TensorParts, Tree
from spectail.weights.stored import StoredFile
from spectail.weights.untrusted import printable

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


@dataclass(frozen=True)
class Storage:
    """Where values lie in a file: from a byte on, so many bytes; in an archive after a header, with a checksum."""

    start: int
    size: int
    checksum: Checksum | None = None


def behind_header(file: StoredFile, start: int) -> int:
    """Where the bytes of an entry of an archive begin, by where its header does."""
    header = bytes(file.read(start, 30)) if 0 <= start <= file.size - 30 else b""
    if header[:4] != b"PK\x03\x04":
        raise SourceError(f"{file.name} is a damaged zip archive: an entry is not where it should be")
    return start + 30 + int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")


def storage_sizes(content: Any) -> Iterator[tuple[str, int]]:
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


def tree_of(content: Any, file: StoredFile, storages: Mapping[str, Storage]) -> Tree:
    """What a pickle holds: containers as dicts, tensors as parameters that are read when asked for, all else as it is.

    Args:
        content: what was read of it.
        file: that values are read from.
        storages: where in it they lie, by key.

    Returns:
        the tree; module by module where it is a whole module.

    Raises:
        SourceError: a tensor has no proper shape, or claims more bytes than the file has.
    """
    return _Reader(file, storages).tree(content, DEEPEST)


def number_at(content: Any, keys: Sequence[str | int], file: StoredFile, storages: Mapping[str, Storage]) -> object:
    """The number that keys lead to in what a pickle holds, also of a tensor with one value, or of numpy.

    Args:
        content: what was read of it.
        keys: of dicts and objects, and indices of lists.
        file: that values are read from.
        storages: where in it they lie, by key.

    Returns:
        the number; what is there, where that is none; None where nothing is.

    Raises:
        SourceError: a tensor has no proper shape, or is damaged.
    """
    for key in keys:
        if isinstance(content, StandIn):
            content = content.entries or content.state
        if isinstance(key, int):
            content = content[key] if isinstance(content, list) and content else None
        else:
            content = content.get(key) if isinstance(content, dict) else None
    if isinstance(content, StandIn):
        if content.name.endswith(".multiarray.scalar") and len(content.arguments or ()) == 2:
            kind, values = content.arguments or ()
            content = StandIn("numpy._frombuffer", (values, kind, (), "C"))
        content = tree_of(content, file, storages)
    if isinstance(content, Parameter) and content.dtype and prod(content.shape) == 1:
        return content.load().item()
    return content


class _Reader:
    """Makes parameters of what a pickle says of tensors, and mappings of what holds them."""

    def __init__(self, file: StoredFile, storages: Mapping[str, Storage]) -> None:
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
        key, values_dtype, first = place
        if isinstance(dtype, StandIn):
            named = getattr(torch, dtype.name.removeprefix("torch."), None) if dtype.name.startswith("torch.") else None
            if not isinstance(named, torch.dtype):
                return _opaque(f"of the dtype {printable(dtype.name)}, which is not known here")
            values_dtype = named
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
        if count and (where is None or (offset + span) * values_dtype.itemsize > where.size):
            raise SourceError(f"{self._file.name} is damaged: a tensor of it claims more bytes than the file has")
        refusal = why_not_values(values_dtype) or why_not_matrix(size)
        if count > span:
            refusal = "expanded: fewer values are stored than its shape has"
        layout = tuple(sorted(zip(size, stride, strict=True)))

        def load_rows(start: int, stop: int) -> Tensor:
            rows = (stop - start, *size[1:])
            return self._values(key, offset + start * stride[0], rows, stride, values_dtype)

        return Parameter(
            name="",
            shape=size,
            load=partial(self._values, key, offset, size, stride, values_dtype),
            refusal=refusal,
            memory=None if refusal else (key, offset, values_dtype, layout),
            resident=False,
            load_rows=load_rows if size else None,
            dtype=dtype_name(values_dtype),
        )

    def _values(
        self, key: str, offset: int, size: tuple[int, ...], stride: tuple[int, ...], dtype: torch.dtype
    ) -> Tensor:
        """Read the bytes between the first and the last value, and no others."""
        place = self._storages[key]
        start = behind_header(self._file, place.start) if place.checksum else place.start
        span = 1 + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) if prod(size) else 0
        if start + (offset + span) * dtype.itemsize > self._file.size:
            raise SourceError(f"{self._file.name} is damaged: it ends before its values do")
        if not span:
            return torch.empty(size, dtype=dtype)
        content = self._file.read(start + offset * dtype.itemsize, span * dtype.itemsize)
        if place.checksum:
            place.checksum.check(self._file, start, *([content] if len(content) == place.size else []))
        return torch.frombuffer(content, dtype=dtype).as_strided(size, stride)

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
