"""Controls of the words "broadened" and "heavy-tailed": matrices whose tail is known, at the shape of the study.

python docs/results/controls.py docs/results > docs/results/controls.md

Each is judged as a spectrum of the study is: broadened by the fixed thresholds of two-layer runs, and the kind of its
tail by the test. The picture has the share of eigenvalues that are at least so large, with the law where one is told.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from spectail.plots.colours import FINAL, LAW, TAIL
from spectail.plots.look import figure_title, new_figure, panel_title
from spectail.plots.picture_files import PAGE, save_figure
from spectail.spectra.fixed_phases import classify_by_fixed_thresholds
from spectail.spectra.tail_tests import TailKind, tail_kind
from spectail.spectra.tails import hill

ROWS, COLS = 1500, 1000

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
    "Gaussian and one strong direction": ("none", rank_one),
    "Gaussian, rows scaled by ½ to 2": ("none", unequal_rows),
    "product of two Gaussians": ("none", product),
    "lognormal population, σ = 1": ("no power law", lognormal),
}

DECAYS = (0.5, 1.0)
"""γ: the eigenvalues of the quadratic teacher are k^(−γ), so that their density has the exponent 1 + 1/γ."""


def quadratic_network(gamma: float, seed: int, d: int = 200, h: int = 300, weight_decay: float = 1e-3) -> Array:
    """W of a network f(x) = ‖Wx‖² that was trained on a teacher xᵀS*x, by gradient descent on the population's loss.

    Of Gaussian x, E(f − f*)² − (E(f − f*))² = 2‖WᵀW − S*‖_F²; with λ‖W‖_F² its minimum is S* of which λ/4 is taken off
    each eigenvalue, and nothing is left of smaller ones.
    """
    stream = np.random.default_rng(seed)
    directions = np.linalg.qr(stream.standard_normal((d, d)))[0]
    teacher = (directions * np.arange(1, d + 1) ** -gamma) @ directions.T
    w = stream.standard_normal((h, d)) / np.sqrt(h)
    for _ in range(4000):
        w -= 0.02 * (8 * w @ (w.T @ w - teacher) + 2 * weight_decay * w)
    return w


def judged(w: Array, seed: int) -> tuple[Array, str, float, TailKind]:
    spectrum = np.linalg.svd(w, compute_uv=False)[::-1] ** 2
    evidence = classify_by_fixed_thresholds(spectrum, *w.shape)
    return spectrum, str(evidence.phase), hill(spectrum), tail_kind(spectrum, *w.shape, seed=seed)


def draw(ax: Axes, spectrum: Array, untrained: Array, kind: TailKind) -> None:
    """The share of eigenvalues that are at least so large, over the median."""
    for values, colour, label in ((untrained, LAW, "untrained"), (spectrum, FINAL, "this")):
        values = np.sort(values) / np.median(values)
        ax.plot(values, 1 - np.arange(len(values)) / len(values), color=colour, lw=1.0, label=label)
    if np.isfinite(kind.alpha):
        tail = np.sort(spectrum)[-max(kind.tail_size, 2) :] / np.median(spectrum)
        line = len(tail) / len(spectrum) * (tail / tail[0]) ** (1 - kind.alpha)
        ax.plot(tail, line, "--", color=TAIL, label="power law told by the test")
    ax.set_xscale("log")
    ax.set_yscale("log")


def main(target: Path) -> None:
    print("# Do the words tell tails from what is none?\n")
    print("| matrix | what is so | broadened (Hill) | kind of tail told | exponent | p |")
    print("|---|---|---|---|---|---|", flush=True)
    figure, axes = new_figure(3, 3, 6.6)
    networks = {
        f"quadratic network, γ = {gamma:g}": (f"power law, exponent {1 + 1 / gamma:g}", gamma) for gamma in DECAYS
    }
    for index, name in enumerate([*MADE, *networks]):
        answers = []
        for seed in SEEDS if name in MADE else SEEDS[:1]:
            if name in MADE:
                truth, make = MADE[name]
                w = make(np.random.default_rng([seed, index]))
            else:
                truth, gamma = networks[name]
                w = quadratic_network(gamma, seed)
            answers.append(judged(w, seed))
            if seed == SEEDS[0]:
                untrained = np.linalg.svd(gaussian(np.random.default_rng(99), *w.shape), compute_uv=False) ** 2
                draw(axes[index], answers[0][0], untrained, answers[0][3])
                panel_title(axes[index], index, name)
        kinds = [kind for *_, kind in answers]
        phases = ", ".join(f"{phase} ({exponent:.2f})" for _, phase, exponent, _ in answers)
        cells = (
            name, truth, phases, ", ".join(kind.kind for kind in kinds),
            ", ".join("–" if np.isnan(kind.alpha) else f"{kind.alpha:.2f}" for kind in kinds),
            ", ".join("–" if np.isnan(kind.p_value) else f"{kind.p_value:.2g}" for kind in kinds),
        )  # fmt: skip
        print(f"| {' | '.join(cells)} |", flush=True)
    figure_title(figure, f"Share of eigenvalues at least so large; {ROWS} × {COLS}, quadratic networks 300 × 200")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    with PAGE.style():
        save_figure(figure, target / "figures" / "controls", ("png",))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
