"""Full-batch updates of the first layer, as torch.optim optimizers, and their schedules."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from spectail.errors import SettingError, unknown_name
from spectail.experiments.experiment import Experiment

# A fused Adam counts its steps in a tensor; past this many, 1 − β^t is 1 for every β below 1 − 1e-16.
_BIAS_FORGOTTEN = 1e18


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


def optimizer_maker(name: str, bias_correction: bool) -> Callable[..., Optimizer]:
    """What makes an optimizer by name: gd, adam, sign, or a class of torch.optim.

    Args:
        name: of the optimizer.
        bias_correction: of adam.

    Returns:
        called with parameters, `lr` and the optimizer's own options.

    Raises:
        ValueError: the name is not known.
    """
    own: dict[str, Callable[..., Optimizer]] = {
        "gd": lambda params, lr, **options: torch.optim.SGD(params, lr=lr, **{"fused": True, **options}),
        "adam": lambda params, lr, **options: FullBatchAdam(params, lr, bias_correction=bias_correction, **options),
        "sign": SignDescent,
    }
    makers = own | _torch_optimizers()
    if name not in makers:
        raise SettingError(unknown_name("optimizer", name, makers))
    return makers[name]


def make_optimizer(experiment: Experiment, weights: Tensor) -> Optimizer:
    """The optimizer of an experiment, on the first layer.

    Raises:
        ValueError: its name or its options are not known to torch, or are out of range.
    """
    name, options = experiment.optimizer, dict(experiment.optimizer_options)
    maker = optimizer_maker(name, experiment.bias_correction)
    try:
        return maker([weights], lr=experiment.lr, **options)
    except (TypeError, ValueError, AttributeError) as error:
        raise SettingError(f"optimizer_options={options} do not suit optimizer={name!r}: {error}") from None


class LearningRate:
    """What sets the next learning rate: called after each update with the objective before it.

    Args:
        scheduler: of torch, or None for a constant learning rate.
    """

    def __init__(self, scheduler: LRScheduler | None = None) -> None:
        self._scheduler = scheduler

    def __call__(self, objective: float) -> None:
        """Set the learning rate of the update after the one that had this objective before it."""
        if isinstance(self._scheduler, ReduceLROnPlateau):
            self._scheduler.step(objective)
        elif self._scheduler is not None:
            self._scheduler.step()

    def state_dict(self) -> dict[str, Any]:
        """Where the schedule is."""
        return {} if self._scheduler is None else self._scheduler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        if self._scheduler is not None:
            self._scheduler.load_state_dict(state)


def make_schedule(experiment: Experiment, optimizer: Optimizer) -> LearningRate:
    """The learning-rate schedule of an experiment.

    Raises:
        ValueError: the schedule's name or its options are not known to torch, or are out of range.
    """
    name, options = experiment.schedule, experiment.schedule_options
    if name is None:
        return LearningRate()
    known = _torch_schedules()
    if name not in known:
        raise SettingError(unknown_name("schedule", name, known))
    try:
        return LearningRate(known[name](optimizer, **options))
    except (TypeError, ValueError, AttributeError) as error:
        raise SettingError(f"schedule_options={options} do not suit schedule={name!r}: {error}") from None


def check_optimizer(experiment: Experiment) -> None:
    """Build the optimizer and schedule of an experiment on a tiny matrix, to see that they exist.

    Raises:
        ValueError: as `make_optimizer` and `make_schedule`.
    """
    make_schedule(experiment, make_optimizer(experiment, torch.zeros(2, 2)))


def _torch_optimizers() -> dict[str, type[Optimizer]]:
    """Those that need nothing but a gradient: LBFGS wants a closure, SparseAdam sparse gradients."""
    found = {name: c for name, c in vars(torch.optim).items() if inspect.isclass(c) and issubclass(c, Optimizer)}
    return {name: c for name, c in sorted(found.items()) if name not in ("Optimizer", "LBFGS", "SparseAdam")}


def _torch_schedules() -> dict[str, type[LRScheduler]]:
    """Those whose options can be written down: not functions, and not other schedules."""
    module = torch.optim.lr_scheduler
    found = {name: c for name, c in vars(module).items() if inspect.isclass(c) and issubclass(c, LRScheduler)}
    other = ("LRScheduler", "LambdaLR", "MultiplicativeLR", "SequentialLR", "ChainedScheduler")
    return {name: c for name, c in sorted(found.items()) if name not in other and not name.startswith("_")}
