"""Send the spectra of a network to Weights & Biases while it trains, offline here: pip install wandb."""

import torch
from torch import nn

from spectail import SpectralMonitor, every
from spectail.monitor.loggers import Measurement

FIGURES = ["pl_alpha_hill", "z_hill", "pl_alpha_ks", "spectral_gap", "stable_rank"]


def main() -> None:
    try:
        import wandb
    except ImportError:
        print("Weights & Biases is not installed: pip install wandb")
        return
    run = wandb.init(project="spectra", mode="offline")  # without mode: to your account

    def log(measurement: Measurement) -> None:
        rows = measurement.frame.set_index("name")[FIGURES].to_dict("index")
        run.log({"step": measurement.step, **rows})
        for event in measurement.events:
            print(event)

    model = nn.Sequential(nn.Linear(50, 100), nn.ReLU(), nn.Linear(100, 20))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    x = torch.randn(200, 50)
    with SpectralMonitor(model, optimizer, when=every(10), on_measurement=log):
        for _ in range(50):
            optimizer.zero_grad()
            (model(x).sum(1) - x[:, 0]).square().mean().backward()
            optimizer.step()
    run.finish()


main()
