"""Ours: optimizers as spectral forces (App. H): what the first update of each does to the spectrum, and where it leads.

The learning rates make the first updates equally long, ‖M₀‖_F = 0.2 ‖W₀‖_F. What they do then follows from how that
length is spread over M₀'s singular values: W₁ has the spectrum of W₀ plus an independent matrix with them (`sum_law`).
Momentum's first update is that of GD, Lion's that of sign descent, AdamW's that of Adam on (1 − ηλ)W₀; Muon's and
Shampoo's are η UVᵀ, all of whose singular values are equal.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spectail.experiments.experiment import Experiment
from spectail.experiments.theory import predict_one_step
from spectail.experiments.two_layer.step_zero import update_of_first_step
from spectail.plots.colours import FINAL, INITIAL, LAW, PREDICTED
from spectail.plots.look import figure_title, new_figure, panel_title, shared_legend
from spectail.spectra.sums import SumLaw, sum_law
from spectail.study.artifact import Artifact
from spectail.study.claims import Claim, Outcome
from spectail.study.panels import settings_line
from spectail.study.runs import Runs, Values, of_seed, spectrum_at
from spectail.study.verdicts import all_of, in_every_repeat, mean_std, yes_or_no

SHARE = 0.2
"""‖M₀‖_F over ‖W₀‖_F."""

BASE = Experiment(
    n=1000, d=500, h=750, n_test=100, n_test_large=500, steps=100, record=(0, 1, 5, 10, 50, 100), protocol="published"
)

ISOTROPIC = {
    "Muon": BASE.replace(optimizer="Muon", lr=SHARE * math.sqrt(BASE.d), optimizer_options={"weight_decay": 0.0}),
    "Shampoo": BASE.replace(optimizer="shampoo", lr=SHARE * math.sqrt(BASE.h), optimizer_options={"eps": 1e-12}),
}

ALONG_ONE = {
    "GD": BASE.replace(optimizer="gd", lr=1800.0),
    "momentum": BASE.replace(optimizer="SGD", lr=1800.0, optimizer_options={"momentum": 0.9}),
    "FB-Adam": BASE.replace(optimizer="adam", lr=SHARE),
    "AdamW": BASE.replace(optimizer="AdamW", lr=SHARE),
    "sign descent": BASE.replace(optimizer="sign", lr=SHARE),
    "Lion": BASE.replace(optimizer="lion", lr=SHARE),
}

FORCES = {**ALONG_ONE, **ISOTROPIC}

KS = 0.01
"""Of 500 eigenvalues, five steps of their distribution function; eigenvalues of a Gaussian matrix keep within three."""


@lru_cache(maxsize=64)
def _law(experiment: Experiment) -> SumLaw:
    """The law of W₀ plus an independent matrix with the singular values of the first update."""
    values = torch.linalg.svdvals(update_of_first_step(experiment).double()).numpy()
    return sum_law(values, experiment.h, experiment.d)


@lru_cache(maxsize=64)
def _of_equal_values(experiment: Experiment) -> SumLaw:
    """The law where the first update is c UVᵀ, with c = η, and for Muon c = η√(h/d)."""
    e = experiment
    strength = e.lr * (math.sqrt(max(1.0, e.h / e.d)) if e.optimizer == "Muon" else 1.0)
    return sum_law(np.full(min(e.h, e.d), strength), e.h, e.d)


def distances(runs: Runs, experiment: Experiment, law: Callable[[Experiment], SumLaw]) -> Values:
    """How far the spectrum after one step is from a law, for every seed (KS); NaN where the run diverged."""
    of_seeds = [runs.as_run(of_seed(experiment, seed)) for seed in runs.seeds]
    spectra = [spectrum_at(run, 1) if 1 in run.step.values else np.array([np.nan]) for run in runs.repeats(experiment)]
    return np.array([law(e).distance(one) for e, one in zip(of_seeds, spectra, strict=True)])


def predicted_top(experiment: Experiment) -> float:
    """λ₁ after the first update, by theory alone."""
    e, shrunk = experiment, 1.0
    if e.optimizer == "AdamW":
        shrunk = 1 - e.lr * 0.01
    stands_for = {"SGD": "gd", "lion": "sign", "AdamW": "adam"}.get(e.optimizer, e.optimizer)
    plain = BASE.replace(n=e.n, d=e.d, h=e.h, optimizer=stands_for, lr=e.lr / shrunk)
    return predict_one_step(plain).top_eigenvalue * shrunk**2


def independent(runs: Runs) -> Outcome:
    by_force = {name: distances(runs, e, _law) for name, e in FORCES.items()}
    text = ", ".join(f"{name} {mean_std(values, 2)}" for name, values in by_force.items())
    return Outcome(all_of([in_every_repeat(values <= KS) for values in by_force.values()]), f"KS distances: {text}")


def all_alike(runs: Runs) -> Outcome:
    by_force = {name: distances(runs, e, _of_equal_values) for name, e in ISOTROPIC.items()}
    text = ", ".join(f"{name} {mean_std(values, 2)}" for name, values in by_force.items())
    return Outcome(all_of([in_every_repeat(values <= KS) for values in by_force.values()]), f"KS distances: {text}")


def spikes_where_one(runs: Runs) -> Outcome:
    spikes = {name: runs.values("n_spikes", [e], 1)[:, 0] for name, e in FORCES.items()}
    findings = [in_every_repeat((values > 0) == (name in ALONG_ONE)) for name, values in spikes.items()]
    return Outcome(
        all_of(findings), "spikes: " + ", ".join(f"{name} {mean_std(values, 2)}" for name, values in spikes.items())
    )


def tops(runs: Runs) -> Outcome:
    ratios = {name: runs.top([e], 1)[:, 0] / predicted_top(runs.as_run(e)) for name, e in ALONG_ONE.items()}
    findings = [yes_or_no(abs(values.mean() - 1) <= 0.1) for values in ratios.values()]
    text = ", ".join(f"{name} {mean_std(values)}" for name, values in ratios.items())
    return Outcome(all_of(findings), f"λ₁ measured over predicted: {text}")


def draw(runs: Runs) -> Figure:
    figure, axes = new_figure(2, 4, 4.4)
    for index, (name, experiment) in enumerate(FORCES.items()):
        ax = panel_title(axes[index], index, rf"{name}, $\eta$ = {float(f'{runs.scale(experiment).lr:.3g}'):g}")
        _panel(ax, runs, experiment)
        if index % 4 == 0:
            ax.set_ylabel(r"density of $\log_{10}\lambda$")
        if index >= 4:
            ax.set_xlabel(r"$\log_{10}\lambda$")
    shared_legend(figure, axes)
    figure_title(
        figure,
        rf"Optimizers as forces: equally long first updates, $\|M_0\|_F$ = {SHARE:g} $\|W_0\|_F$. "
        + settings_line(runs, BASE),
    )
    return figure


def _panel(ax: Axes, runs: Runs, experiment: Experiment) -> None:
    run, last = runs[experiment], runs.scale.step(experiment.steps)
    law, initial = _law(runs.as_run(experiment)), runs.law(experiment)
    after_one = np.log10(spectrum_at(run, 1))
    bins = 60
    ax.hist(after_one, bins, density=True, color=FINAL, alpha=0.55, label="$t$ = 1")
    if last in run.step.values:
        ax.hist(
            np.log10(spectrum_at(run, last)), bins, density=True, histtype="step", color=INITIAL, lw=0.9,
            label=f"$t$ = {last}",
        )  # fmt: skip
    else:
        ax.text(0.5, 0.9, f"diverged at {run.attrs['diverged_at']}", ha="center", transform=ax.transAxes, fontsize=6)
    known = law.density > 1e-9 * law.density.max()
    ax.plot(
        np.log10(law.points[known]), (law.density * law.points)[known] * math.log(10), color=LAW, lw=1.1,
        label="$W_0$ plus an independent matrix with $M_0$'s singular values",
    )  # fmt: skip
    for edge, label in zip(initial.edges, ("edges of $W_0$'s bulk", "_"), strict=True):
        ax.axvline(math.log10(edge), color=PREDICTED, lw=0.9, ls=":", label=label)
    ax.set_xlim(left=math.log10(initial.edges[0]) - 0.3)
    ax.set_yscale("log")
    ax.set_ylim(3e-3, 5)


def table(runs: Runs) -> list[tuple[str, ...]]:
    """What each optimizer has after one step and after the last."""
    steps = BASE.steps
    rows: list[tuple[str, ...]] = [
        ("optimizer", "η", "KS, t=1", "λ₁/λ₊, t=1", f"λ₁/λ₊, t={steps}", "Hill, t=1", f"Hill, t={steps}",
         f"sim, t={steps}", f"phase, t={steps}"),
    ]  # fmt: skip
    for name, e in FORCES.items():
        edge = runs.law(e).edges[1]
        hill, later = (runs.values("pl_alpha_hill", [e], t) for t in (1, steps))
        phases = ", ".join(dict.fromkeys(runs.phases(e, steps)))
        numbers: Mapping[str, Values] = {
            "ks": distances(runs, e, _law), "one": runs.top([e], 1) / edge, "last": runs.top([e], steps) / edge,
            "hill": hill, "later": later, "sim": runs.values("alignment", [e], steps),
        }  # fmt: skip
        rows.append((name, f"{runs.scale(e).lr:.4g}", *(f"{v.mean():.3g}" for v in numbers.values()), phases))
    return rows


ARTIFACT = Artifact(
    name="forces",
    title="Optimizers as spectral forces: equally long first updates of eight, and 100 steps (not in the paper)",
    repeats=5,
    experiments=list(FORCES.values()),
    draw=draw,
    table=table,
    protocols=("published",),
    epsilon="own",
    in_all=False,
    claims=(
        Claim(
            "F1",
            "ours, App. H",
            "After one step the spectrum, as KS sees it, is that of W₀ plus an independent matrix with the update's "
            "singular values, whatever the optimizer.",
            f"the KS distance from that law is at most {KS:g} for each of eight optimizers, in every repeat",
            independent,
        ),
        Claim(
            "F2",
            "ours, App. H",
            "Muon and Shampoo add η UVᵀ: a law in closed form.",
            f"the KS distance from the law of W₀ plus c UVᵀ, c = η√(h/d) and η, is at most {KS:g}, in every repeat",
            all_alike,
        ),
        Claim(
            "F3",
            "ours, App. H",
            "At equal length, updates along one direction make a spike at once, those along all directions none.",
            "after one step a spike for GD, momentum, FB-Adam, AdamW, sign descent and Lion, none for Muon and "
            "Shampoo, in every repeat",
            spikes_where_one,
        ),
        Claim(
            "F4",
            "ours, App. H",
            "The spikes are where theory has them without a run: momentum's is GD's, Lion's that of sign descent, "
            "AdamW's that of Adam on shrunk weights.",
            "the mean of λ₁ over repeats is within 10 % of the prediction, for each of six",
            tops,
        ),
    ),
)

ARTIFACTS = (ARTIFACT,)
