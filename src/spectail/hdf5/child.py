"""The program of the process that reads files which may be damaged; started by its path, so nothing of ours is here.

It waits for a request, has a copy of itself read and answer, and ends when nobody asks for some seconds. Each request
says how long the copy may compute and how much memory it may take: the system ends it past that time, and gives it no
more memory. A message is two lengths, JSON, and bytes. Not here: what the answers mean to whom (`reader`).
"""

from __future__ import annotations

import io
import json
import os
import re
import select
import signal
import struct
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from math import prod
from typing import Any, BinaryIO, cast

_PATIENCE = 10  # seconds without a request
_LIBRARY = {"netcdf": "netCDF4", "list": "h5py", "values": "h5py"}
ENDLESS = "reading it does not come to an end"
_LENGTHS = struct.Struct("<QQ")

_MOST = 500_000
"""Data sets and groups of a file."""

_DEEPEST = 60

MOST_TIMES = 1_100
"""The largest factor by which deflating makes anything smaller."""

Stored = dict[str, Any]
"""What is in a file of netCDF."""

Listed = tuple[list[str], list[int], str, str]
"""A data set: its place, shape, the name of its dtype, and why it cannot be read."""


def send(pipe: BinaryIO, message: Any, content: bytes | memoryview = b"") -> None:
    """Write a message."""
    text = json.dumps(message).encode()
    pipe.write(_LENGTHS.pack(len(text), len(content)) + text)
    pipe.write(content)
    pipe.flush()


