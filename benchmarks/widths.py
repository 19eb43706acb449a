"""λ₁ of a hidden layer while students of several widths train, in µP and in NTK parametrisation.

    python -m benchmarks.widths

In µP the features of all widths move alike, in NTK parametrisation less and less (Yang & Hu 2021). At each width and
seed a student of two hidden layers h × h takes 100 steps of descent on 500 points in 100 dimensions. Kept is λ₁ of
W₂ᵀW₂, over h in NTK parametrisation, so that it is 4 for an untrained square matrix in both.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from benchmarks.kept_numbers import Row, draw, kept_table, print_verdicts
from spectail.experiments.experiment import Experiment
from spectail.experiments.run import simulate
from spectail.plots.bands import draw_band
from spectail.plots.colours import BAND, SERIES
from spectail.plots.look import figure_title, new_figure, panel_title, plain_numbers, shared_legend
from spectail.study.claims import Outcome
from spectail.study.verdicts import all_of, clear, mean_inside, mean_std

RATES: dict[Literal["mup", "ntk"], float] = {"mup": 3.0, "ntk": 30.0}

NAMES = {"mup": "µP", "ntk": "NTK"}

WIDTHS, WIDER = (256, 512, 1024), {2048: (0, 10, 100), 4096: (10, 100)}
"""Those of all repeats; and wider ones, of one, at these steps, since a spectrum of 4,096 takes half a minute."""

ALL = (*WIDTHS, *WIDER)

STEPS = (0, 1, 3, 10, 30, 100)

SEEDS = range(5)

WITHIN = 0.05


def measure(seed: int, h: int, parametrisation: Literal["mup", "ntk"]) -> Iterator[Row]:
    """λ₁ of W₂ᵀW₂ and the training loss at each recorded step."""
    steps = WIDER.get(h, STEPS)
    run = simulate(Experiment(
        n=500, n_test=5, n_test_large=5, d=100, layers=(h, h), initialization=parametrisation, optimizer="gd",
        lr=RATES[parametrisation], steps=steps[-1], record=steps, protocol="published", seed=seed,
    ))  # fmt: skip
    top = run.eigenvalues.isel(matrix=1).max("index") / (h if parametrisation == "ntk" else 1)
    for step in steps:
        yield {"step": step, "top": float(top.sel(step=step)), "loss": float(run.objective.sel(step=step))}


def over_widths(table: pd.DataFrame, parametrisation: str, step: int) -> NDArray[np.float64]:
    """λ₁ at a step: (seeds × widths), NaN where it was not measured."""
    rows = table[(table.parametrisation == parametrisation) & (table.step == step)]
    return np.asarray(rows.pivot_table("top", "seed", "h").reindex(columns=list(ALL)))


def off(table: pd.DataFrame, parametrisation: str, step: int) -> NDArray[np.float64]:
    """λ₁ at a step over its mean over the widths that all seeds have, less 1: (seeds × widths)."""
    top = over_widths(table, parametrisation, step)
    shares: NDArray[np.float64] = top / top[:, : len(WIDTHS)].mean(axis=1, keepdims=True) - 1
    return shares


def alike(table: pd.DataFrame, parametrisation: str, step: int) -> Outcome:
    """Whether λ₁ at each width is within `WITHIN` of its mean over widths."""
    shares = off(table, parametrisation, step)
    known = [of_width[np.isfinite(of_width)] for of_width in shares.T]
    text = ", ".join(f"{of_width.mean():+.1%}" if len(of_width) else "–" for of_width in known)
    return Outcome(mean_inside(shares[:, : len(WIDTHS)], -WITHIN, WITHIN), f"off the mean over widths: {text}")


def picture(table: pd.DataFrame) -> Figure:
    figure, axes = new_figure(1, 3, 2.9, abreast=1)
    for index, parametrisation in enumerate(RATES):
        ax = panel_title(axes[index], index, f"{NAMES[parametrisation]}, η = {RATES[parametrisation]:g}")
        for h, (colour, marker) in zip(ALL, SERIES, strict=False):
            rows = table[(table.parametrisation == parametrisation) & (table.h == h)]
            by_seed = rows.pivot_table("top", "seed", "step")
            line = "-" if h in WIDTHS else ""
            draw_band(
                ax, list(by_seed.columns), by_seed.to_numpy(), color=colour, marker=marker, linestyle=line,
                label=f"h = {h}",
            )  # fmt: skip
        ax.set_xscale("symlog", linthresh=1)
        ax.set_xticks([0, 1, 10, 100], ["0", "1", "10", "100"])
        ax.minorticks_off()
        ax.set_yscale("log")
        plain_numbers(ax.yaxis)
        ax.set(xlabel="step $t$", ylabel=r"$\lambda_1$ of $W_2^\top W_2$")
    ax = panel_title(axes[2], 2, "over the mean of the widths")
    ax.axhspan(1 - WITHIN, 1 + WITHIN, color=BAND, lw=0, label="within 5 %")
    for step, mark in ((10, "--"), (100, "-")):
        for parametrisation, (colour, marker) in zip(RATES, SERIES[5:], strict=False):
            label = f"{NAMES[parametrisation]}, t = {step}"
            shares = 1 + off(table, parametrisation, step)
            draw_band(ax, ALL, shares, color=colour, marker=marker, linestyle=mark, label=label)
    ax.set_xscale("log")
    ax.set_xticks(ALL, [str(h) for h in ALL])
    ax.minorticks_off()
    ax.set(xlabel="h", ylabel=r"$\lambda_1$ over mean")
    shared_legend(figure, axes)
    figure_title(
        figure,
        f"Hidden layers h × h under gradient descent, n = 500, d = 100, {len(SEEDS)} repeats (h > {WIDTHS[-1]}: one)",
    )
    return figure


def main() -> None:
    """Measure what is not kept, draw, and print tables and verdicts."""
    pieces: list[Row] = [
        *({"seed": seed, "h": h, "parametrisation": name} for seed in SEEDS for h in WIDTHS for name in RATES),
        *({"seed": SEEDS[0], "h": h, "parametrisation": name} for h in WIDER for name in RATES),
    ]
    table = kept_table("widths", pieces, measure)
    draw("widths", partial(picture, table))
    print("| λ₁ of W₂ᵀW₂ | " + " | ".join(f"h = {h}" for h in ALL) + " |")
    print("|---|" + "---|" * len(ALL))
    for parametrisation in RATES:
        for step in (0, 10, 100):
            of_widths = over_widths(table, parametrisation, step).T
            known = [of_width[np.isfinite(of_width)] for of_width in of_widths]
            cells = [mean_std(of_width) if len(of_width) else "–" for of_width in known]
            print(f"| {NAMES[parametrisation]}, t = {step} | {' | '.join(cells)} |")
    print()
    in_ntk = over_widths(table, "ntk", 100)
    narrow_over_wide = in_ntk[:, 0] / in_ntk[:, len(WIDTHS) - 1]
    print_verdicts({
        "µP, t = 10: within 5 %": alike(table, "mup", 10),
        "µP, t = 100: within 5 %": alike(table, "mup", 100),
        "NTK, t = 100: not within 5 %": Outcome(
            all_of([clear(narrow_over_wide - 1 - WITHIN)]),
            f"λ₁ at h = {WIDTHS[0]} over that at h = {WIDTHS[-1]}: {mean_std(narrow_over_wide)}",
        ),
    })  # fmt: skip


if __name__ == "__main__":
    main()
