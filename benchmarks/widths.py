"""The largest eigenvalue of a hidden layer after ten steps of descent, over widths, in µP and in NTK parametrisation.

python -m benchmarks.widths 256 512 1024 2048 4096
"""

from __future__ import annotations

import sys
from typing import Literal

from spectail.experiments.experiment import Experiment
from spectail.experiments.run import simulate

RATES: dict[Literal["mup", "ntk"], float] = {"mup": 3.0, "ntk": 30.0}
STEPS = 10


def main() -> None:
    """Print a row for each width and parametrisation."""
    print("| h | parametrisation | λ₁ of W₂ᵀW₂ before | after | training loss after |")
    print("|---|---|---|---|---|")
    for h in map(int, sys.argv[1:]):
        for initialization, lr in RATES.items():
            experiment = Experiment(
                n=500, n_test=5, n_test_large=5, d=100, layers=(h, h), initialization=initialization, optimizer="gd",
                lr=lr, steps=STEPS, record=(0, STEPS), protocol="published",
            )  # fmt: skip
            run = simulate(experiment)
            top = run.eigenvalues.isel(matrix=1).max("index") / (h if initialization == "ntk" else 1)
            before, after = (float(top.sel(step=step)) for step in (0, STEPS))
            loss = float(run.objective.sel(step=STEPS))
            print(f"| {h} | {initialization} | {before:.2f} | {after:.2f} | {loss:.2f} |", flush=True)


if __name__ == "__main__":
    main()
