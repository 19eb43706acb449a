"""Deep networks: what Figures 6 and 33–37 share.

The paper leaves open how many images are used, how batch norm sees them, and how a kernel becomes a
matrix; the fields of `Training` and their defaults say what is done here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spectail.experiments.deep.models import paper_layers
from spectail.experiments.deep.training import Training
from spectail.plots.colours import LAW
from spectail.plots.look import new_figure, panel_title, shared_legend
from spectail.plots.spectrum_plot import draw_spectrum
from spectail.study.artifact import Artifact
from spectail.study.claims import Claim, Outcome, all_of, in_every_repeat
from spectail.study.runs import Runs

VGG11 = Training(model="vgg11", dataset="cifar10", lr=0.01, steps=10, images=512, micro_batch=128)

RESNET18 = VGG11.replace(model="resnet18")

NAMES = {"vgg11": "VGG11", "resnet18": "ResNet18", "mnist": "MNIST", "cifar10": "CIFAR10", "svhn": "SVHN"}

UNLIKELY = 3.0
"""Standard deviations below the null that count as heavier than an untrained matrix's tail."""


@dataclass(frozen=True)
class Layer:
    """A convolution of a network: the paper's number of it, from 1, shortcuts not counted."""

    training: Training
    number: int

    @property
    def title(self) -> str:
        """As the paper names it."""
        model, dataset = (NAMES.get(name, name) for name in (self.training.model, self.training.dataset))
        return f"{model}-L{self.number} ({dataset})"


def trained(layers: Sequence[Layer]) -> Callable[[int], Iterator[Training]]:
    """The trainings behind some layers, each once, for a seed."""

    def trainings(seed: int) -> Iterator[Training]:
        yield from dict.fromkeys(layer.training.replace(seed=seed) for layer in layers)

    return trainings


def row(runs: Runs, layer: Layer, seed: int | None = None) -> xr.Dataset:
    """What was measured of a layer, over steps."""
    run = runs.training(layer.training.replace(seed=runs.seeds[0] if seed is None else seed))
    return run.isel(matrix=paper_layers(run.kind.values, run.matrix.values)[layer.number - 1])


