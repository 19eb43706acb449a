"""One row per matrix of a model, or of what changed between two.

Here: what `analyze` and `compare` do. Not here: their answer (`analysis_objects`), and how a row is made (`row`).
"""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import xarray as xr
from torch import Tensor

from spectail.analysis.analysis_objects import Analysis, Comparison, skipped_of
from spectail.analysis.choices import check_existing, checked_nulls
from spectail.analysis.fingerprint import stamps_of
from spectail.analysis.pieces import (
    Measure,
    OpenRequest,
    Request,
    Row,
    measure_pieces,
    reading_options,
)
from spectail.analysis.resuming import Kept, header_of
from spectail.analysis.side_by_side import SideBySide
from spectail.errors import SettingError, SourceError
from spectail.files import check_folder
from spectail.progress import MatrixProgress, WorkProgress
from spectail.recording.events import NOT_MEASURED
from spectail.recording.growing_analysis import GrowingAnalysis
from spectail.recording.journal_reading import journal_path
from spectail.recording.layout import (
    each_matrix,
    eigenvalues_at,
    labels_of,
    measurements_of,
    rows_to_dataset,
)
from spectail.recording.quantities import select
from spectail.running.ray import Resources
from spectail.running.scheduler import Compute
from spectail.spectra.precision import check_device
from spectail.weights.matrix import ConvMatrix, Skipped
from spectail.weights.remote import pinned

if TYPE_CHECKING:
    pass


def analyze(
    source: Any,
    *,
    key: str | None = None,
    layers: str | Sequence[str] | None = None,
    conv: ConvMatrix | str = ConvMatrix.KERNEL_SLICES,
    heads: bool = False,
    nulls: bool | str = "gaussian",
    tail: bool = False,
    p_value: bool = False,
    measure: Measure | None = None,
    seed: int = 0,
    device: str | None = None,
    workers: int | None = None,
    ray: str | None = None,
    resources: Resources | None = None,
    out: str | os.PathLike[str] | None = None,
    existing: str = "resume",
    progress: MatrixProgress | None = None,
    after: Any = None,
    base: Any = None,
) -> Analysis:
    """What the spectra of a model say, one row a matrix.

    Args:
        source: a module, a state dict, or the path of a checkpoint, as for `open_weights`.
        key: of the state dict that is meant, in a checkpoint that holds several; None takes the model's, or all.
        layers: names of matrices, or patterns such as "model.layers.*.mlp.*"; None takes all.
        conv: how a convolution's kernel becomes matrices.
        heads: whether the QK and OV circuits of attention heads have rows as well, where their number is known.
        nulls: "gaussian" to compare with Gaussian matrices of the shape, which are kept on disk; "full" also with
            shuffles of each matrix – all entries, within slices, rows, columns –, some twenty spectra; False not to.
        tail: whether to ask what kind of tail each spectrum has, which takes as long as a hundred spectra.
        p_value: the first edition's `tail`.
        measure: quantities of your own, or `spectail.FARMS`, `spectail.LOCALISATION`, or several of them joined by |.
        seed: of what `tail` and `nulls="full"` draw. Nulls of shapes have a seed of their own; no global random state
            is touched.
        device: where spectra are computed, such as "cuda": weights go there matrix by matrix. None: where they are.
        workers: processes beside each other with one thread each, which open the source themselves; not more at once
            than memory allows. None: this process, with all its threads.
        ray: address of a Ray cluster, or "" for the one that is running, or else a local one.
        resources: what each matrix takes of the cluster.
        out: a folder. Each row is kept there as soon as it is there, and `spectra.nc` when all are; interrupted or
            killed, the same call goes on where it was, to the same bits. An analysis that is whole is read, not
            computed.
        existing: what is done with an analysis in `out`: "resume" it, "replace" it, or "refuse" to.
        progress: called with the share of the work that is done and the name of a matrix; by default a bar where
            someone looks, else a line a minute.
        after: the first edition's way to `compare`.
        base: of an adapter: the model that it adds to, in any of the forms of a source. Then each row of what the
            adapter adds has its intruder dimensions as well, for about three times what its base's row takes.

    Returns:
        the rows as `.frame`, the spectra, what was skipped, and all of it as a recording. A matrix that cannot be
        measured has NaN and a `note`; the same call with the same `out` tries it again.

    Raises:
        SourceError: the source is not understood, a file is not what it says it is, or there is no matrix in it.
        SettingError: an option is out of range, or a pattern fits no matrix.
        StoreError: what is in `out` is of another source, or of other options.
        OSError: a file cannot be read or written.
        KeyboardInterrupt: it was interrupted; rows in `out` are kept.

    >>> from torch import nn
    >>> analysis = analyze(nn.Sequential(nn.Linear(30, 20), nn.BatchNorm1d(20)))
    >>> analysis.frame[["name", "kind", "rows", "cols"]].values.tolist()
    [['0.weight', 'linear', 20, 30]]
    >>> [parameter.name for parameter in analysis.skipped]
    ['0.bias', '1.weight', '1.bias']
    """
    tail = _asked_for_tail(tail, p_value)
    reading = reading_options(conv, key, heads)
    if after is not None:
        warnings.warn("analyze(after=…) is now spectail.compare(before, after)", DeprecationWarning, stacklevel=2)
        changed: Comparison = compare(source, after, conv=conv, nulls=nulls, tail=tail, seed=seed, progress=progress)
        return changed
    request = Request(
        "analysis", (source,), reading, layers, checked_nulls(nulls), tail, seed, device, dict(measure or {}), base
    )
    compute = Compute(device or "cpu", workers, ray, resources, threads=1)
    return Analysis(*_record(request, compute, out, existing, progress))


