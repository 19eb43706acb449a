"""Last release's names for runs of networks: each works for one release, with a warning that names the new one.

To be deleted after the release. Not here: what they are now, `Experiment(model=…, dataset=…)`
(`experiments/experiment.py`) and `experiments/run.py:simulate`.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import xarray as xr

from spectail.experiments.experiment import Experiment
from spectail.progress import TrainingProgress
from spectail.store.store import Store


def Training(**fields: Any) -> Experiment:  # noqa: N802 - it was a class
    """The last release's description of a network's training, as the experiment that it is now.

    Args:
        **fields: `model`, `dataset` and others; `images=None` are all, `record=None` the first and the last step, and
            adam corrects the bias of its moments unless told otherwise.

    Raises:
        ValueError: as `Experiment`.

    >>> import warnings
    >>> with warnings.catch_warnings(action="ignore"):
    ...     Training(model="vgg11", images=None)
    Experiment(model='vgg11', dataset='digits', images='all', record='ends')
    """
    experiment = as_experiment(**fields)
    warnings.warn(f"Training(…) is now {experiment!r}", DeprecationWarning, stacklevel=2)
    return experiment


def as_experiment(**fields: Any) -> Experiment:
    """The experiment that a training is."""
    usual = {"model": "vgg11", "dataset": "digits", "bias_correction": True, "images": 512, "record": None}
    all_of_it = {"images": "all", "record": "ends"}
    said = {**usual, **fields}
    return Experiment(**{**said, **{name: word for name, word in all_of_it.items() if said[name] is None}})


def train(
    training: Experiment,
    out: str | os.PathLike[str] = "results",
    *,
    data: str | os.PathLike[str] | None = None,
    device: str = "cpu",
    progress: TrainingProgress | None = None,
) -> xr.Dataset:
    """Train a network, or open the run that was done; now `Store(out, data=data).get_or_run(experiment, simulate)`.

    Args:
        training: what to train.
        out: folder that keeps it, as OUT/trainings/KEY.nc.
        data: as for `simulate`.
        device: where to compute.
        progress: called after each step with the step, how many there are, and the loss before it.

    Raises:
        ValueError: as `simulate`.
        OSError: the folder cannot be written to.

    >>> import warnings
    >>> with warnings.catch_warnings(action="ignore"):
    ...     train(Experiment(model="vgg12", dataset="digits", images=8, steps=1))
    Traceback (most recent call last):
    ...
    spectail.errors.SettingError: model='vgg12' is not known; did you mean 'vgg11'? (vgg11, resnet18, ...
    """
    warnings.warn("train(…) is now Store(out, data=data).get_or_run(experiment, simulate)", DeprecationWarning, 2)
    return _trained(training, Store(out, data=data), device, progress)[0]


def get_or_train(
    training: Experiment,
    folder: Path,
    *,
    data: Path | None = None,
    device: str = "cpu",
    progress: TrainingProgress | None = None,
) -> tuple[Path, bool]:
    """As `train`, but with the folder that the file itself lies in, and its path as the result.

    Returns:
        the file, and whether it was found.
    """
    warnings.warn("get_or_train(…) is now Store(…).get_or_run(experiment, simulate)", DeprecationWarning, 2)
    store = Store(folder.parent, data=data)
    store.trainings = folder
    was_there = _trained(training, store, device, progress)[1]
    return store.path(training), was_there


def _trained(
    training: Experiment, store: Store, device: str, progress: TrainingProgress | None
) -> tuple[xr.Dataset, bool]:  # fmt: skip
    from spectail.experiments.deep.run import train_network

    training.check_computable()
    store.check_writable([training])
    return store.get_or_run(training, lambda e: train_network(e, store.data, device, progress, store.resume_state(e)))
