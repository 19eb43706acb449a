"""What a monitor costs: the share of the training time that a budget leaves it, and a step that is not measured."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch
from torch import nn

from benchmarks.timing import Row, seconds
from spectail.monitor.monitor import SpectralMonitor
from spectail.monitor.when import budget, every

BUDGET = 0.02
SECONDS = 60.0
BATCH = 512


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
    """Blocks of steps with the monitor and without it, in turn, so that a drift of the machine hits both.

    All blocks are of one training: two trainings, both without a monitor, differ by up to 3 % for where their tensors
    lie in memory.
    """
    x = torch.randn(BATCH, 256)
    blocks: list[tuple[tuple[float, float], tuple[float, float]]] = []
    model, optimizer = training()
    with tempfile.TemporaryDirectory() as folder:
        SpectralMonitor(model, summary=False).detach()  # the untrained matrices, once on a machine
        start = time.perf_counter()
        path = Path(folder) / "run.nc"
        monitor = SpectralMonitor(model, optimizer, when=budget(BUDGET), path=path, summary=False)
        attached = time.perf_counter() - start

        def block(hooked: bool) -> tuple[float, float]:
            with nullcontext() if hooked else without_hooks(optimizer):
                taken = both_clocks(lambda: repeat(100, lambda: step(model, optimizer, x)))
            if not hooked:
                monitor._attached_at += taken[0]  # that training is not the monitor's: its clock stands still
            return taken

        while time.perf_counter() - start < 2 * SECONDS:
            first = len(blocks) % 2 == 0
            one, other = block(first), block(not first)
            blocks.append((one, other) if first else (other, one))
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


@contextmanager
def without_hooks(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Steps that no monitor sees."""
    names = ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks")
    hooks = [getattr(optimizer, name) for name in names]
    for name in names:
        setattr(optimizer, name, OrderedDict())
    yield
    for name, own in zip(names, hooks, strict=True):
        setattr(optimizer, name, own)


def both_clocks(work: Callable[[], None]) -> tuple[float, float]:
    """Seconds that some work took, and that this process computed meanwhile."""
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


def step_in_a_training() -> Row:
    """What a step that is not measured costs where caches hold the training: the hook, from call to return."""
    (model, optimizer), x = training(), torch.randn(BATCH, 256)
    monitor = SpectralMonitor(model, optimizer, when=budget(1e-9), nulls=False, summary=False)
    hooks = optimizer._optimizer_step_post_hooks
    taken: list[float] = []
    assert not optimizer._optimizer_step_pre_hooks
    for key, hook in list(hooks.items()):
        hooks[key] = lambda *arguments, hook=hook: taken.append(seconds(lambda: hook(*arguments)))
    repeat(2000, lambda: step(model, optimizer, x))
    monitor.detach()
    time_of_one = statistics.median(taken) * 1e6
    detail = f"hook and rule, in steps of {BATCH} × 256 through 3 layers"
    return Row("the same in a training", time_of_one, " µs", "≤ 30", time_of_one <= 30, detail)


def rows() -> list[Row]:
    return [*overhead(), quiet_step(), step_in_a_training()]
