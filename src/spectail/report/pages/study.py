"""The report: one HTML file of pictures, verdicts and an explorer of runs, which needs no network."""

from __future__ import annotations

import base64
import gc
import hashlib
import io
import json
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import xarray as xr
from PIL import Image

from spectail.analysis.two_layer_nulls import with_null_alignments
from spectail.errors import SpectailError, StoreError, kind_and_first_line
from spectail.experiments.experiment import Experiment, experiment_of
from spectail.experiments.protocols import PROTOCOLS
from spectail.experiments.theory import predicted_spike
from spectail.files import check_strangers, check_writable, read_strangers, write_content
from spectail.plots.selection import initial_law
from spectail.recording.layout import each_matrix
from spectail.recording.reading import load_recording
from spectail.report.pages.grid import LAYER, described_quantities, grid_axes
from spectail.report.pages.overlaps import packed_overlaps
from spectail.report.pages.packing import PackedArrays, PackedSpectra, cells_a_decade
from spectail.report.pages.template import json_number, page
from spectail.report.wording import duration
from spectail.running.processes import worker_pool
from spectail.store.locks import shared_lock
from spectail.store.recordings import warn_of_unreadable
from spectail.store.store import Store, hint_above
from spectail.store.varying import plain_fields
from spectail.study.records import Record, read_records
from spectail.study.runs import Values
from spectail.study.settings import figure_folder, picture_stem
from spectail.sweeps.worker import PRELOAD

_FEW = 300  # runs, which are read before a process has started

_PICTURE_WIDTH = 1150

_MOST_PIXELS, _MOST_BYTES = 50_000_000, 2**26  # of a picture; the paper's largest have 5 million and a MB

_SERIES = (
    "train_loss", "test_loss_large", "kta", "alignment", "pl_alpha_hill", "pl_alpha_ks", "ks_xmin", "tail_size",
    "spectral_gap", "n_spikes",
)  # fmt: skip

_PLAIN = Experiment()


def write_report(root: Path, scale: str = "paper", out: Path | None = None) -> Path:
    """Write the report of a folder that `spectail reproduce`, `sweep` or `run` filled.

    The folder may be a stranger's: what is not as spectail writes it is left out, and a warning says so.

    Args:
        root: the folder, with `runs` and, if something was reproduced, `figures`.
        scale: which reproductions it shows: those at the "paper"'s sizes, at a "quarter" of them, or the "small" ones.
        out: folder of the page; by default the same, which is then written to.

    Returns:
        the path of the page: report.html, or report-SCALE.html.

    Raises:
        StoreError: the folder holds neither runs nor figures.
        OSError: the page cannot be written.
    """
    store, folder = Store(root), root if out is None else out
    path = folder / ("report.html" if scale == "paper" else f"report-{scale}.html")
    unreadable: dict[Path, Exception] = {}
    artifacts = [_artifact(record, folder, unreadable) for record in read_records(figure_folder(root, scale))]
    keys = [key for key, run in store.manifest.read().items() if not run.matrices] if store.runs.is_dir() else []
    if not artifacts and not keys:
        hint = hint_above(root) or "; expected a folder that spectail wrote to"
        raise StoreError(f"{root} holds neither runs nor figures{hint}")
    of_artifacts = {key for artifact in artifacts for of in artifact["runs"].values() for key in of}
    chosen = [key for key in keys if not artifacts or key in of_artifacts]
    check_writable(path)
    data, arrays = _pack(store, chosen, unreadable)
    warn_of_unreadable(unreadable)
    text = page(
        "study",
        data,
        arrays,
        ("overlaps.js", "grid.js", "study.js"),
        title=str(root.resolve().name),
        small=scale != "paper",
        artifacts=artifacts,
        protocols=list(PROTOCOLS),
        claims=[claim for artifact in artifacts for claim in artifact["claims"]],
        runs=len(data["runs"]),
        grid=bool(data["axes"]),
    )
    with shared_lock(store.write_lock) if out is None else nullcontext():
        return write_content(path, text)


def _artifact(record: Record, folder: Path, unreadable: dict[Path, Exception]) -> dict[str, Any]:
    """A record as a page in a folder shows it: with its pictures, and its first two measurements in words."""
    measured = [f"Claim {claim.number}: {o.measured}." for claim in record.claims for o in claim.outcomes.values()]
    return {
        **vars(record),
        "pictures": [
            {"protocol": protocol, "stem": path.stem, **picture}
            for protocol in record.runs
            for path in record.paths
            if path.name == f"{picture_stem(record.name, protocol)}.png"
            and (picture := _picture_or_none(path, unreadable))
        ],
        "folder": _link(record.paths[0].parent, folder),
        "summary": " ".join(measured[:2]),
        "minutes": duration(record.seconds),
    }  # fmt: skip


def _link(to: Path, folder: Path) -> str:
    """The address of a folder in a page of another."""
    try:
        return quote(os.path.relpath(to, folder).replace(os.sep, "/"))
    except ValueError:  # another drive of Windows
        return to.resolve().as_uri()


def _picture_or_none(path: Path, unreadable: dict[Path, Exception]) -> dict[str, Any] | None:
    try:
        return _picture(path)
    except (OSError, StoreError) as error:
        unreadable[path] = error
        return None


