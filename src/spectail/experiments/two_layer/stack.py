"""Runs of one problem side by side, as one large matrix: they keep a GPU busy, which one run by itself does not.

Not here: the same for one run, with everything that an experiment can ask for (loop.py, run.py).
"""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from spectail import __version__
from spectail.errors import SettingError
from spectail.experiments.activations import find_activation
from spectail.experiments.experiment import PROBLEM_FIELDS, Experiment
from spectail.experiments.machine import computed_on
from spectail.experiments.optimizers import make_optimizer
from spectail.experiments.two_layer.measure import (
    FirstLayerRow,
    hidden_of,
    measure_first_layer,
    measure_readout,
    with_notes_of_both,
)
from spectail.experiments.two_layer.problem import Problem
from spectail.experiments.two_layer.sharpness import bearable, largest_eigenvalues, preconditioner
from spectail.experiments.two_layer.student import Student
from spectail.progress import StepProgress
from spectail.recording.layout import RUN_FORMAT, RUN_MARK, run_to_dataset
from spectail.recording.netcdf import with_checksum
from spectail.spectra.norms import frobenius_norm, spectral_norm
from spectail.spectra.precision import check_device, like

_SAME = ("steps", "record", "optimizer", "activation", "ridge")
_OPTIONS = ("betas", "momentum")
"""Options of optimizers that `bearable` takes into account."""

_PLAIN: dict[str, Any] = {
    "schedule": None,
    "weight_normalization": False,
    "overlaps": (),
    "precision": "full",
}


@dataclass
class StackedRun:
    """A run that was trained beside others.

    Attributes:
        experiment: what it is of.
        recording: as `simulate` has it.
        objective: before each update, by step.
        stability: sharpness and stability where they were measured, by step.
    """

    experiment: Experiment
    recording: xr.Dataset
    objective: NDArray[np.float32]
    stability: dict[int, tuple[float, float]] = field(default_factory=dict)


OnRecorded = Callable[[int, "Callable[[], list[StackedRun]]"], None]
"""Called after each recorded step, with the step and a function that gives the runs up to it."""


def simulate_stack(
    experiments: Sequence[Experiment],
    *,
    device: str | torch.device = "cpu",
    problem: Problem | None = None,
    pool: Executor | None = None,
    stability_at: Collection[int] = (),
    progress: StepProgress | None = None,
    on_recorded: OnRecorded = lambda step, runs: None,
) -> list[StackedRun]:
    """Run experiments of one problem side by side.

    The numbers are those of `simulate` up to the order of sums, which a long run magnifies.

    Args:
        experiments: of equal problem, steps, recorded steps, optimizer, activation and ridge; in full precision,
            without schedules, normalisation and overlaps. Learning rates, conventions, betas and momentum may differ;
            other options of the optimizer are refused.
        device: where to train.
        problem: the problem of all of them, drawn on the device; drawn anew without it.
        pool: processes that measure meanwhile, on a thread each; without it, everything is measured on the device.
        stability_at: steps at which to measure sharpness and stability, which takes as long as 20 updates; recorded
            steps have both.
        progress: called after each step.
        on_recorded: see `OnRecorded`.

    Raises:
        SettingError: they cannot be run beside each other.

    >>> tiny = Experiment(n=40, d=20, h=30, n_test=9, n_test_large=9, steps=2)
    >>> runs = simulate_stack([tiny.replace(lr=lr) for lr in (0.1, 1.0)])
    >>> [(run.experiment.lr, run.recording.sizes["step"], len(run.objective)) for run in runs]
    [(0.1, 3, 3), (1.0, 3, 3)]
    """
    check_stackable(experiments)
    device = check_device(device)
    problem = Problem.draw(experiments[0], device) if problem is None else problem
    if problem.key != experiments[0].problem_key:
        raise SettingError("the problem given is not that of the experiments: sizes, teacher, noise or seed differ")
    stack = Stack(experiments, problem, pool)
    return stack.train(stability_at, progress or (lambda step, steps: None), on_recorded)()


