"""Full-batch training of a network, its spectra measured on the way: Training -> one netCDF file.

Not here: how a full-batch gradient is found (full_batch.py), and how a row is measured (analysis/row.py).
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import nn
from torch.optim import Optimizer

from spectail import __version__
from spectail.analysis.row import constant_quantities, measure_all
from spectail.analysis.undisturbed import undisturbed
from spectail.errors import SettingError
from spectail.experiments.deep.full_batch import (
    FullBatchLoss,
    check_same_step,
    full_batch,
    process_group,
    processes,
    set_full_batch_mode,
    wait_for_all,
)
from spectail.experiments.deep.images import Images, load_images
from spectail.experiments.deep.models import make_model
from spectail.experiments.deep.training import TRAININGS, Training
from spectail.experiments.machine import computed_on
from spectail.experiments.optimizers import make_optimizer, wants_closure
from spectail.experiments.resume import ResumeState, State, from_first_edition
from spectail.files import check_writable, write_content
from spectail.progress import TrainingProgress
from spectail.recording.layout import Measurement, to_dataset, word_or_number
from spectail.recording.netcdf import save_recording
from spectail.recording.quantities import select
from spectail.recording.reading import load_recording
from spectail.weights.matrix import WeightMatrix
from spectail.weights.opening import open_weights


def train(
    training: Training,
    out: str | os.PathLike[str] = "results",
    *,
    data: str | os.PathLike[str] | None = None,
    device: str = "cpu",
    progress: TrainingProgress | None = None,
) -> xr.Dataset:
    """Train a network on all images at once, or open the training that was done.

    Killed, the same call goes on where it was, to the same bits.

    Args:
        training: what to train.
        out: folder that keeps it, as OUT/trainings/KEY.nc.
        data: where the images are, as for `load_images`.
        device: where to compute.
        progress: called after each step with the step, how many there are, and the loss before it.

    Returns:
        quantities of the layers over the recorded steps, and loss and accuracy over the updates.

    Raises:
        ValueError: a name or the data are not as expected, or the training is of an earlier version's numerics.
        OSError: the folder cannot be written to.

    >>> import contextlib, tempfile
    >>> network = "from torch.nn import *; make = lambda: Sequential(Flatten(), Linear(3072, 8))"
    >>> with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
    ...     _ = Path("tiny_net.py").write_text(network)
    ...     np.savez("noise.npz", images=np.random.default_rng(0).random((8, 4, 4)), labels=np.arange(8))
    ...     training = Training(model="tiny_net:make", dataset="noise", images=8, lr=0.001, steps=1)
    ...     run = train(training, data="noise.npz")
    >>> run.phase.sizes["step"], bool(run.cross_entropy[1] < run.cross_entropy[0])
    (2, True)
    """
    source = None if data is None else Path(data)
    path, _ = get_or_train(training, Path(out) / TRAININGS, data=source, device=device, progress=progress)
    return load_recording(path)


def get_or_train(
    training: Training,
    folder: Path,
    *,
    data: Path | None = None,
    device: str = "cpu",
    progress: TrainingProgress | None = None,
) -> tuple[Path, bool]:
    """Train a network, or find the training that was done; under torchrun, on all of its processes.

    After each step the whole state is kept in FOLDER/KEY.state, so that the same call goes on where a
    killed one was, to the same bits; it is removed at the end.

    Args:
        training: what to train.
        folder: where KEY.nc is or will be.
        data: as for `train`.
        device: as for `train`.
        progress: as for `train`.

    Returns:
        the file, and whether it was found.

    Raises:
        ValueError: as `train`.
        OSError: the folder cannot be written to.
    """
    images = load_images(training.dataset, data, training.images, training.seed)
    path = folder / f"{training.key}.nc"
    if path.exists() and load_recording(path).attrs["images_sha256"] == images.sha256:
        return path, True
    training.check_computable()
    check_writable(path)
    with process_group(torch.device(device)) as where:
        run = FullBatchRun(training, images, where, folder / f"{training.key}.state")
        run.train(progress)
        if processes()[0] == 0:
            save_recording(run.dataset(), path)
            run.state_path.unlink(missing_ok=True)
        wait_for_all()
    return path, False


class FullBatchRun:
    """A training between its steps."""

    def __init__(self, training: Training, images: Images, device: torch.device, state_path: Path) -> None:
        self.training, self.state_path = training, state_path
        dtype = getattr(torch, training.dtype)
        moved = images.images.to(device, dtype), images.labels.to(device)
        self.images = dataclasses.replace(images, images=moved[0], labels=moved[1])
        self.model = make_model(training.model, images.classes, training.seed).to(device, dtype)
        set_full_batch_mode(self.model, training.batch_norm)
        self.optimizer = torch_optimizer(training, self.model)
        self.step, self.batches, self.seconds = 0, list[FullBatchLoss](), 0.0
        self.matrices = _matrices(self.model, training)
        measuring = processes()[0] == 0
        self.constants = [constant_quantities(matrix, True) for matrix in self.matrices] if measuring else []
        self.measurements: list[Measurement] = []
        self.resume = ResumeState(self._read_state, self._write_state, seconds=0)
        self.load_state()
        check_same_step(self.step, str(state_path.parent))

    def train(self, progress: TrainingProgress | None) -> None:
        """Train to the end. The last pass is for the loss after the last step."""
        if not self.measurements:
            self.measure()
        while self.step < self.training.steps:
            started = time.perf_counter()
            batch = self.update()
            self.step += 1
            self.batches.append(batch)
            self.seconds += time.perf_counter() - started
            self.measure()
            self.save_state()
            if progress is not None:
                progress(self.step, self.training.steps, batch.loss)
        self.batches.append(full_batch(self.model, self.images, self.training.micro_batch, gradients=False))

    def update(self) -> FullBatchLoss:
        """One update, and the loss before it. An optimizer may evaluate the loss itself, as often as it likes."""
        passes: list[FullBatchLoss] = []

        def closure() -> float:
            passes.append(full_batch(self.model, self.images, self.training.micro_batch))
            return passes[-1].loss

        if wants_closure(self.optimizer):
            self.optimizer.step(closure)
        else:
            closure()
            self.optimizer.step()
        return passes[0]

    def measure(self) -> None:
        """Measure the spectra, where this step is one of those asked for."""
        if processes()[0] != 0 or self.step not in self.training.recorded_steps:
            return
        started = time.perf_counter()
        with undisturbed():
            before = self.measurements[-1].rows if self.measurements else ()
            rows, spectra = measure_all(self.matrices, True, before)
        clocks = {"measuring_seconds": time.perf_counter() - started, "training_seconds": self.seconds}
        of_name = {row["name"]: values for row, values in zip(rows, spectra, strict=True)}
        rows = [{name: word_or_number(value) for name, value in row.items()} for row in rows]
        self.measurements.append(Measurement(self.step, rows, of_name, (self.training.lr,), clocks).to_keep())

    def save_state(self) -> None:
        """Keep the state, in plain values and tensors that torch's loader of weights reads."""
        if processes()[0] == 0:
            self.resume.save_if_due(self.state)

    def state(self) -> State:
        """Everything that the rest of the training depends on."""
        return {
            "training": self.training.canonical_json,
            "images": self.images.sha256,
            "step": self.step,
            "seconds": self.seconds,
            "batches": [(batch.loss, batch.accuracy) for batch in self.batches],
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "measured": [_to_state(one) for one in self.measurements],
        }

    def load_state(self) -> None:
        """Go on from the state that was kept, if it is this training's and whole; else from the beginning."""
        content = self._read_state()
        state = self.resume.load() or (from_first_edition(content) if content else None)
        about = (self.training.canonical_json, self.images.sha256)
        if state is None or (state.get("training"), state.get("images")) != about:
            return
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds = state["step"], state["seconds"]
        self.batches = [FullBatchLoss(*batch) for batch in state["batches"]]
        self.measurements = [_from_state(one, [matrix.name for matrix in self.matrices]) for one in state["measured"]]

    def _read_state(self) -> bytes | None:
        return self.state_path.read_bytes() if self.state_path.exists() else None

    def _write_state(self, content: bytes) -> None:
        write_content(self.state_path, content)

    def dataset(self) -> xr.Dataset:
        """What was measured, labelled."""
        attributes = {
            "title": f"{self.training.model} on {self.training.dataset}, {len(self.images.images)} images",
            "training": self.training.canonical_json,
            "images_sha256": self.images.sha256,
            "n_images": len(self.images.images),
            "wall_time": self.seconds,
            "device": str(self.images.images.device),
            **computed_on(),
            "spectail_version": __version__,
        }
        recording = to_dataset("training", self.constants, self.measurements, attributes)
        values = {
            "cross_entropy": [batch.loss for batch in self.batches],
            "accuracy": [batch.accuracy for batch in self.batches],
        }
        for q in select("training"):
            recording[q.name] = ("update", np.array(values[q.name]), q.attributes)
        return recording.assign_coords(update=np.arange(len(self.batches)))


