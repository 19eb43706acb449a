"""Figures 6 and 33–37: layers of VGG11 and ResNet18 before and after ten full-batch steps.

The paper leaves open how many images are used, how batch norm sees them, and how a kernel becomes a
matrix; the fields of `Experiment` and their defaults say what is done here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import cycle

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from spectail.experiments.deep.models import paper_layers
from spectail.experiments.experiment import Experiment
from spectail.plots.bands import draw_null
from spectail.plots.colours import FINAL, INITIAL, LAW, SERIES
from spectail.plots.look import figure_title, is_narrow, new_figure, panel_title, shared_legend, small_print
from spectail.plots.spectrum_plot import draw_spectrum
from spectail.recording.layout import eigenvalues_at
from spectail.spectra.nulls import Z_UNLIKELY
from spectail.study.artifact import Artifact
from spectail.study.claims import Claim, Outcome
from spectail.study.runs import Runs
from spectail.study.verdicts import LEAST_REPEATS, all_of, in_every_repeat

VGG11 = Experiment(
    model="vgg11",
    dataset="cifar10",
    lr=0.01,
    steps=10,
    record="ends",
    images=512,
    micro_batch=128,
    protocol="published",
)

RESNET18 = VGG11.replace(model="resnet18")

NAMES = {"vgg11": "VGG11", "resnet18": "ResNet18", "mnist": "MNIST", "cifar10": "CIFAR10", "svhn": "SVHN"}


CLASSES = 10
"""Of each data set."""


def named(training: Experiment) -> tuple[str, str]:
    """The network and its data set, as the paper names them."""
    model, dataset = (NAMES.get(str(name), str(name)) for name in (training.model, training.dataset))
    return model, dataset


def training_title(training: Experiment) -> str:
    """Network and data set, as VGG11 on MNIST."""
    return " on ".join(named(training))


@dataclass(frozen=True)
class Layer:
    """A convolution of a network: the paper's number of it, from 1, shortcuts not counted."""

    training: Experiment
    number: int

    @property
    def title(self) -> str:
        """As the paper names it."""
        model, dataset = named(self.training)
        return f"{model}-L{self.number} ({dataset})"


def row(runs: Runs, layer: Layer, seed: int | None = None) -> xr.Dataset:
    """What was measured of a layer, over steps."""
    run = runs[layer.training.replace(seed=runs.seeds[0] if seed is None else seed)]
    return run.isel(matrix=paper_layers(run.kind.values, run.matrix.values)[layer.number - 1])