def check_stackable(experiments: Sequence[Experiment]) -> None:
    """See that experiments can be run side by side. Raises SettingError where they cannot."""
    first = experiments[0]
    for e in experiments:
        e.check_computable()
        unlike = [name for name in _SAME if getattr(e, name) != getattr(first, name)]
        unlike += ["problem"] if e.problem_key != first.problem_key else []
        if unlike:
            raise SettingError(f"runs side by side have one {unlike[0]}, but here it differs")
        special = [name for name, plain in _PLAIN.items() if getattr(e, name) != plain]
        special += ["optimizer_options"] if set(e.optimizer_options) - set(_OPTIONS) else []
        if not e.is_the_papers:
            raise SettingError("students and teachers of another kind than the paper's cannot be run side by side")
        if special or e.optimizer not in ("gd", "adam"):
            what = special[0] if special else "optimizer"
            raise SettingError(f"{what}={getattr(e, what)!r} cannot be run side by side; run it by itself")


@lru_cache(maxsize=256)
def largest_stable_lr(experiment: Experiment) -> float:
    """The learning rate at which the first step reaches what the optimizer bears, measured; 2/λ_max(H₀) for descent.

    The stability of the first step is proportional to η, as neither H nor Adam's V depends on it yet.

    Args:
        experiment: as for `simulate_stack`, whatever its learning rate and steps.

    >>> tiny = Experiment(n=40, d=20, h=30, n_test=9, n_test_large=9, optimizer="gd", steps=1)
    >>> edge = largest_stable_lr(tiny)
    >>> [run] = simulate_stack([tiny.replace(lr=3 * edge)])
    >>> round(run.stability[0][1], 4)
    3.0
    """
    at_one = experiment.replace(steps=1, record=(0,), lr=1.0)
    check_stackable([at_one])
    return 1.0 / Stack([at_one], Problem.draw(at_one)).stability_of_first_step()