def _picture(path: Path) -> dict[str, Any]:
    """A picture at the width of the page, as a data URI: in few colours, which figures have.

    Raises:
        StoreError: it is no PNG, or larger than any figure.
        OSError: it cannot be read.
    """
    content = io.BytesIO(read_strangers(path, _MOST_BYTES))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our limit is below
            picture = Image.open(content, formats=["PNG"])
        if picture.width * picture.height > _MOST_PIXELS:
            raise StoreError(f"{path} has {picture.width}×{picture.height} pixels, more than any figure")
        image = picture.convert("RGB")
    except StoreError:
        raise
    except Exception as error:  # whatever the reader makes of a stranger's bytes
        raise StoreError(f"{path} is not a PNG: {kind_and_first_line(error)}") from None
    if image.width > _PICTURE_WIDTH:
        height = round(image.height * _PICTURE_WIDTH / image.width)
        image = image.resize((_PICTURE_WIDTH, height), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    image.save(stream, "WEBP", quality=62, method=4)
    source = "data:image/webp;base64," + base64.b64encode(stream.getvalue()).decode()
    return {"source": source, "width": image.width, "height": image.height}


def _pack(store: Store, keys: Sequence[str], unreadable: dict[Path, Exception]) -> tuple[dict[str, Any], PackedArrays]:
    """Runs and their spectra for the explorer; equal spectra, as at step 0 of a sweep, once."""
    places: dict[bytes, int] = {}
    distinct: list[Values] = []
    spikes: list[float] = []
    runs = []
    for run, values in _read_all([store.runs / f"{key}.nc" for key in keys], unreadable):
        indices: list[int] = []
        for spectrum, n_spikes in zip(values, run["series"]["n_spikes"], strict=True):
            indices.append(places.setdefault(hashlib.sha256(spectrum.tobytes()).digest(), len(distinct)))
            if indices[-1] == len(distinct):
                distinct.append(spectrum)
                spikes.append(n_spikes or 0.0)
        runs.append({**run, "spectra": indices})
    runs.sort(key=lambda run: run["label"])
    packed, arrays = PackedSpectra(cells_a_decade(len(distinct))), PackedArrays()
    numbers = [packed.add(spectrum[None], np.array([n])).item() for spectrum, n in zip(distinct, spikes, strict=True)]
    fields = [run.pop("fields") for run in runs]
    differing = [n for n in (fields[0] if fields else ()) if any(one[n] != fields[0][n] for one in fields)]
    axes, on_axes = grid_axes([{name: one[name] for name in differing} for one in fields])
    for run, at in zip(runs, on_axes, strict=True):
        run["spectra"] = [numbers[index] for index in run["spectra"]]
        run["at"] = at
    drawn = {"axes": axes, "quantities": described_quantities(_SERIES)}
    return {"runs": runs, "spectra": packed.packed(arrays), **drawn}, arrays


def _read_all(paths: Sequence[Path], unreadable: dict[Path, Exception]) -> Iterator[tuple[dict[str, Any], Values]]:
    """Runs for the explorer with their spectra (steps × index), without those that cannot be read or have no step.

    Of a student with several hidden layers, one for each.
    """
    workers = min(os.cpu_count() or 1, 1 + len(paths) // _FEW)
    with worker_pool(workers, gc.freeze, PRELOAD) if workers > 1 else nullcontext() as pool:
        readings = pool.map(_read, paths, chunksize=16) if pool else map(_read, paths)
        for path, of_file in zip(paths, readings, strict=True):
            if isinstance(of_file, Exception):
                unreadable[path] = of_file
            else:
                yield from of_file


def _read(path: Path) -> list[tuple[dict[str, Any], Values]] | Exception:
    try:
        check_strangers(path)
        run = load_recording(path)
        matrices = each_matrix(with_null_alignments(run)) if run.sizes["step"] else ()
        return [(_run(one), one.eigenvalues.values) for one in matrices]
    except (SpectailError, OSError) as error:
        return error


def _run(run: xr.Dataset) -> dict[str, Any]:
    """One matrix of a run."""
    e, law, matrix = experiment_of(run), initial_law(run), str(run["matrix"].item())
    assert law is not None, "a run of a store says how its weights were drawn"
    steps = [int(step) for step in run.step.values]
    changed = {k: v for k, v in e.model_dump(mode="json", include={*e.field_names}).items() if v != getattr(_PLAIN, k)}
    beside = [f"{k}={v}" for k, v in changed.items() if k in ("teacher", "label_noise", "ridge", "initialization")]
    beside += ["WN"] if e.weight_normalization else []
    beside += [f"γ={e.schedule_options.get('gamma')}"] if e.schedule == "StepLR" else []
    width = f"layers={'-'.join(map(str, e.layers))} {matrix}" if e.layers else f"h={e.h}"
    sizes = f"{e.optimizer} η={e.lr:g} n={e.n} d={e.d} {width}"
    label = f"{sizes} {' '.join(beside)} steps={e.steps} {e.protocol} seed {e.seed}"
    return {
        "label": " ".join(label.split()),
        "config": f"key {e.key}\n{json.dumps(changed, indent=1)}\nall else: defaults",
        "steps": steps,
        "long": steps[-1] > 200,
        "series": {name: [json_number(value) for value in run[name].values] for name in _SERIES},
        "nulls": {name: _null(run, name) for name in ("kta", "alignment")},
        "phases": [str(phase) for phase in run.phase.values],
        "law": {"h": law.rows, "d": law.cols, "variance": law.variance, "edge": law.edges[1]},
        "predicted": predicted_spike(e),
        "overlaps": packed_overlaps(run),
        "fields": plain_fields(e.model_dump(mode="json", include={*e.field_names})) | {LAYER: matrix},
    }


def _null(run: xr.Dataset, name: str) -> list[list[float] | None] | None:
    """Mean and standard deviation by chance at each step; none where a run was made before they were kept."""
    means, spreads = (run[f"{kind}_{name}"].values for kind in ("null", "null_spread"))
    if not np.isfinite(means).any():
        return None
    pairs = zip(means.tolist(), spreads.tolist(), strict=True)
    return [[float(f"{one:.3g}") for one in pair] if np.isfinite(pair).all() else None for pair in pairs]
