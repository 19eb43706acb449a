"""Images and labels to train on: scikit-learn's digits, torchvision's data sets, or an .npz file.

A new data set is a line of `DATASETS`. Not here: the networks that learn them.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from platformdirs import user_cache_path
from torch import Tensor

from spectail.errors import SourceError, first_line, naming_the_extra, unknown_name
from spectail.experiments.deep.samples import Samples, chosen_samples, digest_of

SIDE = 32
"""Height and width of an image; smaller ones are enlarged by a whole factor, and padded with black."""

_NAMES = (("train_images", "train_labels"), ("images", "labels"))

_Arrays = tuple[NDArray[Any], NDArray[Any]]


def load_images(dataset: str, data: Path | None, count: int | None, seed: int) -> Samples:
    """The training images of a data set, or some of them, standardised: n × 3 × height × width.

    Each channel has mean 0 and variance 1 over all of them.

    Args:
        dataset: a name of `DATASETS`; not used where `data` is an .npz file.
        data: an .npz file; or a folder with DATASET.npz, or with torchvision's files, which are
            downloaded to it if need be. None is `download_folder()`.
        count: how many, drawn without replacement; None for all.
        seed: of that draw.

    Raises:
        ValueError: the data are not there, are no images and labels, or are too few.
    """
    images, labels, name = _arrays(dataset, data)
    images, labels = _checked(images, labels, name)
    classes = int(labels.max()) + 1
    chosen = chosen_samples(count, len(images), seed, name)
    if chosen is not None:
        images, labels = images[chosen], labels[chosen]
    digest = digest_of([images, labels], (images.shape, images.dtype.str))
    return Samples(_standardised(images, name), torch.from_numpy(labels), classes, digest)


def has_images(dataset: str, data: Path) -> bool:
    """Whether a folder has a data set as DATASET.npz, or in the files that torchvision downloads."""
    mark = DATASETS[dataset].mark if dataset in DATASETS else None
    return (data / f"{dataset}.npz").is_file() or (mark is not None and (data / mark).exists())


def _arrays(dataset: str, data: Path | None) -> tuple[NDArray[Any], NDArray[Any], str]:
    if data is not None and data.suffix == ".npz":
        return *_from_npz(data), str(data)
    if dataset not in DATASETS:
        raise SourceError(unknown_name("dataset", dataset, [*DATASETS, "modular-addition-P", "module:function"]))
    if data is not None and (data / f"{dataset}.npz").is_file():
        return *_from_npz(data / f"{dataset}.npz"), str(data / f"{dataset}.npz")
    return *DATASETS[dataset].load(data or download_folder()), dataset


def download_folder() -> Path:
    """Where data sets are downloaded to unless told otherwise: ~/.cache/spectail/data on Linux."""
    return user_cache_path("spectail", appauthor=False) / "data"


def _digits(folder: Path) -> _Arrays:
    """The digits that come with scikit-learn; the folder is not used."""
    with naming_the_extra("dataset='digits'"):
        from sklearn.datasets import load_digits
    images, labels = load_digits().images, load_digits().target
    return images, labels


def _from_torchvision(folder: Path, name: str, of_split: dict[str, Any]) -> _Arrays:
    dataset = name.lower()  # as we call it
    with naming_the_extra(f"dataset={dataset!r}"):
        from torchvision import datasets
    try:
        images: Any = getattr(datasets, name)(str(folder), download=True, **of_split)
    except Exception as error:  # no network, a full disk, a damaged file: torchvision raises many
        why = first_line(error).rstrip(":")
        raise SourceError(
            f"torchvision could not provide {dataset} in {folder}: {why:.200}; without a network its files, or "
            f"{dataset}.npz, must lie there"
        ) from None
    if hasattr(images, "targets"):
        return np.asarray(images.data), np.asarray(images.targets)
    return images.data.transpose(0, 2, 3, 1), images.labels


@dataclass(frozen=True)
class Dataset:
    """A data set that is known by name.

    Attributes:
        load: its training images and labels, called with the folder that files are downloaded to.
        count: how many training images it has.
        mark: the file or folder by which its download is known; None where nothing is downloaded.
    """

    load: Callable[[Path], _Arrays]
    count: int
    mark: str | None = None


DATASETS = {
    "digits": Dataset(_digits, 1_797),
    "mnist": Dataset(partial(_from_torchvision, name="MNIST", of_split={"train": True}), 60_000, "MNIST"),
    "cifar10": Dataset(
        partial(_from_torchvision, name="CIFAR10", of_split={"train": True}), 50_000, "cifar-10-batches-py"
    ),
    "svhn": Dataset(partial(_from_torchvision, name="SVHN", of_split={"split": "train"}), 73_257, "train_32x32.mat"),
}


def _from_npz(path: Path) -> _Arrays:
    """Images and labels of an .npz file. No pickle in it is ever read."""
    if not path.is_file():
        raise SourceError(f"{path} does not exist; expected an .npz file of images and labels")
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            for images, labels in _NAMES:
                if images in file and labels in file:
                    return file[images], file[labels]
            held = ", ".join(file.files) or "nothing"
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise SourceError(f"{path} is not a readable .npz file of plain arrays: {error}") from None
    raise SourceError(f"{path} holds {held}; expected train_images and train_labels, or images and labels")


def _checked(images: NDArray[Any], labels: NDArray[Any], name: str) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Images as n × height × width × channels, labels as integers."""
    if images.dtype.kind not in "uif" or images.ndim not in (3, 4):
        raise SourceError(f"{name}: images of shape {images.shape}, {images.dtype}; expected numbers, n × h × w [× 3]")
    if images.ndim == 4 and images.shape[1] in (1, 3) and images.shape[3] not in (1, 3):
        images = images.transpose(0, 2, 3, 1)
    images = images[..., None] if images.ndim == 3 else images
    if images.shape[3] not in (1, 3) or 0 in images.shape:
        raise SourceError(f"{name}: images of shape {images.shape}; expected at least one, of 1 or 3 channels")
    if labels.shape != (len(images),) or labels.dtype.kind not in "ui":
        raise SourceError(
            f"{name}: labels of shape {labels.shape}, {labels.dtype}; expected {len(images)} whole numbers"
        )
    if labels.min() < 0 or labels.max() > 100_000:
        raise SourceError(f"{name}: labels from {labels.min()} to {labels.max()}; expected them to count from 0")
    if images.dtype.kind == "f" and not np.isfinite(images).all():
        raise SourceError(f"{name}: some pixels are NaN or inf; expected finite numbers")
    return images, labels.astype(np.int64)


def _standardised(images: NDArray[Any], name: str) -> Float[Tensor, "n 3 height width"]:
    pixels = np.ascontiguousarray(images.transpose(0, 3, 1, 2)).astype(np.float32)
    factor = max(1, SIDE // max(pixels.shape[2:]))
    pixels = pixels.repeat(factor, axis=2).repeat(factor, axis=3)
    gaps = [max(0, SIDE - side) for side in pixels.shape[2:]]
    pixels = np.pad(pixels, ((0, 0), (0, 0), *((gap // 2, gap - gap // 2) for gap in gaps)))
    mean = pixels.mean((0, 2, 3), dtype=np.float64, keepdims=True)
    spread = pixels.std((0, 2, 3), dtype=np.float64, keepdims=True)
    if not (spread > 0).all():
        raise SourceError(f"{name}: all pixels of a channel are equal; there is nothing to learn from")
    standard = ((pixels - mean) / spread).astype(np.float32)
    return torch.from_numpy(standard.repeat(3 // standard.shape[1], axis=1))
