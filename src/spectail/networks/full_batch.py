"""Exact full-batch gradients, by accumulation over chunks of the images, on one process or many."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

import torch
import torch.distributed as dist
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

Loss = Callable[[Tensor, Tensor], Tensor]
"""The sum over a chunk of the loss of each image, from outputs and labels."""


class BatchNorm(StrEnum):
    """What batch normalisation normalises with; where a chunk is not all images, this decides the objective.

    `CHUNK`: mean and variance of the chunk, as a training step with that batch size has them. The objective then
    depends on the chunk size, not on how many processes there are. One chunk of all images gives the statistics
    of the full batch.
    `FROZEN`: the running mean and variance, left as they are: 0 and 1 in a new model. The objective is then a sum
    over images, whatever the chunk size.
    """

    CHUNK = "chunk"
    FROZEN = "frozen"


@dataclass(frozen=True)
class FullBatch:
    """What one pass over all images gave.

    Attributes:
        loss: mean over the images.
        accuracy: share of images whose largest output is at their label.
    """

    loss: float
    accuracy: float


def sum_of_cross_entropy(outputs: Float[Tensor, "n classes"], labels: Int[Tensor, " n"]) -> Float[Tensor, ""]:
    """The cross-entropy of each image, summed."""
    return nn.functional.cross_entropy(outputs, labels, reduction="sum")


def full_batch_gradients(
    model: nn.Module,
    images: Float[Tensor, "n ..."],
    labels: Int[Tensor, " n"],
    *,
    chunk: int,
    batch_norm: BatchNorm | str = BatchNorm.CHUNK,
    loss: Loss = sum_of_cross_entropy,
    progress: Callable[[int], object] = lambda done: None,
) -> FullBatch:
    """Set the gradient of every parameter to that of the mean loss over all images.

    Chunks are the same whatever the number of processes: chunk i goes to process i modulo their number. Sums over
    chunks and processes are made in float64 where the device has it, so that their order does not show.

    Where `torch.distributed` is initialised, every process calls this with the same model and images; each
    computes its share, and all have the whole gradient afterwards. Dropout and the like are off, since a full-batch
    gradient is no random one. The model's mode is left as it was; under `CHUNK`, the running statistics become the
    means of those of the chunks.

    Args:
        model: any.
        images: all of them, on any device; a chunk at a time goes to the model's.
        labels: of the images.
        chunk: how many images at a time: memory, and the objective too under `BatchNorm.CHUNK`.
        batch_norm: what batch normalisation does.
        loss: the sum over a chunk.
        progress: called with the number of images done after each chunk.

    Returns:
        the mean loss and the accuracy, before any update.

    Raises:
        ValueError: there are no images, not as many labels, `chunk` is not positive, or batch_norm is not known.
    """
    how = _checked(images, labels, chunk, batch_norm)
    parameters = [p for p in model.parameters() if p.requires_grad]
    sums = [torch.zeros_like(p, dtype=_wide(p)) for p in parameters]
    with _mode(model, how) as statistics, torch.enable_grad():
        totals = torch.zeros(2, dtype=torch.float64)
        for outputs, at, done in _chunks(model, images, labels, chunk):
            part = loss(outputs, at)
            for total, gradient in zip(sums, torch.autograd.grad(part, parameters, allow_unused=True), strict=True):
                if gradient is not None:
                    total += gradient
            totals += _totals(part, outputs, at)
            statistics.count()
            progress(done)
        statistics.share()
    _add_over_processes([*sums, totals], parameters[0].device if parameters else torch.device("cpu"))
    for parameter, total in zip(parameters, sums, strict=True):
        parameter.grad = (total / len(images)).to(parameter.dtype)
    return FullBatch(*(totals / len(images)).tolist())


@torch.no_grad()
def full_batch_loss(
    model: nn.Module,
    images: Float[Tensor, "n ..."],
    labels: Int[Tensor, " n"],
    *,
    chunk: int,
    batch_norm: BatchNorm | str = BatchNorm.CHUNK,
    loss: Loss = sum_of_cross_entropy,
) -> FullBatch:
    """The objective of `full_batch_gradients` without its gradient; the model is left as it was."""
    how = _checked(images, labels, chunk, batch_norm)
    with _mode(model, how) as statistics:
        totals = torch.zeros(2, dtype=torch.float64)
        for outputs, at, _ in _chunks(model, images, labels, chunk):
            totals += _totals(loss(outputs, at), outputs, at)
        statistics.restore()
    _add_over_processes([totals], _device(model))
    return FullBatch(*(totals / len(images)).tolist())


def _checked(images: Tensor, labels: Tensor, chunk: int, batch_norm: BatchNorm | str) -> BatchNorm:
    if len(images) == 0 or len(images) != len(labels):
        raise ValueError(f"{len(images)} images and {len(labels)} labels; expected at least one, and as many of each")
    if chunk < 1:
        raise ValueError(f"micro_batch={chunk} is not valid; expected at least one image at a time")
    try:
        how = BatchNorm(batch_norm)
    except ValueError:
        raise ValueError(f"batch_norm={str(batch_norm)!r} is not known; expected {' or '.join(BatchNorm)}") from None
    if how is BatchNorm.CHUNK and len(images) % chunk == 1 and len(images) > 1:
        raise ValueError(
            f"micro_batch={chunk} leaves a last chunk of one of {len(images)} images, which has no variance; "
            "expected a size that does not"
        )
    return how


def _chunks(
    model: nn.Module, images: Tensor, labels: Tensor, chunk: int
) -> Iterator[tuple[Tensor, Tensor, int]]:
    """Outputs and labels of this process's chunks, and how many images have been looked at."""
    rank, processes = _rank_and_processes()
    device = _device(model)
    for at, start in enumerate(range(0, len(images), chunk)):
        if at % processes == rank:
            end = min(start + chunk, len(images))
            yield model(images[start:end].to(device)), labels[start:end].to(device), end


