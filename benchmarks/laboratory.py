"""A training step, a measurement, a sweep, and the memory of a large run, at the paper's size."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from scipy.linalg import blas, eigh, lapack
from torch.profiler import ProfilerActivity, profile

from benchmarks.timing import Row, in_turn, peak_memory, seconds
from spectail.experiments.experiment import Experiment
from spectail.experiments.optimizers import make_optimizer
from spectail.experiments.run import simulate, simulate_many
from spectail.experiments.two_layer.measure import hidden_of, measure_first_layer, measure_readout
from spectail.experiments.two_layer.networks import make_network
from spectail.experiments.two_layer.problem import Problem
from spectail.experiments.two_layer.student import Student
from spectail.spectra import gram
from spectail.store.store import Store
from spectail.study.figures.fig03 import FIG3
from spectail.study.settings import PAPER_OPTIMIZERS, over_learning_rates
from spectail.sweeps.sweep import run_missing

S2 = Experiment(protocol="published")  # n = 2000, d = 1000, h = 1500, float32
# Operators of torch that are matrix products, factorisations and what solves with them.
PRODUCTS = ("mm", "bmm", "addmm", "addmm_", "mv", "addmv", "addmv_", "dot", "_cholesky_solve_helper", "linalg_lu_solve")
FACTORISATIONS = ("_linalg_eigh", "_linalg_svd", "linalg_cholesky_ex", "linalg_lu_factor_ex", "linalg_lstsq")


def setting(optimizer: str) -> tuple[Experiment, Problem, Student, torch.Tensor, Callable[[], None]]:
    e = S2.replace(optimizer=optimizer, lr=0.1)
    problem = Problem.draw(e)
    student = Student(problem.a, e.d, e.activation)
    weights, labels, x = problem.w0.clone(), problem.train.y.float(), problem.train.x
    weights.grad = torch.empty_like(weights)
    update = make_optimizer(e.optimizer, [weights], e.lr, bias_correction=e.bias_correction)

    def step() -> None:
        residual = student.residual(weights, x, labels)
        student.gradient(residual, x, out=weights.grad)
        update.step()

    return e, problem, student, weights, step


def training_step(optimizer: str) -> Row:
    e, problem, _, weights, step = setting(optimizer)
    hidden, slopes, gradient = torch.empty(e.h, e.n), torch.randn(e.h, e.n), torch.empty(e.h, e.d)

    def bare() -> None:
        torch.mm(weights, problem.train.x.T, out=hidden)
        torch.mm(slopes, problem.train.x, out=gradient)

    ours, products, ratio = in_turn(step, bare, 60)
    detail = f"{ours * 1e3:.0f} ms, the two products alone {products * 1e3:.0f} ms"
    return Row(f"training step, {optimizer}, over its two matrix products", ratio, "×", "≤ 1.15", ratio <= 1.15, detail)


def step_of_layers() -> Row:
    """A step of a student of three hidden layers: two products a layer forward and back, and one between layers."""
    e = Experiment(n=1000, d=500, layers=(700, 700, 700), optimizer="gd", n_test=5, n_test_large=5)
    problem = Problem.draw(e)
    network, x, labels = make_network(e, problem), problem.train.x, problem.train.y.float()
    inputs = [x, *(torch.randn(e.n, width) for width in e.widths[:-1])]
    slopes, hidden = torch.randn(e.n, e.h), torch.empty(e.h, e.n)
    gradients = [torch.empty_like(weights) for weights in network.matrices]

    def step() -> None:
        network.put_gradients(network.residual(x, labels), x, 1.0)

    def bare() -> None:
        for weights, of_layer, gradient in zip(network.matrices, inputs, gradients, strict=True):
            torch.mm(weights, of_layer.T, out=hidden)
            torch.mm(slopes.T, of_layer, out=gradient)
            if of_layer is not x:
                torch.mm(slopes, weights)

    ours, products, ratio = in_turn(step, bare, 30)
    detail = f"{ours * 1e3:.0f} ms, the eight products alone {products * 1e3:.0f} ms"
    what = "gradients of three hidden layers over their products"
    return Row(what, ratio, "×", "≤ 1.3", ratio <= 1.3, detail)


def full_measurement() -> Row:
    e, problem, student, weights, step = setting("adam")
    step()
    hidden = hidden_of(e, problem, student, weights)

    def measurement() -> None:
        measure_readout(e, problem, hidden)
        measure_first_layer(problem, weights)

    ours, one_step, ratio = in_turn(measurement, step, 15)
    detail = f"{ours * 1e3:.0f} ms, one step {one_step * 1e3:.0f} ms"
    return Row("full measurement over a training step", ratio, "×", "≤ 6", ratio <= 6, detail)


def shared_sweep() -> Row:
    """One repeat of Fig. 3 (18 one-step runs), sharing a problem and each drawing its own."""
    runs = [e.replace(protocol="published") for e in FIG3.experiments]
    list(simulate_many(runs[:1]))
    shared = seconds(lambda: list(simulate_many(runs)))
    separate = seconds(lambda: [simulate(e) for e in runs])
    ratio = shared / separate
    detail = f"one repeat of 18 runs: {shared:.1f} s shared, {separate:.1f} s separate"
    return Row("the 90 one-step runs of Fig. 3 over separate ones", ratio, "×", "< 0.33", ratio < 1 / 3, detail)


def share_of_products() -> Row:
    """How much of a sweep like Fig. 22 (one repeat) is matrix products and factorisations, files included."""
    base = S2.replace(steps=10, record=(0, 10))
    runs = [e for optimizer in PAPER_OPTIMIZERS for e in over_learning_rates(base, optimizer)]
    in_scipy = [0.0]

    def timed(routine: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            begun = time.perf_counter()
            result = routine(*arguments, **options)
            in_scipy[0] += time.perf_counter() - begun
            return result

        return call

    routines: dict[str, Any] = {
        "eigh": timed(eigh),
        "blas": SimpleNamespace(dsyrk=timed(blas.dsyrk)),
        "lapack": SimpleNamespace(dpotrf=timed(lapack.dpotrf)),
    }
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.multiple(gram, **routines),
        profile(activities=[ProfilerActivity.CPU]) as profiled,
    ):
        started = time.perf_counter()
        run_missing(runs, Store(Path(folder)))
        wall = time.perf_counter() - started
    names = {f"aten::{name}" for name in (*PRODUCTS, *FACTORISATIONS)}
    in_torch = sum(op.self_cpu_time_total for op in profiled.key_averages() if op.key in names) / 1e6
    inside = in_torch + in_scipy[0]
    share = 100 * inside / wall
    detail = f"{len(runs)} runs of 10 steps, measured twice: {wall:.1f} s, {inside:.1f} s in them"
    return Row(
        "a sweep like Fig. 22 in products and factorisations", share, "% of wall time", "≥ 75", share >= 75, detail
    )


def memory_of_a_large_run() -> Row:
    peak = peak_memory("import spectail; spectail.simulate(spectail.Experiment(n=8000, steps=2))") / 1024
    return Row("peak memory of an n = 8000 run", peak, " GiB", "< 1.5", peak < 1.5, "whole process, torch included")


def rows() -> list[Row]:
    return [
        training_step("gd"),
        training_step("adam"),
        step_of_layers(),
        full_measurement(),
        shared_sweep(),
        share_of_products(),
        memory_of_a_large_run(),
    ]
