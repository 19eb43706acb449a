"""The network of the training in this folder, by the name that its file knows: first_edition_network:make."""

from torch import nn


def make() -> nn.Module:
    """Two convolutions and a linear layer for images of 32 × 32, small enough for a state in a repository."""
    return nn.Sequential(
        nn.Conv2d(3, 12, 4, stride=4, bias=False),
        nn.BatchNorm2d(12),
        nn.ReLU(),
        nn.Conv2d(12, 16, 2, stride=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(256, 12),
    )
