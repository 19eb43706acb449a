"""What a run leaves behind: one labelled Dataset."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from spectail.teacher_student.experiment import Experiment

if TYPE_CHECKING:  # reading stored runs does not wait for torch
    from torch import Tensor

FORMAT = 2
"""Version of the layout below; a reader refuses a newer one. 2 added the checksum."""

VARIABLES: dict[str, tuple[type, str]] = {
    "train_loss": (float, "readout loss on the hold-out set, (1/n)‖ȳ − Z̄ᵀâ‖² (eq. 6)"),
    "test_loss": (float, "readout loss on the n_test test points"),
    "test_loss_large": (float, "readout loss on the n_test_large further test points"),
    "objective": (float, "training objective, loss_factor/n ‖y − f(X)‖², before the update"),
    "kta": (float, "kernel–target alignment of the hidden features (eq. 7)"),
    "alignment": (float, "sim(W, β*) = |v₁·β*|, v₁ the top right singular vector of W"),
    "pl_alpha_hill": (float, "power-law exponent of the upper half of the spectrum (Hill)"),
    "pl_alpha_ks": (float, "power-law exponent of the tail with the smallest KS distance"),
    "ks_distance": (float, "that distance"),
    "ks_xmin": (float, "smallest eigenvalue of that tail"),
    "tail_size": (int, "number of eigenvalues in that tail"),
    "bulk_edge": (float, "upper edge λ₊ of the Marchenko–Pastur law fitted to the median"),
    "bulk_variance": (float, "entry variance of that law"),
    "bulk_distance": (float, "KS distance between the spectrum and that law"),
    "n_spikes": (int, "number of eigenvalues visibly past λ₊ (by 3 Tracy–Widom scales)"),
    "spectral_gap": (float, "λ₁/λ₊"),
    "stable_rank": (float, "‖W‖_F²/‖W‖₂²"),
    "update_norm_2": (float, "‖M‖₂ of the update M that led to this step"),
    "update_norm_fro": (float, "‖M‖_F of that update"),
    "update_lr": (float, "learning rate of that update"),
    "phase": (str, "phase of the spectrum"),
    "note": (str, "why figures of this step are NaN; empty where none is"),
}
"""Variables over `step`: their type and meaning."""


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
        for name, (kind, text) in VARIABLES.items()
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
        "spectail_format": FORMAT,
        "spectail_version": __version__,
        "experiment": experiment.canonical_json,
        "key": experiment.key,
        **attributes,
    }
    if diverged_at is not None:
        dataset.attrs["diverged_at"] = diverged_at
    dataset.attrs["checksum"] = checksum(dataset)
    return dataset


def checksum(run: xr.Dataset) -> str:
    """A hash of what a run found: every variable and coordinate, the experiment, and whether it diverged.

    Equal for equal results, bit for bit, on whatever machine and however long they took: wall time,
    device and versions are not part of it.

    Returns:
        64 hexadecimal digits (SHA-256).
    """
    digest = hashlib.sha256()
    about = (run.attrs.get("experiment", ""), int(run.attrs.get("diverged_at", -1)))
    digest.update(json.dumps(about).encode())
    for name in sorted(str(name) for name in run.variables):
        variable = run.variables[name]
        values = np.ascontiguousarray(variable.values)
        words = values.dtype.kind in "OSUT"
        kind = "text" if words else values.dtype.newbyteorder("<").str
        digest.update(json.dumps([name, [str(dim) for dim in variable.dims], values.shape, kind]).encode())
        digest.update(json.dumps(values.astype(str).tolist()).encode() if words else values.astype(kind).tobytes())
    return digest.hexdigest()


def experiment_of(run: xr.Dataset) -> Experiment:
    """The experiment that a run's Dataset came from.

    Raises:
        ValueError: the Dataset carries no valid experiment.
    """
    try:
        fields = json.loads(run.attrs["experiment"])
    except (KeyError, TypeError, ValueError):
        raise ValueError("the data set carries no experiment, so it is not a run of spectail") from None
    return Experiment(**fields)


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
