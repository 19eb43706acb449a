"""Small networks that tests train, found as trained_models:NAME."""

from torch import nn


def dense():
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 12), nn.Tanh(), nn.Linear(12, 10))


def normed():
    """Two convolutions with batch norm, and dropout, which a full batch must not feel."""
    return nn.Sequential(
        nn.Conv2d(3, 12, 3, stride=4), nn.BatchNorm2d(12), nn.ReLU(), nn.Dropout(0.5),
        nn.Conv2d(12, 12, 3, stride=2, bias=False), nn.BatchNorm2d(12), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(12, 10),
    )  # fmt: skip
