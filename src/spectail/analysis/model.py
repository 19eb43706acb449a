"""One row per matrix of a model, or of what changed between two.

Here: what `analyze` does, and its answer. Not here: how a row is made (`row`), and how the answer is worded
(`summary`), printed or drawn.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from spectail.analysis.pair import pair_up, top_overlaps
from spectail.analysis.row import labels, measure_matrix
from spectail.analysis.summary import summary_html, summary_lines
from spectail.progress import MatrixProgress, matrix_progress
from spectail.recording.layout import Measurement, each_matrix, eigenvalues_at, frame, to_dataset
from spectail.recording.quantities import Quantity, select
from spectail.weights.matrix import ConvMatrix, Skipped, WeightMatrix, Weights, read_once
from spectail.weights.opening import open_weights

if TYPE_CHECKING:
    import pandas as pd

Measure = Mapping[Quantity, Callable[[NDArray[np.float64], int, int], float]]
"""A user's own quantities: each is computed from the eigenvalues, ascending, and the rows and columns of the matrix."""

_RENAMED = {"xmin": "ks_xmin", "overlap_left": "top_overlap_left", "overlap_right": "top_overlap_right"}


@dataclass(frozen=True, repr=False)
class Analysis:
    """What `analyze` finds.

    Attributes:
        recording: rows and spectra, labelled.
        skipped: each parameter that was not measured, and why.

    >>> from torch import nn
    >>> print(analyze(nn.Linear(30, 20), nulls=False).summary().splitlines()[0])
    Linear: 1 matrix measured, 1 parameter skipped
    """

    recording: xr.Dataset
    skipped: tuple[Skipped, ...]

    @property
    def title(self) -> str:
        """Of the source."""
        return str(self.recording.attrs["title"])

    @cached_property
    def frame(self) -> pd.DataFrame:
        """One row a matrix: its name and every quantity, in the order of the table of quantities."""
        return frame(self.recording)

    @cached_property
    def spectra(self) -> dict[str, NDArray[np.float64]]:
        """The eigenvalues of each matrix by name, ascending; none where a matrix has no spectrum."""
        return {str(one["matrix"].item()): eigenvalues_at(one) for one in each_matrix(self.recording)}

    def summary(self) -> str:
        """The answer in a few lines: how many matrices are in which phase, and which are furthest from untrained."""
        return "\n".join(summary_lines(self.title, self.frame, len(self.skipped)))

    def __repr__(self) -> str:
        return f"{type(self).__name__} of {self.summary()}"

    def _repr_html_(self) -> str:
        return summary_html(repr(self), self.frame)

    # The first edition gave a frame: for one release, what was done with it works.

    def __getitem__(self, key: Any) -> Any:
        _warn("[…]")
        columns = [key] if isinstance(key, str) else key if isinstance(key, list) else []
        return self.frame.rename(columns={new: old for old, new in _RENAMED.items() if old in columns})[key]

    def __len__(self) -> int:
        _warn("len")
        return len(self.frame)

    def __bool__(self) -> bool:
        return True

    @property
    def attrs(self) -> dict[str, Any]:
        """The first edition's place of title and skipped parameters."""
        _warn("attrs")
        return {"title": self.title, "skipped": [asdict(one) | {"shape": list(one.shape)} for one in self.skipped]}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not hasattr(type(self.frame), name):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        _warn(name)
        return getattr(self.frame, name)


def _warn(what: str) -> None:
    warnings.warn(f"{what} of an Analysis: use its .frame, .title or .skipped", DeprecationWarning, stacklevel=3)


def analyze(
    source: Any,
    *,
    after: Any = None,
    conv: ConvMatrix | str = ConvMatrix.KERNEL_SLICES,
    nulls: bool | str = "gaussian",
    p_value: bool = False,
    measure: Measure | None = None,
    seed: int = 0,
    progress: MatrixProgress | None = None,
) -> Analysis:
    """What the spectra of a model say, one row a matrix.

    Args:
        source: a module, a state dict, or the path of a checkpoint, as for `open_weights`.
        after: the first edition's way to `compare`.
        conv: how a convolution's kernel becomes matrices.
        nulls: "gaussian" to compare with Gaussian matrices of the shape, which are kept on disk; False not to.
        p_value: whether to bootstrap the goodness of each KS fit, which takes hundreds of fits a matrix.
        measure: quantities of your own.
        seed: of the bootstrap. Nulls have a seed of their own; no global random state is touched.
        progress: called before each matrix; by default a bar where someone looks.

    Returns:
        the rows as `.frame`, the spectra, what was skipped, and all of it as a recording. A matrix that cannot be
        measured has NaN and a `note`.

    Raises:
        SourceError: the source is not understood, or a file is not what it says it is.
        OSError: a file cannot be read.

    >>> from torch import nn
    >>> analysis = analyze(nn.Sequential(nn.Linear(30, 20), nn.BatchNorm1d(20)))
    >>> analysis.frame[["name", "kind", "rows", "cols"]].values.tolist()
    [['0.weight', 'linear', 20, 30]]
    >>> [parameter.name for parameter in analysis.skipped]
    ['0.bias', '1.weight', '1.bias']
    """
    if after is not None:
        warnings.warn("analyze(after=…) is now spectail.compare(before, after)", DeprecationWarning, stacklevel=2)
        return compare(source, after, conv=conv, nulls=nulls, p_value=p_value, seed=seed, progress=progress)

    def measured(matrix: WeightMatrix) -> tuple[dict[str, Any], Tensor]:
        return measure_matrix(matrix, nulls=bool(nulls), p_value=p_value, seed=seed)

    weights = open_weights(source, conv)
    return Analysis(record("analysis", weights, measured, measure or {}, progress), weights.skipped)


