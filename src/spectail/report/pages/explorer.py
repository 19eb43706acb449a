"""Runs as the explorer and the grid of a page have them: what each measured over steps, its spectra, its place.

Runs of students and of networks alike, each matrix of a run by itself. Not here: what else the page holds (study.py),
and what is drawn (`study.js`, `grid.js`).
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from spectail.analysis.two_layer_nulls import with_null_alignments
from spectail.errors import SpectailError
from spectail.experiments.experiment import Experiment, experiment_of
from spectail.experiments.theory import predicted_spike
from spectail.files import check_strangers
from spectail.plots.selection import initial_law
from spectail.progress import over_files
from spectail.recording.layout import each_matrix
from spectail.recording.reading import load_recording
from spectail.report.pages.grid import LAYER, described_quantities, grid_axes
from spectail.report.pages.overlaps import packed_overlaps
from spectail.report.pages.packing import PackedArrays, PackedSpectra, cells_a_decade
from spectail.report.pages.template import json_number
from spectail.running.processes import worker_pool
from spectail.spectra.bulk import MarchenkoPastur
from spectail.store.varying import plain_fields
from spectail.sweeps.worker import PRELOAD
from spectail.weights.parameter import natural_key

_FEW = 300  # runs, which are read before a process has started

_OF_STUDENTS = ("train_loss", "test_loss_large", "kta", "alignment")

_OF_NETWORKS = ("cross_entropy", "squared_error", "test_squared_error", "accuracy", "test_accuracy")

_OF_SPECTRA = ("pl_alpha_hill", "pl_alpha_ks", "ks_xmin", "tail_size", "spectral_gap", "n_spikes")

_SERIES = (*_OF_STUDENTS, *_OF_NETWORKS, *_OF_SPECTRA)

_PLAIN = Experiment()


def packed_runs(
    files: Sequence[Path], unreadable: dict[Path, Exception]
) -> tuple[dict[str, Any], PackedArrays]:  # fmt: skip
    """Runs and their spectra for the explorer; equal spectra, as at step 0 of a sweep, once.

    Args:
        files: of the runs.
        unreadable: gets those that are left out, and why.

    Returns:
        what the script gets as JSON, with the count of runs; and the arrays that the runs and their spectra lie in.
    """
    places: dict[bytes, int] = {}
    distinct: list[NDArray[Any]] = []
    spikes: list[float] = []
    runs = []
    for run, values in _read_all(files, unreadable):
        indices: list[int] = []
        for spectrum, n_spikes in zip(values, run["series"].get("n_spikes", [0.0] * len(values)), strict=True):
            indices.append(places.setdefault(hashlib.sha256(spectrum.tobytes()).digest(), len(distinct)))
            if indices[-1] == len(distinct):
                distinct.append(spectrum)
                spikes.append(n_spikes or 0.0)
        runs.append({**run, "spectra": indices})
    runs.sort(key=lambda run: natural_key(run["label"]))
    packed, arrays = PackedSpectra(cells_a_decade(len(distinct))), PackedArrays()
    numbers = [packed.add(spectrum[None], np.array([n])).item() for spectrum, n in zip(distinct, spikes, strict=True)]
    axes, on_axes = grid_axes(_differing([run.pop("fields") for run in runs]))
    for run, at in zip(runs, on_axes, strict=True):
        run["spectra"] = [numbers[index] for index in run["spectra"]]
        run["at"] = at
    configs = list(dict.fromkeys(run["config"] for run in runs))  # the matrices of a run share one
    number_of = {config: number for number, config in enumerate(configs)}
    for run in runs:
        run["config"] = number_of[run["config"]]
    measured = [name for name in _SERIES if any(name in run["series"] for run in runs)]
    drawn = {"axes": axes, "quantities": described_quantities(measured)}
    of_runs = arrays.add_json({"runs": runs, "configs": configs})
    return {"count": len(configs), "of_runs": of_runs, "spectra": packed.packed(arrays), **drawn}, arrays


def _differing(fields: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Of each run the fields that are not the same in all; "" for a field that runs of its kind do not have."""
    names = dict.fromkeys(name for one in fields for name in one)
    whole = [{name: one.get(name, "") for name in names} for one in fields]
    differing = [name for name in names if any(one[name] != whole[0][name] for one in whole)]
    return [{name: one[name] for name in differing} for one in whole]


