"""Where a long run or training is, kept from time to time, so that it can go on after it was killed.

Not here: what such a state holds (two_layer/loop.py, deep/run.py), and where its bytes lie.
"""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

State = dict[str, Any]
"""Tensors, numbers, text, lists and dictionaries of these."""

SECONDS = 60.0
"""Between two times that the state of a run is kept; a shorter run keeps none."""

_ASK = 1.0  # seconds between two questions whether to stop, which can go over a network

# The edition of what a state holds; a state of another edition is not read, and its run is begun anew.
_EDITION = b"spectail checkpoint 1\n"


class Suspended(Exception):  # noqa: N818 - it says what happened
    """A run was left at a step whose state is kept."""


@runtime_checkable
class Resumable(Protocol):
    """Keeps the state of a run, and gives it back; see `ResumeState`."""

    def load(self) -> State | None:
        """The state that was kept, or None."""

    def save_if_due(self, state: Callable[[], State]) -> None:
        """Keep the state, if it is time to."""


class ResumeState:
    """The latest state of one run.

    It is read with torch's loader for weights, which builds nothing else, so that a file from a
    stranger cannot run code; a hash in front finds damage.

    Args:
        read: the bytes that were kept, or None.
        write: keeps bytes, whole or not at all.
        seconds: between two times that it is kept, by a clock that nobody can set back.
        stopping: asked at each step, but once a second at most, when the run has been going on for `seconds`
            since it was begun or resumed; where it is true, the run is left there. Before that, it goes on.
    """

    def __init__(
        self,
        read: Callable[[], bytes | None],
        write: Callable[[bytes], object],
        seconds: float = SECONDS,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._read, self._write, self.seconds, self._stopping = read, write, seconds, stopping
        self._last = time.monotonic()
        self._ask_at = self._last + seconds

    def load(self) -> State | None:
        """The state that was kept; None where there is none, or it is damaged or of another kind."""
        content = self._read()
        return None if content is None else from_bytes(content)

    def save_if_due(self, state: Callable[[], State]) -> None:
        """Keep the state if the last time was long enough ago, or if the run is to be left.

        Args:
            state: called only then.

        Raises:
            OSError: it cannot be written.
            Suspended: the run is to be left; its state is kept.
        """
        now = time.monotonic()
        leaving = now >= self._ask_at and self._stopping()
        if leaving or now - self._last >= self.seconds:
            self._write(to_bytes(state()))
            self._last = time.monotonic()
        if leaving:
            raise Suspended
        if now >= self._ask_at:
            self._ask_at = now + min(self.seconds, _ASK)


def to_bytes(state: State) -> bytes:
    """A state as the content of its file."""
    import torch

    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getvalue()
    return _EDITION + hashlib.sha256(content).digest() + content


def is_whole(content: bytes) -> bool:
    """Whether bytes are a state of this edition, without damage."""
    rest = content[len(_EDITION) :]
    return content.startswith(_EDITION) and rest[:32] == hashlib.sha256(rest[32:]).digest()


def from_bytes(content: bytes) -> State | None:
    """The state in the content of its file, or None where it is damaged, of another edition or of another kind.

    States of networks that the first edition trained had no hash; they are read for one release.
    """
    if content.startswith(b"PK"):
        return _load(content)
    return _load(content[len(_EDITION) + 32 :]) if is_whole(content) else None


def _load(content: bytes) -> State | None:
    import torch

    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception:  # a file that was made by hand can raise anything: it is not one of ours
        return None
    return state if isinstance(state, dict) else None
