"""A large recording of a training: what it takes to look at it again while it grows, and to complete an older one."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import xarray as xr
from torch import nn

from benchmarks.timing import Row
from spectail.analysis.completion import complete
from spectail.monitor.monitor import SpectralMonitor
from spectail.recording.growing import GrowingRecording
from spectail.recording.journal_reading import identity_of
from spectail.recording.layout import each_matrix, eigenvalues_at, labels_of, measurements_of
from spectail.recording.netcdf import write_part
from spectail.report.watching import WatchedRecording

LAYERS, STEPS, WIDTH = 200, 200, 1024

LACKING = ("z_hill", "effect", "alpha_stderr", "visible_edge", "effective_rank", "n_eigenvalues", "z_bulk", "cause")
"""What the files of the first edition do not hold, but for nulls."""


def large() -> xr.Dataset:
    """One measured matrix many times, with spectra that differ by their scale."""
    monitor = SpectralMonitor(nn.Linear(WIDTH, WIDTH), summary=False)
    monitor.detach()
    once, counts = monitor.recording, {"step": STEPS, "matrix": LAYERS}
    variables = {}
    for name, variable in once.variables.items():
        values = variable.values
        for axis, dim in enumerate(variable.dims):
            values = np.repeat(values, counts.get(str(dim), 1), axis)
        variables[name] = xr.Variable(variable.dims, values, variable.attrs)
    scales = np.random.default_rng(0).uniform(0.9, 1.1, (STEPS, LAYERS, 1)).astype(np.float32)
    variables["eigenvalues"] = variables["eigenvalues"] * scales
    variables["step"] = xr.Variable("step", 10 * np.arange(STEPS))
    variables["matrix"] = xr.Variable("matrix", np.array([f"layers.{at}.weight" for at in range(LAYERS)], object))
    coordinates = {name: variables.pop(str(name)) for name in once.coords}
    return xr.Dataset(variables, coordinates, once.attrs)


def cpu_seconds(do: Callable[[], object]) -> float:
    """Seconds of the processor that this process takes, so that what else the machine does counts little."""
    start = time.process_time()
    do()
    return time.process_time() - start


def looking(recording: xr.Dataset) -> Row:
    """A look at a file with a journal beside it, as `spectail watch` takes after each measurement."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.nc"
        write_part(recording, path)
        watched = WatchedRecording(path)
        watched.look()
        last = measurements_of(recording.isel(step=[-1]))[0]
        growing = GrowingRecording("monitor", labels_of(recording), path, recording.attrs, [last], identity_of(path))
        growing.open()
        looks = []
        for step in (1, 2, 3):
            growing.add(replace(last, step=last.step + 10 * step, events=()))
            growing.write()
            looks.append(cpu_seconds(watched.look))
        growing.let_go()
    detail = f"{LAYERS} matrices × {STEPS} steps × {WIDTH} eigenvalues, CPU seconds"
    return Row("a look at a recording that has grown by a step", min(looks), " s", "≤ 2", min(looks) <= 2, detail)


def completing(recording: xr.Dataset) -> Row:
    """Completing what an older recording lacks, beside the time that a fit of each spectrum would take."""
    older = recording.drop_vars([*LACKING, *(name for name in recording.coords if str(name).startswith("null"))])
    taken = cpu_seconds(lambda: complete(older))
    one = next(each_matrix(older.isel(step=slice(20)).drop_vars("pl_alpha_ks")))
    each = cpu_seconds(lambda: complete(one)) / 20
    detail = f"the same recording without {len(LACKING)} quantities and nulls; a fit of each spectrum would take "
    detail += f"{each * LAYERS * STEPS / 60:.0f} min (of {len(eigenvalues_at(one))} eigenvalues, {each * 1e3:.1f} ms)"
    return Row("completing a recording of the first edition", taken, " s", "≤ 5", taken <= 5, detail)


def rows() -> list[Row]:
    recording = large()
    return [looking(recording), completing(recording)]
