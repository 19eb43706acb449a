"""VGG11 and ResNet18 for images of 32 × 32, and whatever a user's own factory makes.

A new network is a line of `MODELS`. Not here: how a network is trained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from spectail.errors import SettingError, naming_the_extra, unknown_name
from spectail.weights.opening import call_factory


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
