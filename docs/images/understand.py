"""Makes the pictures of docs/understand: each shows one idea on matrices that are drawn here.

`python docs/images/understand.py` in a clone, with the extra `plots`: half a minute.
"""

from pathlib import Path

import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from PIL import Image
from torch import Tensor, nn

from spectail import MarchenkoPastur, analyze, classify, eigenvalues, hill, plots
from spectail.plots.colours import MARKED, PHASES, SERIES
from spectail.spectra import critical_strength, simulate_nulls, spike_eigenvalue

HERE = Path(__file__).parent / "understand"
H, D = 600, 400


def noise(rows: int, cols: int, seed: int = 0) -> Tensor:
    return torch.randn(rows, cols, generator=torch.Generator().manual_seed(seed))


def planted(strength: float, rows: int = H, cols: int = D, seed: int = 0) -> Tensor:
    """Noise of variance one and a random direction, `strength` times as strong as one that just shows."""
    u, v = noise(rows, 1, seed + 1), noise(cols, 1, seed + 2)
    theta = strength * critical_strength(rows, cols)
    return noise(rows, cols, seed) + theta * (u / u.norm()) @ (v / v.norm()).T


def correlated(variances: Tensor, rows: int = H, seed: int = 0) -> Tensor:
    """Gaussian rows whose covariance has these eigenvalues, in random directions."""
    basis = torch.linalg.qr(noise(len(variances), len(variances), seed + 1))[0]
    return noise(rows, len(variances), seed) * variances.sqrt() @ basis.T


def uniform(count: int, seed: int = 0) -> Tensor:
    return torch.rand(count, generator=torch.Generator().manual_seed(seed))


def bars(ax: Axes, spectrum: Tensor, colour: str = SERIES[0][0], *, log: bool = False, bins: int = 40) -> None:
    low = float(spectrum[spectrum > spectrum.max() * 1e-6].min())
    edges = np.geomspace(low, float(spectrum.max()) * 1.001, bins) if log else bins
    ax.hist(spectrum.numpy(), edges, density=not log, color=colour, alpha=0.55, lw=0)
    ax.set_yticks([])
    if log:
        ax.set_xscale("log")


def law_over(ax: Axes, law: MarchenkoPastur) -> None:
    low, high = law.edges
    x = torch.linspace(max(low, 1e-3 * high), high, 400)
    ax.plot(x, law.density(x), color="black", lw=1.2)


def spectra() -> None:
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(6.75, 2.3), layout="constrained")
    w = planted(3.0)
    left.imshow(w[:60, :60], cmap="RdBu_r", vmin=-4, vmax=4)
    left.set(title=f"a corner of W, {H} × {D}", xticks=[], yticks=[])
    spectrum = eigenvalues(w)
    for ax, log in ((middle, False), (right, True)):
        bars(ax, spectrum, log=log)
        ax.plot(float(spectrum.max()), 0, "v", color=MARKED, clip_on=False, zorder=3)
        ax.set(title="the eigenvalues of WᵀW" if not log else "the same over log λ", xlabel="λ")
    save(figure, "spectra")


def bulk() -> None:
    figure, axes = plt.subplots(1, 3, figsize=(6.75, 2.1), layout="constrained")
    for ax, (rows, cols) in zip(axes, [(600, 600), (600, 400), (1200, 200)], strict=True):
        bars(ax, eigenvalues(noise(rows, cols)))
        law_over(ax, MarchenkoPastur(rows, cols))
        ax.set(title=f"{rows} × {cols}", xlabel="λ", xlim=(0, None))
        if rows == cols:
            ax.set_ylim(0, 0.002)  # its density has no bound at zero
    save(figure, "bulk")


def spikes() -> None:
    figure, (left, right) = plt.subplots(1, 2, figsize=(6.75, 2.3), layout="constrained")
    law = MarchenkoPastur(H, D)
    spectrum = eigenvalues(planted(2.0))
    bars(left, spectrum)
    law_over(left, law)
    left.axvline(law.edges[1], color="black", ls="--", lw=0.8)
    left.annotate("λ₊", (law.edges[1], left.get_ylim()[1] * 0.9), xytext=(4, 0), textcoords="offset points")
    left.plot(float(spectrum.max()), 0, "v", color=MARKED, clip_on=False, zorder=3)
    left.annotate("spike", (float(spectrum.max()), 0), xytext=(0, 8), textcoords="offset points", ha="center")
    left.set(title="θ = 2$\\theta_c$", xlabel="λ")
    strengths = np.linspace(0, 2.5, 200)
    critical = critical_strength(H, D)
    right.plot(strengths, [spike_eigenvalue(s * critical, H, D) / law.edges[1] for s in strengths], color="black", lw=1)
    measured = np.linspace(0, 2.5, 16)
    tops = [float(eigenvalues(planted(s, seed=10 * i)).max()) for i, s in enumerate(measured)]
    right.plot(measured, np.array(tops) / law.edges[1], "o", color=SERIES[0][0], ms=3.5)
    right.set(title="drawn (points) and theory (line)", xlabel="strength θ/$\\theta_c$", ylabel="λ₁/λ₊")
    save(figure, "spikes")


