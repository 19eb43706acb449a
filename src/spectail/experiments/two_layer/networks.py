"""What a run trains: the weights of a student, with its forward pass and the gradients of what is trained.

Each kind has `matrices`, whose spectra are measured, and `trained`, what is updated, with room for gradients.
Not here: the closed forms (student.py, multilayer.py), and what is done with gradients (loop.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from spectail.experiments.experiment import Experiment
from spectail.experiments.two_layer.multilayer import MultilayerStudent
from spectail.experiments.two_layer.problem import Problem
from spectail.experiments.two_layer.student import Student


class FirstLayerNetwork:
    """One hidden layer, which alone is trained: the paper's."""

    def __init__(self, experiment: Experiment, problem: Problem) -> None:
        e = experiment
        self.a = problem.a
        self.student = Student(problem.a, e.d, e.activation, e.initialization, e.precision)
        self.matrices = self.trained = [_with_room(problem.w0)]
        self.biases: list[Tensor] = []

    def residual(self, x: Tensor, y: Tensor) -> Tensor:
        """R = y − f(X)."""
        return self.student.residual(self.matrices[0], x, y)

    def put_gradients(self, residual: Tensor, x: Tensor, factor: float) -> None:
        """∇_W of factor · Σ r²/(2n)."""
        self.student.gradient(residual, x, out=self.trained[0].grad).mul_(factor)

    def hidden(self, x: Tensor, readout_scale: float) -> Tensor:
        """σ(s W Xᵀ)."""
        return self.student.hidden(self.matrices[0], x, readout_scale)


class MultilayerNetwork:
    """Any number of hidden layers, with biases or without; the first, all, or these and the last layer are trained."""

    def __init__(self, experiment: Experiment, problem: Problem) -> None:
        self.biases = [_with_room(b) for b in problem.biases]
        self.student = MultilayerStudent(experiment, self.biases)
        self.matrices = [_with_room(w) for w in (problem.w0, *problem.deeper)]
        self.a = _with_room(problem.a)
        every = [*self.matrices, self.a]
        self.trained = {"first": every[:1], "hidden": every[:-1], "all": every}[experiment.train_layers]
        if experiment.bias == "trained":
            self.trained = [*self.trained, *self.biases[: 1 if experiment.train_layers == "first" else None]]

    def residual(self, x: Tensor, y: Tensor) -> Tensor:
        """R = y − f(X)."""
        return self.student.residual(self.matrices, self.a, x, y)

    def put_gradients(self, residual: Tensor, x: Tensor, factor: float) -> None:
        """The gradients of factor · Σ r²/(2n) of all that is trained."""
        trained = {id(one) for one in self.trained}
        out = [one.grad if id(one) in trained else None for one in (*self.matrices, self.a, *self.biases)]
        self.student.gradients(self.matrices, self.a, residual, x, out)
        for gradient in out:
            if gradient is not None:
                gradient.mul_(factor)

    def hidden(self, x: Tensor, readout_scale: float) -> Tensor:
        """The last hidden layer."""
        return self.student.hidden(self.matrices, x, readout_scale)


Network = FirstLayerNetwork | MultilayerNetwork


def make_network(experiment: Experiment, problem: Problem) -> Network:
    """The student of an experiment, with the initial weights of its problem."""
    paper = experiment.train_layers == "first" and not experiment.layers and experiment.bias == "none"
    return (FirstLayerNetwork if paper else MultilayerNetwork)(experiment, problem)


def _with_room(weights: Tensor) -> Tensor:
    copy = weights.clone()
    copy.grad = torch.empty_like(copy)
    return copy


def closure_of(network: Network, x: Tensor, y: Tensor, loss_factor: float) -> Callable[[], Any]:
    """What an optimizer calls that evaluates the loss several times a step, as LBFGS does."""

    def closure() -> Any:
        residual = network.residual(x, y)
        loss = loss_factor * residual.square().mean()
        network.put_gradients(residual, x, 2 * loss_factor)
        return loss

    return closure
