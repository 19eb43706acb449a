"""The matrices of a model that is watched: looked for again where its modules are not what they were.

Here: which matrices there are, and what became of them since they were last looked at. Not here: how they are measured.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import nn
from torch.nn.parameter import is_lazy

from spectail.analysis.changes import matrix_changes, name_in_model, names_in_recording
from spectail.errors import SettingError
from spectail.recording.events import Event
from spectail.weights.matrix import ConvMatrix, WeightMatrix, Weights
from spectail.weights.opening import open_module


class WatchedMatrices:
    """The matrices of a model, by the names that they have in a recording.

    A module or parameter that was replaced, and a weight that was pruned, tied or computed from others, is noticed when
    the model is looked at again. A look at a model that is as it was reads nothing.

    Args:
        model: that is watched.
        layers: names of matrices, or patterns; None takes all.
        conv: how a convolution's kernel becomes matrices.

    Attributes:
        matrices: of the model now; by the names of the model until `rename`, or a change, gives them the recording's.
        title: of the model.

    Raises:
        SettingError: the model has no such matrices.

    >>> model = nn.Sequential(nn.Linear(30, 20))
    >>> watched = WatchedMatrices(model)
    >>> known = [{"name": "0.weight", "rows": 20, "cols": 30, "slices": 1}]
    >>> watched.changes_since(known, 4)
    ()
    >>> model[0] = nn.Linear(30, 12)
    >>> [str(event) for event in watched.changes_since(known, 8)]
    ['0.weight (from step 8): its shape was 20×30 and is 12×30 at step 8']
    """

    def __init__(
        self,
        model: nn.Module,
        layers: str | Sequence[str] | None = None,
        conv: ConvMatrix | str = ConvMatrix.KERNEL_SLICES,
    ) -> None:
        self._model, self._chosen, self._conv = model, layers, conv
        _put_back_in_pieces(model)
        self._outline = _outline(model)
        weights, self._holders = open_module(model, conv)
        if not weights.matrices:
            why = f" ({weights.skipped[0].name} is {weights.skipped[0].reason})" if weights.skipped else ""
            raise SettingError(f"{weights.title} has no weight matrix, so there is nothing to monitor{why}")
        self.matrices, self.title = weights.select(layers).matrices, weights.title

    def changes_since(self, known: Sequence[Mapping[str, Any]], step: int) -> tuple[Event, ...]:
        """Look for the matrices again, if the model is not as it was.

        Args:
            known: name, rows, cols and slices of the matrices of the recording.
            step: that the model is at.

        Returns:
            what became of matrices since the last look.
        """
        _put_back_in_pieces(self._model)
        outline = _outline(self._model)
        if outline == self._outline:
            return ()
        before, holders = {one.name: one for one in self.matrices}, self._holders
        weights, self._holders = open_module(self._model, self._conv)
        self._outline = outline
        there = _selected(weights, self._chosen)
        names = names_in_recording(there, known, step)
        self.matrices = tuple(replace(one, name=name) for one, name in zip(there, names, strict=True))
        reasons = {one.name: one.reason for one in weights.skipped}
        events = [_with_reason(one, reasons) for one in matrix_changes(there, names, list(before), known, step)]
        for one in self.matrices:
            if one.name in before:
                is_same = _holder(one.name, self._holders) is _holder(one.name, holders)
                if text := _difference(before[one.name], one, is_same=is_same):
                    events.append(Event(step, one.name, "replaced", text))
        return tuple(events)

    def holder(self, matrix: WeightMatrix) -> object:
        """The parameter that holds the values of a matrix; the module that computes them, where they are computed."""
        return _holder(matrix.name, self._holders)

    def put_in_pieces(self) -> None:
        """Put parameters back in the pieces that are trained, as `changes_since` does."""
        _put_back_in_pieces(self._model)

    def rename(self, names: Sequence[str]) -> None:
        """Give the matrices the names that they have in a recording."""
        self.matrices = tuple(replace(one, name=name) for one, name in zip(self.matrices, names, strict=True))


def _holder(name: str, holders: Mapping[str, weakref.ref[Any]]) -> object:
    """What holds the values of a matrix; a new object where nothing does."""
    reference = holders.get(name_of_parameter(name))
    return object() if reference is None or (held := reference()) is None else held


def name_of_parameter(name: str) -> str:
    """The parameter that a matrix lies in, by the name of the matrix in a recording.

    >>> name_of_parameter("rnn.weight_ih_l0[input gate] (from step 8)")
    'rnn.weight_ih_l0'
    """
    return name_in_model(name).partition("[")[0]


def _with_reason(event: Event, reasons: Mapping[str, str]) -> Event:
    """An event, with the reason where a matrix is still in the model but not measured."""
    reason = reasons.get(name_of_parameter(event.matrix)) if event.kind == "removed" else None
    return event if reason is None else replace(event, text=f"it is not measured any more: {reason}")


def _selected(weights: Weights, layers: str | Sequence[str] | None) -> tuple[WeightMatrix, ...]:
    """The chosen matrices, as far as the model has them."""
    if layers is None:
        return weights.matrices
    chosen: set[str] = set()
    for pattern in [layers] if isinstance(layers, str) else layers:
        try:
            chosen |= {one.name for one in weights.select(pattern).matrices}
        except SettingError:  # it fits nothing any more
            continue
    return tuple(one for one in weights.matrices if one.name in chosen)


def _difference(old: WeightMatrix, new: WeightMatrix, *, is_same: bool) -> str:
    """What changed of a matrix that still has its name and shape; empty if nothing did."""
    if old.note != new.note:
        return f"it is now {new.note}" if new.note else f"it is no longer {old.note}"
    if old.dtype != new.dtype:
        return f"its dtype was {old.dtype} and is {new.dtype}"
    return "" if is_same else "another parameter is in its place"


def _put_back_in_pieces(model: nn.Module) -> None:
    """Shard what FSDP2 left gathered after a forward pass: the parameters that are trained are the sharded ones."""
    for module in model.modules():
        if "FSDPModule" in (kind.__name__ for kind in type(module).__mro__):
            module.reshard()  # type: ignore[operator]


def _outline(model: nn.Module) -> list[tuple[Any, ...]]:
    """What tells whether a model still has the matrices that it had: modules and parameters, and who shares values."""
    outline: list[tuple[Any, ...]] = []
    first: dict[int, int] = {}
    for path, module in model.named_modules():
        hooks = [(type(one).__name__, getattr(one, "_tensor_name", "")) for one in module._forward_pre_hooks.values()]
        outline.append((path, _Identity(module), type(module).__name__, *hooks))
        for name, parameter in module._parameters.items():
            if parameter is None:
                continue
            if is_lazy(parameter):
                outline.append((name, _Identity(parameter)))
                continue
            shared = first.setdefault(_address(parameter), len(outline))
            outline.append((name, _Identity(parameter), tuple(parameter.shape), parameter.dtype, shared))
    return outline


def _address(parameter: nn.Parameter) -> int:
    try:
        return parameter.data_ptr() or id(parameter)  # 0 is the address of each that holds nothing
    except RuntimeError:  # of a kind without one
        return id(parameter)


class _Identity:
    """Equal to another identity of the same object while it lives; its `id` may later be that of a new object."""

    def __init__(self, value: object) -> None:
        self._reference = weakref.ref(value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and self._reference() is other._reference() is not None

    __hash__ = None  # type: ignore[assignment]
