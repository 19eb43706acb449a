"""Activations and links: σ of the student, σ* of the teacher. Any may be either, also a function of a user's own.

Importing this does not wait for torch, so that experiments are checked at once. Not here: how the student uses them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from spectail.errors import SettingError, kind_and_first_line, unknown_name

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Activation:
    """A function σ and its slope σ', both written over their argument.

    Attributes:
        value_: overwrites x with σ(x).
        slope_: takes σ(x) or x, whichever `slope_from` names, and overwrites it with σ'(x); where it is σ(x),
            the hot loop needs one buffer less.
    """

    value_: Callable[[Tensor], Tensor]
    slope_: Callable[[Tensor], Tensor]
    slope_from: Literal["value", "input"]

    def __call__(self, x: Tensor) -> Tensor:
        """σ(x), leaving x as it is."""
        return self.value_(x.clone())

    def slope(self, x: Tensor) -> Tensor:
        """σ'(x), leaving x as it is."""
        return self.slope_(self(x) if self.slope_from == "value" else x.clone())


def _softplus_(x: Tensor) -> Tensor:
    from torch.nn.functional import softplus

    return x.copy_(softplus(x))


def _gelu_(x: Tensor) -> Tensor:
    from torch.nn.functional import gelu

    return x.copy_(gelu(x))


def _gelu_slope_(x: Tensor) -> Tensor:
    density = (x * x).mul_(-0.5).exp_().mul_(1.0 / math.sqrt(2 * math.pi))
    density *= x
    return x.mul_(1.0 / math.sqrt(2.0)).erf_().add_(1.0).mul_(0.5).add_(density)


def _erf_slope_(x: Tensor) -> Tensor:
    return x.square_().neg_().exp_().mul_(2.0 / math.sqrt(math.pi))


def _he3_(x: Tensor) -> Tensor:
    return x.mul_(x.square().sub_(3.0))


def _he4_(x: Tensor) -> Tensor:
    squared = x.square_()
    return squared.mul_(squared.sub(6.0)).add_(3.0)


def _he4_slope_(x: Tensor) -> Tensor:
    return _he3_(x).mul_(4.0)


def _one_(x: Tensor) -> Tensor:
    return x.fill_(1.0)


def _same_(x: Tensor) -> Tensor:
    return x


# Probabilists' Hermite polynomials: He_k' = k He_{k-1}, and E[He_j(z) He_k(z)] = k! δ_jk for z ~ N(0, 1).
ACTIVATIONS: dict[str, Activation] = {
    "softplus": Activation(_softplus_, lambda v: v.neg_().expm1_().neg_(), "value"),
    "tanh": Activation(lambda x: x.tanh_(), lambda v: v.square_().neg_().add_(1.0), "value"),
    "relu": Activation(lambda x: x.relu_(), lambda v: v.copy_(v > 0), "value"),
    "gelu": Activation(_gelu_, _gelu_slope_, "input"),
    "erf": Activation(lambda x: x.erf_(), _erf_slope_, "input"),
    "sigmoid": Activation(lambda x: x.sigmoid_(), lambda v: v.sub_(v.square()), "value"),
    "identity": Activation(_same_, _one_, "value"),
    "sine": Activation(lambda x: x.sin_(), lambda x: x.cos_(), "input"),
    "he0": Activation(_one_, lambda x: x.zero_(), "value"),
    "he1": Activation(_same_, _one_, "value"),
    "he2": Activation(lambda x: x.square_().sub_(1.0), lambda x: x.mul_(2.0), "input"),
    "he3": Activation(_he3_, lambda x: x.square_().sub_(1.0).mul_(3.0), "input"),
    "he4": Activation(_he4_, _he4_slope_, "input"),
}