class Comparison(Analysis):
    """What `compare` finds: an `Analysis` of the changes, with how far the strongest directions turned.

    >>> import torch
    >>> compare({"w": torch.eye(20)}, {"w": torch.eye(20)}, nulls=False).frame["note"].tolist()
    ['unchanged']
    """


def compare(
    before: Any,
    after: Any,
    *,
    conv: ConvMatrix | str = ConvMatrix.KERNEL_SLICES,
    nulls: bool | str = "gaussian",
    p_value: bool = False,
    seed: int = 0,
    progress: MatrixProgress | None = None,
) -> Comparison:
    """What changed between two states of a model: the spectra of W_after − W_before, one row a matrix.

    Args:
        before: a module, a state dict, or the path of a checkpoint, as for `analyze`.
        after: the same model later, in any of these forms.
        conv: as for `analyze`; as are the others.
        nulls: whether to compare with Gaussian matrices.
        p_value: whether to bootstrap each KS fit.
        seed: of the bootstrap.
        progress: called before each matrix.

    Returns:
        rows of the differences, with `top_overlap_left` and `top_overlap_right`: the squared cosines between the
        strongest singular vectors before and after, averaged over the slices of a kernel.

    Raises:
        SourceError: a source is not understood, or a file is not what it says it is.
        OSError: a file cannot be read.

    >>> import torch
    >>> first, later = {"w": torch.eye(20)}, {"w": 2 * torch.eye(20)}
    >>> compare(first, later, nulls=False).frame["spectral_norm"].tolist()
    [1.0]
    """
    weights, pairs = pair_up(open_weights(before, conv), open_weights(after, conv))

    def measured(matrix: WeightMatrix) -> tuple[dict[str, Any], Tensor]:
        row, spectrum = measure_matrix(matrix, nulls=bool(nulls), p_value=p_value, seed=seed)
        row |= top_overlaps(*pairs[matrix.name])
        row |= {"note": "unchanged"} if row["frobenius_norm"] == 0 else {}
        return row, spectrum

    return Comparison(record("comparison", weights, measured, {}, progress), weights.skipped)


def record(
    of: str,
    weights: Weights,
    measured: Callable[[WeightMatrix], tuple[dict[str, Any], Tensor]],
    measure: Measure,
    progress: MatrixProgress | None,
) -> xr.Dataset:
    """Measure every matrix of a model.

    Args:
        of: the kind of recording.
        weights: of the model.
        measured: gives the row and the spectrum of a matrix.
        measure: a user's own quantities.
        progress: as for `analyze`.

    Returns:
        the recording, of one step.
    """
    rows, spectra = [], {}
    with _bar(progress) as show:
        work = np.cumsum([0.0, *map(_work, weights.matrices)])
        for index, matrix in enumerate(read_once(weights.matrices)):
            show(float(work[index] / work[-1]), matrix.name)
            row, values = measured(matrix)
            for q, function in measure.items():
                row[q.name] = _own_quantity(function, values, matrix, row, q)
            rows.append(row)
            spectra[matrix.name] = values
    constant = [{"name": matrix.name} | labels(matrix) for matrix in weights.matrices]
    names = [q.name for q in select("null")]
    matrices = [known | {name: row[name] for name in names} for known, row in zip(constant, rows, strict=True)]
    skipped = json.dumps([asdict(one) for one in weights.skipped])
    attributes = {"title": weights.title, "skipped": skipped}
    return to_dataset(of, matrices, [Measurement(0, rows, spectra).to_keep()], attributes, measure)


def _own_quantity(
    function: Callable[[NDArray[np.float64], int, int], float],
    spectrum: Tensor,
    matrix: WeightMatrix,
    row: dict[str, Any],
    q: Quantity,
) -> float:
    """A user's own quantity; NaN, and a note in the row, where it cannot be computed."""
    try:
        return float(function(spectrum.numpy(), matrix.rows, matrix.cols))
    except Exception as error:
        row["note"] = "; ".join(filter(None, [row["note"], f"{q.name}: {type(error).__name__}: {error}"]))
        return float("nan")


@contextmanager
def _bar(progress: MatrixProgress | None) -> Iterator[MatrixProgress]:
    if progress is not None:
        yield progress
        return
    with matrix_progress() as bar:
        yield bar


def _work(matrix: WeightMatrix) -> float:
    """About how long a matrix takes, in some unit: the products and the eigenvalues of its Gram matrices."""
    shorter, longer = sorted((matrix.rows, matrix.cols))
    return matrix.slices * shorter**2 * (longer + 3.0 * shorter)
