"""Controls of the words "broadened" and "heavy-tailed": matrices whose tail is known, at the shape of the study.

python docs/results/controls.py docs/results [ROWS COLUMNS]

Prints the table of controls.md. Each is judged as a spectrum of the study is: broadened by the fixed thresholds of
two-layer runs, and the kind of its tail by the test. The picture, figures/controls.png, has the share of eigenvalues
that are at least so large, and the slope of a power law where one is told.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from spectail.plots.colours import FINAL, LAW, TAIL
from spectail.plots.look import figure_title, label_outer_panels, new_figure, panel_title, shared_legend
from spectail.plots.picture_files import PAGE, save_figure
from spectail.spectra.fixed_phases import classify_by_fixed_thresholds
from spectail.spectra.tail_tests import TailKind, tail_kind
from spectail.spectra.tails import hill

ROWS, COLS = 1500, 1000
"""The shape of the study's matrices; another is told on the command line, and has no networks and no picture."""

SEEDS = (0, 1, 2)

Array = NDArray[np.float64]
Stream = np.random.Generator


def gaussian(stream: Stream, rows: int = ROWS, cols: int = COLS) -> Array:
    return stream.standard_normal((rows, cols))


def power_law(exponent: float) -> Callable[[Stream], Array]:
    """Columns whose variances have the density τ^(−exponent) from 1 on."""
    return lambda stream: gaussian(stream) * np.sqrt((1 - stream.random(COLS)) ** (-1 / (exponent - 1)))


def lognormal(stream: Stream) -> Array:
    return gaussian(stream) * np.exp(stream.standard_normal(COLS) / 2)


def product(stream: Stream) -> Array:
    return gaussian(stream) @ gaussian(stream, COLS, COLS) / np.sqrt(COLS)


def rank_one(stream: Stream) -> Array:
    """A direction of 20 times the strength that shows, as a large first step makes it."""
    u, v = stream.standard_normal(ROWS), stream.standard_normal(COLS)
    strength = 20 * (ROWS * COLS) ** 0.25
    return gaussian(stream) + strength * np.outer(u / np.linalg.norm(u), v / np.linalg.norm(v))


def unequal_rows(stream: Stream) -> Array:
    return gaussian(stream) * np.geomspace(0.5, 2, ROWS)[:, None]


MADE: dict[str, tuple[str, Callable[[Stream], Array]]] = {
    "power law, exponent 2.5": ("power law", power_law(2.5)),
    "power law, exponent 3.5": ("power law", power_law(3.5)),
    "Gaussian": ("none", gaussian),
    "one strong direction": ("none", rank_one),
    "rows scaled by ½ to 2": ("none", unequal_rows),
    "product of two Gaussians": ("none", product),
    "lognormal, σ = 1": ("no power law", lognormal),
}

TEACHERS: dict[str, tuple[str, Callable[[Stream], Array]]] = {
    "quadratic network, 1/√k": ("power law, exponent 3", lambda stream: np.arange(1, 201) ** -0.5),
    "quadratic network, 1/k": ("power law, exponent 2", lambda stream: np.arange(1, 201) ** -1.0),
    "quadratic network, drawn": ("power law, exponent 2", lambda stream: 1 / (1 - stream.random(200))),
}
"""What the eigenvalues of the teacher are, and the exponent of their density, over the largest of them."""


def quadratic_network(teacher: Callable[[Stream], Array], stream: Stream, h: int = 300) -> Array:
    """W of a network f(x) = ‖Wx‖² that was trained on a teacher xᵀS*x, by gradient descent on the population's loss.

    Of Gaussian x, the variance of f − f* is 2‖WᵀW − S*‖_F²; with λ‖W‖_F² beside it WᵀW ends as S* with λ/4 taken off
    each eigenvalue. λ is 1e-3: the smallest, of 0.005, are 5 % smaller.

    Source: arXiv 2509.24882 has the exponents of such networks.
    """
    values = teacher(stream)
    directions = np.linalg.qr(stream.standard_normal((len(values), len(values))))[0]
    target = (directions * (values / values.max())) @ directions.T
    w = stream.standard_normal((h, len(values))) / np.sqrt(h)
    for _ in range(4000):
        w -= 0.02 * (8 * w @ (w.T @ w - target) + 2e-3 * w)
    return w


def judged(w: Array, seed: int) -> tuple[Array, str, float, TailKind]:
    spectrum = np.linalg.svd(w, compute_uv=False)[::-1] ** 2
    evidence = classify_by_fixed_thresholds(spectrum, *w.shape)
    return spectrum, str(evidence.phase), hill(spectrum), tail_kind(spectrum, *w.shape, seed=seed)


def draw(ax: Axes, spectrum: Array, untrained: Array, kind: TailKind) -> None:
    """The share of eigenvalues that are at least so large, over the median."""
    for values, colour, label in ((untrained, LAW, "untrained"), (spectrum, FINAL, "this one")):
        values = np.sort(values) / np.median(values)
        ax.plot(values, 1 - np.arange(len(values)) / len(values), color=colour, lw=1.0, label=label)
    if np.isfinite(kind.alpha):
        tail = np.sort(spectrum)[-len(spectrum) // 10 :] / np.median(spectrum)
        ax.plot(tail, 0.1 * (tail / tail[0]) ** (1 - kind.alpha), "--", color=TAIL, label="exponent of the law told")
    ax.set(xscale="log", yscale="log", xlabel=r"$\lambda$ / median", ylabel="share at least so large")


def cells(name: str, truth: str, answers: list[tuple[Array, str, float, TailKind]]) -> str:
    kinds = [kind for *_, kind in answers]
    columns = (
        name, truth, ", ".join(phase for _, phase, *_ in answers),
        ", ".join(f"{exponent:.2f}" for _, _, exponent, _ in answers),
        ", ".join(kind.kind for kind in kinds),
        ", ".join("–" if np.isnan(kind.alpha) else f"{kind.alpha:.2f}" for kind in kinds),
        ", ".join("–" if np.isnan(kind.p_value) else f"{kind.p_value:.2g}" for kind in kinds),
    )  # fmt: skip
    return f"| {' | '.join(columns)} |"


def main(target: Path) -> None:
    print("| matrix | what is so | phase | Hill | kind of tail told | exponent | p |\n|---|---|---|---|---|---|---|")
    figure, axes = new_figure(3, 3, 6.6)
    places = iter(range(len(axes)))
    for index, (name, (truth, make)) in enumerate((MADE | TEACHERS).items()):
        answers = []
        for seed in SEEDS if name in MADE else SEEDS[:1]:
            stream = np.random.default_rng([seed, index])
            w = make(stream) if name in MADE else quadratic_network(make, stream)
            answers.append(judged(w, seed))
        print(cells(name, truth, answers), flush=True)
        if make is not gaussian:
            place = next(places)
            untrained = np.linalg.svd(gaussian(np.random.default_rng(99), *w.shape), compute_uv=False) ** 2
            draw(axes[place], answers[0][0], untrained, answers[0][-1])
            panel_title(axes[place], place, name)
    label_outer_panels(axes)
    shared_legend(figure, axes)
    figure_title(figure, f"Tails that are known: {ROWS} × {COLS}, quadratic networks 300 × 200")
    if TEACHERS:
        save_figure(figure, target / "figures" / "controls", ("png",))


if __name__ == "__main__":
    if sys.argv[2:]:
        ROWS, COLS = map(int, sys.argv[2:])
        TEACHERS = {}
    with PAGE.style():
        main(Path(sys.argv[1]))
