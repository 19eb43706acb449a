"""Tasks and a module that tests name as a user's own."""

import torch
from torch import nn

from spectail.experiments.experiment import Experiment
from spectail.experiments.two_layer.problem import Problem

TAUGHT = Experiment(n=40, d=12, h=10, n_test=5, n_test_large=20, steps=3, optimizer="gd", lr=2.0, dtype="float64")
ANSWERS = {}
"""What `answer` gives: one after the other, and the last again and again."""


class TheStudent(nn.Module):
    """The student of `TAUGHT`, written as anyone would."""

    def __init__(self):
        super().__init__()
        problem = Problem.draw(TAUGHT)
        self.first = nn.Linear(12, 10, bias=False)
        self.first.weight.data = problem.w0.clone()
        self.a = problem.a

    def forward(self, x):
        return torch.tanh(self.first(x) / 12**0.5) @ self.a / 10**0.5


class Detached(TheStudent):
    def forward(self, x):
        return super().forward(x).detach()


class Failing(TheStudent):
    def forward(self, x):
        raise ValueError("no\nand more")


class Idle(nn.Module):
    """It has no parameter."""


def rows():
    x = torch.arange(40.0).sin().reshape(20, 2)
    return x, x[:, 0] * x[:, 1]


def labelled():
    x, y = rows()
    return x.numpy(), (y > 0).to(torch.uint8).numpy()


def random_rows():
    return torch.randn(5, 2), torch.arange(5)


def answer():
    answers = ANSWERS["next"]
    return answers.pop(0) if len(answers) > 1 else answers[0]
