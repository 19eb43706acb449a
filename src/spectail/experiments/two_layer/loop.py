"""What a run does between its first step and its last: measure, update, and be able to go on.

Not here: what is measured (measure.py), and how an update is made (optimizers.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spectail.experiments.batches import Batches
from spectail.experiments.experiment import Experiment
from spectail.experiments.optimizers import (
    make_optimizer,
    rate_groups,
    switch_mode,
    take_step,
    wants_closure,
)
from spectail.experiments.resume import State
from spectail.experiments.schedules import make_schedule
from spectail.experiments.two_layer.kernels import kernel_eigenvalues
from spectail.experiments.two_layer.measure import (
    FirstLayerRow,
    HiddenUnits,
    measure_first_layer,
    measure_layers,
    measure_readout,
    readout_scale,
    with_notes_of_both,
)
from spectail.experiments.two_layer.networks import FirstLayerNetwork, closure_of, make_network
from spectail.experiments.two_layer.problem import Problem, once
from spectail.experiments.two_layer.step_zero import OneStepRun, StepZero
from spectail.progress import StepProgress
from spectail.spectra.norms import frobenius_norm, spectral_norm
from spectail.spectra.overlaps import (
    SingularVectors,
    participation_ratio,
    rounding_level,
    singular_vectors,
    squared_overlaps,
)
from spectail.spectra.precision import float64, like

UPDATE = ("update_norm_2", "update_norm_fro", "update_lr")
"""What is known of an update."""


def _as_tensors(value: Any) -> Any:
    """A value of a row as a state keeps it."""
    if isinstance(value, list):
        return [_as_tensors(one) for one in value]
    return torch.from_numpy(value) if isinstance(value, np.ndarray) else value


def _as_arrays(value: Any) -> Any:
    """The opposite of `_as_tensors`."""
    if isinstance(value, list):
        return [_as_arrays(one) for one in value]
    return value.numpy() if isinstance(value, Tensor) else value


def records_of_state(state: State) -> list[FirstLayerRow]:
    """What was measured up to the step of a state."""
    return [{name: _as_arrays(value) for name, value in r.items()} for r in state["records"]]


def normalize_(weights: Tensor, experiment: Experiment) -> None:
    """Scale W to the Frobenius norm √(hd) (times 1/√d in mean-field) that W₀ has on average.

    Source: paper App. F.4 (weight normalisation; Huang et al., 2023).
    """
    target = experiment.entry_scale * math.sqrt(experiment.h * experiment.d)
    weights.mul_(target / frobenius_norm(weights))


class TwoLayerRun:
    """The state of one run: weights, optimizer, and what was measured so far."""

    def __init__(self, experiment: Experiment, problem: Problem) -> None:
        self.experiment = experiment
        self.problem = problem
        self.network = make_network(experiment, problem)
        self.weights = self.network.matrices[0]
        e = experiment
        self.optimizer = make_optimizer(
            e.optimizer,
            rate_groups(self.network.trained, e.lr, e.rates),
            e.lr,
            bias_correction=e.bias_correction,
            options=e.update_options,
        )
        self.batches = Batches(e.n, e.batch, e.seed)
        self.schedule = make_schedule(e.schedule, self.optimizer, e.schedule_options)
        self.labels = like(problem.train.y, self.weights)
        self.shares_start = isinstance(self.network, FirstLayerNetwork) and e.batch is None
        self.one_step = OneStepRun(experiment, problem, self._first_gradient) if OneStepRun.applies(e) else None
        self.records: list[FirstLayerRow] = []
        self.diverged_at: int | None = None
        self.next_step = 0
        self._vectors: dict[tuple[str, int], SingularVectors] = {}
        self._last_update = self._joined([dict.fromkeys(UPDATE, math.nan) for _ in self.network.matrices])

    def train(self, progress: StepProgress, at_step: Callable[[int], None]) -> None:
        """Alternate measurement and update until the last step, or until the run diverges.

        Args:
            progress: called after each step.
            at_step: called before each step, when `save_state` gives what the rest of the run depends on.
        """
        steps, recorded = self.experiment.steps, set(self.experiment.recorded_steps)
        for step in range(self.next_step, steps + 1):
            at_step(step)
            switch_mode(self.optimizer, "eval")
            if not all(bool(w.sum().isfinite() or w.isfinite().all()) for w in self.network.trained):
                self.diverged_at = step
                return
            self._keep_vectors("W", step, self.weights)
            record = self._measure(step) if step in recorded else None
            if record is None and step == steps:
                return
            switch_mode(self.optimizer, "train")
            objective, residual = self._forward(step, record is not None)
            if not math.isfinite(objective):
                self.diverged_at = step
                return
            if record is not None:
                self.records.append({**record, "objective": objective})
            if step < steps:
                self._update(step, objective, residual, measured=step + 1 in recorded)
            progress(step, steps)

    def save_state(self, step: int, seconds: float) -> State:
        """Everything that the rest of the run depends on, before a step, in plain types and tensors.

        Args:
            step: the step that comes next.
            seconds: how long the run took so far.
        """
        return {
            "experiment": self.experiment.canonical_json,
            "step": step,
            "seconds": seconds,
            "weights": [w.detach() for w in self.network.trained],
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "records": [{name: _as_tensors(value) for name, value in r.items()} for r in self.records],
            "vectors": [(role, t, v.left, v.right, v.rank) for (role, t), v in self._vectors.items()],
            "last_update": self._last_update,
        }

    def load_state(self, state: State) -> float:
        """Go on from a state, if it is this experiment's.

        Returns:
            the seconds that it took to get there; 0 where the state is another's, and is not used.
        """
        if state.get("experiment") != self.experiment.canonical_json or self.one_step is not None:
            return 0.0
        device = self.weights.device
        self.next_step = state["step"]
        weights = state["weights"]
        for w, then in zip(self.network.trained, [weights] if isinstance(weights, Tensor) else weights, strict=True):
            w.copy_(then)
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.records = records_of_state(state)
        self._vectors = {
            (role, t): SingularVectors(left.to(device), right.to(device), *rank or (left.shape[1],))
            for role, t, left, right, *rank in state["vectors"]  # no rank in a state of the first edition
        }
        self._last_update = state["last_update"]
        return float(state["seconds"])

    def overlaps(self) -> dict[tuple[int, int], dict[str, NDArray[Any]]]:
        """O(U_W, U_M), O(V_W, V_M) and the spread of their rows, of each pair (s, t) that the run reached.

        Each pair has the numerical ranks of both matrices too, past which directions are arbitrary.
        """
        pairs = {}
        for s, t in self.experiment.overlaps:
            w, m = self._vectors.get(("W", s)), self._vectors.get(("M", t))
            if w and m:
                both = {"left": squared_overlaps(w.left, m.left), "right": squared_overlaps(w.right, m.right)}
                both |= {f"{side}_spread": participation_ratio(overlaps) for side, overlaps in both.items()}
                pairs[s, t] = {name: values.cpu().numpy() for name, values in both.items()}
                pairs[s, t]["ranks"] = np.array([w.rank, m.rank])
        return pairs

    def _measure(self, step: int) -> FirstLayerRow:
        e = self.experiment

        def readout() -> FirstLayerRow:
            return measure_readout(e, self.problem, self._hidden(step))

        def spectrum() -> FirstLayerRow:
            return measure_first_layer(self.problem, self.weights)

        if len(self.network.matrices) > 1:
            row = measure_layers(self.problem, self.network.matrices, readout())
        elif step == 0:
            shared, kind = self.problem.step_zero, (e.activation, e.ridge, e.feature_scale, e.kernels)
            row = with_notes_of_both(once(shared.readouts, kind, readout), once(shared.spectra, "W", spectrum))
        else:
            row = with_notes_of_both(readout(), spectrum())
        kernels = kernel_eigenvalues(e, self.problem, self.network) if e.kernels else {}
        return {"step": step, **row, **self._last_update, **kernels}

    def _hidden(self, step: int) -> HiddenUnits:
        extra = readout_scale(self.experiment)
        network = self.network
        if not isinstance(network, FirstLayerNetwork) or (self.one_step is None and step > 0):
            return lambda role, points: network.hidden(getattr(self.problem, role).x[points], extra)
        products = self.one_step or StepZero(self.problem, network.student)
        sigma = network.student.activation
        return lambda role, points: sigma.value_(products.preactivations(role, step, points).mul_(extra))

    def _forward(self, step: int, recorded: bool) -> tuple[float, Tensor | None]:
        """The training objective, loss_factor/n ‖y − f(X)‖², and the residual for the gradient.

        At step 0 both may be known from another run; the residual is then not needed. With mini-batches the objective
        is that of all points where the step is recorded, else that of the batch.
        """
        e = self.experiment
        if e.weight_normalization and e.normalize_when == "before_forward":
            normalize_(self.weights, e)
        if step == 0 and self.shares_start:
            mean_square, _ = self._at_start()
            return e.loss_factor * mean_square, None
        residual = self._residual(step)
        objective = e.loss_factor * float(float64(residual).square().mean())
        if recorded and e.batch is not None:
            whole = self.network.residual(self.problem.train.x, self.labels)
            objective = e.loss_factor * float(float64(whole).square().mean())
            residual = self._residual(step)  # the gradient is of the latest forward pass
        return objective, residual

    def _residual(self, step: int) -> Tensor:
        if self.one_step is not None and isinstance(self.network, FirstLayerNetwork):
            return self.network.student.residual_at(self.one_step.preactivations("train", step), self.labels)
        return self.network.residual(*self._points(step))

    def _points(self, step: int) -> tuple[Tensor, Tensor]:
        """The inputs and labels of an update."""
        x, y, chosen = self.problem.train.x, self.labels, self.batches(step)
        return (x, y) if chosen is None else (x[chosen], y[chosen])

    def _update(self, step: int, objective: float, residual: Tensor | None, *, measured: bool) -> None:
        """W ← W + M, and what is to be known of M: its norms where the next step is measured."""
        e, matrices, trained = self.experiment, self.network.matrices, {id(one) for one in self.network.trained}
        if wants_closure(self.optimizer):
            closure = closure_of(self.network, *self._points(step), e.loss_factor)
        else:
            closure = None
            if residual is not None:
                self.network.put_gradients(residual, self._points(step)[0], 2 * e.loss_factor)
            elif self.weights.grad is not None:
                self.weights.grad.copy_(self._first_gradient())
        is_of_use = measured or any(t == step for _, t in e.overlaps)
        before = [w.clone() for w in matrices] if is_of_use else []
        rates = [float(group["lr"]) for group in self.optimizer.param_groups]
        take_step(e.optimizer, self.optimizer, closure)
        self.schedule(objective)
        updates = []
        for at, (w, w_before) in enumerate(zip(matrices, before, strict=False)):
            update = torch.sub(w, w_before, out=w_before)
            if at == 0:
                self._keep_vectors("M", step, update)
            lr = rates[min(at, len(rates) - 1)] if id(w) in trained else 0.0
            updates.append(dict(zip(UPDATE, (spectral_norm(update), frobenius_norm(update), lr), strict=True)))
        if updates:
            self._last_update = self._joined(updates)
        if e.weight_normalization and e.normalize_when == "after_update":
            normalize_(self.weights, e)

    def _first_gradient(self) -> Tensor:
        """The gradient of the loss that is minimised; the closed form is of R, with 1/(2n)."""
        return self._at_start()[1] * (2 * self.experiment.loss_factor)

    def _at_start(self) -> tuple[float, Tensor]:
        """Mean squared residual and ∇R at the first forward pass, shared by all runs of the problem."""
        e = self.experiment
        normalized = e.weight_normalization and e.normalize_when == "before_forward"

        def compute() -> tuple[float, Tensor]:
            assert isinstance(self.network, FirstLayerNetwork)
            residual, student = self._residual(0), self.network.student
            return float(float64(residual).square().mean()), student.gradient(residual, self.problem.train.x)

        return once(self.problem.step_zero.gradients, (e.activation, normalized, e.precision), compute)

    @staticmethod
    def _joined(rows: Sequence[FirstLayerRow]) -> FirstLayerRow:
        """What is known of each matrix, by quantity: a list where there are several."""
        return dict(rows[0]) if len(rows) == 1 else {name: [row[name] for row in rows] for name in rows[0]}

    def _keep_vectors(self, role: str, step: int, matrix: Tensor) -> None:
        pairs = self.experiment.overlaps
        if (role, step) in {("W", s) for s, _ in pairs} | {("M", t) for _, t in pairs} and bool(
            matrix.isfinite().all()
        ):
            # an update is the difference of weights, and has their rounding
            self._vectors[role, step] = singular_vectors(matrix, rounding=rounding_level(self.weights))
