"""What an optimizer applies: gradients, updates and momentum of the matrices that are watched, as matrices.

Here: where they are read, and what is kept of the state before a step. Not here: when it is measured (`monitor`), and
how an update becomes a row (analysis/updates).

An update is known only by the weights before it. Where the next step is to be measured, these are copied: to the memory
of the host, or, of a parameter that lies in pieces, each piece on its device. The copies are let go of once the step is
measured.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch._compile import _disable_dynamo

from spectail.analysis.failures import why_not
from spectail.analysis.row import not_measured
from spectail.analysis.updates import Difference, update_of
from spectail.errors import SettingError, unknown_name
from spectail.monitor.layers import WatchedMatrices, name_of_parameter
from spectail.monitor.steps import optimizers_in
from spectail.recording.tensors import NAME_ENDINGS
from spectail.weights.matrix import WeightMatrix
from spectail.weights.sharded import ShardedParameter, read_instead, rows_read_by

MOMENTUM = ("exp_avg", "momentum_buffer", "momentum")
"""What optimizers call the running mean of gradients in the state of a parameter."""


def checked_tensors(tensors: str | Sequence[str], optimizer: Any) -> tuple[str, ...]:
    """What is measured beside the weights, in the order in which it is named in a recording.

    Args:
        tensors: what is asked for.
        optimizer: of the training; None where there is none to ask.

    Raises:
        SettingError: one is not known, or momentum is asked for without an optimizer.

    >>> checked_tensors(["momentum", "weights", "updates"], object())
    ('updates', 'momentum')
    """
    names = [tensors] if isinstance(tensors, str) else list(tensors)
    for tensor in names:
        if tensor not in NAME_ENDINGS:
            raise SettingError(unknown_name("tensors", tensor, NAME_ENDINGS))
    if "momentum" in names and optimizer is None:
        raise SettingError("tensors='momentum' needs the optimizer, whose state it is")
    return tuple(tensor for tensor in NAME_ENDINGS if tensor in names and tensor != "weights")


class AppliedTensors:
    """Reads the tensors that are asked for, at the step that was just made, if `foresee` was called before that step.

    Args:
        tensors: what is asked for beside the weights.
        optimizer: of the training, or several; None where there is none.

    Attributes:
        is_foreseen: whether the next step is to be measured, and what is needed for that is kept.
    """

    def __init__(self, tensors: Sequence[str], optimizer: Any) -> None:
        self._tensors, self.is_foreseen = tuple(tensors), False
        several = [] if optimizer is None else list(optimizer) if isinstance(optimizer, list | tuple) else [optimizer]
        self._optimizers = [inner for one in several for inner in optimizers_in(one)]
        self._before: dict[str, tuple[object, _Copies]] = {}  # of each parameter: what held it, and its values
        self._gradients: dict[int, Tensor] = {}  # as an optimizer left them: a wrapper may let go of them
        self._why = "no step was made yet"
        hooked = [one for one in self._optimizers if hasattr(one, "register_step_post_hook")]
        self._hooks = [one.register_step_post_hook(self._hold) for one in hooked] if "gradients" in tensors else []

    def foresee(self, watched: WatchedMatrices) -> None:
        """Keep what is needed to measure the next step. Where there is no memory for that, rows will say so."""
        self.let_go()
        self.is_foreseen, self._why = True, "it was not there before the step"
        if "updates" not in self._tensors:
            return
        watched.put_in_pieces()
        try:
            for matrix in watched.matrices:
                name = name_of_parameter(matrix.name)
                if name not in self._before:
                    self._before[name] = watched.holder(matrix), _copy(matrix)
        except Exception as error:  # too little memory, say: the training goes on
            self._before.clear()
            self._why = f"the weights before the step were not kept: {why_not(error, matrix)}"

    def let_go(self) -> None:
        """Forget what was kept for a step."""
        self._before.clear()
        self._gradients.clear()
        self.is_foreseen, self._why = False, "it was not known before the step that it would be measured"

    def remove(self) -> None:
        """Let go of the optimizers."""
        self.let_go()
        for hook in self._hooks:
            hook.remove()
        self._hooks, self._optimizers = [], []

    def named(self, watched: WatchedMatrices) -> list[WeightMatrix]:
        """A matrix for each watched one and each tensor, under its name; only its shape is right, values come later."""
        return [
            replace(matrix, name=matrix.name + NAME_ENDINGS[tensor])
            for tensor in self._tensors
            for matrix in watched.matrices
        ]

    def matrices(self, watched: WatchedMatrices) -> tuple[list[WeightMatrix], list[dict[str, Any]]]:
        """Gradients, updates and momentum of the watched weights, at the step that was just made.

        Returns:
            matrices that can be read now; and the rows of the others, which say why not.
        """
        there: list[WeightMatrix] = []
        others: list[dict[str, Any]] = []
        for tensor in self._tensors:
            reads: dict[int, Callable[[], Tensor] | str] = {}  # one for all matrices that are read together
            for matrix in watched.matrices:
                if id(matrix.read) not in reads:
                    reads[id(matrix.read)] = self._reader(tensor, matrix, watched.holder(matrix))
                read = reads[id(matrix.read)]
                name = matrix.name + NAME_ENDINGS[tensor]
                if isinstance(read, str):
                    others.append(not_measured(replace(matrix, name=name, factors=None), read))
                elif isinstance(read, Difference):
                    there.append(update_of(matrix, read.before, read))
                else:
                    there.append(replace(matrix, name=name, read=read))
        return there, others

    def _reader(self, tensor: str, matrix: WeightMatrix, holder: object) -> Callable[[], Tensor] | str:
        """What reads a tensor of the parameter that a matrix lies in; or why that is not possible."""
        if not self.is_foreseen:
            return self._why
        name = name_of_parameter(matrix.name)
        if tensor == "updates":
            if name not in self._before:
                return self._why
            owner, before = self._before[name]
            if owner is not holder or (isinstance(holder, nn.Parameter) and _shape(before, name) != holder.shape):
                return "another parameter was in its place before the step"
            return Difference(partial(_as_it_was, matrix.read, before), matrix.read)
        if not isinstance(holder, nn.Parameter):
            return f"it is computed from other parameters, and has no {tensor.removesuffix('s')} of its own"
        if tensor == "gradients":
            values, lacking = self._gradients.get(id(holder), holder.grad), "it has no gradient"
        else:
            values, lacking = self._momentum(holder), "the optimizer keeps no momentum of it"
        return lacking if values is None else _read_like(matrix, name + NAME_ENDINGS[tensor], values)

    def _momentum(self, parameter: nn.Parameter) -> Tensor | None:
        for optimizer in self._optimizers:
            state = getattr(optimizer, "state", {})
            of_parameter = state.get(parameter, {})
            for name in MOMENTUM:
                values = of_parameter.get(name)
                if isinstance(values, Tensor) and values.shape == parameter.shape and values.is_floating_point():
                    return values
        return None

    @_disable_dynamo
    def _hold(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        """Hold on to the gradients that an optimizer has just applied."""
        if self.is_foreseen:
            parameters = (parameter for group in optimizer.param_groups for parameter in group["params"])
            self._gradients |= {id(one): one.grad for one in parameters if one.grad is not None}


_Copies = Tensor | dict[str, ShardedParameter]
"""A parameter as it was; of one that lies in pieces, or is computed from such, what is here of each, by its name."""


def _copy(matrix: WeightMatrix) -> _Copies:
    """The parameter that a matrix lies in, as it is now."""
    in_pieces = rows_read_by(matrix.read).values()
    if not in_pieces:
        return matrix.read().detach().to("cpu", copy=True)
    copies = {one.name: one.tensor().detach().clone() for one in in_pieces}
    return {name: ShardedParameter(f"{name} (before)", partial(_dense, values)) for name, values in copies.items()}


def _as_it_was(read: Callable[[], Tensor], before: _Copies) -> Tensor:
    """The parameter before the step; where it lies in pieces, what the reader reads of the copied pieces."""
    if isinstance(before, Tensor):
        return before
    with read_instead(before):
        return read()


def _shape(before: _Copies, name: str) -> torch.Size:
    """The shape of a parameter before the step."""
    return before.shape if isinstance(before, Tensor) else before[name].tensor().shape


def _read_like(matrix: WeightMatrix, name: str, values: Tensor) -> Callable[[], Tensor]:
    """What reads other values in place of a matrix's parameter: the same rows of them, in pieces if it lies in such."""
    read = matrix.read
    function = read.func if isinstance(read, partial) else read
    if not isinstance(function, ShardedParameter):
        return partial(_dense, values)
    sharded = ShardedParameter(name, partial(_dense, values))
    return partial(sharded, *read.args, **read.keywords) if isinstance(read, partial) else sharded


def _dense(values: Any) -> Any:
    return values.to_dense() if values.is_sparse else values
