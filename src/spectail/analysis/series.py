"""A training seen through the checkpoints that it has left: one recording, as a monitor would have made it.

Here: what `analyze_series` does. Not here: which checkpoints there are (`weights/series.py`), and what is measured of
each (`series_measuring`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, nullcontext, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import xarray as xr

from spectail.analysis.alerts import DEFAULT_THRESHOLDS, AlertThresholds
from spectail.analysis.choices import check_existing, checked_nulls
from spectail.analysis.pieces import (
    Measure,
    Request,
    reading_options,
)
from spectail.analysis.resuming import Kept, header_of
from spectail.analysis.series_measuring import SeriesMeasuring
from spectail.errors import SourceError
from spectail.progress import MatrixProgress
from spectail.recording.growing_series import GrowingSeries
from spectail.recording.layout import labels_of, measurements_of
from spectail.running.ray import Resources, connection
from spectail.running.scheduler import Compute
from spectail.running.signals import stoppable
from spectail.spectra.precision import check_device
from spectail.weights.matrix import ConvMatrix
from spectail.weights.remote import is_remote
from spectail.weights.series import Series, find_series

POLL_SECONDS = 10.0
"""Between two looks at a series that is followed; what did not change in between is read."""


def analyze_series(
    source: Any,
    *,
    revisions: str | None = None,
    steps: Sequence[int] | None = None,
    follow: bool = False,
    between: bool = False,
    key: str | None = None,
    layers: str | Sequence[str] | None = None,
    conv: ConvMatrix | str = ConvMatrix.KERNEL_SLICES,
    heads: bool = False,
    nulls: str | bool = "gaussian",
    tail: bool = False,
    measure: Measure | None = None,
    seed: int = 0,
    device: str | None = None,
    workers: int | None = None,
    ray: str | None = None,
    resources: Resources | None = None,
    out: str | os.PathLike[str] | None = None,
    existing: str = "resume",
    alerts: AlertThresholds | None = DEFAULT_THRESHOLDS,
    progress: MatrixProgress | None = None,
) -> xr.Dataset:
    """How the spectra of a model evolved, from the checkpoints of its training.

    The recording is bit for bit that of a `SpectralMonitor` that measured at the same steps.

    Args:
        source: a folder with checkpoints, or one above it: `step-N.pt`, `checkpoint-N/`, `epoch=E-step=N.ckpt`,
            `global_stepN/`, `N.safetensors` and the like; a pattern such as "run/step-*.pt"; "hub:owner/name" with
            `revisions`; or a list of sources.
        revisions: the branches and tags of a model of the hub whose states are meant, such as "step*".
        steps: of each checkpoint, in the order of their names, where neither names nor files say it.
        follow: whether to wait for checkpoints to come, until it is interrupted. One that is being written is read
            when it is whole.
        between: whether each change from checkpoint to checkpoint is measured too: matrices with the label "updates",
            their spectra, and how far their leading directions are those of the weights.
        key: of the state dict that is meant, in checkpoints that hold several.
        layers: names of matrices, or patterns; as for `analyze`, as are the others.
        conv: how a convolution's kernel becomes matrices.
        heads: whether the QK and OV circuits of attention heads have rows as well.
        nulls: what to compare with: "gaussian", "full" or False.
        tail: whether to ask what kind of tail each spectrum has.
        measure: quantities of your own.
        seed: of what `tail` and `nulls="full"` draw.
        device: where spectra are computed.
        workers: processes beside each other.
        ray: address of a Ray cluster.
        resources: what each matrix takes of the cluster.
        out: a netCDF file. Each row is kept beside it as soon as it is there; interrupted or killed, the same call goes
            on where it was, to the same bits, and takes up checkpoints that came since. Steps whose checkpoint was
            removed meanwhile stay.
        existing: what is done with a file at `out`: "resume" it, "replace" it, or "refuse" to.
        alerts: from which values on events tell of a rank that collapses, a norm that explodes and the like; None for
            none of them.
        progress: called with the share of the work that is done and what is measured; by default a bar where someone
            looks.

    Returns:
        a recording with a row a matrix and step. A checkpoint that cannot be read, or is of another model, is left out
        with a warning; the attribute `left_out` holds these sentences.

    Raises:
        SourceError: there is no checkpoint, or none that can be read.
        SettingError: an option is out of range, or a pattern fits no matrix.
        StoreError: what is at `out` is no series, or one of another source, or of other options.
        OSError: the file cannot be written.
        KeyboardInterrupt: it was interrupted while it measured; what is in `out` is kept.

    >>> import tempfile, torch
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for step in (0, 100, 200):
    ...         torch.save({"fc.weight": torch.eye(20) * (1 + step)}, f"{folder}/step-{step}.pt")
    ...     recording = analyze_series(folder, nulls=False)
    >>> recording.spectral_norm.sel(matrix="fc.weight").values.tolist()
    [1.0, 101.0, 201.0]
    """
    check_existing(existing)
    if device is not None:
        check_device(device)
    reading = reading_options(conv, key, heads)
    request = Request("series", (), reading, layers, checked_nulls(nulls), tail, seed, device, dict(measure or {}))
    compute = Compute(device or "cpu", workers, ray, resources, threads=1)
    path = None if out is None else Path(out)
    sources = [str(one) for one in source] if isinstance(source, list | tuple) else str(source)
    here = sources if isinstance(sources, list) or is_remote(sources) else os.path.abspath(sources)
    options: dict[str, Any] = {"between": between} | ({"revisions": revisions} if revisions else {})
    options |= {} if alerts == DEFAULT_THRESHOLDS else {"alerts": alerts and asdict(alerts)}
    header = header_of(request, series=here, **options)
    journal = _journal(path, header, existing)
    follower = SeriesMeasuring(request, compute, journal, header, between, progress, alerts)

    def look() -> Series:
        measured = [str(one.source["source"]) for one in journal.measurements]
        return find_series(source, revisions=revisions, steps=steps, key=key, measured=measured)

    with closing(journal), nullcontext() if ray is None else connection(ray):
        try:
            _follow(look, follower) if follow else follower.take(look())
        except SourceError as error:
            if not journal.measurements:
                raise
            follower.remark(str(error))
    return follower.recording()


def _follow(look: Callable[[], Series], follower: SeriesMeasuring) -> None:
    """Measure what is there and what comes, until it is interrupted."""
    with suppress(KeyboardInterrupt), stoppable():
        while True:
            try:
                follower.take(look(), waiting=POLL_SECONDS)
                follower.save()  # who looks meanwhile finds one whole file
            except SourceError as error:  # there may be something next time
                follower.remark(str(error))
            time.sleep(POLL_SECONDS)


def _journal(path: Path | None, header: Mapping[str, Any], existing: str) -> GrowingSeries:
    """The journal to go on with."""
    recording = (
        None if path is None else Kept(path, path, "series", "exists", "path", of="series").begun(header, existing)
    )
    if recording is None:
        return GrowingSeries(path, header)
    journal = GrowingSeries(path, header, labels_of(recording), measurements_of(recording))
    journal.attributes = {
        name: recording.attrs[name] for name in ("title", "skipped", "left_out") if name in recording.attrs
    }
    return journal
