"""Trainings that are watched: how often a matrix returns to a phase that it had left already.

Not here: the cells and their table, which `calibration` makes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from spectail.analysis.row import measure_all
from spectail.weights.matrix import WeightMatrix

State = dict[str, Tensor]

COUNTS = ("changes", "returns", "changes_large", "returns_large", "changes_without", "returns_without")
"""What is counted of a training: with hysteresis, the same of layers of 64 eigenvalues or more, without hysteresis."""

SIDES = (100, 128, 128, 64, 10)
STEPS, EVERY = 240, 4

Optimizer = Callable[[nn.Module], torch.optim.Optimizer]

OPTIMIZERS: dict[str, Optimizer] = {
    "SGD, momentum 0.9, lr 0.02": lambda model: torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9),
    "SGD, momentum 0.9, lr 0.2": lambda model: torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9),
    "AdamW, lr 0.001": lambda model: torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0),
    "AdamW, lr 0.01": lambda model: torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.0),
}


def training(optimizer: Optimizer, seed: int) -> list[State]:
    """The weights of a classifier of ten classes, a third of its labels random, every few steps."""
    torch.manual_seed(seed)
    inputs = torch.randn(2000, SIDES[0])
    labels = nn.Sequential(nn.Linear(SIDES[0], 30), nn.Tanh(), nn.Linear(30, 10))(inputs).argmax(1)
    noisy = torch.rand(len(labels)) < 1 / 3
    labels[noisy] = torch.randint(10, (int(noisy.sum()),))
    layers = [layer for before, after in pairwise(SIDES) for layer in (nn.Linear(before, after), nn.GELU())]
    model = nn.Sequential(*layers[:-1])
    steps, states = optimizer(model), []
    for step in range(STEPS + 1):
        if step % EVERY == 0:
            states.append({name: weights.clone() for name, weights in model.state_dict().items() if weights.ndim == 2})
        chosen = torch.randint(len(inputs), (64,))
        steps.zero_grad()
        nn.functional.cross_entropy(model(inputs[chosen]), labels[chosen]).backward()  # type: ignore[no-untyped-call]
        steps.step()
    return states


def phases(states: Sequence[State], *, hysteresis: bool) -> dict[str, list[str]]:
    """The phases of each matrix, as a monitor finds them; without hysteresis each by itself."""
    by_matrix: dict[str, list[str]] = {name: [] for name in states[0]}
    rows: list[dict[str, Any]] = []
    for state in states:
        matrices = [_matrix(name, weights) for name, weights in state.items()]
        rows, _ = measure_all(matrices, True, before=rows if hysteresis else ())
        for row in rows:
            by_matrix[row["name"]].append(row["phase"])
    return by_matrix


def returns(histories: Mapping[str, Sequence[str]]) -> tuple[int, int]:
    """How many changes of phase there are, and how many of them lead to a phase that was left already."""
    changes = returned = 0
    for history in histories.values():
        former = {history[0]}
        for before, after in pairwise(history):
            changes += before != after
            returned += before != after and after in former
            former.add(after)
    return changes, returned


def _matrix(name: str, weights: Tensor) -> WeightMatrix:
    rows, cols = weights.shape
    return WeightMatrix(name, "linear", rows, cols, 1, lambda: weights[None], dtype="float32")
