"""What `spectail sweep` and `spectail reproduce` compute, and where."""

from __future__ import annotations

import sys
from typing import Any


def compute(
    experiments: Any, store: Any, device: str, workers: int | None, ray: str | None, cpus: float, gpus: float
) -> None:
    """Compute what a store lacks, with a progress bar; exits where runs failed or it was to stop."""
    from spectail.report.progress import RunProgress
    from spectail.sweeps.on_ray import Resources
    from spectail.sweeps.sweep import Where, run_missing

    where = Where(device, workers, ray, Resources(cpus, gpus))
    with RunProgress() as progress:
        summary = run_missing(experiments, store, where, progress)
    progress.print_summary(summary)
    if summary.stopped:
        raise KeyboardInterrupt
    if summary.failures:
        sys.exit(1)
