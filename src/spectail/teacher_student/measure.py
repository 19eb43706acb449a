"""One full measurement of a student: what is learned, and what its spectrum says."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from spectail.spectra.density import eigenvalues_and_top_direction, stable_rank
from spectail.spectra.phases import classify
from spectail.spectra.tails import hill_fit, ks_fit
from spectail.teacher_student.experiment import Experiment
from spectail.teacher_student.problem import Problem
from spectail.teacher_student.readout import fit_readout, readout_loss
from spectail.teacher_student.student import Student

Measurement = dict[str, Any]


def measure(
    experiment: Experiment, problem: Problem, student: Student, weights: Float[Tensor, "h d"]
) -> Measurement:
    """Every per-step variable of a run's Dataset that depends on W alone.

    Args:
        experiment: whose readout conventions apply.
        problem: the hold-out and test points, and β*.
        student: whose buffers to use.
        weights: W_t.

    Returns:
        scalars by name, and `eigenvalues` (b) in float64.
    """
    return {
        **_learned(experiment, problem, student, weights),
        **_spectral(experiment, problem, weights),
    }


def _learned(experiment: Experiment, problem: Problem, student: Student, weights: Tensor) -> Measurement:
    extra = 1.0 / math.sqrt(experiment.d) if experiment.feature_scale == "extra_sqrt_d" else 1.0

    def features(x: Tensor) -> Tensor:
        return student.hidden(weights, x, extra).mul_(student.output_scale)

    readout = fit_readout(features(problem.holdout.x), problem.holdout.y, experiment.ridge)
    return {
        "train_loss": readout.train_loss,
        "test_loss": readout_loss(readout, features, problem.test.x, problem.test.y),
        "test_loss_large": readout_loss(readout, features, problem.test_large.x, problem.test_large.y),
        "kta": readout.kta,
    }


def _spectral(experiment: Experiment, problem: Problem, weights: Tensor) -> Measurement:
    spectrum, top = eigenvalues_and_top_direction(weights)
    spectrum = spectrum.cpu()
    hill, ks = hill_fit(spectrum), ks_fit(spectrum)
    evidence = classify(spectrum, experiment.h, experiment.d)
    return {
        "eigenvalues": np.asarray(spectrum),
        "alignment": float((top.cpu() @ problem.beta.cpu()).abs()),
        "pl_alpha_hill": hill.alpha,
        "pl_alpha_ks": ks.alpha,
        "ks_distance": ks.ks_distance,
        "ks_xmin": ks.xmin,
        "tail_size": ks.tail_size,
        "bulk_edge": evidence.law.edges[1],
        "bulk_variance": evidence.law.variance,
        "bulk_distance": evidence.bulk_distance,
        "n_spikes": evidence.n_spikes,
        "spectral_gap": evidence.spectral_gap,
        "stable_rank": float(stable_rank(spectrum)),
        "phase": str(evidence.phase),
    }
