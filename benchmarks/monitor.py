"""What a monitor costs: the share of the training time that a budget leaves it, and a step that is not measured."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from benchmarks.timing import Row, seconds
from spectail.monitor.monitor import SpectralMonitor
from spectail.monitor.when import budget, every

BUDGET = 0.02
SECONDS = 60.0


def training() -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10))
    return model, torch.optim.Adam(model.parameters(), lr=1e-3)


def step(model: nn.Module, optimizer: torch.optim.Optimizer, x: torch.Tensor) -> None:
    optimizer.zero_grad()
    model(x).square().mean().backward()
    optimizer.step()


def repeat(times: int, work: Callable[[], None]) -> None:
    for _ in range(times):
        work()


def overhead() -> Row:
    """Blocks of steps with the monitor and without it, in turn, so that a drift of the machine hits both."""
    x, blocks = torch.randn(512, 256), []
    (watched, optimizer), bare = training(), training()
    with tempfile.TemporaryDirectory() as folder:
        SpectralMonitor(watched).detach()  # the untrained matrices, once on a machine
        start = time.perf_counter()
        monitor = SpectralMonitor(watched, optimizer, when=budget(BUDGET), path=Path(folder) / "run.nc")
        attached = time.perf_counter() - start
        while time.perf_counter() - start < 2 * SECONDS:
            with_it = seconds(lambda: repeat(100, lambda: step(watched, optimizer, x)))
            without = seconds(lambda: repeat(100, lambda: step(*bare, x)))
            blocks.append((with_it, without))
            monitor._attached_at += without  # that training is not the monitor's: its clock stands still
        monitor.detach()
    theirs, ours = sum(without for _, without in blocks), attached + sum(with_it for with_it, _ in blocks)
    measuring, count = monitor._measuring_seconds, monitor.recording.sizes["step"]
    share = measuring / theirs * 100
    detail = (
        f"{count} measurements of 3 layers and the file, {measuring:.2f} s in {theirs:.0f} s of training;"
        f" both loops by the clock: {(ours / theirs - 1) * 100:+.1f}%"
    )
    return Row("a monitor with when=budget(0.02), over training without one", share, "%", "≤ 2.1", share <= 2.1, detail)


def quiet_step() -> Row:
    """The hook of a step that is not measured."""
    parameter = nn.Linear(20, 20)
    monitor = SpectralMonitor(parameter, when=every(10**9), nulls=False)
    calls = [seconds(lambda: repeat(1000, monitor.step)) * 1e3 for _ in range(20)]
    time_of_one = statistics.median(calls)
    monitor.detach()
    return Row(
        "a step that the monitor does not measure", time_of_one, " µs", "< 10", time_of_one < 10, "of the hook alone"
    )


def rows() -> list[Row]:
    return [overhead(), quiet_step()]
