"""Watch a model that accelerate trains; all its trackers have the spectra too.

pip install accelerate tensorboard
accelerate launch examples/monitor_accelerate.py
"""

from importlib.util import find_spec

import torch
from accelerate import Accelerator
from torch import nn

from spectail import SpectralMonitor, every
from spectail.monitor.loggers import to_accelerate


def main() -> None:
    tracked = "tensorboard" if find_spec("tensorboard") else None  # or "wandb", "mlflow", …
    accelerator = Accelerator(log_with=tracked, project_dir="logs", cpu=True)
    accelerator.init_trackers("spectra")
    model = nn.Sequential(nn.Linear(50, 100), nn.ReLU(), nn.Linear(100, 1))
    model, optimizer = accelerator.prepare(model, torch.optim.Adam(model.parameters(), lr=0.01))
    x = torch.randn(256, 50)
    options = {"path": "run.nc", "existing": "replace", "on_measurement": to_accelerate(accelerator)}
    with SpectralMonitor(model, optimizer, when=every(10), **options) as monitor:
        for step in range(40):
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(x), x[:, :1].tanh())
            accelerator.backward(loss)
            optimizer.step()
            accelerator.log({"loss": loss.item()}, step=step)
    accelerator.end_training()
    accelerator.print(monitor)


if __name__ == "__main__":
    main()
