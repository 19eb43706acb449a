"""A training step, a measurement, a sweep, and the memory of a large run, at the paper's size."""

from __future__ import annotations

import torch

from benchmarks.timing import Row, in_turn, peak_memory, seconds
from spectail.paper.artifacts.fig3 import ARTIFACT as FIG3
from spectail.teacher_student.experiment import Experiment
from spectail.teacher_student.measure import hidden_of, measure
from spectail.teacher_student.problem import Problem
from spectail.teacher_student.simulate import simulate, simulate_many
from spectail.teacher_student.student import Student
from spectail.teacher_student.updates import make_optimizer

S2 = Experiment(protocol="published")  # n = 2000, d = 1000, h = 1500, float32


def setting(optimizer: str):
    e = S2.replace(optimizer=optimizer, lr=0.1)
    problem = Problem.draw(e)
    student = Student(problem.a, e.d, e.activation)
    weights, labels, x = problem.w0.clone(), problem.train.y.float(), problem.train.x
    weights.grad = torch.empty_like(weights)
    update = make_optimizer(e, weights)

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


def full_measurement() -> Row:
    e, problem, student, weights, step = setting("adam")
    step()
    hidden = hidden_of(e, problem, student, weights)
    ours, one_step, ratio = in_turn(lambda: measure(e, problem, hidden, weights), step, 15)
    detail = f"{ours * 1e3:.0f} ms, one step {one_step * 1e3:.0f} ms"
    return Row("full measurement over a training step", ratio, "×", "≤ 6", ratio <= 6, detail)


def shared_sweep() -> Row:
    """One repeat of Fig. 3 (18 one-step runs), sharing a problem and each drawing its own."""
    runs = [e.replace(protocol="published") for e in FIG3.experiments(0)]
    list(simulate_many(runs[:1]))
    shared = seconds(lambda: list(simulate_many(runs)))
    separate = seconds(lambda: [simulate(e) for e in runs])
    ratio = shared / separate
    detail = f"one repeat of 18 runs: {shared:.1f} s shared, {separate:.1f} s separate"
    return Row("the 90 one-step runs of Fig. 3 over separate ones", ratio, "×", "< 0.33", ratio < 1 / 3, detail)


def memory_of_a_large_run() -> Row:
    peak = peak_memory("import spectail; spectail.simulate(spectail.Experiment(n=8000, steps=2))") / 1024
    return Row("peak memory of an n = 8000 run", peak, " GiB", "< 1.5", peak < 1.5, "whole process, torch included")


def rows() -> list[Row]:
    return [training_step("gd"), training_step("adam"), full_measurement(), shared_sweep(), memory_of_a_large_run()]
