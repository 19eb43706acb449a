"""Measuring leaves gradients, random states and autocast as they were.

Not here: what is measured meanwhile (`row`).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch


@contextmanager
def undisturbed() -> Iterator[None]:
    """Inside, nothing is recorded for gradients, and every random state is put back at the end."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()  # type: ignore[no-untyped-call]
    words, numbers = random.getstate(), np.random.get_state()  # noqa: NPY002
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.enter_context(torch.random.fork_rng(devices=devices))
        stack.enter_context(torch.autocast("cpu", enabled=False))
        if devices:
            stack.enter_context(torch.autocast("cuda", enabled=False))
        if torch.empty(0).device.type != "cpu":  # an older get_default_device fails after set_default_device(None)
            stack.enter_context(torch.device("cpu"))
        try:
            yield
        finally:
            random.setstate(words)
            np.random.set_state(numbers)  # noqa: NPY002
