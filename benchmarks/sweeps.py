"""Sweeps: what scheduling costs, what workers gain, and how fast finished runs are found and opened."""

from __future__ import annotations

import dataclasses
import itertools
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from benchmarks.timing import Row, in_turn, one_thread, seconds
from spectail.experiments.experiment import Experiment
from spectail.experiments.run import simulate
from spectail.experiments.two_layer.problem import AtStepZero, Problem
from spectail.experiments.two_layer.stack import Stack
from spectail.running.scheduler import Compute
from spectail.store.results import lazy_results
from spectail.store.store import Store
from spectail.sweeps.grid import Grid
from spectail.sweeps.sweep import run_missing

SMALL: dict[str, Any] = {"n": 400, "d": 200, "h": 300, "protocol": "published"}


def scheduling() -> Row:
    """A sweep of runs of a second and more, beside the bare loop over `simulate`."""
    paper = {"protocol": "published", "optimizer": "adam"}
    experiments = Grid.read({"fixed": paper, "axes": {"lr": [0.1, 0.3, 0.5]}}).experiments()
    problem = Problem.draw(experiments[0])

    def bare() -> None:
        fresh = dataclasses.replace(problem, step_zero=AtStepZero())
        for experiment in experiments:
            simulate(experiment, problem=fresh)

    def swept() -> None:
        with tempfile.TemporaryDirectory() as folder:
            run_missing(experiments, Store(folder))

    draw = seconds(lambda: Problem.draw(experiments[0]))
    ours, theirs, _ = in_turn(swept, bare, 5)
    share = (ours - theirs - draw) / ours * 100
    detail = f"3 runs of {theirs / 3:.1f} s: {ours:.2f} s, alone {theirs + draw:.2f} s, files included"
    return Row("scheduling and storing runs of a second or more", share, "% of wall time", "< 2", share < 2, detail)


def two_workers() -> Row:
    """A grid of small problems by two workers, beside this process with one thread."""
    grid = {"fixed": {**SMALL, "steps": 20}, "axes": {"optimizer": ["gd", "adam"], "lr": [0.01, 0.1, 1.0]}}
    experiments = Grid.read({**grid, "repeats": 50}).experiments()

    def run(where: Compute) -> float:
        with tempfile.TemporaryDirectory() as folder:
            return seconds(lambda: run_missing(experiments, Store(folder), where))

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    alone = run(Compute())
    torch.set_num_threads(threads)
    together = run(Compute(workers=2))
    ratio = alone / together
    detail = f"{len(experiments)} runs, n = 400: {together:.1f} s, in-process on one thread {alone:.1f} s"
    return Row("--workers 2 over one process and thread", ratio, "×", "≥ 1.7", ratio >= 1.7, detail)


def side_by_side() -> Row:
    """Small runs as one large matrix, over the same runs one after the other; stacks would measure the curvature, too.

    It is left out here. A second detail is how long the products and factorisations of the runs take by themselves:
    stacking saves none of these.
    """
    experiments = [Experiment(**SMALL, steps=20, lr=2.0**-k) for k in range(8)]
    problem, e = Problem.draw(experiments[0]), experiments[0]
    weights, hidden, slopes = problem.w0.clone(), torch.empty(e.h, e.n), torch.randn(e.h, e.n)
    x, gradient, tested = problem.train.x, torch.empty(e.h, e.d), torch.empty(e.h, e.n_test_large)

    def alone() -> None:
        for experiment in experiments:
            simulate(experiment, problem=dataclasses.replace(problem, step_zero=AtStepZero()))

    def stacked() -> None:
        with mock.patch.object(Stack, "_measure_stability"):
            Stack(experiments, problem).train((), lambda step, steps: None, lambda step, runs: None)()

    def bare() -> None:
        for _ in range(e.steps):
            torch.mm(weights, x.T, out=hidden).tanh_()
            torch.mm(slopes, x, out=gradient)
        for _ in e.recorded_steps:
            features = torch.mm(weights, x.T, out=hidden).tanh_().double()
            gram = features @ features.T
            gram.diagonal().add_(1.0)
            torch.linalg.cholesky(gram)
            torch.mm(weights, problem.test_large.x.T, out=tested).tanh_()
            torch.linalg.eigvalsh(weights.double().T @ weights.double())

    with one_thread():
        one, together, ratio = in_turn(alone, stacked, 7)
        share = in_turn(bare, lambda: None, 7)[0] * len(experiments) / one
    detail = (
        f"8 runs, n = 400, 20 steps, 6 of them measured: {together:.2f} s, alone {one:.2f} s, of which products and "
        f"factorisations {share:.0%}"
    )
    return Row("small runs side by side over one by one, runs a second", ratio, "×", "≥ 2", ratio >= 2, detail)


def copies(folder: Path, count: int) -> list[Experiment]:
    """Runs of a grid with `count` cells, without computing them: one run's numbers under many names."""
    store = Store(folder)
    base = Experiment(**SMALL, steps=10)
    run = simulate(base)
    experiments = [
        base.replace(lr=lr, seed=seed) for lr, seed in itertools.product(range(1, count // 10 + 1), range(10))
    ]
    for experiment in experiments:
        store.put(run.assign_attrs(experiment=experiment.canonical_json, key=experiment.key))
    return experiments


def resuming() -> Row:
    with tempfile.TemporaryDirectory() as folder:
        copies(Path(folder), 1000)
        grid = Path(folder) / "grid.toml"
        fixed = "\n".join(f"{name} = {json.dumps(value)}" for name, value in SMALL.items())
        axes = "lr = { linear = [1, 100], points = 100 }\nseed = { linear = [0, 9], points = 10 }"
        grid.write_text(f"[fixed]\n{fixed}\nsteps = 10\n[axes]\n{axes}\n")
        command = [sys.executable, "-m", "spectail", "sweep", str(grid), "--out", folder]

        def resume() -> None:
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            assert "1000 found, 0 computed" in done.stdout

        time, _, _ = in_turn(resume, lambda: None, 5)
    return Row(
        "resuming a finished grid of 1,000 runs", time, " s", "< 3", time < 3, "whole process, checksums compared"
    )


def opening() -> Row:
    with tempfile.TemporaryDirectory() as folder:
        copies(Path(folder), 10_000)
        time, _, _ = in_turn(lambda: lazy_results(folder), lambda: None, 3)
    return Row("lazy_results on 10,000 runs", time, " s", "< 5", time < 5, "eigenvalues are read when used")


def first_figures() -> Row:
    """Figures 1 to 4 from nothing, under the program's conventions: the whole command, median of three."""
    command = [sys.executable, "-m", "spectail", "reproduce", "fig1", "fig2", "fig3", "fig4"]

    def reproduce() -> float:
        with tempfile.TemporaryDirectory() as folder:
            options = ["--protocol", "published", "--workers", "2", "--out", folder]
            return seconds(lambda: subprocess.run([*command, *options], capture_output=True, check=True))

    times = sorted(reproduce() for _ in range(3))
    detail = f"103 runs and 4 pictures, one protocol, --workers 2, whole process: {times[0]:.0f} to {times[-1]:.0f} s"
    return Row("Figs. 1–4 at the paper's size", times[1], " s", "< 60", times[1] < 60, detail)


def rows() -> list[Row]:
    return [scheduling(), two_workers(), side_by_side(), resuming(), opening(), first_figures()]
