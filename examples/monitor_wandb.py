"""Send the spectra of a network to Weights & Biases while it trains, offline here: pip install wandb."""

import torch
from torch import nn

from spectail import SpectralMonitor, every
from spectail.monitor.loggers import to_wandb


def main() -> None:
    try:
        import wandb
    except ImportError:
        print("Weights & Biases is not installed: pip install wandb")
        return
    model = nn.Sequential(nn.Linear(50, 100), nn.ReLU(), nn.Linear(100, 20))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    x = torch.randn(200, 50)
    run = wandb.init(project="spectra", mode="offline")  # without mode: to your account
    with run, SpectralMonitor(model, optimizer, when=every(10), on_measurement=to_wandb(run)):
        for _ in range(50):
            optimizer.zero_grad()
            loss = (model(x).sum(1) - x[:, 0]).square().mean()
            loss.backward()
            optimizer.step()
            run.log({"loss": loss.item()})


if __name__ == "__main__":
    main()
