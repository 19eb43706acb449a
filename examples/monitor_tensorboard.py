"""Send the spectra of a network to TensorBoard while it trains: pip install tensorboard."""

import math

import torch
from torch import nn

from spectail import SpectralMonitor, every
from spectail.monitor.loggers import Measurement


def main() -> None:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        print("TensorBoard is not installed: pip install tensorboard")
        return
    writer = SummaryWriter("tensorboard")

    def log(measurement: Measurement) -> None:
        for row in measurement.frame.itertuples():
            for figure in ("pl_alpha_hill", "z_hill", "pl_alpha_ks", "spectral_gap", "stable_rank"):
                if not math.isnan(getattr(row, figure)):
                    writer.add_scalar(f"{row.name}/{figure}", getattr(row, figure), measurement.step)
        for name, spectrum in measurement.spectra.items():
            if len(spectrum):
                writer.add_histogram(f"{name}/log10 eigenvalues", spectrum.clamp_min(1e-12).log10(), measurement.step)
        for event in measurement.events:
            writer.add_text("phase changes", str(event), measurement.step)

    model = nn.Sequential(nn.Linear(50, 100), nn.ReLU(), nn.Linear(100, 20))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    x = torch.randn(200, 50)
    with writer, SpectralMonitor(model, optimizer, when=every(10), on_measurement=log):
        for _ in range(50):
            optimizer.zero_grad()
            (model(x).sum(1) - x[:, 0]).square().mean().backward()
            optimizer.step()
    print("tensorboard --logdir tensorboard")


main()