def draw(label: str, layers: Sequence[Layer]) -> Callable[[Runs], Figure]:
    """The spectra of some layers before and after, what was learned, and, of one network, each layer's exponent."""
    trainings = list(dict.fromkeys(layer.training for layer in layers))

    def drawn(runs: Runs) -> Figure:
        count = len(layers) + (2 if len(trainings) > 1 else 3)
        rows = -(-count // 3)
        figure, axes = new_figure(rows, 3, 2.5 * rows, abreast=1, count=count)  # for the numbers in each
        for index, (ax, layer) in enumerate(zip(axes, layers, strict=False)):
            _panel(panel_title(ax, index, layer.title), row(runs, layer))
        for index, (ax, curve) in enumerate(zip(axes[len(layers) :], CURVES, strict=False), len(layers)):
            _curves_panel(panel_title(ax, index, CURVES[curve]), runs, trainings, curve)
        if len(trainings) == 1:
            _depth_panel(panel_title(axes[-1], count - 1, "Hill exponent of each layer"), runs, trainings[0])
        shared_legend(figure, axes)
        t = runs.as_run(trainings[0])
        images = "all images" if t.images == "all" else f"{t.images} images"
        repeats = f"{len(runs.seeds)} repeats, spectra of the first" if len(runs.seeds) > 1 else "one repeat"
        figure_title(
            figure,
            f"{label} – {t.steps} full-batch FB-Adam steps, η = {t.lr:g}, {images}, {repeats}; "
            f"protocol: {runs.protocol}.\n"
            r"Eigenvalues of $W^\top W$ of each kernel position, pooled. In brackets: initial, then untrained Gaussian",
        )
        return figure

    return drawn


CURVES = {"cross_entropy": "Training loss", "accuracy": "Training accuracy"}
"""What runs of networks hold of each update, and how panels name it."""


def _curves_panel(ax: Axes, runs: Runs, trainings: Sequence[Experiment], name: str) -> None:
    """What was learned, step by step, in each repeat."""
    chance = 1 / CLASSES if name == "accuracy" else math.log(CLASSES)
    ax.axhline(chance, color=LAW, lw=0.7, ls=":", label="chance")
    for training, (colour, marker) in zip(trainings, cycle(SERIES), strict=False):
        label = training_title(training)
        for run in runs.repeats(training):
            ax.plot(run["update"], run[name], f"{marker}-", color=colour, lw=0.8, ms=2.5, label=label)
            label = ""
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("step")
    ax.set_ylabel("cross-entropy" if name == "cross_entropy" else name)


def _depth_panel(ax: Axes, runs: Runs, training: Experiment) -> None:
    """The exponents of all convolutions before and after, each repeat, beside those of untrained matrices."""
    repeats = runs.repeats(training)
    run = repeats[0]
    places = paper_layers(run.kind.values, run.matrix.values)
    numbers = np.arange(1, len(places) + 1)
    mean, spread = (run[name].values[places] for name in ("null_alpha_hill", "null_spread_hill"))
    draw_null(ax, numbers, (mean - 2 * spread, mean, mean + 2 * spread), label="untrained, ± 2 sd")
    for which, colour, marker in ((0, INITIAL, "o"), (-1, FINAL, "s")):
        hills = np.stack([run.pl_alpha_hill.values[which, places] for run in repeats])
        label = "initial" if which == 0 else f"after {training.steps} steps"
        ax.plot(np.tile(numbers, len(hills)), hills.ravel(), marker, color=colour, ms=3, mfc="none", label=label)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("layer")
    ax.set_ylabel("Hill exponent")


def _panel(ax: Axes, layer: xr.Dataset) -> None:
    draw_spectrum(
        ax,
        eigenvalues_at(layer),
        initial=eigenvalues_at(layer, 0),
        axis="log10",
        final_label=f"after {int(layer.step[-1])} steps",
    )
    hill, ks = layer.pl_alpha_hill.values, layer.pl_alpha_ks.values
    z = f"{float(layer.z_hill[-1]):.0f}".replace("-", "\N{MINUS SIGN}")
    lines = [
        f"Hill {hill[-1]:.2f} ({hill[0]:.2f}, {float(layer.null_alpha_hill):.2f}), z = {z}",
        f"KS {ks[-1]:.2f} ({ks[0]:.2f}, {float(layer.null_alpha_ks):.2f})",
    ]
    low, high = ax.get_ylim()
    ax.set_ylim(low, high * (high / low) ** (0.8 if is_narrow(ax) else 0.28))  # room for the numbers
    ax.text(0.03, 0.97, "\n".join(lines), transform=ax.transAxes, va="top", fontsize=small_print(), color=LAW)


def claims(number: str, where: str, layers: Sequence[Layer]) -> tuple[Claim, Claim]:
    """Claim 40 on some layers: against their own initial spectra, and against untrained matrices."""
    names = ", ".join(layer.title for layer in layers)
    return (
        Claim(
            f"{number}a",
            where,
            f"After 10 full-batch FB-Adam steps the exponents are smaller than at initialisation: {names}.",
            "PL_Alpha_Hill and PL_Alpha_KS are below the layer's own at step 0, each layer, in each of three repeats",
            lambda runs: all_layers(runs, layers, _below_initial, LEAST_REPEATS),
        ),
        Claim(
            f"{number}b",
            where,
            f"After 10 full-batch FB-Adam steps the tails are heavier than an untrained matrix's: {names}.",
            f"PL_Alpha_Hill is at least {Z_UNLIKELY:g} standard deviations below that of untrained Gaussian "
            "matrices of the shape, each layer, in every repeat",
            lambda runs: all_layers(runs, layers, _below_null, 1),
        ),
    )


def all_layers(
    runs: Runs, layers: Iterable[Layer], test: Callable[[xr.Dataset], tuple[bool, str]], least: int
) -> Outcome:  # fmt: skip
    """A test of each layer in each repeat: it holds if every layer passes in every one, of at least `least`."""
    findings, sentences = [], []
    for layer in layers:
        passed, texts = zip(*(test(row(runs, layer, seed)) for seed in runs.seeds), strict=True)
        findings.append(in_every_repeat(passed, least))
        sentences.append(f"{layer.title}: {findings[-1].verdict}, " + ", ".join(dict.fromkeys(texts)))
    return Outcome(all_of(findings), "; ".join(sentences))


def _below_initial(layer: xr.Dataset) -> tuple[bool, str]:
    hill, ks = (layer[name].values[[0, -1]] for name in ("pl_alpha_hill", "pl_alpha_ks"))
    text = f"Hill {hill[0]:.3f} → {hill[1]:.3f}, KS {ks[0]:.2f} → {ks[1]:.2f}"
    return bool(hill[1] < hill[0] and ks[1] < ks[0]), text


def _below_null(layer: xr.Dataset) -> tuple[bool, str]:
    z, hill = float(layer.z_hill[-1]), float(layer.pl_alpha_hill[-1])
    text = f"Hill {hill:.3f}, untrained {float(layer.null_alpha_hill):.3f}, z = {z:.1f}, {layer.phase.values[-1]}"
    return bool(z <= -Z_UNLIKELY), text


def figure(number: int, section: str, title: str, layers: Sequence[Layer]) -> Artifact:
    """The figure of some layers."""
    return Artifact(
        name=f"fig{number}",
        title=f"Layers of {title} after 10 full-batch steps",
        repeats=LEAST_REPEATS,
        trainings=list(dict.fromkeys(layer.training for layer in layers)),
        draw=draw(f"Fig. {number}", layers),
        claims=claims(f"40.{number}", f"{section}, Fig. {number}", layers),
        protocols=("published",),
    )


def figure_of_network(number: int, network: Experiment, dataset: str, numbers: Sequence[int]) -> Artifact:
    """The figure of some layers of one network on one data set."""
    training = network.replace(dataset=dataset)
    return figure(number, "App. F.6", training_title(training), [Layer(training, n) for n in numbers])


FIG6_LAYERS = [
    Layer(VGG11.replace(dataset="cifar10"), 4),
    Layer(VGG11.replace(dataset="mnist"), 7),
    Layer(RESNET18.replace(dataset="cifar10"), 5),
    Layer(RESNET18.replace(dataset="svhn"), 10),
]

ARTIFACTS = (
    figure(6, "§5.3", "VGG11 and ResNet18", FIG6_LAYERS),
    figure_of_network(33, VGG11, "mnist", (2, 4, 7)),
    figure_of_network(34, VGG11, "cifar10", (2, 4, 7)),
    figure_of_network(35, VGG11, "svhn", (2, 4, 7)),
    figure_of_network(36, RESNET18, "cifar10", (5, 8, 10)),
    figure_of_network(37, RESNET18, "svhn", (5, 8, 10)),
)