def receive(pipe: BinaryIO) -> tuple[Any, bytes]:
    """Read a message. Raises EOFError where the other one has ended."""
    head = pipe.read(_LENGTHS.size)
    if len(head) < _LENGTHS.size:
        raise EOFError
    text, content = _LENGTHS.unpack(head)
    return json.loads(pipe.read(text)), pipe.read(content)


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer until nobody asks any more; each time in a copy of this process, where that can be made.

    A damaged file may end the copy, or leave libhdf5 in a state that is wrong for the next file.
    """
    while os.name == "nt" or select.select([requests], [], [], _PATIENCE)[0]:
        try:
            request, _ = receive(requests)
        except EOFError:
            return
        import_module(_LIBRARY[request["what"]])
        send(answers, "taken")
        if not hasattr(os, "fork"):
            if _answer(request, requests, answers):
                continue
            return
        copy = os.fork()
        if copy == 0:
            _limit(request["seconds"], request["memory"])
            _answer(request, requests, answers)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1])
        if status:
            endless = status == -signal.SIGXCPU
            send(answers, {"error": ENDLESS if endless else "reading it ends the process that does"})


def _answer(request: dict[str, Any], requests: BinaryIO, answers: BinaryIO) -> bool:
    """Read what is asked for, and send it; whether that was possible."""
    content: bytes | memoryview = b""
    message: dict[str, Any]
    try:
        if request["what"] == "netcdf":
            message, content = read_all(request["path"], request["memory"])
        else:
            with cast(BinaryIO, _Asked(requests, answers, request["size"])) as file:
                if request["what"] == "list":
                    message = {"answer": list(data_sets_of(file, request["without"]))}
                else:
                    message, content = values_at(file, request["place"])
    except MemoryError:
        message = {"error": "it claims more than it can hold"}
    except Exception as error:  # libhdf5 and netCDF4 have many, where a file is damaged
        says = getattr(error, "strerror", "") or str(error)
        message = {"error": (says.splitlines() or [type(error).__name__])[0][:160]}
    _limit(None, None)
    send(answers, message, content)
    return "error" not in message


def _limit(seconds: int | None, memory: int | None) -> None:
    """Limit what this process may take: seconds of its processor, and bytes on top of what it has; None: no limit."""
    with suppress(ImportError, ValueError, OSError):  # not everywhere; there the one who asks has a clock
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        resource.setrlimit(resource.RLIMIT_CPU, (hard if seconds is None else seconds, hard))
        with open("/proc/self/statm") as file:
            taken = int(file.read().split()[0]) * resource.getpagesize()
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (hard if memory is None else taken + memory + 2**30, hard))


def read_all(path: str, memory: int) -> tuple[dict[str, Any], memoryview]:
    """All that xarray would read of a file of netCDF.

    Args:
        path: of it.
        memory: that its variables may take together, bytes.

    Returns:
        what is in it, as JSON, where numbers have their dtype beside them; and the values of its variables, one after
        the other, but for text, which is in the JSON.

    Raises:
        MemoryError: they take more.
    """
    import netCDF4
    import numpy as np

    variables: list[dict[str, Any]] = []
    content = bytearray()
    with netCDF4.Dataset(path) as file:
        file.set_auto_maskandscale(False)
        file.set_auto_chartostring(False)
        for name, variable in file.variables.items():
            array = np.asarray(variable[...])
            described = {"name": name, "dims": variable.dimensions, "attributes": _attributes(variable)}
            described |= {"shape": array.shape, "dtype": "str" if variable.dtype is str else array.dtype.str}
            if variable.dtype is str:
                described["text"] = [str(one) for one in array.reshape(-1)]
            elif array.dtype.kind in "biufS":
                content += np.ascontiguousarray(array).tobytes()
            else:
                raise ValueError(f"{name} has values of another kind")
            if len(content) > memory:
                raise MemoryError
            variables.append(described)
        return {"answer": {"variables": variables, "attributes": _attributes(file)}}, memoryview(content)


def _attributes(of: Any) -> dict[str, Any]:
    """Attributes as JSON: text, a list of texts, or numbers with their dtype."""
    attributes = {name: of.getncattr(name) for name in of.ncattrs()}
    return {
        name: {"dtype": value.dtype.str, "values": value.tolist()} if hasattr(value, "dtype") else value
        for name, value in attributes.items()
    }


def data_sets_of(file: BinaryIO, without: str) -> Iterator[Listed]:
    """Every data set that lies in the file itself, and what was passed over.

    Args:
        file: of HDF5.
        without: a pattern; what lies at the top under such a name is not looked at.

    Yields:
        each data set; of what is passed over its place, no dtype, and why: "link" for a link, "without" for its name.
    """
    import h5py

    with h5py.File(file, "r") as content:
        root = h5py.h5o.get_info(content.id)
        yield from _walk(content, [], without, {(root.fileno, root.addr)}, [0])


def _walk(group: Any, path: list[str], without: str, visited: set[Any], count: list[int]) -> Iterator[Listed]:
    import h5py

    count[0] += 1
    if count[0] > _MOST or len(path) > _DEEPEST:
        raise ValueError("more groups in one another than in any model")
    for name in group:
        place = [*path, name]
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            yield place, [], "", "link"
            continue
        if not path and re.fullmatch(without, name):
            yield place, [], "", "without"
            continue
        inner = group[name]
        info = h5py.h5o.get_info(inner.id)
        if isinstance(inner, h5py.Group):
            if (info.fileno, info.addr) not in visited:
                visited.add((info.fileno, info.addr))
                yield from _walk(inner, place, without, visited, count)
        elif isinstance(inner, h5py.Dataset):
            count[0] += 1
            yield place, *_described(inner)


def _described(data: Any) -> tuple[list[int], str, str]:
    shape, kind = data.shape or (), data.dtype
    refusal = ""
    if data.external or data.is_virtual:
        refusal = "its values lie in another file, which was not opened"
    elif kind.kind not in "biuf" or kind.itemsize not in (1, 2, 4, 8) or (kind.kind == "f" and kind.itemsize == 1):
        refusal = f"values of the kind {kind!s:.40}, not numbers"
    elif data.chunks is None:
        if data.id.get_storage_size() < prod(shape) * kind.itemsize:
            refusal = "" if 0 in shape else "without values: they were never written"
    elif prod(shape) * kind.itemsize > data.id.get_storage_size() * MOST_TIMES:
        refusal = "without values, or fewer than its shape has"
    return list(shape), str(kind.name), refusal


def values_at(file: BinaryIO, place: str) -> tuple[dict[str, Any], memoryview]:
    """The values of a data set: shape, dtype, and bytes in this machine's order."""
    import h5py
    import numpy as np

    with h5py.File(file, "r") as content:
        array = content[place][()]
    array = np.asarray(array)
    array = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="), copy=False))
    return {"answer": (list(array.shape), array.dtype.name)}, memoryview(array.reshape(-1).view(np.uint8).data)


class _Asked(io.RawIOBase):
    """A file whose bytes the one who asks has: never past the end, whatever the file says."""

    def __init__(self, requests: BinaryIO, answers: BinaryIO, size: int) -> None:
        self._requests, self._answers, self._size, self._at = requests, answers, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = max({io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence] + offset, 0)
        return self._at

    def readinto(self, buffer: Any) -> int:
        count = max(min(len(buffer), self._size - self._at), 0)
        if count:
            send(self._answers, {"at": self._at, "count": count})
            memoryview(buffer).cast("B")[:count] = receive(self._requests)[1]
        self._at += count
        return count


def _main() -> None:
    """Serve on this process's own pipes; what libraries print goes nowhere."""
    with os.fdopen(os.dup(0), "rb") as requests, os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)
        with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")  # where memory is short, this process is to end, and no other
        serve(requests, answers)


if __name__ == "__main__":
    _main()
