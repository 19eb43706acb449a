"""How much memory is free here, and no more pieces of work at once than fit into it.

Not here: how much a piece needs; its chunk says that.
"""

from __future__ import annotations

import os
from collections.abc import Hashable
from pathlib import Path
from typing import Protocol

_CGROUPS = (  # the limit of a container, and what it uses: version 2, version 1
    ("memory.max", "memory.current", "memory.stat"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
)

_GROUP_ROOT = Path("/sys/fs/cgroup")


class LargePiece(Protocol):
    """A piece of work that says how much memory it needs."""

    @property
    def key(self) -> str:
        """Its name."""

    @property
    def memory(self) -> int:
        """Bytes that its chunk needs while it is done."""

    @property
    def chunk(self) -> Hashable:
        """Equal for pieces that are done one after the other."""


class MemoryLimit:
    """Claims of chunks on memory, for a `Queue`. One is always let through, whatever it needs.

    Args:
        limit: bytes.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._held: dict[Hashable, tuple[int, set[str]]] = {}

    def claim(self, piece: LargePiece) -> bool:
        """Whether a piece may begin beside those that have."""
        held = sum(memory for memory, _ in self._held.values())
        if piece.chunk not in self._held and self._held and held + piece.memory > self._limit:
            return False
        self._held.setdefault(piece.chunk, (piece.memory, set()))[1].add(piece.key)
        return True

    def release(self, piece: LargePiece) -> None:
        """Give the memory of a chunk back with its last piece."""
        _, keys = self._held.get(piece.chunk, (0, set[str]()))
        keys.discard(piece.key)
        if not keys:
            self._held.pop(piece.chunk, None)


def available_memory() -> int | None:
    """Bytes that processes here can still get, within the limit of their container; None where nobody says."""
    free = [one for one in (_of_machine(), *(_of_group(_GROUP_ROOT, *names) for names in _CGROUPS)) if one is not None]
    return min(free, default=None)


def _of_machine() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return None


def _of_group(root: Path, limit: str, used: str, statistics: str) -> int | None:
    """What the limit of a control group leaves; pages of files, which it gives back, do not count as used."""
    try:
        most, now = (int((root / name).read_text(encoding="ascii")) for name in (limit, used))
        lines = (root / statistics).read_text(encoding="ascii").split()
        files = int(lines[lines.index("inactive_file") + 1]) if "inactive_file" in lines else 0
    except (OSError, ValueError):  # no such group, or "max"
        return None
    return max(most - now + files, 0)
