"""Exact full-batch gradients, accumulated over chunks of the samples, on one process or many. Not here: the optimizer.

The loss is the mean over all samples, so that each chunk's mean counts by its size. Chunks are fixed by the
number of images and the micro-batch alone, and go to processes as wholes: statistics of batch norm, which are
of a chunk, do not depend on how many processes there are. Gradients are summed in float64, over chunks and
over processes, and rounded once, so that the order of the sum is lost in that rounding.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from spectail.errors import SettingError, kind_and_first_line
from spectail.experiments.deep.samples import Samples


@dataclass(frozen=True)
class FullBatchLoss:
    """Loss and accuracy of one pass over all samples.

    Attributes:
        loss: the mean cross-entropy, or the mean squared error, over all samples.
        accuracy: the share of samples whose largest output is their label; NaN where numbers are fitted.
    """

    loss: float
    accuracy: float


def chunk_bounds(n: int, micro_batch: int) -> list[tuple[int, int]]:
    """Chunks of n images: as few as a micro-batch allows, of sizes that differ by one at most.

    >>> chunk_bounds(10, 4)
    [(0, 4), (4, 7), (7, 10)]
    """
    count = -(-n // micro_batch)
    small, larger = divmod(n, count)
    starts = [i * small + min(i, larger) for i in range(count + 1)]
    return list(itertools.pairwise(starts))


def processes() -> tuple[int, int]:
    """This process's rank, and how many there are."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


def check_same_step(step: int) -> None:
    """See that all processes go on from the same step.

    Raises:
        ValueError: they found different states.
    """
    if processes()[1] > 1:
        steps: list[int] = [0] * processes()[1]
        dist.all_gather_object(steps, step)
        if len(set(steps)) > 1:
            raise SettingError("the processes do not see the same state of the run; expected a folder that all share")


_Result = TypeVar("_Result")


def same_everywhere(result: _Result | None) -> _Result:
    """The result of the first process, on all of them.

    It waits for all: a process that ends while another still works can be aborted by its own threads.

    Args:
        result: of the first process; None on the others.
    """
    results = [result]
    if processes()[1] > 1:
        dist.broadcast_object_list(results, src=0)
        dist.barrier()
    assert results[0] is not None, "the first process has a result"
    return results[0]


@contextmanager
def process_group(device: torch.device) -> Iterator[torch.device]:
    """Inside, the processes that `torchrun` started work together: gloo on CPU, nccl on GPU.

    Yields:
        the device of this process: on GPUs, that of its local rank.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        yield device
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield device
    finally:
        dist.destroy_process_group()


def set_full_batch_mode(model: nn.Module, batch_norm: str) -> None:
    """Put a model into the mode that it is trained in.

    Dropout is off: a full batch has no noise. With batch_norm "chunk", each chunk is normalised by its own
    statistics, and the running ones are the averages over the chunks of the latest pass; with "frozen", by
    the running ones as they are.
    """
    model.train()
    for layer in model.modules():
        if isinstance(layer, _DropoutNd) or (isinstance(layer, _BatchNorm) and batch_norm == "frozen"):
            layer.eval()
        elif isinstance(layer, _BatchNorm):
            layer.momentum = None  # a plain average, whose order does not matter


def full_batch(model: nn.Module, data: Samples, micro_batch: int, *, gradients: bool = True) -> FullBatchLoss:
    """Loss and accuracy over all samples; and with gradients, p.grad of every parameter, of loss × `data.loss_factor`.

    Args:
        model: after `set_full_batch_mode`, the same on every process.
        data: all samples, on every process; each works on its share of the chunks.
        micro_batch: samples of a chunk, at most.
        gradients: whether to compute them.

    Raises:
        ValueError: the model's outputs are not one number for each class, or of another shape than the targets.
    """
    rank, world = processes()
    bounds, n = chunk_bounds(len(data.inputs), micro_batch), len(data.inputs)
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.training and m.track_running_stats]
    for norm in norms:
        norm.reset_running_stats()
    parameters = [p for p in model.parameters() if p.requires_grad]
    wide = torch.float32 if data.inputs.device.type == "mps" else torch.float64  # mps has no float64
    sums = [torch.zeros_like(p, dtype=wide) for p in parameters] if gradients else []
    totals = torch.zeros(2, dtype=wide, device=data.inputs.device)
    mine = bounds[rank::world]
    for start, end in mine:
        targets = data.targets[start:end]
        with torch.set_grad_enabled(gradients):
            outputs = _outputs(model, data.inputs[start:end], targets, data.classes)
            if data.classes is None:
                loss = (outputs - targets).square().sum() / n
            else:
                loss = cross_entropy(outputs, targets) * ((end - start) / n)
        totals[0] += loss.detach()
        totals[1] += math.nan if data.classes is None else (outputs.argmax(1) == targets).sum()
        if gradients:
            if not loss.requires_grad:
                raise SettingError("the model's output depends on no parameter that learns; was it detached?")
            objective = loss if data.classes is not None else data.loss_factor * loss
            gradients_of_chunk = torch.autograd.grad(objective, parameters, allow_unused=True)
            for total, gradient in zip(sums, gradients_of_chunk, strict=True):
                if gradient is not None:
                    total += gradient
    _sum_over_processes([totals, *sums])
    _average_statistics(norms, len(mine), len(bounds))
    for parameter, total in zip(parameters, sums, strict=False):
        parameter.grad = total.to(parameter.dtype)
    return FullBatchLoss(float(totals[0]), float(totals[1]) / n)


def _outputs(model: nn.Module, inputs: Tensor, targets: Tensor, classes: int | None) -> Tensor:
    """What a model gives: numbers for each class, or numbers of the targets' shape."""
    try:
        outputs = model(inputs)
    except MemoryError:
        raise
    except (Exception, SystemExit) as error:  # whatever a user's own module raises
        if "memory" in str(error):
            raise
        said = kind_and_first_line(error)
        raise SettingError(f"the model does not take inputs of {tuple(inputs.shape[1:])}: {said}") from error
    shape = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
    if classes is None and isinstance(outputs, Tensor):
        outputs = outputs[:, 0] if shape == (*targets.shape, 1) else outputs
        if outputs.shape == targets.shape:
            return outputs
    elif isinstance(outputs, Tensor) and outputs.ndim == 2 and outputs.shape[1] >= (classes or 0):
        return outputs
    each = targets[0].numel() if classes is None else classes
    raise SettingError(
        f"the model's output is {shape} for {len(inputs)} inputs; expected {each} number{'s' * (each > 1)} each"
    )


def _sum_over_processes(tensors: list[Tensor]) -> None:
    if processes()[1] > 1:
        for tensor in tensors:
            dist.all_reduce(tensor)


def _average_statistics(norms: list[_BatchNorm], mine: int, chunks: int) -> None:
    """Running statistics over the chunks of all processes, out of each process's average over its own."""
    if processes()[1] == 1:
        return
    for norm in norms:
        for buffer in (norm.running_mean, norm.running_var):
            if buffer is not None:
                buffer.mul_(mine / chunks)
                dist.all_reduce(buffer)
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked.fill_(chunks)
