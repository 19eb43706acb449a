"""How a command imports what it needs without waiting longer than for the imports themselves.

Not here: what is imported, which each command says where it needs it.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quick_imports() -> Iterator[None]:
    """Import without the collector of garbage, which finds none among modules, and leave them out of it from then on.

    It would go through all that torch, pandas and scipy make again and again, and once more when the process ends: a
    fifth of the time of `spectail analyze` of a small model.

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
        if not gc.get_freeze_count():  # once a process: what is garbage by now is never found again
            gc.freeze()
        if enabled:
            gc.enable()