@overload
def compare(before: Mapping[str, Any], after: None = None, **options: Any) -> SideBySide: ...
@overload
def compare(before: Any, after: Any, **options: Any) -> Comparison: ...
def compare(  # type: ignore[misc]  # both take its options
    before: Any,
    after: Any = None,
    *,
    key: str | None = None,
    layers: str | Sequence[str] | None = None,
    conv: ConvMatrix | str = ConvMatrix.KERNEL_SLICES,
    heads: bool = False,
    nulls: bool | str = "gaussian",
    tail: bool = False,
    p_value: bool = False,
    seed: int = 0,
    device: str | None = None,
    workers: int | None = None,
    ray: str | None = None,
    resources: Resources | None = None,
    out: str | os.PathLike[str] | None = None,
    existing: str = "resume",
    progress: MatrixProgress | None = None,
) -> Comparison | SideBySide:
    """What changed between two states of a model; or, of a dictionary, several models side by side.

    Of two states, the spectra of W_after − W_before are measured, one row a matrix. Of a dictionary of models by their
    labels, each is analysed by itself; they may have any shapes, and no past in common.

    Args:
        before: a module, a state dict, or the path of a checkpoint, as for `analyze`; or a dictionary of such.
        after: the same model later, in any of these forms; None where `before` is a dictionary of models.
        key: of the state dict that is meant, in both.
        layers: names of matrices, or patterns; as for `analyze`, as are the others.
        conv: how a convolution's kernel becomes matrices.
        heads: whether the changes of QK and OV circuits have rows as well.
        nulls: what to compare with.
        tail: whether to ask what kind of tail each spectrum of a change has.
        p_value: the first edition's `tail`.
        seed: of what is drawn.
        device: where spectra are computed.
        workers: processes beside each other.
        ray: address of a Ray cluster.
        resources: what each matrix takes of the cluster.
        out: a folder to keep the rows in as they come.
        existing: what is done with what is there.
        progress: called with the share of the work that is done and the name of a matrix.

    Returns:
        of a dictionary, `SideBySide`: one row a matrix; else rows of the differences, with `top_overlap_left` and
        `top_overlap_right`: the squared cosines between the strongest singular vectors before and after, averaged over
        the slices of a kernel.

    Raises:
        SourceError: a source is not understood, a file is not what it says it is, or the two have no matrix in common.
        SettingError: an option is out of range, or a pattern fits no matrix.
        StoreError: what is in `out` is of other sources, or of other options.
        OSError: a file cannot be read or written.
        KeyboardInterrupt: it was interrupted; rows in `out` are kept.

    >>> import torch
    >>> first, later = {"w": torch.eye(20)}, {"w": 2 * torch.eye(20)}
    >>> compare(first, later, nulls=False).frame["spectral_norm"].tolist()
    [1.0]
    >>> compare({"first": first, "later": later}, nulls=False).frame["distance: later"].tolist()
    [0.0]
    """
    tail = _asked_for_tail(tail, p_value)
    if after is None:
        if not isinstance(before, Mapping) or not before or any(isinstance(one, Tensor) for one in before.values()):
            raise SettingError("compare needs two models, or a dictionary of models by their labels")
        for label in before:
            if not _LABEL.fullmatch(str(label)):
                raise SettingError(f"label={label!r} is not valid; expected letters, digits, spaces, or one of _+=@.-")
        folders = {label: None if out is None else Path(out) / label for label in before}
        return SideBySide(
            {
                label: analyze(
                    source, key=key, layers=layers, conv=conv, heads=heads, nulls=nulls, tail=tail, seed=seed,
                    device=device, workers=workers, ray=ray, resources=resources, out=folders[label],
                    existing=existing, progress=progress,
                )
                for label, source in before.items()
            }
        )  # fmt: skip
    reading = reading_options(conv, key, heads)
    request = Request("comparison", (before, after), reading, layers, checked_nulls(nulls), tail, seed, device)
    compute = Compute(device or "cpu", workers, ray, resources, threads=1)
    return Comparison(*_record(request, compute, out, existing, progress))