def draw(label: str, layers: Sequence[Layer]) -> Callable[[Runs], Figure]:
    """The spectra of some layers before and after training, side by side."""

    def drawn(runs: Runs) -> Figure:
        rows = 2 if len(layers) > 3 else 1
        figure, axes = new_figure(rows, -(-len(layers) // rows), 2.7 * rows)
        for index, (ax, layer) in enumerate(zip(axes, layers, strict=True)):
            _panel(panel_title(ax, index, layer.title), row(runs, layer))
        shared_legend(figure, axes)
        t = runs.as_run(layers[0].training)
        count = "all images" if t.images is None else f"{t.images} images"
        figure.suptitle(
            f"{label} – {t.steps} full-batch FB-Adam steps, η = {t.lr:g}, {count}; protocol: {runs.protocol}.\n"
            r"Eigenvalues of $W^\top W$ of each kernel position, pooled. In brackets: initial, then untrained Gaussian",
            fontsize=8,
        )
        return figure

    return drawn


def _panel(ax: Axes, layer: xr.Dataset) -> None:
    first, last = (_spectrum(layer.isel(step=step)) for step in (0, -1))
    draw_spectrum(ax, last, initial=first, axis="log10", final_label=f"after {int(layer.step[-1])} steps")
    hill, ks = layer.pl_alpha_hill.values, layer.pl_alpha_ks.values
    z = f"{float(layer.z_hill[-1]):.0f}".replace("-", "\N{MINUS SIGN}")
    told = [
        f"Hill {hill[-1]:.2f} ({hill[0]:.2f}, {float(layer.null_alpha_hill):.2f}), z = {z}",
        f"KS {ks[-1]:.2f} ({ks[0]:.2f}, {float(layer.null_alpha_ks):.2f})",
    ]
    low, high = ax.get_ylim()
    ax.set_ylim(low, high * (high / low) ** 0.28)  # room for the figures
    ax.text(0.03, 0.97, "\n".join(told), transform=ax.transAxes, va="top", fontsize=6.2, color=LAW)


def _spectrum(layer: xr.Dataset) -> Any:
    values = layer.eigenvalues.values
    return values[np.isfinite(values)]


def claims(number: str, where: str, layers: Sequence[Layer]) -> tuple[Claim, Claim]:
    """Claim 40 on some layers: against their own initial spectra, and against untrained matrices."""
    names = ", ".join(layer.title for layer in layers)
    return (
        Claim(
            f"{number}a",
            where,
            f"After 10 full-batch FB-Adam steps the exponents are smaller than at initialisation: {names}.",
            "PL_Alpha_Hill and PL_Alpha_KS are below the layer's own at step 0, each layer, in every repeat",
            lambda runs: all_layers(runs, layers, _below_initial),
        ),
        Claim(
            f"{number}b",
            where,
            f"After 10 full-batch FB-Adam steps the tails are heavier than an untrained matrix's: {names}.",
            f"PL_Alpha_Hill is at least {UNLIKELY:g} standard deviations below that of untrained Gaussian "
            "matrices of the shape, each layer, in every repeat",
            lambda runs: all_layers(runs, layers, _below_null),
        ),
    )


def all_layers(
    runs: Runs, layers: Iterable[Layer], test: Callable[[xr.Dataset], tuple[bool, str]]
) -> Outcome:  # fmt: skip
    """A test of each layer in each repeat: it holds if every layer passes in every one."""
    verdicts, told = [], []
    for layer in layers:
        found = [test(row(runs, layer, seed)) for seed in runs.seeds]
        verdicts.append(in_every_repeat([passed for passed, _ in found]))
        told.append(f"{layer.title}: {verdicts[-1]}, " + ", ".join(dict.fromkeys(text for _, text in found)))
    return Outcome(all_of(verdicts), "; ".join(told))


def _below_initial(layer: xr.Dataset) -> tuple[bool, str]:
    hill, ks = (layer[name].values[[0, -1]] for name in ("pl_alpha_hill", "pl_alpha_ks"))
    text = f"Hill {hill[0]:.3f} → {hill[1]:.3f}, KS {ks[0]:.2f} → {ks[1]:.2f}"
    return bool(hill[1] < hill[0] and ks[1] < ks[0]), text


def _below_null(layer: xr.Dataset) -> tuple[bool, str]:
    z, hill = float(layer.z_hill[-1]), float(layer.pl_alpha_hill[-1])
    text = f"Hill {hill:.3f}, untrained {float(layer.null_alpha_hill):.3f}, z = {z:.1f}, {layer.phase.values[-1]}"
    return bool(z <= -UNLIKELY), text


FIG6_LAYERS = [
    Layer(VGG11.replace(dataset="cifar10"), 4),
    Layer(VGG11.replace(dataset="mnist"), 7),
    Layer(RESNET18.replace(dataset="cifar10"), 5),
    Layer(RESNET18.replace(dataset="svhn"), 10),
]

FIG6 = Artifact(
    name="fig6",
    title="Layers of VGG11 and ResNet18 after 10 full-batch steps",
    repeats=1,
    experiments=lambda seed: (),
    trainings=trained(FIG6_LAYERS),
    draw=draw("Fig. 6", FIG6_LAYERS),
    claims=claims("40.6", "§5.3, Fig. 6", FIG6_LAYERS),
    protocols=("published",),
)

FIG33_LAYERS = [Layer(VGG11.replace(dataset="mnist"), number) for number in (2, 4, 7)]

FIG33 = Artifact(
    name="fig33",
    title="Layers of VGG11 on MNIST after 10 full-batch steps",
    repeats=1,
    experiments=lambda seed: (),
    trainings=trained(FIG33_LAYERS),
    draw=draw("Fig. 33", FIG33_LAYERS),
    claims=claims("40.33", "App. F.6, Fig. 33", FIG33_LAYERS),
    protocols=("published",),
)

FIG34_LAYERS = [Layer(VGG11.replace(dataset="cifar10"), number) for number in (2, 4, 7)]

FIG34 = Artifact(
    name="fig34",
    title="Layers of VGG11 on CIFAR10 after 10 full-batch steps",
    repeats=1,
    experiments=lambda seed: (),
    trainings=trained(FIG34_LAYERS),
    draw=draw("Fig. 34", FIG34_LAYERS),
    claims=claims("40.34", "App. F.6, Fig. 34", FIG34_LAYERS),
    protocols=("published",),
)

FIG35_LAYERS = [Layer(VGG11.replace(dataset="svhn"), number) for number in (2, 4, 7)]

FIG35 = Artifact(
    name="fig35",
    title="Layers of VGG11 on SVHN after 10 full-batch steps",
    repeats=1,
    experiments=lambda seed: (),
    trainings=trained(FIG35_LAYERS),
    draw=draw("Fig. 35", FIG35_LAYERS),
    claims=claims("40.35", "App. F.6, Fig. 35", FIG35_LAYERS),
    protocols=("published",),
)

FIG36_LAYERS = [Layer(RESNET18.replace(dataset="cifar10"), number) for number in (5, 8, 10)]

FIG36 = Artifact(
    name="fig36",
    title="Layers of ResNet18 on CIFAR10 after 10 full-batch steps",
    repeats=1,
    experiments=lambda seed: (),
    trainings=trained(FIG36_LAYERS),
    draw=draw("Fig. 36", FIG36_LAYERS),
    claims=claims("40.36", "App. F.6, Fig. 36", FIG36_LAYERS),
    protocols=("published",),
)

FIG37_LAYERS = [Layer(RESNET18.replace(dataset="svhn"), number) for number in (5, 8, 10)]

FIG37 = Artifact(
    name="fig37",
    title="Layers of ResNet18 on SVHN after 10 full-batch steps",
    repeats=1,
    experiments=lambda seed: (),
    trainings=trained(FIG37_LAYERS),
    draw=draw("Fig. 37", FIG37_LAYERS),
    claims=claims("40.37", "App. F.6, Fig. 37", FIG37_LAYERS),
    protocols=("published",),
)

ARTIFACTS = (
    FIG6,
    FIG33,
    FIG34,
    FIG35,
    FIG36,
    FIG37,
)
