"""Training of a network by autograd, its spectra measured on the way: an Experiment goes in, a Dataset comes out.

Not here: how a full-batch gradient is found (full_batch.py), and how a row is measured (analysis/row.py).
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
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
from spectail.experiments.batches import Batches
from spectail.experiments.deep.full_batch import (
    FullBatchLoss,
    check_same_step,
    full_batch,
    process_group,
    processes,
    same_everywhere,
    set_full_batch_mode,
)
from spectail.experiments.deep.models import network_for
from spectail.experiments.deep.samples import Samples
from spectail.experiments.deep.tasks import load_samples
from spectail.experiments.experiment import Experiment
from spectail.experiments.machine import computed_on
from spectail.experiments.memory import check_memory
from spectail.experiments.optimizers import make_optimizer, switch_mode, take_step, wants_closure
from spectail.experiments.resume import Resumable, State
from spectail.experiments.schedules import make_schedule
from spectail.progress import TrainingProgress
from spectail.recording.events import last_measured
from spectail.recording.layout import Measurement, to_dataset, word_or_number
from spectail.recording.netcdf import with_checksum
from spectail.recording.quantities import select
from spectail.weights.matrix import WeightMatrix
from spectail.weights.opening import open_weights


def train_network(
    experiment: Experiment,
    data: Path | None = None,
    device: str | torch.device = "cpu",
    progress: TrainingProgress | None = None,
    resume: Resumable | None = None,
) -> xr.Dataset:
    """Train a network on its samples, and measure its spectra on the way; under torchrun, on all of its processes.

    Args:
        experiment: of a network.
        data: as for `load_samples`.
        device: where to compute.
        progress: called after each step with the step, how many there are, and the loss before it.
        resume: keeps the state of the training, and gives it back; as for `simulate`.

    Returns:
        quantities of the layers over the recorded steps, and loss and accuracy over the updates; the same on all
        processes.

    Raises:
        ValueError: a name or the data are not as expected, or it takes more memory than is free.
    """
    check_memory([experiment])
    samples = load_samples(experiment, data)
    with process_group(torch.device(device)) as where:
        run = FullBatchRun(experiment, samples, where, resume)
        run.train(progress)
        return same_everywhere(run.dataset() if processes()[0] == 0 else None)


def check_network(experiment: Experiment, data: Path | None) -> None:
    """See that a network, its data and its optimizer are there and suit each other, before a sweep begins.

    Raises:
        ValueError: they do not.
    """
    e = experiment
    samples = load_samples(e if e.dataset else e.replace(n=8, n_test_large=1, batch=None), data)
    if e.dataset:
        _check_batch(e, len(samples.inputs))
    model = network_for(e, samples)
    set_full_batch_mode(model, e.batch_norm or "chunk")
    make_schedule(e.schedule, torch_optimizer(e, model), e.schedule_options)
    full_batch(model, samples.some(torch.arange(min(2, len(samples.inputs)))), 2, gradients=False)
    _matrices(model, e)


def _check_batch(experiment: Experiment, count: int) -> None:
    if experiment.batch is not None and experiment.batch > count:
        raise SettingError(f"batch={experiment.batch} is more than all {count} samples")


class FullBatchRun:
    """A training between its steps."""

    def __init__(
        self, experiment: Experiment, samples: Samples, device: torch.device, resume: Resumable | None = None
    ) -> None:
        self.experiment, self.resume = experiment, resume
        e = experiment
        self.micro_batch = e.micro_batch or len(samples.inputs)
        dtype = getattr(torch, e.dtype)
        self.samples = samples.to(device, dtype)
        self.model = network_for(e, samples).to(device, dtype)
        set_full_batch_mode(self.model, e.batch_norm or "chunk")
        self.optimizer = torch_optimizer(e, self.model)
        self.schedule = make_schedule(e.schedule, self.optimizer, e.schedule_options)
        _check_batch(e, len(samples.inputs))
        self.batches = Batches(len(samples.inputs), e.batch, e.seed)
        self.step, self.seconds = 0, 0.0
        self.passes, self.tests = list[FullBatchLoss](), list[FullBatchLoss]()
        self.matrices = _matrices(self.model, e)
        measuring = processes()[0] == 0
        self.constants = [constant_quantities(matrix, True) for matrix in self.matrices] if measuring else []
        self.measurements: list[Measurement] = []
        self.last_rows: Sequence[Mapping[str, Any]] = ()
        self.load_state()
        check_same_step(self.step)

    @property
    def classifies(self) -> bool:
        """Whether the samples have classes, and a loss of cross-entropy."""
        return self.samples.classes is not None

    def train(self, progress: TrainingProgress | None) -> None:
        """Train to the end. The last pass is for the loss after the last step."""
        if not self.measurements:
            self.measure()
        while self.step < self.experiment.steps:
            started = time.perf_counter()
            loss = self.update()
            self.step += 1
            self.passes.append(loss)
            self.seconds += time.perf_counter() - started
            self.measure()
            self.save_state()
            if progress is not None:
                progress(self.step, self.experiment.steps, loss.loss)
        switch_mode(self.optimizer, "eval")
        self.passes.append(self.evaluate(self.samples))
        self.test()

    def evaluate(self, samples: Samples) -> FullBatchLoss:
        """Loss and accuracy as the model is now."""
        return full_batch(self.model, samples, self.micro_batch, gradients=False)

    def test(self) -> None:
        """Evaluate the samples that are not trained on, where there are some."""
        if self.samples.test is not None:
            switch_mode(self.optimizer, "eval")
            self.tests.append(self.evaluate(self.samples.test))

    def update(self) -> FullBatchLoss:
        """One update, and the loss before it. An optimizer may evaluate the loss itself, as often as it likes.

        With mini-batches the loss is that of all samples where the step is recorded, else that of the batch.
        """
        chosen, passes = self.batches(self.step), list[FullBatchLoss]()
        of_all = chosen is not None and self.step in self.experiment.recorded_steps
        if of_all:
            passes.append(self.evaluate(self.samples))
        self.test()
        samples = self.samples if chosen is None else self.samples.some(chosen)
        switch_mode(self.optimizer, "train")

        def closure() -> float:
            passes.append(full_batch(self.model, samples, self.micro_batch))
            return passes[-1].loss * samples.loss_factor

        if wants_closure(self.optimizer):
            take_step(self.experiment.optimizer, self.optimizer, closure)
        else:
            closure()
            take_step(self.experiment.optimizer, self.optimizer)
        self.schedule(passes[1 if of_all else 0].loss)
        return passes[0]

    def measure(self) -> None:
        """Measure the spectra, where this step is one of those asked for."""
        if processes()[0] != 0 or self.step not in self.experiment.recorded_steps:
            return
        switch_mode(self.optimizer, "eval")
        started = time.perf_counter()
        with undisturbed():
            rows, spectra = measure_all(self.matrices, True, self.last_rows)
        clocks = {"measuring_seconds": time.perf_counter() - started, "training_seconds": self.seconds}
        of_name = {row["name"]: values for row, values in zip(rows, spectra, strict=True)}
        rows = [{name: word_or_number(value) for name, value in row.items()} for row in rows]
        rates = tuple(float(group["lr"]) for group in self.optimizer.param_groups)
        self.measurements.append(Measurement(self.step, rows, of_name, rates, clocks).to_keep())
        self.last_rows = last_measured(self.last_rows, rows)

    def save_state(self) -> None:
        """Keep the state, in plain values and tensors that torch's loader of weights reads."""
        if self.resume is not None and processes()[0] == 0:
            self.resume.save_if_due(self.state)

    def state(self) -> State:
        """Everything that the rest of the training depends on."""
        return {
            "training": self.experiment.canonical_json,
            "images": self.samples.sha256,
            "step": self.step,
            "seconds": self.seconds,
            "batches": [(one.loss, one.accuracy) for one in self.passes],
            "tests": [(one.loss, one.accuracy) for one in self.tests],
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "measured": [_to_state(one) for one in self.measurements],
            "matrices": [
                {name: value.item() if isinstance(value, np.generic) else value for name, value in one.items()}
                for one in self.constants
            ],
            "classifies": self.classifies,
        }

    def load_state(self) -> None:
        """Go on from the state that was kept, if it is this training's and whole; else from the beginning."""
        state = self.resume.load() if self.resume is not None else None
        about = (self.experiment.canonical_json, self.samples.sha256)
        if state is None or (state.get("training"), state.get("images")) != about:
            return
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state.get("schedule", {}))  # trainings of the first edition had none
        self.step, self.seconds = state["step"], state["seconds"]
        self.passes = [FullBatchLoss(*one) for one in state["batches"]]
        self.tests = [FullBatchLoss(*one) for one in state.get("tests", ())]
        self.measurements = [_from_state(one, [matrix.name for matrix in self.matrices]) for one in state["measured"]]
        for one in self.measurements:
            self.last_rows = last_measured(self.last_rows, one.rows)

    def dataset(self) -> xr.Dataset:
        """What was measured, labelled."""
        attributes = {
            "title": f"{self.experiment.subject}, {len(self.samples.inputs)} {self.experiment.samples_word}",
            "training": self.experiment.canonical_json,
            "key": self.experiment.key,
            "images_sha256": self.samples.sha256,
            "n_images": len(self.samples.inputs),
            "wall_time": self.seconds,
            "device": str(self.samples.inputs.device),
            **computed_on(),
            "torch_version": str(torch.__version__),
            "spectail_version": __version__,
        }
        diverged = [step for step, one in enumerate(self.passes) if not math.isfinite(one.loss)]
        if diverged:
            attributes["diverged_at"] = diverged[0]
        return with_checksum(
            _labelled(self.constants, self.measurements, self.passes, self.tests, self.classifies, attributes)
        )