def _check_function(name: str, function: Callable[[Tensor], Tensor]) -> None:
    """See that a user's own function maps each number by itself, to the same value whenever it is called.

    Raises:
        SettingError: it is not.
    """
    import torch

    x = torch.linspace(-4, 4, 65, dtype=torch.float64)
    first, again = function(x.clone()), function(x.clone())
    if not bool(first.isfinite().all()):
        raise SettingError(f"{name} is not finite at {float(x[~first.isfinite()][0]):g}; expected numbers everywhere")
    if not torch.equal(first, again):
        raise SettingError(f"{name} gives other values when it is called again; expected a function of its input alone")
    part = slice(20, 30)  # of other mean, extremes and length than the whole
    if not torch.allclose(function(x[part].clone()), first[part], rtol=1e-9, atol=1e-12):
        raise SettingError(f"{name} gives a number other values beside other numbers; expected each by itself")


def _check_slope(name: str, value: Callable[[Tensor], Tensor], slope_: Callable[[Tensor], Tensor]) -> None:
    """See that autograd finds a slope where values change; it finds none where the result is detached from its input.

    Raises:
        SettingError: it finds none.
    """
    import torch

    x = torch.linspace(-4, 4, 64, dtype=torch.float64)  # not 0, where many have a kink
    if bool(slope_(x.clone()).any()):
        return
    by_difference = (value(x + _NEAR) - value(x - _NEAR)) / (2 * _NEAR)
    changing = by_difference.abs() > _CHANGES
    if float(changing.double().mean()) > 0.5:  # a function that only jumps changes at few points
        at = int(changing.nonzero()[0])
        by, where = f"{float(by_difference[at]):.3g}", f"{float(x[at]):.3g}"
        raise SettingError(
            f"{name} has no slope that autograd finds, but changes by {by} at {where}; "
            "expected a function of torch's operations, without detach"
        )


_NEAR, _CHANGES = 1e-4, 1e-2  # a difference of float32 numbers about 1 is right to 1e-3


def find_activation(name: str) -> Activation:
    """An activation or link by name.

    A function of one's own takes a tensor of numbers and gives one of the same shape, each number by itself. Its slope
    is found by autograd, which is slow: a step of the student takes about twice as long.

    Args:
        name: one of `ACTIVATIONS`, or "module:function", whose module may lie in the current folder.

    Raises:
        ValueError: the name is not known, or the function is not as it should be.

    >>> import torch
    >>> find_activation("torch:atan").slope(torch.zeros(1))
    tensor([1.])
    """
    if ":" not in name:
        if name not in ACTIVATIONS:
            raise SettingError(unknown_name("activation", name, [*ACTIVATIONS, "module:function"]))
        return ACTIVATIONS[name]
    import torch

    from spectail.weights.opening import object_by_name

    function = object_by_name(name)

    def value(x: Tensor) -> Tensor:
        try:
            result: Any = function(x)
        except (Exception, SystemExit) as error:  # whatever a user's own function raises
            raise SettingError(f"{name} failed: {kind_and_first_line(error)}") from error
        if not isinstance(result, torch.Tensor) or result.shape != x.shape:
            form = tuple(result.shape) if isinstance(result, torch.Tensor) else type(result).__name__
            raise SettingError(f"{name} made {form} of a tensor {tuple(x.shape)}; expected one of the same shape")
        if result.is_complex():
            raise SettingError(f"{name} made complex numbers; expected real ones")
        return result

    checked: list[bool] = []

    def slope_(x: Tensor) -> Tensor:
        if not checked:  # once, and only of what is to be trained
            checked.append(True)
            _check_slope(name, value, slope_)
        with torch.enable_grad():
            inputs = x.detach().requires_grad_()
            result = value(inputs.clone())
            if not result.requires_grad:  # constant between its jumps
                return x.zero_()
            (slope,) = torch.autograd.grad(result.sum(), inputs)
        return x.copy_(slope)

    _check_function(name, value)  # whatever is wrong is said at once
    return Activation(lambda x: x.copy_(value(x)), slope_, "input")