def _read_all(
    paths: Sequence[Path], unreadable: dict[Path, Exception]
) -> Iterator[tuple[dict[str, Any], NDArray[Any]]]:
    """Runs for the explorer with their spectra (steps × index), without those that cannot be read or have no step.

    Of a run with several matrices, one for each.
    """
    workers = min(os.cpu_count() or 1, 1 + len(paths) // _FEW)
    with worker_pool(workers, gc.freeze, PRELOAD) if workers > 1 else nullcontext() as pool:
        readings = pool.map(_read, paths, chunksize=16) if pool else map(_read, paths)
        for path, of_file in zip(over_files(paths), readings, strict=True):
            if isinstance(of_file, Exception):
                unreadable[path] = of_file
            else:
                yield from of_file


def _read(path: Path) -> list[tuple[dict[str, Any], NDArray[Any]]] | Exception:
    try:
        check_strangers(path)
        run = load_recording(path)
        experiment = experiment_of(run)
        matrices = each_matrix(with_null_alignments(run)) if run.sizes["step"] else ()
        return [(_run(one, experiment), one.eigenvalues.values) for one in matrices]
    except (SpectailError, OSError) as error:
        return error


def _run(run: xr.Dataset, e: Experiment) -> dict[str, Any]:
    """One matrix of a run."""
    matrix, steps = str(run["matrix"].item()), [int(step) for step in run.step.values]
    changed = {k: v for k, v in e.model_dump(mode="json", include={*e.field_names}).items() if v != getattr(_PLAIN, k)}
    law = initial_law(run) or _law_of_first(run)
    return {
        "label": " ".join((_label_of_student if e.has_closed_form else _label_of_network)(e, matrix, changed).split()),
        "config": f"key {e.key}\n{json.dumps(changed, indent=1)}\nall else: defaults",
        "steps": steps,
        "long": steps[-1] > 200,
        "series": {name: _over_steps(run, name) for name in _SERIES if name in run},
        "nulls": {name: _null(run, name) for name in ("kta", "alignment") if f"null_{name}" in run},
        "phases": [str(phase) for phase in run.phase.values],
        "law": None if law is None else {"rows": law.rows, "cols": law.cols, "variance": law.variance},
        "predicted": predicted_spike(e) if e.has_closed_form else None,
        "overlaps": packed_overlaps(run),
        "fields": plain_fields(e.model_dump(mode="json", include={*e.field_names})) | {LAYER: matrix},
    }


def _label_of_student(e: Experiment, matrix: str, changed: Mapping[str, Any]) -> str:
    beside = [f"{k}={v}" for k, v in changed.items() if k in ("teacher", "label_noise", "ridge", "initialization")]
    beside += ["WN"] if e.weight_normalization else []
    beside += [f"γ={e.schedule_options.get('gamma')}"] if e.schedule == "StepLR" else []
    width = f"layers={'-'.join(map(str, e.layers))} {matrix}" if e.layers else f"h={e.h}"
    sizes = f"{e.optimizer} η={e.lr:g} n={e.n} d={e.d} {width}"
    return f"{sizes} {' '.join(beside)} steps={e.steps} {e.protocol} seed {e.seed}"


def _label_of_network(e: Experiment, matrix: str, _: Mapping[str, Any]) -> str:
    return f"{e.title.replace(',', '')} steps={e.steps} {matrix}"


def _law_of_first(run: xr.Dataset) -> MarchenkoPastur | None:
    """The law of one matrix of a network's initial weights, by their variance; None where step 0 was not kept."""
    rows, cols, slices = (int(run[name]) for name in ("rows", "cols", "slices"))
    variance = float(run["frobenius_norm"].values[0]) ** 2 / (slices * rows * cols)
    return MarchenkoPastur(rows, cols, variance) if run.step.values[0] == 0 and 0 < variance < np.inf else None


def _over_steps(run: xr.Dataset, name: str) -> list[float | None]:
    """A quantity at each recorded step; one that is known after each update, after as many updates."""
    values = run[name].values.tolist()
    if run[name].dims == ("update",):
        of_update = dict(zip(run["update"].values.tolist(), values, strict=True))
        values = [of_update.get(step, np.nan) for step in run.step.values.tolist()]
    return [json_number(value) for value in values]


def _null(run: xr.Dataset, name: str) -> list[list[float] | None] | None:
    """Mean and standard deviation by chance at each step; none where a run was made before they were kept."""
    means, spreads = (run[f"{kind}_{name}"].values for kind in ("null", "null_spread"))
    if not np.isfinite(means).any():
        return None
    pairs = zip(means.tolist(), spreads.tolist(), strict=True)
    return [[float(f"{one:.3g}") for one in pair] if np.isfinite(pair).all() else None for pair in pairs]
