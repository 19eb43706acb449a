"""Send the spectra of a network to TensorBoard while it trains: pip install tensorboard."""

import torch
from torch import nn

from spectail import SpectralMonitor, every
from spectail.monitor.loggers import to_tensorboard


def main() -> None:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        print("TensorBoard is not installed: pip install tensorboard")
        return
    model = nn.Sequential(nn.Linear(50, 100), nn.ReLU(), nn.Linear(100, 20))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    x = torch.randn(200, 50)
    with (
        SummaryWriter("tensorboard") as writer,
        SpectralMonitor(model, optimizer, when=every(10), on_measurement=to_tensorboard(writer)),
    ):
        for step in range(50):
            optimizer.zero_grad()
            loss = (model(x).sum(1) - x[:, 0]).square().mean()
            loss.backward()
            optimizer.step()
            writer.add_scalar("loss", loss, step)
    print("tensorboard --logdir tensorboard")


if __name__ == "__main__":
    main()
