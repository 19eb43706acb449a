"""Figures 6 and 33–37: layers of VGG11 and ResNet18 before and after ten full-batch steps.

The paper leaves open how many images are used, how batch norm sees them, and how a kernel becomes a
matrix; the fields of `Experiment` and their defaults say what is done here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spectail.experiments.deep.models import paper_layers
from spectail.experiments.experiment import Experiment
from spectail.plots.colours import LAW
from spectail.plots.look import figure_title, new_figure, panel_title, shared_legend, small_print
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


@dataclass(frozen=True)
class Layer:
    """A convolution of a network: the paper's number of it, from 1, shortcuts not counted."""

    training: Experiment
    number: int

    @property
    def title(self) -> str:
        """As the paper names it."""
        model, dataset = (NAMES.get(str(name), name) for name in (self.training.model, self.training.dataset))
        return f"{model}-L{self.number} ({dataset})"


def row(runs: Runs, layer: Layer, seed: int | None = None) -> xr.Dataset:
    """What was measured of a layer, over steps."""
    run = runs[layer.training.replace(seed=runs.seeds[0] if seed is None else seed)]
    return run.isel(matrix=paper_layers(run.kind.values, run.matrix.values)[layer.number - 1])


def draw(label: str, layers: Sequence[Layer]) -> Callable[[Runs], Figure]:
    """The spectra of some layers before and after training, side by side."""

    def drawn(runs: Runs) -> Figure:
        rows = 2 if len(layers) > 3 else 1
        figure, axes = new_figure(rows, -(-len(layers) // rows), 2.7 * rows, abreast=1)  # for the numbers in each
        for index, (ax, layer) in enumerate(zip(axes, layers, strict=True)):
            _panel(panel_title(ax, index, layer.title), row(runs, layer))
        shared_legend(figure, axes)
        t = runs.as_run(layers[0].training)
        count = "all images" if t.images == "all" else f"{t.images} images"
        figure_title(
            figure,
            f"{label} – {t.steps} full-batch FB-Adam steps, η = {t.lr:g}, {count}; protocol: {runs.protocol}.\n"
            r"Eigenvalues of $W^\top W$ of each kernel position, pooled. In brackets: initial, then untrained Gaussian",
        )
        return figure

    return drawn


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
    ax.set_ylim(low, high * (high / low) ** 0.28)  # room for the numbers
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
    """A test of each layer in each repeat: it holds if every layer passes in every one, of so many at least."""
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
        repeats=1,
        trainings=list(dict.fromkeys(layer.training for layer in layers)),
        draw=draw(f"Fig. {number}", layers),
        claims=claims(f"40.{number}", f"{section}, Fig. {number}", layers),
        protocols=("published",),
    )


def figure_of_network(number: int, network: Experiment, dataset: str, numbers: Sequence[int]) -> Artifact:
    """The figure of some layers of one network on one data set."""
    layers = [Layer(network.replace(dataset=dataset), n) for n in numbers]
    return figure(number, "App. F.6", f"{NAMES[str(network.model)]} on {NAMES[dataset]}", layers)


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