def _asked_for_tail(tail: bool, p_value: bool) -> bool:
    if p_value:
        sentence = "p_value has become tail: which law the tail follows, and how plausible it is for a spectrum"
        warnings.warn(sentence, DeprecationWarning, stacklevel=3)
    return tail or p_value


_LABEL = re.compile(r"[\w+=@-][\w+=@. -]{0,99}")

FILE = "spectra.nc"
"""What the recording of an analysis is called in its folder."""


def _record(
    request: Request,
    compute: Compute,
    out: str | os.PathLike[str] | None,
    existing: str,
    progress: MatrixProgress | None,
) -> tuple[xr.Dataset, tuple[Skipped, ...]]:
    """Measure what was asked for, and label it; rows that are kept already are not measured again."""
    check_existing(existing)
    if out is not None:
        check_folder(Path(out))
    if request.device is not None:
        check_device(request.device)
    base = None if request.base is None else pinned(request.base)
    request = replace(request, sources=tuple(map(pinned, request.sources)), base=base)  # workers open the same commit
    path = None if out is None else Path(out) / FILE
    files = [stamps_of(source) for source in request.everything]
    opened, digest = (
        _opened_and_hashed(request, compute) if None in files and (path or not compute.in_this_process) else (None, "")
    )
    header = header_of(request, files=files, digest=digest) if path else {}
    before = (
        None
        if path is None
        else Kept(path, path.parent, "analysis", "holds an analysis", "folder").begun(header, existing)
    )
    rows = {} if before is None else _rows_of(before)
    if path and before is not None and len(rows) == before.sizes["matrix"]:
        if journal_path(path).exists():  # it was killed when all was done
            GrowingAnalysis(path, {**header, "title": before.attrs["title"]}).close()
        return before, skipped_of(before) or ()
    opened = opened or request.open()
    weights = opened.weights
    if not weights.matrices:
        raise SourceError(_why_nothing(request, weights.title, weights.skipped))
    journal = GrowingAnalysis(path, {**header, "title": weights.title}) if path else None
    with closing(journal) if journal else nullcontext():
        rows |= journal.rows if journal else {}
        _measure_rest(opened, compute, digest, rows, journal, progress)
        recording = _assembled(opened, rows, header)
        if journal:
            journal.save(recording)
    return recording, weights.skipped


