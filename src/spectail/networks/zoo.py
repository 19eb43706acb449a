"""The deep networks of the paper, for images of 32 × 32, and models of one's own."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import nn

from spectail.teacher_student.names import unknown_name

SIZE = 32
"""Height and width of the images that these networks take."""


def make_model(name: str, classes: int, seed: int) -> nn.Module:
    """A new network with random weights.

    Args:
        name: "vgg11", "resnet18", or "package.module:factory" for a module of one's own, made without arguments.
        classes: how many outputs; a factory knows that itself.
        seed: of the initial weights; the global random state is left as it was.

    Raises:
        ValueError: the name is not known, or the factory does not give a module.
        ModuleNotFoundError: torchvision is not installed.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if ":" in name:
            return _from_factory(name)
        if name not in MODELS:
            raise ValueError(unknown_name("model", name, [*MODELS, "package.module:factory"]))
        return MODELS[name](classes)


def vgg11(classes: int) -> nn.Module:
    """VGG11 with batch normalisation: torchvision's eight convolutions, and one linear layer behind them.

    Initialised as torchvision does: convolutions by He et al. (2015) over their outputs, the linear layer N(0, 0.01²).
    """
    vgg = _torchvision("vgg")
    model = nn.Sequential(
        OrderedDict(
            features=vgg.make_layers(vgg.cfgs["A"], batch_norm=True),
            flatten=nn.Flatten(),
            classifier=nn.Linear(512, classes),
        )
    )
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            _he_normal(module)
    nn.init.normal_(model.classifier.weight, 0.0, 0.01)
    nn.init.zeros_(model.classifier.bias)
    return model


def resnet18(classes: int) -> nn.Module:
    """torchvision's ResNet18 with the stem for small images: a 3 × 3 convolution of stride one, and no pooling."""
    model: nn.Module = _torchvision("resnet").resnet18(num_classes=classes)
    model.conv1 = nn.Conv2d(3, 64, kernel_size=3, stride=1, padding=1, bias=False)
    _he_normal(model.conv1)
    model.maxpool = nn.Identity()
    return model


MODELS: dict[str, Callable[[int], nn.Module]] = {"vgg11": vgg11, "resnet18": resnet18}


def convolutions(model: nn.Module) -> list[str]:
    """Names of the kernels of the convolutions in the order of definition, without those of shortcuts.

    The paper's layer L is entry L − 1: VGG11's L2 is 128 × 64, L4 256 × 256, L7 512 × 512; ResNet18's L5 is 64 × 64,
    L8 128 × 128, L10 256 × 128.
    """
    kinds = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
    found = [name for name, module in model.named_modules() if isinstance(module, kinds)]
    return [f"{name}.weight" for name in found if "downsample" not in name.split(".")]


def _he_normal(convolution: nn.Conv2d) -> None:
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)


def _from_factory(name: str) -> nn.Module:
    from spectail.networks.factories import made

    model = made(name)
    if not isinstance(model, nn.Module):
        raise ValueError(f"{name} returned a {type(model).__name__}; expected a module to train")
    return model


def _torchvision(architecture: str):  # type: ignore[no-untyped-def]
    import importlib

    try:
        return importlib.import_module(f"torchvision.models.{architecture}")
    except ModuleNotFoundError:
        raise ModuleNotFoundError(f"{architecture} needs torchvision: pip install 'spectail[vision]'") from None
