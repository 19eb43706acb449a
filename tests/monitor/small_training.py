"""A model that trains in no time, for the tests of monitors."""

import torch
from torch import nn


def small(n=30, m=20):
    """Two layers and their optimizer, the same each time."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(n, m), nn.Linear(m, 12))
    return model, torch.optim.SGD(model.parameters(), lr=0.1)


def go_on(model, optimizer, steps):
    """Train for so many steps."""
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.ones(4, 30)).square().mean().backward()
        optimizer.step()
