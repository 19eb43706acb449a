"""What the runs of a problem have in common: the start, and the direction of the first step.

Not here: where it is kept (problem.py), and steps that come after (loop.py).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from spectail.experiments.experiment import UPDATE_NAMES, Experiment
from spectail.experiments.optimizers import make_optimizer, rate_groups, take_step, wants_closure
from spectail.experiments.two_layer.networks import closure_of, make_network
from spectail.experiments.two_layer.problem import Problem
from spectail.experiments.two_layer.student import Student
from spectail.spectra.precision import like


def update_of_first_step(experiment: Experiment, problem: Problem | None = None) -> Tensor:
    """M₀ = W₁ − W₀ of the first layer, whatever the optimizer; of all points where it would take a batch.

    Args:
        experiment: which.
        problem: its problem, drawn anew without it.

    >>> e = Experiment(n=40, d=20, h=30, n_test=9, n_test_large=9, optimizer="sign", lr=0.5)
    >>> sorted(set(update_of_first_step(e).flatten().abs().tolist()))[-1] < 0.50001
    True
    """
    e = experiment
    problem = Problem.draw(e) if problem is None else problem
    network = make_network(e, problem)
    x, y = problem.train.x, like(problem.train.y, network.matrices[0])
    optimizer = make_optimizer(
        e.optimizer, rate_groups(network.trained, e.lr, e.rates), e.lr, bias_correction=e.bias_correction,
        options=e.update_options,
    )  # fmt: skip
    before = network.matrices[0].clone()
    if wants_closure(optimizer):
        take_step(e.optimizer, optimizer, closure_of(network, x, y, e.loss_factor))
    else:
        network.put_gradients(network.residual(x, y), x, 2 * e.loss_factor)
        take_step(e.optimizer, optimizer)
    return network.matrices[0].detach() - before


class StepZero:
    """Pre-activations of W₀, P = s W₀Xᵀ: one product a role, so that every run measures step 0 to the same bits.

    Args:
        problem: whose `step_zero` has P where it was kept.
        student: whose workspace is used.
        keep: keep P there, for the runs of one step.
    """

    def __init__(self, problem: Problem, student: Student, *, keep: bool = False) -> None:
        self._problem, self._student, self._keep = problem, student, keep
        self._latest: tuple[str, Tensor] | None = None

    def preactivations(self, role: str, step: int, points: slice = slice(None)) -> Tensor:
        """P of some points of a role, at step 0, in a buffer that the next call overwrites."""
        assert step == 0
        start = self.of_role(role)[:, points]
        return self._student.workspace(start.shape[1]).copy_(start)

    def of_role(self, role: str) -> Tensor:
        """P of all points of a role; only the latest is at hand, unless they are kept."""
        shared = self._problem.step_zero.preactivations
        if role in shared:
            return shared[role]
        if self._latest is None or self._latest[0] != role:
            self._latest = None  # free it before the next is made
            self._latest = role, preactivations_of_role(self._problem, self._student, self._problem.w0, role)
        if self._keep:
            shared[role] = self._latest[1]
        return self._latest[1]


def preactivations_of_role(problem: Problem, student: Student, weights: Tensor, role: str) -> Tensor:
    """Pre-activations s W Xᵀ of all points of a role."""
    x = getattr(problem, role).x
    return student.preactivations(weights, x, out=weights.new_empty(len(weights), len(x)))


class OneStepRun:
    """Pre-activations after one step, W₁ = W₀ − ηD, as P − ηQ.

    With P = s W₀Xᵀ and Q = s DXᵀ, neither depends on η, and Q only on the kind of update: a sweep of
    one-step runs over learning rates needs these large products once. Every run of one step takes
    this way, alone or in a sweep, so that it has the same bits either way.

    Args:
        experiment: of one step; see `applies`.
        problem: whose `step_zero` keeps P, and Q of the latest kind of update.
        gradient: the first gradient, of the loss that is minimised; called if D is not known yet.
    """

    def __init__(self, experiment: Experiment, problem: Problem, gradient: Callable[[], Tensor]) -> None:
        self._experiment, self._problem, self._gradient = experiment, problem, gradient
        self._student = Student(problem.a, experiment.d, experiment.activation, experiment.initialization)
        self._start = StepZero(problem, self._student, keep=True)

    @staticmethod
    def applies(experiment: Experiment) -> bool:
        """Whether a run has one step, and one along a direction that does not depend on η."""
        along = experiment.optimizer in UPDATE_NAMES and "weight_decay" not in experiment.optimizer_options
        plain = not experiment.weight_normalization and experiment.precision == "full"
        plain = plain and experiment.batch is None and not experiment.layers and experiment.train_layers == "first"
        plain = plain and experiment.bias == "none"
        return experiment.steps == 1 and along and plain

    def preactivations(self, role: str, step: int, points: slice = slice(None)) -> Tensor:
        """Pre-activations s W_t Xᵀ of some points of a role, t = 0 or 1, in a buffer that the next call overwrites."""
        if step == 0:
            return self._start.preactivations(role, step, points)
        start, slope = self._start.of_role(role)[:, points], self._slope(role)[:, points]
        return torch.sub(start, slope, alpha=self._experiment.rates[0], out=self._student.workspace(start.shape[1]))

    def _slope(self, role: str) -> Tensor:
        e = self._experiment
        kind = (e.activation, e.optimizer, str(e.update_options), e.bias_correction, e.loss_factor)
        shared = self._problem.step_zero
        if shared.direction is None or shared.direction[0] != kind:
            weights = torch.zeros_like(self._problem.w0)
            weights.grad = self._gradient()
            options = e.update_options
            make_optimizer(e.optimizer, [weights], 1.0, bias_correction=e.bias_correction, options=options).step()
            shared.direction = kind, weights.neg_()
        if role not in shared.slopes or shared.slopes[role][0] != kind:
            shared.slopes.pop(role, None)  # free it before the next is made
            slope = preactivations_of_role(self._problem, self._student, shared.direction[1], role)
            shared.slopes[role] = kind, slope
        return shared.slopes[role][1]
