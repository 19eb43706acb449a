"""The long runs of Tables 1, 3, 4 and 5 at full size on a GPU: `python -m benchmarks.long_runs OUT --device cuda`.

Three seeds, both protocols, Adam's ε from none to 1e-3; ten to twenty runs of a problem train side by side, and
meanwhile processes measure. Stacks of runs come in the order of their worth, each is kept when it is done, and what is
kept is not computed again: it can be cut off at any minute. `--table5` does the run of a million steps instead, whose
part so far is in OUT/partial. `--instabilities` compares when runs became unstable with
the closed form, and `--pack FILE` puts what is there into an archive of small files (spectra in float32).

`--divisor 8` is an eighth of the sizes, for a try on a CPU.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tarfile
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack
from itertools import product
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import xarray as xr

from spectail.experiments.experiment import Experiment
from spectail.experiments.protocols import NO_EPSILON
from spectail.experiments.two_layer.problem import Problem
from spectail.experiments.two_layer.sharpness import step_of_instability
from spectail.experiments.two_layer.stack import Stack, StackedRun
from spectail.recording.layout import without_labels
from spectail.recording.netcdf import checksum, save_recording, write_netcdf
from spectail.recording.reading import load_recording
from spectail.store.store import Store
from spectail.study.figures.tables_1_3_4_5 import FULL
from spectail.study.settings import PAPER, TABLE3_RUNS, TABLE4_RUNS, Scale

SEEDS = (0, 1, 2)
OWN = {"published": 1e-8, "equations": NO_EPSILON}
"""Adam's ε in each protocol."""
EPSILONS = (NO_EPSILON, 1e-8, 1e-5, 1e-3)


def stacks() -> Iterator[tuple[str, list[Experiment]]]:
    """Names and runs, those of the greatest worth first."""
    slow, fast = TABLE4_RUNS[:3], TABLE4_RUNS[3:]

    def adam(seed: int) -> list[Experiment]:
        return [e.replace(seed=seed, protocol=p, epsilon=OWN[p]) for e in TABLE4_RUNS for p in OWN]

    def others(seed: int, runs: Sequence[Experiment]) -> list[Experiment]:
        pairs = [(p, epsilon) for p, epsilon in product(OWN, EPSILONS) if epsilon != OWN[p]]
        return [e.replace(seed=seed, protocol=p, epsilon=epsilon) for e in runs for p, epsilon in pairs]

    def descent(seed: int) -> list[Experiment]:
        return [e.replace(seed=seed, protocol=p) for e in TABLE3_RUNS for p in OWN]

    yield from ((f"adam-{seed}", adam(seed)) for seed in SEEDS)
    yield "epsilon-0", others(0, slow)
    yield "gd-0", descent(0)
    yield from ((f"epsilon-{seed}", others(seed, slow)) for seed in SEEDS[1:])
    yield from ((f"gd-{seed}", descent(seed)) for seed in SEEDS[1:])
    yield "float64", [e.replace(seed=0, protocol="published", dtype="float64") for e in slow]
    yield from ((f"fast-{seed}", others(seed, fast)) for seed in SEEDS)


def table5() -> Iterator[tuple[str, list[Experiment]]]:
    """The run of a million steps."""
    yield "table5", [FULL.replace(protocol="published", seed=0)]


