"""The paper's standard settings, at its own sizes (App. F, "Hyperparameters")."""

from __future__ import annotations

from spectail.teacher_student.experiment import Experiment

S2 = Experiment(n=2000, n_test=200, d=1000, h=1500, teacher="softplus", activation="tanh", label_noise=0.3, ridge=0.01)
S8 = S2.replace(n=8000)
LEARNING_RATES = (0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0, 2000.0, 3000.0)
OPTIMIZERS = ("gd", "adam")


def over_learning_rates(setup: Experiment, optimizer: str, **fields: object) -> list[Experiment]:
    """One experiment for each learning rate of the paper's sweeps."""
    return [setup.replace(optimizer=optimizer, lr=lr, **fields) for lr in LEARNING_RATES]
