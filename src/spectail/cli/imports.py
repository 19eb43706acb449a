"""How a command imports what it needs without waiting longer than for the imports themselves.

Not here: what is imported, which each command says where it needs it.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_process_is_ours = False


def own_process() -> None:
    """Say that this process is a command's alone, in which modules stay to the end."""
    global _process_is_ours
    _process_is_ours = True


@contextmanager
def quick_imports() -> Iterator[None]:
    """Import without the collector of garbage, which finds none among modules.

    The collector would go again and again through all that torch, pandas and scipy make, and once more when the process
    ends: a third of the time of `spectail analyze` of a small model. In a process of a command's own, the collector
    leaves modules out from then on.

    >>> with quick_imports():
    ...     import json
    >>> gc.isenabled()
    True
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if _process_is_ours:
            gc.freeze()  # what is garbage by now is never found again
        if enabled:
            gc.enable()
