"""Full-batch updates, as torch.optim optimizers, each by name and options.

A new optimizer is a line of `OPTIMIZERS`; one of a user's own is named "module:Class". Not here: schedules of the
learning rate (schedules.py), whether both take their options (optimizer_check.py), which options an experiment has
(experiment.py), and what is done around an update (two_layer/loop.py, deep/run.py).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from types import MappingProxyType, ModuleType
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor
from torch.optim import Optimizer

from spectail.analysis.undisturbed import undisturbed
from spectail.errors import SettingError, SpectailError, first_line, kind_and_first_line, unknown_name
from spectail.weights.opening import object_by_name

# A fused Adam counts its steps in a tensor; past this many, 1 − β^t is 1 for every β below 1 − 1e-16.
_BIAS_FORGOTTEN = 1e18

_NONE: Mapping[str, Any] = MappingProxyType({})

_Class = TypeVar("_Class")


class FullBatchAdam(torch.optim.Adam):
    """Adam with or without bias correction of its moments.

    With it, this is torch's Adam. Without it, it is eqs. (4)-(5) to the letter,
    W ← W − η M/(√V + ε): torch's own kernel, whose count of steps starts so high that the
    correction factors 1 − β^t are exactly one.

    Args:
        params: what to update.
        lr: learning rate η.
        bias_correction: as above.
        **options: of torch.optim.Adam, such as betas and eps.

    Raises:
        ValueError: an option is out of range.

    Source: paper eqs. (4)-(5); Kingma & Ba (2014).
    """

    def __init__(self, params: Any, lr: float, *, bias_correction: bool, **options: Any) -> None:
        super().__init__(params, lr=lr, **{"fused": True, **options})
        self.bias_correction = bias_correction

    def _init_group(self, group: dict[str, Any], *lists: Any) -> Any:
        fresh = [p for p in group["params"] if p.grad is not None and not self.state[p]]
        result = super()._init_group(group, *lists)  # type: ignore[no-untyped-call]
        if not self.bias_correction:
            for p in fresh:
                self.state[p]["step"].fill_(_BIAS_FORGOTTEN)
        return result


class SignDescent(Optimizer):
    """W ← W − η sign(G): the first step of Adam with ε → 0 (eq. 9), at every step."""

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One update. `closure` is not used: the gradient is taken from `p.grad`."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad.sign(), alpha=-group["lr"])


class Lion(Optimizer):
    """W ← W − η (sign(β₁ M + (1 − β₁) G) + λ W), M ← β₂ M + (1 − β₂) G.

    Args:
        params: what to update.
        lr: learning rate η.
        betas: β₁ and β₂.
        weight_decay: λ.

    Raises:
        ValueError: a β is not in [0, 1).

    Source: Chen et al. (2023), 2302.06675, Algorithm 2.
    """

    def __init__(
        self, params: Any, lr: float, betas: tuple[float, float] = (0.9, 0.99), weight_decay: float = 0.0
    ) -> None:
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas={tuple(betas)} are not in [0, 1)")
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One update. `closure` is not used: the gradient is taken from `p.grad`."""
        for group in self.param_groups:
            (first, second), lr, decay = group["betas"], group["lr"], group["weight_decay"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                momentum = self.state[p].setdefault("momentum", torch.zeros_like(p))
                direction = torch.lerp(p.grad, momentum, first).sign_()
                p.mul_(1 - lr * decay).add_(direction, alpha=-lr)
                momentum.lerp_(p.grad, 1 - second)


class Shampoo(Optimizer):
    """W ← W − η L^(-1/4) G R^(-1/4), L ← β L + GGᵀ, R ← β R + GᵀG; of a vector, G/√(β l + g²) entry by entry.

    L and R begin at ε of the identity. Its first step with ε → 0 is UVᵀ, as Muon's without momentum is.

    Args:
        params: what to update.
        lr: learning rate η.
        beta: 1 adds all gradients up, as published; less forgets.
        eps: ε.

    Raises:
        ValueError: β is not in (0, 1], or ε is not positive.

    Source: Gupta, Koren & Singer (2018), 1802.09568, Algorithm 1.
    """

    def __init__(self, params: Any, lr: float, beta: float = 1.0, eps: float = 1e-4) -> None:
        if not (0 < beta <= 1 and eps > 0):
            raise ValueError(f"beta={beta} is not in (0, 1], or eps={eps} is not positive")
        super().__init__(params, {"lr": lr, "beta": beta, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One update. `closure` is not used: the gradient is taken from `p.grad`."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                gradient, state = p.grad.double(), self.state[p]
                matrix = gradient if gradient.ndim == 2 else gradient.reshape(-1, 1)
                sides = [matrix @ matrix.T, matrix.T @ matrix] if gradient.ndim == 2 else [matrix.square()]
                direction = matrix
                for side, new in enumerate(sides):
                    start = group["eps"] * (torch.eye(len(new)).to(new) if gradient.ndim == 2 else torch.ones_like(new))
                    total = state.get(f"side {side}", start).to(new).mul(group["beta"]).add_(new)
                    total = total.to(p.dtype).double()  # as a state keeps it
                    state[f"side {side}"] = total.to(p.dtype)
                    if gradient.ndim != 2:
                        direction = direction / total.sqrt()
                    else:
                        root = _inverse_fourth_root(total, torch.finfo(p.dtype).eps)
                        direction = root @ direction if side == 0 else direction @ root
                p.add_(direction.reshape(p.shape).to(p.dtype), alpha=-group["lr"])


def _inverse_fourth_root(matrix: Tensor, rounding: float) -> Tensor:
    """M^(-1/4) of a positive matrix M; eigenvalues below rounding, as where ε is tiny, count as the rounding."""
    values, vectors = torch.linalg.eigh(matrix)
    least = max(float(values[-1]) * rounding, torch.finfo(values.dtype).tiny)
    root: Tensor = (vectors * values.clamp(min=least).pow(-0.25)) @ vectors.T
    return root


def torch_classes(module: ModuleType, of: type[_Class], but: Iterable[str]) -> dict[str, type[_Class]]:
    """The public classes of a kind that a module of torch has, by name."""
    classes = {name: c for name, c in sorted(vars(module).items()) if inspect.isclass(c) and issubclass(c, of)}
    return {name: c for name, c in classes.items() if name not in (of.__name__, *but) and not name.startswith("_")}


# Of torch's, all but SparseAdam, which wants sparse gradients.
OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "gd": partial(torch.optim.SGD, fused=True),
    "adam": FullBatchAdam,
    "sign": SignDescent,
    "lion": Lion,
    "shampoo": Shampoo,
    **torch_classes(torch.optim, Optimizer, but=("SparseAdam",)),
}
"""By name, what makes an optimizer; called with parameters, `lr` and its own options."""


def optimizer_name(name: str) -> str:
    """The name of an optimizer as `OPTIMIZERS` spells it, whatever case it is written in; "module:Class" as it is.

    Raises:
        SettingError: there is none, or it cannot train what is here.

    >>> optimizer_name("muon"), optimizer_name("adam"), optimizer_name("Adam")
    ('Muon', 'adam', 'Adam')
    """
    if ":" in name or name in OPTIMIZERS:
        return name
    if name.lower() == "sparseadam":
        raise SettingError(f"optimizer={name!r} wants sparse gradients; those of an experiment are dense, so take adam")
    for known in OPTIMIZERS:
        if known.lower() == name.lower():
            return known
    raise SettingError(unknown_name("optimizer", name, [*OPTIMIZERS, "module:Class"]))


# Arguments of optimizers that are no options here: given elsewhere, or how torch computes and not what.
_NO_OPTIONS = ("params", "lr", "foreach", "maximize", "capturable", "differentiable", "fused", "bias_correction")


def options_by_default(name: str) -> dict[str, Any]:
    """The options that an optimizer has where none are given, of those that change what it computes.

    Args:
        name: as for `optimizer_name`, but no class of one's own.

    >>> options_by_default("Lion")
    {'betas': (0.9, 0.99), 'weight_decay': 0.0}
    """
    maker = OPTIMIZERS[optimizer_name(name)]
    of = torch.optim.SGD if isinstance(maker, partial) else torch.optim.Adam if maker is FullBatchAdam else maker
    defaults = {n: p.default for n, p in inspect.signature(of).parameters.items() if n not in _NO_OPTIONS}
    if maker is FullBatchAdam:
        del defaults["eps"]  # a field of its own
    # a switch that is off, such as a later torch may bring, is no option
    return {
        n: value
        for n, value in defaults.items()
        if all(value is not no for no in (inspect.Parameter.empty, None, False))
    }


def rate_groups(parameters: Sequence[Tensor], lr: float, rates: Sequence[float]) -> list[Any]:
    """What an optimizer updates, in groups where learning rates differ.

    Args:
        parameters: one a layer.
        lr: the learning rate that the optimizer is made with.
        rates: of each parameter.
    """
    if all(rate == lr for rate in rates):
        return list(parameters)
    return [{"params": [p], "lr": rate} for p, rate in zip(parameters, rates, strict=True)]


def switch_mode(optimizer: Optimizer, mode: Literal["train", "eval"]) -> None:
    """Let a schedule-free optimizer put the weights in place that are to be measured, or trained on."""
    if callable(switch := getattr(optimizer, mode, None)):
        switch()


def wants_closure(optimizer: Optimizer) -> bool:
    """Whether an optimizer evaluates the loss itself: LBFGS, and one's own that says `needs_closure = True`."""
    return isinstance(optimizer, torch.optim.LBFGS) or bool(getattr(optimizer, "needs_closure", False))


def make_optimizer(
    name: str,
    parameters: Iterable[Any],
    lr: float,
    *,
    bias_correction: bool = False,
    options: Mapping[str, Any] = _NONE,
) -> Optimizer:
    """An optimizer by name.

    Args:
        name: as for `optimizer_name`; a class of one's own, "module:Class", is called as torch's are.
        parameters: what it updates: tensors, or groups of them as torch takes them.
        lr: learning rate η.
        bias_correction: of adam; others do not use it.
        options: further ones.

    Raises:
        ValueError: the name is not known, or the options are not, or are out of range.
    """
    maker = object_by_name(name) if ":" in name else OPTIMIZERS[optimizer_name(name)]
    return optimizer_from(maker, name, parameters, lr, bias_correction, options)


def optimizer_from(
    maker: Callable[..., Any],
    name: str,
    parameters: Iterable[Any],
    lr: float,
    bias_correction: bool,
    options: Mapping[str, Any],
) -> Optimizer:
    """What a maker of optimizers makes; arguments and errors as of `make_optimizer`."""
    correction = (
        {"bias_correction": bias_correction} if isinstance(maker, type) and issubclass(maker, FullBatchAdam) else {}
    )
    try:
        optimizer = maker(parameters, lr=lr, **correction, **options)
    except (Exception, SystemExit) as error:  # torch raises a few kinds, a class of a user's own any
        what = f"optimizer_options={dict(options)} do not suit" if options else "what it is to update does not suit"
        raise SettingError(f"{what} optimizer={name!r}: {first_line(error)}") from error
    if not isinstance(optimizer, Optimizer):
        raise SettingError(f"optimizer={name!r} made a {type(optimizer).__name__}; expected a torch.optim.Optimizer")
    if ":" in name:
        _check_repeats(name, partial(maker, lr=lr, **options))
    return optimizer


def _check_repeats(name: str, maker: Callable[[list[Tensor]], Any]) -> None:
    """See that a class of a user's own makes the same updates of the same gradients whenever it is made.

    Else a run that is killed could not go on to the same bits.

    Raises:
        SettingError: it does not.
    """

    def updated() -> Tensor:
        weights = torch.linspace(-1, 1, 12).reshape(4, 3)
        optimizer = maker([weights])
        for _ in range(2):
            weights.grad = weights.flip(0).clone()
            optimizer.step()
        return weights.nan_to_num()

    try:
        with undisturbed():
            same = torch.equal(updated(), updated())
    except (Exception, SystemExit):  # whatever a user's own class raises is said at its first update
        return
    if not same:
        raise SettingError(
            f"optimizer={name!r} makes other updates of the same gradients when it is made again; expected no random "
            "numbers, or those of a generator with a seed of its own"
        )


def take_step(name: str, optimizer: Optimizer, closure: Callable[[], Any] | None = None) -> None:
    """One update by an optimizer, which evaluates the loss itself where a closure is given.

    Args:
        name: of the optimizer.
        optimizer: after `make_optimizer`.
        closure: puts gradients, and gives the loss.

    Raises:
        SettingError: a class of a user's own fails, or changes a parameter's shape.
    """
    if ":" not in name:
        optimizer.step(closure) if closure else optimizer.step()
        return
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    shapes = [p.shape for p in parameters]
    try:
        optimizer.step(closure) if closure else optimizer.step()
    except (SpectailError, MemoryError):
        raise
    except (Exception, SystemExit) as error:  # whatever a user's own class raises
        if "memory" in str(error):
            raise
        raise SettingError(f"optimizer={name!r} failed at an update: {kind_and_first_line(error)}") from error
    for parameter, shape in zip(parameters, shapes, strict=True):
        if parameter.shape != shape:
            changed = f"made {tuple(parameter.shape)} of a parameter {tuple(shape)}"
            raise SettingError(f"optimizer={name!r} {changed}; expected one of the same shape")