def train_stack(
    experiments: list[Experiment], store: Store, device: str, pool: Executor | None
) -> Callable[[], list[StackedRun]]:
    """Train runs side by side, and keep the parts of very long ones."""
    steps = experiments[0].steps

    def keep_part(step: int, runs: Callable[[], list[StackedRun]]) -> None:
        if 100_000 <= step < steps:
            for run in runs():
                save_recording(run.recording, store.root / "partial" / f"{run.experiment.key}.nc")

    stack = Stack(experiments, Problem.draw(experiments[0], device), pool)
    return stack.train(range(0, steps + 1, max(1, steps // 40)), lambda step, of: None, keep_part)


def keep(name: str, finish: Callable[[], list[StackedRun]], store: Store) -> None:
    """Put runs into the store, and their curves beside it."""
    runs = finish()
    for run in runs:
        store.put(run.recording)
        (store.root / "partial" / f"{run.experiment.key}.nc").unlink(missing_ok=True)
    write_netcdf(curves_of(runs), store.root / "curves" / f"{name}.nc")


def curves_of(runs: Sequence[StackedRun], points: int = 2000) -> xr.Dataset:
    """The objective of runs at the first steps and evenly over the rest, and their curvature."""
    steps = len(runs[0].objective) - 1
    thin = sorted({*range(min(steps, 200) + 1), *range(0, steps + 1, max(1, steps // points)), steps})
    at = sorted(runs[0].stability)
    curvature = np.array([[run.stability[step] for step in at] for run in runs], dtype=np.float32)
    return xr.Dataset(
        {
            "objective": (("run", "step"), np.array([run.objective[thin] for run in runs])),
            "sharpness": (("run", "at"), curvature[:, :, 0]),
            "stability": (("run", "at"), curvature[:, :, 1]),
        },
        {"step": thin, "at": at, "experiment": ("run", [run.experiment.canonical_json for run in runs])},
    )


def pack(store: Store, path: Path) -> int:
    """All recordings and curves of a store as an archive of compact files.

    Returns:
        how many.
    """
    files = [*sorted(store.runs.glob("*.nc")), *sorted((store.root / "partial").glob("*.nc"))]
    with tempfile.TemporaryDirectory() as name, tarfile.open(path, "w:gz") as archive:
        for file in files:
            run = load_recording(file)
            compact = run.assign(eigenvalues=run.eigenvalues.astype(np.float32))
            bare = without_labels(compact).assign_attrs(checksum=checksum(compact))
            part = write_netcdf(bare, Path(name) / file.name)
            archive.add(part, f"{file.parent.name}/{file.name}")
        for file in sorted((store.root / "curves").glob("*.nc")):
            archive.add(file, f"curves/{file.name}")
    return len(files)


def instabilities(store: Store) -> Iterator[str]:
    """When each run without much ε became unstable after it fitted its labels, and when the closed form says so."""
    yield "| η | bias correction | ε | seed | t* by the closed form | objective grows 1000-fold at |"
    yield "|---|---|---|---|---|---|"
    for path in sorted((store.root / "curves").glob("*.nc")):
        curves = xr.load_dataset(path)
        for one in (curves.isel(run=i) for i in range(curves.sizes["run"])):
            e = Experiment.from_stored(json.loads(str(one.experiment.item())))
            steps, objective = one.step.values, one.objective.values.astype(float)
            low = np.minimum.accumulate(objective)
            fitted = [
                (t, s)
                for t, s in zip(one["at"].values.tolist(), one.stability.values.tolist(), strict=True)
                if t >= 200 and np.interp(t, steps, low) < 1e-8 and s < 0.9
            ]
            if e.optimizer == "adam" and e.epsilon <= 1e-8 and fitted:
                predicted = step_of_instability(fitted[0][1], fitted[0][0], corrected=e.bias_correction)
                jumped = steps[(low < 1e-11) & (objective > 1000 * np.maximum(low, 1e-14))]
                yield (
                    f"| {e.lr:g} | {'yes' if e.bias_correction else 'no'} | {e.epsilon:g} | {e.seed} "
                    f"| {predicted:,.0f} | {f'{jumped[0]:,}' if len(jumped) else 'never'} |"
                )


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.long_runs", description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, default=0, help="processes that measure")
    parser.add_argument("--divisor", type=int, default=1, help="of the sizes")
    parser.add_argument("--steps", type=int, default=None, help="fewer than the paper's")
    parser.add_argument("--table5", action="store_true")
    parser.add_argument("--pack", type=Path, default=None)
    parser.add_argument("--instabilities", action="store_true")
    options = parser.parse_args(arguments)
    store = Store(options.out)
    if options.pack:
        print(f"{pack(store, options.pack)} runs, {options.pack.stat().st_size / 1e6:.1f} MB")
        return 0
    if options.instabilities:
        print("\n".join(instabilities(store)))
        return 0
    scale = PAPER if options.divisor == 1 else Scale(f"1/{options.divisor}", options.divisor)
    started = time.perf_counter()
    with ExitStack() as stack:
        pool = None
        if options.workers:
            os.environ["OMP_NUM_THREADS"] = "1"
            pool = stack.enter_context(ProcessPoolExecutor(options.workers, get_context("spawn")))
        keeper = stack.enter_context(ThreadPoolExecutor(1))  # waits for measurements while the next stack trains
        writes = []
        for name, experiments in table5() if options.table5 else stacks():
            scaled = [scale(e) for e in experiments]
            if options.steps is not None:
                scaled = [e.replace(steps=options.steps) for e in scaled]
            lacking = [e for e in scaled if e not in store]
            if lacking:
                begun = time.perf_counter()
                try:
                    runs = train_stack(lacking, store, options.device, pool)
                except Exception:  # the time of a GPU is short: the other stacks go on
                    traceback.print_exc()
                    continue
                writes.append(keeper.submit(keep, name, runs, store))
                now, steps = time.perf_counter(), len(lacking) * max(1, lacking[0].steps)
                each = (now - begun) / steps * 1e3
                print(f"{now - started:6.1f} s {name}: {len(lacking)} runs, {each:.3f} ms a step of one", flush=True)
        for one in writes:
            one.result()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
