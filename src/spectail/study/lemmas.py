"""What the paper proves of the first gradient (App. B), measured: rank-one part, signs and zeros.

Not here: the figure and claims about it (`figures/fig08_table2.py`), and gradients of a student
(`experiments/two_layer/student.py`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch

from spectail.experiments.experiment import Experiment
from spectail.experiments.theory import gaussian_moments
from spectail.experiments.two_layer.problem import Problem
from spectail.experiments.two_layer.student import Student
from spectail.spectra.norms import frobenius_norm, spectral_norm


@dataclass(frozen=True)
class FirstGradient:
    """The first gradient beside its rank-one parts A = μ₁ s/(n√h) a yᵀX (paper) and A_r (residual for y).

    Attributes:
        zeros: entries of G₀ that are exactly zero.
        error: ‖−G₀ − A‖₂/‖G₀‖₂. error_of_residual: the same for A_r.
        bound: 2 log²n/√n of Lemma B.4.
        same_sign: share of entries where −G₀ and A agree. same_sign_of_residual: the same for A_r.
        sign_norm: ‖sign G₀‖₂/√(hd).
        frobenius: ‖G₀‖_F.
    """

    zeros: int
    error: float
    error_of_residual: float
    bound: float
    same_sign: float
    same_sign_of_residual: float
    sign_norm: float
    frobenius: float


@lru_cache(maxsize=256)
def first_gradient(experiment: Experiment) -> FirstGradient:
    """Measure the first gradient of an experiment, ∇R at W₀.

    Source: paper Lemmas B.4 and B.5, Proposition B.6, and eq. 8 with its sign corrected.
    """
    e, problem = experiment, Problem.draw(experiment, torch.device("cpu"))
    student = Student(problem.a, e.d, e.activation, e.initialization)
    x, y = problem.train.x, problem.train.y.to(problem.a.dtype)
    residual = student.residual(problem.w0, x, y)
    gradient = student.gradient(residual, x)
    factor = gaussian_moments(e.activation).linear * student.input_scale * student.output_scale / e.n

    def rank_one(labels: torch.Tensor) -> torch.Tensor:
        return factor * torch.outer(problem.a, x.T @ labels)

    size, parts = spectral_norm(gradient), (rank_one(y), rank_one(residual))
    errors = [spectral_norm(gradient + part) / size for part in parts]
    signs = [float((gradient.sign() == -part.sign()).float().mean()) for part in parts]
    zeros = int((gradient == 0).sum())
    bound = 2 * math.log(e.n) ** 2 / math.sqrt(e.n)
    sign_norm = spectral_norm(gradient.sign()) / math.sqrt(e.h * e.d)
    frobenius = frobenius_norm(gradient)
    return FirstGradient(zeros, errors[0], errors[1], bound, signs[0], signs[1], sign_norm, frobenius)