def recording_of_state(state: State) -> xr.Dataset:
    """What was measured up to the step of a state, as `FullBatchRun.dataset` labels all of it.

    Raises:
        KeyError: the state is of an earlier release, which did not name its matrices.
    """
    experiment, matrices = Experiment.from_stored(json.loads(state["training"])), state["matrices"]
    names = [matrix["name"] for matrix in matrices]
    return _labelled(
        matrices,
        [_from_state(one, names) for one in state["measured"]],
        [FullBatchLoss(*one) for one in state["batches"]],
        [FullBatchLoss(*one) for one in state["tests"]],
        state["classifies"],
        {"title": experiment.subject, "training": state["training"], "key": experiment.key},
    )


def _labelled(
    matrices: Sequence[Mapping[str, Any]],
    measurements: Sequence[Measurement],
    passes: Sequence[FullBatchLoss],
    tests: Sequence[FullBatchLoss],
    classifies: bool,
    attributes: Mapping[str, Any],
) -> xr.Dataset:
    """Spectra over steps, loss and accuracy over updates."""
    recording = to_dataset("training", matrices, measurements, attributes)
    values = {"cross_entropy" if classifies else "squared_error": [one.loss for one in passes]}
    if classifies:
        values["accuracy"] = [one.accuracy for one in passes]
    if tests:
        values["test_accuracy" if classifies else "test_squared_error"] = [
            one.accuracy if classifies else one.loss for one in tests
        ]
    for q in select("training"):
        if q.name in values:
            recording[q.name] = ("update", np.array(values[q.name]), q.attributes)
    return recording.assign_coords(update=np.arange(len(passes)))


