"""Run the benchmarks and print the speed table as Markdown; exit 1 where a bound is not kept."""

from __future__ import annotations

import importlib
import platform
import sys

import torch

MODULES = (
    "laboratory", "tails", "sweeps", "monitor", "networks", "one_row", "workers", "series", "ranks", "billions",
    "pages", "recordings", "starting",
)  # fmt: skip


def main() -> None:
    chosen = sys.argv[1:] or MODULES
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}, float32\n")
    print("| what | measured | bound | |\n|---|---|---|---|")
    all_kept = True
    for name in chosen:
        for row in importlib.import_module(f"benchmarks.{name}").rows():
            all_kept &= row.kept
            mark = "" if row.kept else " **missed**"
            print(f"| {row.what} | {row.number:.3g}{row.unit} | {row.bound}{mark} | {row.detail} |", flush=True)
    sys.exit(0 if all_kept else 1)


main()
