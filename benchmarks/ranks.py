"""What measuring costs the busiest of four processes that train one model in pieces, beside a single process."""

from __future__ import annotations

import json
import multiprocessing
import os
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.fsdp import fully_shard

from benchmarks.timing import Row
from spectail.analysis.row import measure_all
from spectail.monitor import sharing
from spectail.monitor.monitor import SpectralMonitor
from spectail.monitor.when import every

PROCESSES, WIDTH, BLOCKS, STEPS = 4, 512, 6, 3


def network() -> nn.Sequential:
    """The matrices of a small GPT: an embedding, and of each block the fused attention, its output, and two layers."""
    torch.manual_seed(0)
    shapes = [(WIDTH, 3 * WIDTH), (WIDTH, WIDTH), (WIDTH, 4 * WIDTH), (4 * WIDTH, WIDTH)] * BLOCKS
    return nn.Sequential(nn.Embedding(8000, WIDTH), *(nn.Linear(*shape, bias=False) for shape in shapes))


def measure(rank: int, size: int, folder: Path) -> None:
    """CPU seconds that one process spends on measuring, and on all else that its monitor does in a measurement."""
    torch.set_num_threads(1)
    store = dist.FileStore(str(folder / "store"), size)  # type: ignore[attr-defined]
    dist.init_process_group("gloo", store=store, rank=rank, world_size=size)
    model = network()
    if size > 1:
        for layer in model:
            fully_shard(layer)
        fully_shard(model)
    measuring = [0.0]

    def counted(*arguments: Any) -> Any:
        start = time.thread_time()
        result = measure_all(*arguments)
        measuring[0] += time.thread_time() - start
        return result

    mock.patch.object(sharing, "measure_all", counted).start()
    monitor = SpectralMonitor(model, when=every(1))  # the first measurement reads nulls
    start, measuring[0] = time.process_time(), 0.0
    for _ in range(STEPS):
        monitor.step()
    all_in_all = time.process_time() - start
    monitor.detach()
    (folder / f"{rank}.json").write_text(json.dumps([measuring[0], all_in_all - measuring[0]]))
    dist.destroy_process_group()


def on(size: int) -> list[tuple[float, float]]:
    """The seconds of each of several processes."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        processes = [context.Process(target=measure, args=(rank, size, Path(folder))) for rank in range(size)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        return [tuple(json.loads((Path(folder) / f"{rank}.json").read_text())) for rank in range(size)]


def rows() -> list[Row]:
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    ((alone, _),) = on(1)
    shares = on(PROCESSES)
    busiest, gathering = max(one for one, _ in shares), max(other for _, other in shares)
    detail = (
        f"{STEPS} measurements of {4 * BLOCKS + 1} matrices, CPU seconds: {alone:.2f} of one process, "
        f"{', '.join(f'{one:.2f}' for one, _ in shares)} of four; beside these at most {gathering:.2f} for gathering"
    )
    share = busiest / alone
    return [Row("the busiest of four processes (FSDP2, gloo) over one", share, "", "≤ 0.35", share <= 0.35, detail)]