def _opened_and_hashed(request: Request, compute: Compute) -> tuple[OpenRequest, str]:
    """Of sources without files, a model in memory or what a factory makes: the matrices, and a hash of the weights.

    The hash tells whether rows that are kept are of the same weights, and whether each worker's factory made the same.
    What is in memory cannot be sent to workers at all, so that nobody needs its hash there.
    """
    opened = request.open()
    sendable = all(isinstance(one, str | os.PathLike) for one in request.everything)
    return opened, opened.digest() if sendable or compute.in_this_process else ""


def _assembled(opened: OpenRequest, rows: Mapping[int, Row], header: Mapping[str, Any]) -> xr.Dataset:
    """The recording of rows by their places."""
    request, weights = opened.request, opened.weights
    attributes = {"title": weights.title, "skipped": json.dumps([asdict(one) for one in weights.skipped])}
    attributes |= {"begun_with": json.dumps(header)} if header else {}
    in_order = [rows[place] for place in range(len(weights.matrices))]
    own = [*request.measure, *(select("base") if request.base is not None else ())]
    return rows_to_dataset(request.of, [row for row, _ in in_order], [one for _, one in in_order], attributes, own)


def _measure_rest(
    opened: OpenRequest,
    compute: Compute,
    digest: str,
    rows: dict[int, Row],
    journal: GrowingAnalysis | None,
    progress: MatrixProgress | None,
) -> None:
    """Measure the matrices that have no row yet, and keep each row as soon as it is there."""
    costs = [opened.cost(matrix) for matrix in opened.weights.matrices]
    rest = [place for place in range(len(costs)) if place not in rows]

    def keep(place: int, row: Row) -> None:
        if journal and NOT_MEASURED not in row[0]["note"]:  # what was in the way may be gone next time
            journal.add(place, *row)
        rows[place] = row

    done = sum(costs[place] for place in rows) / sum(costs)
    try:
        with WorkProgress(len(costs), len(rows), done, progress) as show:
            whole = not rest or measure_pieces(opened, rest, compute, digest, keep, show)
    except KeyboardInterrupt:
        whole = False
    if not whole:
        sentence = f"{len(rows)} of {len(costs)} rows are kept in {journal.path.parent}" if journal else ""
        raise KeyboardInterrupt(sentence and f"{sentence}, and the same command goes on from there")


def _rows_of(recording: xr.Dataset) -> dict[int, Row]:
    """The rows of an analysis by their place, but for those that could not be measured."""
    (measurement,) = measurements_of(recording)
    constant = labels_of(recording)
    spectra = [eigenvalues_at(one) for one in each_matrix(recording)]
    return {
        place: (constant[place] | dict(row), spectra[place])
        for place, row in enumerate(measurement.rows)
        if NOT_MEASURED not in str(row["note"])
    }


_SHOWN = 4  # names


def _why_nothing(request: Request, title: str, skipped: Sequence[Skipped]) -> str:
    """The sentence of the error where there is no matrix to measure."""
    if request.of == "comparison":
        by_reason = [[one.name for one in skipped if one.reason == f"only in the model {side}"] for side in _SIDES]
        reshaped = [one.name for one in skipped if one.reason.startswith("its shape is")]
        names = "; ".join(f"{side}: {_some(names)}" for side, names in zip(_SIDES, by_reason, strict=True))
        names += f"; of another shape: {_some(reshaped)}" if reshaped else ""
        return f"{title}: the two have no matrix in common by name and shape; {names}"
    count = f"{len(skipped)} parameter{'' if len(skipped) == 1 else 's'} skipped"
    reasons = _some([f"{one.name}: {one.reason}" for one in skipped], "; ")
    return f"{title} has no matrix to analyse; {count}" + (f": {reasons}" if skipped else "")


_SIDES = ("before", "after")


def _some(names: Sequence[str], between: str = ", ") -> str:
    return between.join(names[:_SHOWN]) + (f"{between}…" if len(names) > _SHOWN else "") if names else "none"