def _totals(part: Tensor, outputs: Tensor, labels: Tensor) -> Tensor:
    right = (outputs.detach().argmax(1) == labels).sum()
    return torch.stack([part.detach().cpu().double(), right.cpu().double()])


class _Statistics:
    """The running statistics of batch normalisation: the mean over all chunks of all processes."""

    def __init__(self, layers: list[_BatchNorm]) -> None:
        self._layers = [layer for layer in layers if layer.track_running_stats]
        self._kept = [{name: b.clone() for name, b in layer.named_buffers()} for layer in self._layers]
        self._momentum = [layer.momentum for layer in self._layers]
        self._chunks = 0
        for layer in self._layers:
            layer.reset_running_stats()
            layer.momentum = None  # torch's cumulative mean

    def count(self) -> None:
        self._chunks += 1

    def share(self) -> None:
        """Average over processes, each weighed by its chunks."""
        if not self._layers or _rank_and_processes()[1] == 1:
            return
        counted = torch.tensor([float(self._chunks)], dtype=torch.float64)
        buffers = [b for layer in self._layers for b in (layer.running_mean, layer.running_var) if b is not None]
        sums = [b.to(_wide(b)) * self._chunks for b in buffers]
        _add_over_processes([*sums, counted], buffers[0].device)
        for buffer, total in zip(buffers, sums, strict=True):
            buffer.copy_(total / float(counted))
        for layer in self._layers:
            if layer.num_batches_tracked is not None:
                layer.num_batches_tracked.fill_(int(counted))

    def restore(self) -> None:
        """As they were before the pass."""
        for layer, kept in zip(self._layers, self._kept, strict=True):
            for name, buffer in layer.named_buffers():
                buffer.copy_(kept[name])

    def close(self) -> None:
        for layer, momentum in zip(self._layers, self._momentum, strict=True):
            layer.momentum = momentum


@contextmanager
def _mode(model: nn.Module, batch_norm: BatchNorm) -> Iterator[_Statistics]:
    """Evaluation mode, but for batch normalisation where it uses the chunk; each module's mode is put back."""
    before = [(module, module.training) for module in model.modules()]
    layers = [m for m in model.modules() if isinstance(m, _BatchNorm)] if batch_norm is BatchNorm.CHUNK else []
    for module, _ in before:
        module.training = False
    for layer in layers:
        layer.training = True
    statistics = _Statistics(layers)
    try:
        yield statistics
    finally:
        statistics.close()
        for module, training in before:
            module.training = training


def _wide(tensor: Tensor) -> torch.dtype:
    return torch.float32 if tensor.device.type == "mps" else torch.float64


def _device(model: nn.Module) -> torch.device:
    return next((p.device for p in model.parameters()), torch.device("cpu"))


def _rank_and_processes() -> tuple[int, int]:
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def _add_over_processes(tensors: list[Tensor], device: torch.device) -> None:
    """Sum each tensor over the processes, in place."""
    if _rank_and_processes()[1] == 1:
        return
    for tensor in tensors:
        moved = tensor if tensor.device == device else tensor.to(device)
        dist.all_reduce(moved)
        if moved is not tensor:
            tensor.copy_(moved)
