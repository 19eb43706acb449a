"""The machine that a run was computed on: what its bits depend on besides its experiment.

Not here: the versions of packages, and the device (run.py).
"""

from __future__ import annotations

import platform
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch


def computed_on() -> dict[str, Any]:
    """The processor, its instruction set, the threads and libraries of linear algebra, for the file of a run.

    >>> sorted(computed_on())
    ['blas', 'cpu', 'instruction_set', 'threads']
    """
    return {**_machine(), "threads": torch.get_num_threads()}


@cache
def _machine() -> dict[str, str]:
    of_torch = "MKL" if torch.backends.mkl.is_available() else "its own"  # type: ignore[no-untyped-call]
    config: Any = np.show_config(mode="dicts") or {}
    of_numpy = config.get("Build Dependencies", {}).get("blas", {})
    return {
        "cpu": _processor(),
        "instruction_set": torch.backends.cpu.get_cpu_capability(),
        "blas": f"torch: {of_torch}; numpy: {of_numpy.get('name', 'unknown')} {of_numpy.get('version', '')}".strip(),
    }


def _processor() -> str:
    """The model of the processor, as far as the system says."""
    try:
        names = re.findall(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.M)
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
