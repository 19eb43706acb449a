"""What a monitor measured, as one labelled Dataset in one netCDF file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from spectail.analysis.model import Analysis
from spectail.experiments.experiment import Experiment
from spectail.recording.netcdf import checksum
from spectail.recording.quantities import RUN_FORMAT, RUN_VARIABLES

if TYPE_CHECKING:
    from torch import Tensor


def _padded(rows: Sequence[NDArray[Any]], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Rows of different lengths as one array, NaN past their ends."""
    out = np.full((len(rows), max((len(row) for row in rows), default=0)), np.nan, dtype=dtype)
    for at, row in enumerate(rows):
        out[at, : len(row)] = row
    return out


def _float(value: Any) -> float:
    return float(value)


def to_dataset(
    experiment: Experiment,
    records: Sequence[Mapping[str, Any]],
    overlaps: Mapping[tuple[int, int], tuple[Tensor, Tensor]],
    diverged_at: int | None,
    attributes: Mapping[str, Any],
) -> xr.Dataset:
    """Assemble a run's Dataset.

    Args:
        experiment: what was run.
        records: one measurement a recorded step.
        overlaps: left and right overlaps of each pair (s, t).
        diverged_at: the step at which the run stopped being finite, if it did.
        attributes: further attributes, such as the wall time.
    """
    from spectail import __version__

    b = min(experiment.h, experiment.d)
    variables: dict[str, Any] = {
        name: ("step", np.array([r[name] for r in records], dtype=object if kind is str else kind), {"long_name": text})
        for name, (kind, text) in RUN_VARIABLES.items()
    }
    eigenvalues = np.array([r["eigenvalues"] for r in records]).reshape(len(records), b)
    variables["eigenvalues"] = (("step", "index"), eigenvalues, {"long_name": "eigenvalues of WᵀW, ascending"})
    coordinates: dict[str, Any] = {"step": np.array([r["step"] for r in records], dtype=np.int64)}
    if overlaps:
        variables |= _overlap_variables(overlaps)
        coordinates["w_step"] = ("pair", np.array([s for s, _ in overlaps], dtype=np.int64))
        coordinates["m_step"] = ("pair", np.array([t for _, t in overlaps], dtype=np.int64))
    dataset = xr.Dataset(variables, coordinates)
    dataset.attrs = {
        "spectail_format": RUN_FORMAT,
        "spectail_version": __version__,
        "experiment": experiment.canonical_json,
        "key": experiment.key,
        **attributes,
    }
    if diverged_at is not None:
        dataset.attrs["diverged_at"] = diverged_at
    dataset.attrs["checksum"] = checksum(dataset)
    return dataset


def _overlap_variables(overlaps: Mapping[tuple[int, int], tuple[Tensor, Tensor]]) -> dict[str, Any]:
    from spectail.spectra.overlaps import participation_ratio

    variables: dict[str, Any] = {}
    for side, position in (("left", 0), ("right", 1)):
        stack = np.stack([pair[position].cpu().numpy() for pair in overlaps.values()])
        spread = np.stack([participation_ratio(pair[position]).cpu().numpy() for pair in overlaps.values()])
        name = f"overlap_{side}"
        symbol = "U" if side == "left" else "V"
        text = f"O({symbol}_W, {symbol}_M) of W at w_step with the update M at m_step (App. C)"
        variables[name] = (("pair", "i", "j"), stack.astype(np.float32), {"long_name": text})
        variables[f"{name}_max"] = ("pair", stack.max((1, 2)), {"long_name": f"largest entry of {name}"})
        variables[f"{name}_diagonal"] = (("pair", "i"), np.diagonal(stack, axis1=1, axis2=2).copy())
        variables[f"{name}_spread"] = (
            ("pair", "i"),
            spread,
            {"long_name": "participation ratio of each row: over how many directions of M it spreads"},
        )
    return variables


def spectra_dataset(analysis: Analysis) -> xr.Dataset:
    """All spectra one after the other: `eigenvalues (index)`, and `layer (index)`, the name each belongs to."""
    names = analysis.frame["name"].to_numpy(dtype=str)
    sizes = [len(spectrum) for spectrum in analysis.spectra]
    values = np.concatenate([spectrum.numpy() for spectrum in analysis.spectra]) if sizes else np.empty(0)
    return xr.Dataset(
        {"eigenvalues": ("index", values)},
        coords={"layer": ("index", np.repeat(names, sizes))},
        attrs={"title": analysis.title, "units": "squared units of the weights"},
    )
