"""`spectail train`."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Annotated

import tyro

from spectail.cli.options import Device, Out, image_count


@dataclasses.dataclass(frozen=True)
class Train:
    """Train a network on all images at once, exactly, and measure the spectra of its layers on the way.

    Runs under torchrun on many processes, with the same result. Killed, the same command goes on where it was.
    Example: spectail train --model vgg11 --dataset cifar10 --optimizer adam --lr 0.01 --steps 10
    """

    model: Annotated[str, tyro.conf.arg(metavar="vgg11|resnet18|MODULE:FACTORY", help="The network.")] = "vgg11"
    dataset: Annotated[str, tyro.conf.arg(metavar="digits|mnist|cifar10|svhn", help="What it learns.")] = "digits"
    data: Annotated[
        Path | None,
        tyro.conf.arg(
            metavar="DIR|FILE.npz",
            help="Folder with DATASET.npz or torchvision's files (downloaded if missing; by default to the cache), "
            "or a file of images and labels, which needs no --dataset.",
        ),
    ] = None
    images: Annotated[str, tyro.conf.arg(metavar="N|all", help="How many training images.")] = "512"
    optimizer: Annotated[str, tyro.conf.arg(metavar="NAME", help="adam, gd, sign, or one of torch.optim.")] = "adam"
    bias_correction: Annotated[bool, tyro.conf.arg(help="Of adam; without, the paper's equations (4)-(5).")] = True
    lr: Annotated[float, tyro.conf.arg(metavar="FLOAT", help="Learning rate.")] = 0.01
    steps: Annotated[int, tyro.conf.arg(metavar="INT", help="Updates, each from all images.")] = 10
    record: Annotated[
        tuple[int, ...] | None, tyro.conf.arg(metavar="STEP...", help="Steps to measure; by default first and last.")
    ] = None
    micro_batch: Annotated[int, tyro.conf.arg(metavar="INT", help="Images in memory at once.")] = 128
    batch_norm: Annotated[
        str, tyro.conf.arg(metavar="chunk|frozen", help="Statistics of each micro-batch, or the initial ones.")
    ] = "chunk"
    conv: Annotated[str, tyro.conf.arg(metavar="kernel-slices|flatten", help="How a kernel becomes matrices.")] = (
        "kernel-slices"
    )
    dtype: Annotated[str, tyro.conf.arg(metavar="float32|float64", help="Of weights and activations.")] = "float32"
    seed: Annotated[int, tyro.conf.arg(metavar="INT", help="Of the weights, and of which images.")] = 0
    out: Out = Path("results")
    device: Device = "cpu"

    def __call__(self) -> None:
        """Train, or find the training, and print it."""
        from spectail.experiments.deep.training import Training

        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        device, out, data = fields.pop("device"), fields.pop("out"), fields.pop("data")
        fields["images"] = image_count(self.images)
        if data is not None and data.suffix == ".npz":
            fields["dataset"] = data.stem
        training = Training(**fields)
        from spectail.experiments.deep.run import train as train_network
        from spectail.progress import training_progress
        from spectail.recording.reading import open_training
        from spectail.report.terminal.recording import print_training
        from spectail.spectra.precision import check_device

        with training_progress(training.steps) as progress:
            path, found = train_network(
                training, out / "trainings", data=data, device=str(check_device(device)), progress=progress
            )
        if os.environ.get("RANK", "0") == "0":  # of many processes, one writes and tells
            print_training(open_training(path), path, found=found)
