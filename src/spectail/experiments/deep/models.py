"""VGG11 and ResNet18 for images of 32 × 32, students of any widths, and whatever a user's own factory makes.

A new network is a line of `MODELS`. Not here: how a network is trained.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from spectail.errors import SettingError, naming_the_extra, unknown_name
from spectail.experiments.activations import Activation, find_activation
from spectail.experiments.deep.samples import Samples
from spectail.experiments.experiment import Experiment
from spectail.weights.opening import call_factory


def network_for(experiment: Experiment, samples: Samples) -> nn.Module:
    """The network of an experiment, for its samples: its model, or a student with its layers.

    Raises:
        ValueError: as `make_model`; the activation is not known, or not as it should be.
    """
    e = experiment
    if e.model is not None:
        model = make_model(e.model, samples.outputs, e.seed)
        if any(one.device.type == "meta" for one in (*model.parameters(), *model.buffers())):
            raise SettingError(f"{e.model} made a module on the device meta, which has no weights; expected numbers")
        return model
    return make_student(e.widths, e.activation, tuple(samples.inputs.shape[1:]), samples.outputs, e.seed)


def make_student(widths: Sequence[int], activation: str, shape: Sequence[int], outputs: int, seed: int) -> nn.Module:
    """Linear layers of the widths with an activation between, on inputs of any shape; torch's initial weights.

    >>> [tuple(p.shape) for p in make_student([5, 4], "tanh", (3, 2, 2), 10, 0).parameters()]
    [(5, 12), (5,), (4, 5), (4,), (10, 4), (10,)]
    """
    sigma, sizes = find_activation(activation), [math.prod(shape), *widths]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        hidden = [[nn.Linear(a, b), _Sigma(sigma)] for a, b in pairwise(sizes)]
        return nn.Sequential(nn.Flatten(), *(part for layer in hidden for part in layer), nn.Linear(sizes[-1], outputs))


class _Sigma(nn.Module):
    """An activation as a module."""

    def __init__(self, activation: Activation) -> None:
        super().__init__()
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = _WithSlope.apply(x, self.activation)
        return result


class _WithSlope(torch.autograd.Function):
    """σ with the slope that is known of it: σ itself is written over its argument, which autograd cannot follow."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, activation: Activation) -> Tensor:
        ctx.save_for_backward(x)
        ctx.activation = activation
        return activation(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return gradients[0] * ctx.activation.slope(x), None


def make_model(name: str, classes: int, seed: int) -> nn.Module:
    """A network with the initial weights that a seed fixes; the global random state is left alone.

    Args:
        name: one of `MODELS`, or package.module:factory, whose factory is called without arguments.
        classes: outputs, for the named ones.
        seed: of torch's default initialisation.

    Raises:
        ValueError: the name is not known, the factory makes no module, or torchvision is missing.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if ":" in name:
            model = call_factory(name)
            if not isinstance(model, nn.Module):
                raise SettingError(f"{name} made a state dict; expected a module that can be trained")
            return model
        if name not in MODELS:
            raise SettingError(unknown_name("model", name, [*MODELS, "package.module:factory"]))
        return MODELS[name](classes)


def _vgg11(classes: int) -> nn.Module:
    """The eight convolutions of torchvision, with batch norm, and one linear layer instead of three on 7 × 7."""
    features = _torchvision().vgg11_bn().features
    return nn.Sequential(features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, classes))


def _resnet18(classes: int) -> nn.Module:
    """The ResNet18 of torchvision with a stem for small images: 3 × 3 of stride 1, and no pooling."""
    model: nn.Module = _torchvision().resnet18(num_classes=classes)
    model.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")  # as torchvision does
    model.maxpool = nn.Identity()
    return model


MODELS: dict[str, Callable[[int], nn.Module]] = {"vgg11": _vgg11, "resnet18": _resnet18}
"""By name, what makes a network with so many outputs."""


def _torchvision() -> Any:
    with naming_the_extra("the network"):
        from torchvision import models
    return models


def paper_layers(kinds: Iterable[str], names: Iterable[str]) -> list[int]:
    """Which layers of a network are convolutions, in the order of definition, without the shortcuts of a ResNet.

    The paper's "Layer k" is read as entry k − 1 of this list.
    """
    layers = enumerate(zip(kinds, names, strict=True))
    return [at for at, (kind, name) in layers if kind.startswith("conv") and "downsample" not in name]