def torch_optimizer(experiment: Experiment, model: nn.Module) -> Optimizer:
    """The optimizer of an experiment, on all parameters of a model that learn.

    Raises:
        ValueError: the name is not known, or the optimizer or the factors of the layers do not suit the model.
    """
    e = experiment
    groups: list[Any] = [p for p in model.parameters() if p.requires_grad]
    if not groups:
        raise SettingError(f"model={e.model!r} has no parameter that learns; expected one to train")
    if e.lr_factors:
        layers = layers_that_learn(model)
        if len(e.lr_factors) != len(layers):
            names = ", ".join(list(layers)[:_MOST_NAMES]) + ", …" * (len(layers) > _MOST_NAMES)
            raise SettingError(
                f"lr_factors has {len(e.lr_factors)} values; expected {len(layers)}, one for each layer of "
                f"model={e.model!r}: {names}"
            )
        groups = [
            {"params": of_layer, "lr": e.lr * factor}
            for of_layer, factor in zip(layers.values(), e.lr_factors, strict=True)
        ]
    return make_optimizer(e.optimizer, groups, e.lr, bias_correction=e.bias_correction, options=e.update_options)


def layers_that_learn(model: nn.Module) -> dict[str, list[nn.Parameter]]:
    """The parameters of each module that has some of its own, by name, each once, in the order of definition.

    >>> list(layers_that_learn(nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1))))
    ['0', '2']
    """
    ids: set[int] = set()
    layers: dict[str, list[nn.Parameter]] = {}
    for name, module in model.named_modules():
        own = [p for p in module.parameters(recurse=False) if p.requires_grad and id(p) not in ids]
        ids |= {id(p) for p in own}
        if own:
            layers[name] = own
    return layers


_MOST_NAMES = 20


def _matrices(model: nn.Module, experiment: Experiment) -> tuple[WeightMatrix, ...]:
    matrices = open_weights(model, experiment.conv or "kernel-slices").matrices
    if not matrices:
        raise SettingError(f"model={experiment.model!r} has no weight matrix; there is no spectrum to measure")
    return matrices


def _to_state(one: Measurement) -> dict[str, Any]:
    spectra = [torch.from_numpy(values) for values in (one.spectra or {}).values()]
    rows = [dict(row) for row in one.rows]
    return {"step": one.step, "rows": rows, "spectra": spectra, "lr": list(one.lr), "clocks": dict(one.clocks)}


def _from_state(state: dict[str, Any], names: Sequence[str]) -> Measurement:
    """A measurement of a kept state; states of the first edition call the smallest eigenvalue of the KS tail xmin."""
    rows = [{"ks_xmin" if name == "xmin" else name: value for name, value in row.items()} for row in state["rows"]]
    spectra = {name: values.numpy() for name, values in zip(names, state["spectra"], strict=True)}
    return Measurement(state["step"], rows, spectra, tuple(state["lr"]), state["clocks"])
