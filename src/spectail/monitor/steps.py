"""When a step of the training is over: hooks of optimizers, of what wraps them, and of two-phase ones.

Here: which calls count, and that each counts once. Not here: what is done after a step.
"""

from __future__ import annotations

import functools
import sys
import time
import types
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor
from torch._compile import _disable_dynamo

from spectail.errors import SettingError

LAST_PHASES = ("second_step", "descent_step")
"""What the last part of a two-phase step is called (Foret et al. 2021 and their followers): loops call it by itself."""


class StepWatch:
    """Calls a function after each step of an optimizer, once, whatever the step calls in turn.

    A step is over when the outermost call that belongs to it returns: of an optimizer's `step`, of a wrapper's, of the
    last part of a two-phase one. It counts if an optimizer that wraps no other has finished inside, so that a wrapper
    that only gathers gradients makes no step. One that raises does not count, and the next one does.

    Args:
        optimizer: of torch, whatever holds one, or one of a user's own.
        ended: called after each step, with the time (`time.perf_counter`) at which the step itself was over.

    Raises:
        SettingError: it is none of these.

    >>> parameter = torch.nn.Parameter(torch.ones(3))
    >>> class Wrapped(torch.optim.SGD):
    ...     def step(self, closure=None):
    ...         return super().step(closure)
    >>> steps, optimizer = [], Wrapped([parameter], lr=0.1)
    >>> watch = StepWatch(optimizer, lambda ended_at: steps.append(len(steps) + 1))
    >>> optimizer.step(), optimizer.step(), watch.remove()
    (None, None, None)
    >>> steps
    [1, 2]
    """

    def __init__(self, optimizer: Any, ended: Callable[[float], object]) -> None:
        self._ended, self._is_step = ended, False
        self._open: list[types.FrameType] = []  # of the calls under way, the outermost first
        self._innermost: list[Any] = []  # that wrap no other optimizer
        self._let_go: list[Callable[[], object]] = []
        every = optimizers_in(optimizer)
        for one in every:
            innermost = not any(_has_hooks(inner) for inner in _reachable(one)[1:])
            if innermost:
                self._innermost.append(one)
            if _has_hooks(one):
                if len(every) > 1 or _may_call_steps(one):
                    self._let_go.append(one.register_step_pre_hook(self._before).remove)
                self._let_go.append(one.register_step_post_hook(self._after).remove)
            else:
                self._wrap(one, "step", innermost)
            for name in LAST_PHASES:
                self._wrap(one, name, innermost)

    def remove(self) -> None:
        """Let go of the optimizer."""
        for let_go in self._let_go:
            let_go()
        self._let_go.clear()
        self._innermost.clear()
        self._ended = _nothing  # a method of ours that somebody has wrapped is still called

    @_disable_dynamo
    def _before(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        self._enter(_frame_of_step(sys._getframe()))

    @_disable_dynamo
    def _after(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        ended_at = time.perf_counter()
        is_innermost = any(optimizer is one for one in self._innermost)
        self._leave(ended_at, is_innermost and not _was_skipped(optimizer) and not _only_makes_state(optimizer))

    def _wrap(self, owner: Any, name: str, innermost: bool) -> None:
        """Wrap a method of an object; its own is put back at the end."""
        own = getattr(owner, name, None)
        if not callable(own):
            return
        watch = weakref.ref(self)
        function = getattr(own, "__func__", own)

        @functools.wraps(function)
        def around(self: Any, *args: Any, **kwargs: Any) -> Any:
            if (watching := watch()) is not None:
                watching._enter(sys._getframe())
            result = own(*args, **kwargs)
            if watching is not None:
                watching._leave(time.perf_counter(), innermost and not _only_makes_state(self))
            return result

        with suppress(AttributeError, TypeError):  # an object that takes no attributes: what is inside is hooked
            bound = types.MethodType(around, owner)
            before = vars(owner).get(name)
            setattr(owner, name, bound)
            self._let_go.append(functools.partial(_put_back, weakref.ref(owner), name, bound, before))

    def _enter(self, frame: types.FrameType) -> None:
        if self._open:
            self._forget_what_raised()
        if not self._open:
            self._is_step = False
        self._open.append(frame)

    def _leave(self, ended_at: float, is_step: bool) -> None:
        if len(self._open) > 1:  # the innermost one is this call, and any below it may have raised
            self._forget_what_raised()
        self._is_step |= is_step
        if self._open:
            self._open.pop()
        if not self._open and self._is_step:
            self._is_step = False
            self._ended(ended_at)

    def _forget_what_raised(self) -> None:
        """Forget the calls that are no longer on the stack, as an exception has ended them."""
        frame: types.FrameType | None = sys._getframe()
        stack: set[int] = set()
        while frame is not None:
            stack.add(id(frame))
            frame = frame.f_back
        self._open = [one for one in self._open if id(one) in stack]


def no_step(optimizer: Any) -> str:
    """The sentence for who watched an optimizer, or none, and saw no step."""
    if optimizer is None:
        return "the monitor was told of no step; without an optimizer, call monitor.step() after each step"
    kind = type(last_of(optimizer)).__name__
    return (
        f"the monitor saw no step of {kind}: is that what the training calls? "
        "If it updates the weights in another way, leave the optimizer out and call monitor.step() after each step"
    )


def last_of(optimizer: Any) -> Any:
    """The optimizer that counts the steps: of several the last, which ends a round."""
    return optimizer[-1] if isinstance(optimizer, Sequence) and optimizer else optimizer


def learning_rates(optimizer: Any) -> tuple[float, ...]:
    """The learning rate of each group of parameters of an optimizer, or of several in turn."""
    if isinstance(optimizer, Sequence):
        return tuple(rate for one in optimizer for rate in learning_rates(one))
    groups = getattr(optimizer, "param_groups", None) or [
        group for one in optimizers_in(optimizer) for group in getattr(one, "param_groups", ())
    ]
    return tuple(float(group["lr"]) for group in groups if "lr" in group)


def optimizers_in(optimizer: Any) -> list[Any]:
    """An optimizer, and those that it holds, the outermost first.

    Args:
        optimizer: of torch, whatever holds one, or one of a user's own, with `step` and `zero_grad`.

    Raises:
        SettingError: it is none of these.
    """
    every = [one for one in _reachable(optimizer) if any(_has_hooks(inner) for inner in _reachable(one))]
    if not every and _can_step(optimizer) and hasattr(optimizer, "zero_grad"):
        return [optimizer]  # one of a user's own
    if not every:
        kind = type(optimizer).__name__
        raise SettingError(f"a {kind} is not an optimizer of torch; expected one, or None and calls of step()")
    return every


def _reachable(owner: Any) -> list[Any]:
    """An object, and what can make steps among its attributes, in its lists and mappings, and in theirs."""
    every: list[Any] = []
    waiting = [owner]
    while waiting:
        one = waiting.pop(0)
        if any(one is known for known in every):
            continue
        every.append(one)
        for name, value in getattr(one, "__dict__", {}).items():
            if name not in ("param_groups", "state", "defaults"):
                many = value.values() if isinstance(value, Mapping) else value
                waiting += filter(_can_step, many if isinstance(many, list | tuple) else [value])
    return every


def _can_step(value: Any) -> bool:
    return hasattr(value, "__dict__") and callable(getattr(value, "step", None))


def _has_hooks(optimizer: Any) -> bool:
    return "_optimizer_step_post_hooks" in getattr(optimizer, "__dict__", {})


def _may_call_steps(optimizer: Any) -> bool:
    """Whether a step of this optimizer may call another: of its base, or what is called the last part of a step."""
    own = [kind for kind in type(optimizer).__mro__ if kind is not torch.optim.Optimizer and "step" in vars(kind)]
    return len(own) > 1 or any(hasattr(optimizer, name) for name in LAST_PHASES)


def _was_skipped(optimizer: Any) -> bool:
    """Whether a fused optimizer has skipped the step itself; on a GPU nobody knows without waiting for it."""
    found_inf = getattr(optimizer, "found_inf", None)
    return isinstance(found_inf, Tensor) and not found_inf.is_cuda and bool(found_inf)


def _only_makes_state(optimizer: Any) -> bool:
    """Whether torch.distributed.checkpoint makes this step, at a rate of 0, only to have a state to load into."""
    groups = getattr(optimizer, "param_groups", None)
    rate = groups[0].get("lr") if groups else None
    if isinstance(rate, float) and rate:  # most steps: to look at who calls takes longer
        return False
    frame: types.FrameType | None = sys._getframe()
    for _ in range(10):  # of ours and torch's, and of what is put around a step
        if frame is None or frame.f_code.co_name == "_init_optim_state":
            break
        frame = frame.f_back
    else:
        return False
    return frame is not None


def _frame_of_step(frame: types.FrameType) -> types.FrameType:
    """The frame of torch that called a hook, past what keeps compilers out of the hook."""
    here: types.FrameType | None = frame
    while here is not None and here.f_code.co_filename != _FILE_OF_STEPS:
        here = here.f_back
    return here or frame


_FILE_OF_STEPS = torch.optim.Optimizer.profile_hook_step.__code__.co_filename


def _nothing(ended_at: float) -> None:
    pass


def _put_back(owner: weakref.ref[Any], name: str, bound: Any, before: Any) -> None:
    """Take a method off again, unless somebody has put another around it: that calls ours, which then does nothing."""
    attributes = getattr(owner(), "__dict__", {})
    if attributes.get(name) is not bound:
        return
    if before is None:
        del attributes[name]
    else:
        attributes[name] = before
