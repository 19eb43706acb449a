"""What tells whether an analysis is the same: stamps of the files of its source, or a digest of weights in memory.

Not here: the rows that are gone on with (`model`).
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spectail.weights.folders import files_meant
from spectail.weights.matrix import Weights, read_once
from spectail.weights.remote import is_remote, remote_stamps

_OURS = (".nc", ".journal", ".part", ".csv", ".html")  # what an analysis writes, perhaps beside its source

Stamps = list[list[Any]]
"""Of each file: its name, its size in bytes, and when it was last written, in nanoseconds; elsewhere, its version."""


def stamps_of(source: Any) -> Stamps | None:
    """What tells whether the files of a source have changed; None for a source that is no file.

    Args:
        source: as for `open_weights`.

    >>> stamps_of({"w": torch.eye(2)}) is None
    True
    """
    if is_remote(source):
        return remote_stamps(source)
    if not isinstance(source, str | os.PathLike):
        return None
    path = Path(source)
    shards = [*map(Path, files_meant(str(path)))]  # beside which those of other checkpoints may lie
    if not shards and not path.exists():
        return None
    folder = path.parent if shards else path
    files = shards or (sorted(folder.rglob("*")) if folder.is_dir() else [path])
    files = [file for file in files if file.is_file() and file.suffix not in _OURS and not file.name.startswith(".")]
    states = [(file, file.stat()) for file in files]
    return [[file.relative_to(folder.parent).as_posix(), at.st_size, at.st_mtime_ns] for file, at in states]


def weights_digest(weights: Weights) -> str:
    """A hash of all matrices, or of the factors that they are known by; each is read.

    Args:
        weights: of a source.

    Returns:
        64 hexadecimal digits (SHA-256).

    Raises:
        SourceError: a file is not what it was when it was opened.
    """
    digest = hashlib.sha256()
    for matrix in read_once(weights.matrices):
        factors = None if matrix.factors is None else matrix.factors()
        for values in [matrix.load()] if factors is None else [factors.left, factors.right]:
            digest.update(json.dumps([matrix.name, matrix.dtype, list(values.shape)]).encode())
            digest.update(_bytes_of(values))
    return digest.hexdigest()


def content_hash(*tensors: Tensor) -> str:
    """What tells whether weights are the same, bit for bit, in a third of the time of a cryptographic hash.

    A CRC, and the sum of the bytes as numbers of 64 bits: two different states of a training have both in common by
    chance once in 2⁹⁶. It is no proof against somebody who wants them equal.

    Args:
        tensors: that they are made of.

    Returns:
        24 hexadecimal digits.

    >>> content_hash(torch.zeros(2)) == content_hash(torch.zeros(2)), content_hash(torch.zeros(1, 2))
    (True, '291617c30000000000000000')
    """
    crc, total = 0, 0
    for values in tensors:
        in_memory = sorted(range(values.ndim), key=lambda dim: -values.stride()[dim])  # a transposed one is not copied
        crc = zlib.crc32(json.dumps([str(values.dtype), list(values.shape), in_memory]).encode(), crc)
        content = _bytes_of(values.permute(in_memory)).cast("B")
        whole = len(content) // 8 * 8
        crc = zlib.crc32(content, crc)
        total += int(np.frombuffer(content[:whole], np.uint64).sum()) if whole else 0
    return f"{crc:08x}{total % 2**64:016x}"


def _bytes_of(values: Tensor) -> memoryview:
    return values.detach().cpu().contiguous().view(torch.uint8).numpy().data


def difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What is not the same about two analyses, in words; "" where nothing is.

    Args:
        before: the header of one.
        now: that of the other.

    >>> difference({"conv": "flatten", "seed": 0}, {"conv": "kernel-slices", "seed": 0})
    "conv was 'flatten' and is 'kernel-slices'"
    """
    common = before.keys() & now.keys()
    for name in sorted({*before, *now} - {"title"}, key=lambda name: (name != "files", name not in common, name)):
        old, new = before.get(name), now.get(name)
        if old == new:
            continue
        if name == "digest":
            return "the weights in memory are others"
        return _of_files(old, new) if name == "files" else f"{name} was {old!r:.80} and is {new!r:.80}"
    return ""


def _of_files(before: Any, now: Any) -> str:
    """Which file is not the same, in words."""
    if not (isinstance(before, list) and isinstance(now, list) and len(before) == len(now)):
        return "it was of another source"
    for old, new in zip(before, now, strict=True):
        was, has = ({name: (size, time) for name, size, time in one or []} for one in (old, new))
        for name in {**was, **has}:
            if name not in has or name not in was:
                return f"{name} is {'new' if name in has else 'gone'}"
            if was[name] != has[name]:
                return f"{name} has changed: it was {_file(*was[name])}, and is {_file(*has[name])}"
    return "it was of another source"


def _file(size: int, version: int | str) -> str:
    if isinstance(version, str):
        return f"{size} bytes, version {version}" if size else f"at {version}"
    return f"{size} bytes of {datetime.fromtimestamp(version / 1e9):%Y-%m-%d %H:%M:%S}"
