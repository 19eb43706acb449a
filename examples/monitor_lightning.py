"""Watch a module that Lightning trains; its own loggers have the spectra too: pip install 'spectail[lightning]'."""

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from spectail import SpectralCallback, every


class Regression(LightningModule):
    """Two layers that learn one of their inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(50, 100), nn.ReLU(), nn.Linear(100, 1))

    def training_step(self, batch: list[torch.Tensor], _: int) -> torch.Tensor:
        """Log the loss beside the spectra."""
        loss = nn.functional.mse_loss(self.net(batch[0]), batch[1])
        self.log("loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """One optimizer; of several, `SpectralCallback(optimizer=1)` counts the steps of the second."""
        return torch.optim.Adam(self.parameters(), lr=0.01)


def main() -> None:
    x = torch.randn(256, 50)
    callback = SpectralCallback(when=every(8), path="run.nc", existing="replace")
    trainer = Trainer(
        max_epochs=4,
        accelerator="cpu",
        callbacks=[callback],
        logger=CSVLogger("logs", version=0),  # or TensorBoardLogger, WandbLogger, MLFlowLogger
        log_every_n_steps=1,
        enable_checkpointing=False,
    )
    trainer.fit(Regression(), DataLoader(TensorDataset(x, x[:, :1].tanh()), batch_size=32, shuffle=True))
    print(f"{callback.monitor!r}; logs/lightning_logs/version_0/metrics.csv has the numbers beside the loss")


if __name__ == "__main__":
    main()