def torch_optimizer(training: Training, model: nn.Module) -> Optimizer:
    """The optimizer of a training, on all parameters of a model that learn.

    Raises:
        ValueError: the name is not known, or the optimizer does not suit the model.
    """
    learning = [p for p in model.parameters() if p.requires_grad]
    return make_optimizer(training.optimizer, learning, training.lr, bias_correction=training.bias_correction)


def _matrices(model: nn.Module, training: Training) -> tuple[WeightMatrix, ...]:
    matrices = open_weights(model, training.conv).matrices
    if not matrices:
        raise SettingError(f"model={training.model!r} has no weight matrix; there is no spectrum to measure")
    return matrices


def _to_state(one: Measurement) -> dict[str, Any]:
    spectra = [torch.from_numpy(values) for values in (one.spectra or {}).values()]
    rows = [dict(row) for row in one.rows]
    return {"step": one.step, "rows": rows, "spectra": spectra, "lr": list(one.lr), "clocks": dict(one.clocks)}


def _from_state(state: dict[str, Any], names: Sequence[str]) -> Measurement:
    """A measurement of a kept state; those of the first edition call the smallest eigenvalue of the KS tail xmin."""
    rows = [{"ks_xmin" if name == "xmin" else name: value for name, value in row.items()} for row in state["rows"]]
    spectra = {name: values.numpy() for name, values in zip(names, state["spectra"], strict=True)}
    return Measurement(state["step"], rows, spectra, tuple(state["lr"]), state["clocks"])
