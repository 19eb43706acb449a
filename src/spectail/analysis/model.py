"""One row per matrix of a model, or of what changed between two models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd
from torch import Tensor

from spectail.analysis.pair import pair_up, top_overlaps
from spectail.analysis.row import COLUMNS, measure_matrix
from spectail.recording.quantities import OVERLAPS
from spectail.weights.matrix import ConvMatrix, WeightMatrix, Weights, read_once
from spectail.weights.opening import open_weights

Progress = Callable[[float, str], None]
"""Called before each matrix with the share of the work that is done, and the name of the matrix."""


@dataclass(frozen=True)
class Analysis:
    """What `analyze` finds, with the spectra behind it.

    Attributes:
        title: of the source.
        frame: one row a matrix.
        spectra: the pooled eigenvalues of each row, none where a matrix has no spectrum.
    """

    title: str
    frame: pd.DataFrame
    spectra: tuple[Tensor, ...]


def analyze(
    source: Any,
    *,
    after: Any = None,
    conv: ConvMatrix | str = ConvMatrix.KERNEL_SLICES,
    p_value: bool = False,
    seed: int = 0,
) -> pd.DataFrame:
    """What the spectra of a model say, one row a matrix.

    Args:
        source: a module, a state dict, or the path of a checkpoint, as for `open_weights`.
        after: the same model later, in any of these forms; the rows are then of the differences
            W_after − W_before, with `overlap_left` and `overlap_right`: the squared cosines between the
            strongest singular vectors before and after, averaged over the slices of a kernel.
        conv: how a convolution's kernel becomes matrices.
        p_value: whether to bootstrap the goodness of each KS fit, which takes hundreds of fits a matrix.
        seed: of the bootstrap. Nulls have a seed of their own; no global random state is touched.

    Returns:
        the columns of `spectail.analysis.row.COLUMNS`; `attrs["skipped"]` lists each parameter that is not
        analysed as a dictionary of name, shape and reason, and `attrs["title"]` names the source. A
        matrix that cannot be measured has NaN and a `note`. A model without a matrix gives no rows.

    Raises:
        ValueError: the source is not understood, or a file is not what it says it is.
        OSError: a file cannot be read.

    >>> from torch import nn
    >>> frame = analyze(nn.Sequential(nn.Linear(30, 20), nn.BatchNorm1d(20)))
    >>> frame[["name", "kind", "rows", "cols"]].values.tolist()
    [['0.weight', 'linear', 20, 30]]
    >>> [parameter["name"] for parameter in frame.attrs["skipped"]]
    ['0.bias', '1.weight', '1.bias']
    """
    return analyze_with_spectra(source, after=after, conv=conv, p_value=p_value, seed=seed).frame


def analyze_with_spectra(
    source: Any,
    *,
    after: Any = None,
    conv: ConvMatrix | str = ConvMatrix.KERNEL_SLICES,
    p_value: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
) -> Analysis:
    """As `analyze`, keeping the spectra; `progress` hears of each matrix before it is read."""
    weights = open_weights(source, conv)
    pairs: dict[str, tuple[WeightMatrix, WeightMatrix]] = {}
    if after is not None:
        weights, pairs = pair_up(weights, open_weights(after, conv))
    work = [_work(matrix) for matrix in weights.matrices]
    rows, spectra = [], []
    for index, matrix in enumerate(read_once(weights.matrices)):
        if progress is not None:
            progress(sum(work[:index]) / sum(work), matrix.name)
        row, spectrum = measure_matrix(matrix, p_value=p_value, seed=seed)
        if matrix.name in pairs:
            row |= top_overlaps(*pairs[matrix.name])
            row |= {"note": "unchanged"} if row["frobenius_norm"] == 0 else {}
        rows.append(row)
        spectra.append(spectrum)
    columns = [*COLUMNS, *(OVERLAPS if after is not None else ())]
    return Analysis(weights.title, _frame(rows, columns, weights), tuple(spectra))


def _work(matrix: WeightMatrix) -> float:
    """About how long a matrix takes, in some unit: the products and the eigenvalues of its Gram matrices."""
    shorter, longer = sorted((matrix.rows, matrix.cols))
    return matrix.slices * shorter**2 * (longer + 3.0 * shorter)


def _frame(rows: list[dict[str, Any]], columns: list[str], weights: Weights) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=columns)
    for name in ("rows", "cols", "n_eigenvalues"):
        frame[name] = frame[name].astype("int64")
    for name in ("tail_size", "n_spikes"):  # whole numbers that may be missing
        frame[name] = frame[name].astype("Int64")
    frame.attrs["title"] = weights.title
    frame.attrs["skipped"] = [
        {"name": one.name, "shape": list(one.shape), "reason": one.reason} for one in weights.skipped
    ]
    return frame
