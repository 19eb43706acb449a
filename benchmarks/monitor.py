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


def overhead() -> list[Row]:
    """Blocks of steps with the monitor and without it, in turn, so that a drift of the machine hits both."""
    x, blocks = torch.randn(512, 256), []
    (watched, optimizer), bare = training(), training()
    with tempfile.TemporaryDirectory() as folder:
        SpectralMonitor(watched, summary=False).detach()  # the untrained matrices, once on a machine
        start = time.perf_counter()
        path = Path(folder) / "run.nc"
        monitor = SpectralMonitor(watched, optimizer, when=budget(BUDGET), path=path, summary=False)
        attached = time.perf_counter() - start
        while time.perf_counter() - start < 2 * SECONDS:
            with_it = both_clocks(lambda: repeat(100, lambda: step(watched, optimizer, x)))
            without = both_clocks(lambda: repeat(100, lambda: step(*bare, x)))
            blocks.append((with_it, without))
            monitor._attached_at += without[0]  # that training is not the monitor's: its clock stands still
        monitor.detach()
    theirs = sum(without for _, (without, _) in blocks)
    measuring, count = monitor._measuring_seconds, monitor.recording.sizes["step"]
    share = measuring / theirs * 100
    detail = f"{count} measurements of 3 layers and the file, {measuring:.2f} s in {theirs:.0f} s of training"
    by_its_clock = Row(
        "a monitor with when=budget(0.02), over training without one", share, "%", "≤ 2.1", share <= 2.1, detail
    )
    wall, cpu = (more_in_fifths(blocks, clock, attached) for clock in (0, 1))
    by_the_loop = statistics.median(wall)
    detail = f"median of five, {min(wall):+.1f} to {max(wall):+.1f}%; by the processor {statistics.median(cpu):+.1f}%"
    return [
        by_its_clock,
        Row("the same by the clock of the loop", by_the_loop, "%", "≤ 2.5", by_the_loop <= 2.5, detail),
    ]


def both_clocks(work: Callable[[], None]) -> tuple[float, float]:
    """Seconds that it took, and that this process computed meanwhile."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def more_in_fifths(
    blocks: list[tuple[tuple[float, float], tuple[float, float]]], clock: int, attached: float
) -> list[float]:
    """By how many per cent blocks with a monitor took longer than those beside them, in five parts of the time."""
    parts = [blocks[len(blocks) * at // 5 : len(blocks) * (at + 1) // 5] for at in range(5)]
    with_it = [sum(one[clock] for one, _ in part) for part in parts]
    with_it[0] += attached
    return [100 * (one / sum(other[clock] for _, other in part) - 1) for one, part in zip(with_it, parts, strict=True)]


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
    return [*overhead(), quiet_step()]
