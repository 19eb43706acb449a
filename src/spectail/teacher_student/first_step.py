"""What the runs of a problem have in common: the start, and the direction of the first step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from spectail.teacher_student.experiment import Experiment
from spectail.teacher_student.names import UPDATE_NAMES
from spectail.teacher_student.problem import Problem
from spectail.teacher_student.student import Student
from spectail.teacher_student.updates import make_optimizer

ROLES = ("train", "holdout", "test", "test_large")


class Start:
    """Pre-activations of W₀, P = s W₀Xᵀ: one product a role, so that every run measures step 0 to the same bits.

    Args:
        problem: whose `shared` has P where a run of one step has kept it.
        student: whose workspace is used.
    """

    def __init__(self, problem: Problem, student: Student) -> None:
        self._problem, self._student = problem, student
        self._latest: tuple[str, Tensor] | None = None

    def preactivations(self, role: str, step: int = 0, points: slice = slice(None)) -> Tensor:
        """S W₀ Xᵀ of some points of a role, in a buffer that the next call overwrites."""
        kept = self._problem.shared.get(("P", role))
        start = (kept[1] if kept else self._product(role))[:, points]
        return self._student.workspace(start.shape[1]).copy_(start)

    def _product(self, role: str) -> Tensor:
        if self._latest is None or self._latest[0] != role:
            self._latest = None  # free it before the next is made
            self._latest = role, product(self._problem, self._student, self._problem.w0, role)
        return self._latest[1]


def product(problem: Problem, student: Student, weights: Tensor, role: str) -> Tensor:
    """S W Xᵀ of all points of a role."""
    x = getattr(problem, role).x
    return student.preactivations(weights, x, out=weights.new_empty(len(weights), len(x)))


class FirstStep:
    """Pre-activations after one step, W₁ = W₀ − ηD, as P − ηQ.

    With P = s W₀Xᵀ and Q = s DXᵀ, neither depends on η, and Q only on the kind of update: a sweep of
    one-step runs over learning rates needs these large products once. Every run of one step takes
    this way, alone or in a sweep, so that it has the same bits either way.

    Args:
        experiment: of one step; see `applies`.
        problem: whose `shared` keeps P, and Q of the latest kind of update.
        gradient: the first gradient, of the loss that is minimised; called if D is not known yet.
    """

    def __init__(self, experiment: Experiment, problem: Problem, gradient: Callable[[], Tensor]) -> None:
        self._experiment, self._problem, self._gradient = experiment, problem, gradient
        self._student = Student(problem.a, experiment.d, experiment.activation, experiment.initialization)

    @staticmethod
    def applies(experiment: Experiment) -> bool:
        """Whether a run has one step, and one along a direction that does not depend on η."""
        along = experiment.optimizer in UPDATE_NAMES and "weight_decay" not in experiment.optimizer_options
        plain = not experiment.weight_normalization and experiment.precision == "full"
        return experiment.steps == 1 and along and plain

    def preactivations(self, role: str, step: int, points: slice = slice(None)) -> Tensor:
        """S W_t Xᵀ of some points of a role, at step 0 or 1, in a buffer that the next call overwrites."""
        start = self._once("P", (), self._problem.w0, role)[:, points]
        out = self._student.workspace(start.shape[1])
        if step == 0:
            return out.copy_(start)
        return torch.sub(start, self._slope(role)[:, points], alpha=self._experiment.lr, out=out)

    def _slope(self, role: str) -> Tensor:
        e = self._experiment
        kind = (e.activation, e.optimizer, str(e.optimizer_options), e.bias_correction, e.loss_factor)
        shared = self._problem.shared
        if shared.get("direction", (None, None))[0] != kind:
            weights = torch.zeros_like(self._problem.w0)
            weights.grad = self._gradient()
            make_optimizer(e.replace(lr=1.0), weights).step()
            shared["direction"] = (kind, weights.neg_())
        return self._once("Q", kind, shared["direction"][1], role)

    def _once(self, name: str, kind: tuple[Any, ...], weights: Tensor, role: str) -> Tensor:
        """The product for one role, from `shared` if it is there for this kind of update."""
        kept = self._problem.shared.get((name, role))
        if kept is None or kept[0] != kind:
            self._problem.shared.pop((name, role), None)  # free it before the next is made
            kept = self._problem.shared[name, role] = (kind, product(self._problem, self._student, weights, role))
        found: Tensor = kept[1]
        return found