class Stack:
    """Weights of k runs as one (kh × d) matrix, and an optimizer each.

    Args:
        experiments: what they are of.
        problem: the problem of all.
        pool: as for `simulate_stack`.
    """

    def __init__(self, experiments: Sequence[Experiment], problem: Problem, pool: Executor | None = None) -> None:
        first, k = experiments[0], len(experiments)
        self.experiments, self.problem, self._pool = tuple(experiments), problem, pool
        x = problem.train.x
        self._activation = find_activation(first.activation)
        student = Student(problem.a, first.d, first.activation, first.initialization)
        self._inputs_across = x.T * student.input_scale
        self._output_scale = student.output_scale
        self.weights = problem.w0.repeat(k, 1)
        self._gradient = torch.empty_like(self.weights)
        self._pre = x.new_empty(len(self.weights), first.n)
        self._inputs = torch.empty_like(self._pre) if self._activation.slope_from == "input" else self._pre
        self._labels = like(problem.train.y, x)
        factors = [e.loss_factor for e in experiments]
        self._factor = torch.tensor(factors, dtype=x.dtype, device=x.device)
        # 2c/n is the factor of the loss, s/√h a that of the output
        rows = 2 * self._factor[:, None] / first.n * (student.input_scale * student.output_scale) * problem.a
        self._row_scale = rows.neg().view(-1, 1)
        self.optimizers = []
        for e, weights, gradient in zip(experiments, self._each(self.weights), self._each(self._gradient), strict=True):
            weights.grad = gradient
            options: dict[str, Any] = {"bias_correction": e.bias_correction, "options": e.update_options}
            self.optimizers.append(make_optimizer(e.optimizer, [weights], e.lr, **options))
        self._records: list[dict[int, FirstLayerRow | Future[FirstLayerRow]]] = [{} for _ in experiments]
        self._stability: list[dict[int, tuple[float, float]]] = [{} for _ in experiments]
        self._started = time.perf_counter()

    def _each(self, stacked: Tensor) -> tuple[Tensor, ...]:
        return stacked.chunk(len(self.experiments))

    def train(
        self, stability_at: Collection[int], progress: StepProgress, on_recorded: OnRecorded
    ) -> Callable[[], list[StackedRun]]:
        """All steps; see `simulate_stack`.

        Returns:
            a function that waits for the last measurements and gives the runs; another stack can begin meanwhile.
        """
        first = self.experiments[0]
        recorded, steps = set(first.recorded_steps), first.steps
        curvature_at = recorded | set(stability_at)
        objective = self.weights.new_full((steps + 1, len(self.experiments)), math.nan)
        update: Tensor | None = None
        for step in range(steps + 1):
            residual = self._residual()
            objective[step] = self._factor * residual.square().mean(1)
            if step in recorded:
                self._measure(step, update)
                on_recorded(step, lambda until=step: self._runs(objective[: until + 1]))  # type: ignore[misc]
            needed = step + 1 in recorded or step in curvature_at
            before = self.weights.clone() if needed else None
            if step < steps:
                self._update(residual)
            if step in curvature_at and steps and before is not None:
                self._measure_stability(step, before, sharpness=step in recorded)
            update = None
            if step + 1 in recorded and before is not None:
                update = torch.sub(self.weights, before, out=before)
            progress(step, steps)
        return lambda: self._runs(objective)

    def stability_of_first_step(self) -> float:
        """Make the first step, and say how near to instability it was for the first run; nothing else is measured."""
        before = self.weights.clone()
        self._update(self._residual())
        self._measure_stability(0, before, sharpness=False)
        return self._stability[0][0][1]

    def _residual(self) -> Float[Tensor, "k n"]:
        """Y − f(X) of each run; values of the hidden units are left where `_update` finds them."""
        pre = torch.mm(self.weights, self._inputs_across, out=self._pre)
        if self._inputs is not pre:
            self._inputs.copy_(pre)
        values = self._activation.value_(pre).view(len(self.experiments), *self._hidden_shape)
        return self._labels - self._output_scale * torch.matmul(self.problem.a, values)

    @property
    def _hidden_shape(self) -> tuple[int, int]:
        return self.experiments[0].h, self.experiments[0].n

    def _update(self, residual: Float[Tensor, "k n"]) -> None:
        hidden = self._times_slope(self._inputs, residual)
        torch.mm(hidden, self.problem.train.x, out=self._gradient).mul_(self._row_scale)
        for optimizer in self.optimizers:
            optimizer.step()

    def _times_slope(self, of: Tensor, residual: Float[Tensor, "k n"]) -> Float[Tensor, "kh n"]:
        """R ∘ σ', over what σ' is made from."""
        by_run = of.view(len(self.experiments), *self._hidden_shape)
        if self.experiments[0].activation == "tanh":  # in one pass over memory, not four
            torch.ops.aten.tanh_backward.grad_input(residual[:, None].expand_as(by_run), by_run, grad_input=by_run)
        else:
            self._activation.slope_(by_run).mul_(residual[:, None])
        return of

    def _measure(self, step: int, update: Tensor | None) -> None:
        """Everything but curvature, of each run that is still finite; at step 0 once for each `feature_scale`."""
        alive = [bool(w.isfinite().all()) for w in self._each(self.weights)]
        updates = [None] * len(self.experiments) if update is None else self._each(update)
        at_start: dict[str, FirstLayerRow | Future[FirstLayerRow]] = {}
        for at, e in enumerate(self.experiments):
            if not alive[at]:
                continue
            weights, moved = self._each(self.weights)[at], updates[at]
            if step == 0 and e.feature_scale in at_start:
                self._records[at][0] = at_start[e.feature_scale]
                continue
            if self._pool is None:
                row: FirstLayerRow | Future[FirstLayerRow] = measured(e, self.problem, weights, moved)
            else:
                # a copy also on the CPU: the weights go on while they wait to be measured
                arrays = [None if t is None else t.to("cpu", copy=True).numpy() for t in (weights, moved)]
                row = self._pool.submit(measured_in_process, e, *arrays)  # type: ignore[arg-type]
            self._records[at][step] = row
            at_start.setdefault(e.feature_scale, row)

    def _measure_stability(self, step: int, weights: Tensor, *, sharpness: bool) -> None:
        """η·λ_max(P⁻¹H) over what the optimizer bears, and λ_max(H), by the Gauss–Newton part of H."""
        count = len(self.experiments)
        pre = torch.mm(weights, self._inputs_across)
        source = pre if self._activation.slope_from == "input" else self._activation.value_(pre)
        slopes = self._activation.slope_(source).view(count, *self._hidden_shape)
        divisors = [preconditioner(optimizer) for optimizer in self.optimizers]
        divisor = None if divisors[0] is None else torch.cat([one for one in divisors if one is not None])
        image, gradient = torch.empty_like(slopes), torch.empty_like(self.weights)

        def kernel(divided: bool) -> Callable[[Tensor], Tensor]:
            def of(vectors: Tensor) -> Tensor:
                torch.mul(slopes, vectors[:, None], out=image)
                torch.mm(image.view(-1, image.shape[-1]), self.problem.train.x, out=gradient).mul_(self._row_scale)
                if divided and divisor is not None:
                    gradient.div_(divisor)
                torch.mm(gradient, self._inputs_across, out=image.view(-1, image.shape[-1]))
                return torch.matmul(self.problem.a, image.mul_(slopes)).mul_(-self._output_scale)

            return of

        start = torch.from_numpy(np.random.default_rng(0).standard_normal(slopes.shape[-1])).to(self._labels)
        start = start.expand(count, -1)
        as_it_is = largest_eigenvalues(kernel(False), start) if sharpness or divisor is None else None
        preconditioned = as_it_is if divisor is None else largest_eigenvalues(kernel(True), start)
        assert preconditioned is not None
        for at, optimizer in enumerate(self.optimizers):
            share = self.experiments[at].lr * float(preconditioned[at]) / bearable(optimizer)
            self._stability[at][step] = (math.nan if as_it_is is None else float(as_it_is[at]), share)

    def _runs(self, objective: Tensor) -> list[StackedRun]:
        curves = objective.cpu().double().numpy()
        return [
            self._run(e, records, stability, curves[:, at])
            for at, (e, records, stability) in enumerate(
                zip(self.experiments, self._records, self._stability, strict=True)
            )
        ]

    def _run(
        self,
        e: Experiment,
        records: dict[int, FirstLayerRow | Future[FirstLayerRow]],
        stability: dict[int, tuple[float, float]],
        objective: NDArray[np.float64],
    ) -> StackedRun:
        lost = np.flatnonzero(~np.isfinite(objective))
        diverged = int(lost[0]) if len(lost) else None
        rows = []
        for step, row in records.items():
            if diverged is None or step < diverged:
                known = row.result() if isinstance(row, Future) else row
                sharpness, share = stability.get(step, (math.nan, math.nan))
                beside = {"sharpness": sharpness, "stability": share, "update_lr": e.lr if step else math.nan}
                rows.append({"step": step, **known, **beside, "objective": float(objective[step])})
        attributes: dict[str, Any] = {
            RUN_MARK: RUN_FORMAT,
            "spectail_version": __version__,
            "experiment": e.canonical_json,
            "key": e.key,
            "device": str(self.weights.device),
            **computed_on(),
            "torch_version": str(torch.__version__),
            "python_version": platform.python_version(),
            "wall_time": (time.perf_counter() - self._started) / len(self.experiments),
        }
        if diverged is not None:
            attributes["diverged_at"] = diverged
        recording = run_to_dataset(rows, {}, attributes)
        with np.errstate(over="ignore"):  # on the way to where it diverged
            curve = objective.astype(np.float32)
        return StackedRun(e, with_checksum(recording), curve, dict(stability))


def measured(experiment: Experiment, problem: Problem, weights: Tensor, update: Tensor | None) -> FirstLayerRow:
    """A full measurement of W, and the norms of the update that led to it."""
    e = experiment
    student = Student(problem.a, e.d, e.activation, e.initialization)
    learned = measure_readout(e, problem, hidden_of(e, problem, student, weights))
    row = with_notes_of_both(learned, measure_first_layer(problem, weights))
    norms = (math.nan, math.nan) if update is None else (spectral_norm(update), frobenius_norm(update))
    return {**row, "update_norm_2": norms[0], "update_norm_fro": norms[1]}


@lru_cache(maxsize=1)
def _problem_of(experiment: Experiment) -> Problem:
    return Problem.draw(experiment)


def measured_in_process(experiment: Experiment, weights: NDArray[Any], update: NDArray[Any] | None) -> FirstLayerRow:
    """`measured` by a process that draws the problem itself, once, and computes on one thread."""
    torch.set_num_threads(1)
    problem = _problem_of(Experiment(**{name: getattr(experiment, name) for name in PROBLEM_FIELDS}))
    moved = None if update is None else torch.from_numpy(update)
    return measured(experiment, problem, torch.from_numpy(weights), moved)
