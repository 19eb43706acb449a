"""One full measurement of a student: what is learned, and what its spectrum says.

Not here: rows of other networks (analysis/row.py), which follow another policy where a spectrum says little.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from spectail.analysis.row import bulk_quantities, tail_quantities
from spectail.experiments.experiment import Experiment
from spectail.experiments.two_layer.kernels import eigenvalues_of_gram, has_gram_of_kernel
from spectail.experiments.two_layer.problem import Problem
from spectail.experiments.two_layer.readout import fit_readout, readout_loss
from spectail.experiments.two_layer.student import Student
from spectail.spectra.eigen import eigenvalues_and_top_direction
from spectail.spectra.fixed_phases import classify_by_fixed_thresholds
from spectail.spectra.norms import stable_rank
from spectail.spectra.overlaps import singular_vectors
from spectail.spectra.tails import hill_fit, ks_fit

FirstLayerRow = dict[str, Any]

HiddenUnits = Callable[[str, slice], Tensor]


def with_notes_of_both(learned: FirstLayerRow, spectral: FirstLayerRow) -> FirstLayerRow:
    """Every per-step variable of a run's Dataset that depends on W alone: both parts, with the notes of both."""
    notes = [part["note"] for part in (learned, spectral) if part["note"]]
    return {**learned, **spectral, "note": "; ".join(notes)}


def hidden_of(experiment: Experiment, problem: Problem, student: Student, weights: Float[Tensor, "h d"]) -> HiddenUnits:
    """The hidden units of a student with weights W, for `measure_readout`."""
    extra = readout_scale(experiment)
    return lambda role, points: student.hidden(weights, getattr(problem, role).x[points], extra)


def readout_scale(experiment: Experiment) -> float:
    """What the readout multiplies pre-activations by: 1 (eq. 6), or 1/√d as in the published program."""
    return 1.0 / math.sqrt(experiment.d) if experiment.feature_scale == "extra_sqrt_d" else 1.0


def measure_readout(experiment: Experiment, problem: Problem, hidden: HiddenUnits) -> FirstLayerRow:
    """What is learned: the readout's losses, and KTA.

    Args:
        experiment: whose conventions apply.
        problem: the hold-out and test points.
        hidden: σ(c W_t Xᵀ) (h × k) for a slice of a role's points, with the c that the experiment's
            `feature_scale` asks for; it may be overwritten.

    Returns:
        scalars by name, and a `note`.
    """
    output_scale = 1.0 / math.sqrt(experiment.widths[-1])

    def features(role: str, points: slice = slice(None)) -> Tensor:
        return hidden(role, points).mul_(output_scale)

    kernels: FirstLayerRow = {}
    shares = has_gram_of_kernel(experiment)
    keep = (lambda gram: kernels.update(ck_eigenvalues=eigenvalues_of_gram(gram))) if shares else None
    readout = fit_readout(features("holdout"), problem.holdout.y, experiment.ridge, keep)
    return {
        **kernels,
        "note": "" if math.isfinite(readout.kta) else "the hidden features overflowed",
        "train_loss": readout.train_loss,
        "test_loss": readout_loss(readout, partial(features, "test"), problem.test.y),
        "test_loss_large": readout_loss(readout, partial(features, "test_large"), problem.test_large.y),
        "kta": readout.kta,
        "null_kta": readout.null_kta,
        "null_spread_kta": readout.null_spread_kta,
    }


def measure_first_layer(problem: Problem, weights: Float[Tensor, "h d"]) -> FirstLayerRow:
    """What the spectrum of W_t says, and its alignment with β*.

    Args:
        problem: which has β*, and all directions of its teacher. With several, the alignment is the length of the top
            right singular vector's projection on their span.
        weights: W_t.

    Returns:
        scalars by name, `eigenvalues` (b) in float64, and a `note`.
    """
    row, top = _measure_matrix(weights)
    if len(problem.directions) == 1:
        return row | {"alignment": float((top.cpu() @ problem.beta.cpu()).abs())}
    directions, count = problem.directions.cpu(), len(problem.directions)
    leading = singular_vectors(weights).right[:, :count].cpu().to(directions.dtype)
    overlap = float((directions @ leading).square().sum()) / count
    return row | {"alignment": float((directions @ top.cpu()).norm()), "teacher_overlap": overlap}


def measure_layers(problem: Problem, matrices: Sequence[Tensor], learned: FirstLayerRow) -> FirstLayerRow:
    """Every per-step variable of a deeper student that depends on its weights alone.

    Args:
        problem: which has the teacher's directions.
        matrices: W₁ … W_L.
        learned: what `measure_readout` gave.

    Returns:
        quantities of each matrix as lists; the note of each matrix includes that of the readout.
    """
    first = measure_first_layer(problem, matrices[0])
    rows = [first, *(_measure_matrix(w)[0] for w in matrices[1:])]
    notes = [with_notes_of_both(learned, row)["note"] for row in rows]
    return {**learned, **first, **{name: [row[name] for row in rows] for name in rows[-1]}, "note": notes}


def _measure_matrix(weights: Tensor) -> tuple[FirstLayerRow, Tensor]:
    """What the spectrum of one matrix says, and its top right singular vector."""
    spectrum, top = eigenvalues_and_top_direction(weights)
    spectrum = spectrum.cpu()
    hill, ks = hill_fit(spectrum), ks_fit(spectrum)
    evidence = classify_by_fixed_thresholds(spectrum, *weights.shape)
    row = {
        "note": "; ".join(dict.fromkeys(note for note in (hill.note, ks.note, evidence.note) if note)),
        "eigenvalues": np.asarray(spectrum),
        "stable_rank": float(stable_rank(spectrum)),
        **tail_quantities(hill, ks),
        **bulk_quantities(evidence),
    }
    return row, top