def tails() -> None:
    figure, ax = plt.subplots(figsize=(4.6, 2.7), layout="constrained")
    drawn = {
        "Gaussian": noise(H, D),
        "lognormal population": correlated(torch.exp(1.0 * noise(D, 1, 5)[:, 0])),
        "power law, α = 2.5": correlated((1 - uniform(D, 6)) ** (-1 / 1.5)),
    }
    for (name, w), (colour, _) in zip(drawn.items(), SERIES[:3], strict=True):
        spectrum = eigenvalues(w)
        spectrum = spectrum / spectrum.median()
        share = torch.arange(len(spectrum), 0, -1) / len(spectrum)
        ax.loglog(spectrum, share, color=colour, label=f"{name}: Hill {hill(spectrum):.2f}")
    ax.axvline(1.0, color="0.6", lw=0.8)
    ax.set(xlim=(0.2, None), xlabel="λ over the median", ylabel="share of eigenvalues ≥ λ")
    ax.legend(loc="lower left")
    save(figure, "tails")


def phases() -> None:
    twice = torch.cat([torch.full((D // 2,), 0.02), torch.full((D // 2,), 1.0)])
    drawn = {
        "random-like": noise(H, D),
        "bleeding-out": planted(1.32),
        "bulk+spike": planted(2.5),
        "bulk-decay": correlated(torch.exp(0.3 * noise(D, 1, 5)[:, 0])),
        "heavy-tailed": correlated((1 - uniform(D, 6)) ** (-1 / 1.5)),
        "bimodal": correlated(twice),
        "rank-collapse": noise(H, 40) @ noise(40, D, 1) / 40**0.5 + 0.02 * noise(H, D, 2),
    }
    figure, axes = plt.subplots(2, 4, figsize=(6.75, 2.9), layout="constrained")
    for ax, (phase, w) in zip(axes.flat, drawn.items(), strict=False):
        evidence = classify(w)
        assert evidence.phase == phase, (phase, evidence)
        bars(ax, eigenvalues(w), PHASES[phase][0], log=True, bins=30)
        if phase in list(PHASES)[:4]:  # of others there is no bulk that ends
            ax.axvline(evidence.visible_edge, color="black", ls="--", lw=0.8)
            if evidence.n_spikes:
                ax.plot(float(eigenvalues(w).max()), 0, "v", color=MARKED, ms=4, clip_on=False, zorder=3)
        ax.set(title=phase)
        ax.tick_params(axis="x", which="minor", labelbottom=False)
    axes.flat[-1].set_axis_off()
    axes.flat[-1].plot([], [], "k--", lw=0.8, label="visible edge")
    axes.flat[-1].plot([], [], "v", color=MARKED, ms=4, label="the largest, past it")
    axes.flat[-1].legend(loc="center")
    figure.supxlabel("λ")
    save(figure, "phases")


def nulls() -> None:
    figure, ax = plt.subplots(figsize=(5.4, 2.5), layout="constrained")
    layer = nn.Linear(300, 200, bias=False)
    layer.weight.data = correlated(torch.exp(0.45 * noise(300, 1, 5)[:, 0]), 200)
    alpha = analyze(layer).frame.pl_alpha_hill[0]
    top = 0.0
    for (rows, cols), (colour, _) in zip([(200, 200), (200, 300), (200, 600)], SERIES, strict=False):
        null = simulate_nulls(rows, cols, draws=400).hill
        x = np.linspace(1.6, 4.5, 2000)
        z = (np.log(x - 1) - null.mean) / null.spread
        density = np.exp(-(z**2) / 2) / (null.spread * (x - 1) * np.sqrt(2 * np.pi))
        top = max(top, density.max())
        ax.fill_between(x, density, color=colour, alpha=0.5, lw=0)
        ax.annotate(f"{rows} × {cols}", (null.alpha, density.max()), ha="center", va="bottom")
    ax.axvline(alpha, color=MARKED)
    line = {"arrowstyle": "-", "color": MARKED, "lw": 0.8}
    ax.annotate(f"a layer of 200 × 300: {alpha:.2f}", (alpha, 1.06 * top), (2.55, 1.04 * top), arrowprops=line)
    ax.set(xlabel="Hill α of untrained matrices", yticks=[], ylim=(0, 1.15 * top), xlim=(1.7, 3.5))
    save(figure, "nulls")


def save(figure: plt.Figure, name: str) -> None:
    path = HERE / f"{name}.png"
    figure.savefig(path, dpi=150)
    plt.close(figure)
    Image.open(path).convert("RGB").quantize(128).save(path, optimize=True)


if __name__ == "__main__":
    HERE.mkdir(exist_ok=True)
    with plots.style("page"):
        for picture in (spectra, bulk, spikes, tails, phases, nulls):
            picture()
