"""What wrappers for devices, averages, sharding and compilation put into a model's names, and the names without it.

Here: the one list, for state dicts and for modules. Not here: what layers do to their weights (`reparametrized`).
"""

from __future__ import annotations

from collections.abc import Sequence

WRAPPERS = (
    "module",  # DataParallel, DistributedDataParallel, AveragedModel, DeepSpeed
    "_module",  # Opacus, PyTorch's trace wrappers
    "_orig_mod",  # torch.compile
    "_fsdp_wrapped_module",
    "_fpw_module",  # of FullyShardedDataParallel, the older FSDP, and FairScale's
    "_checkpoint_wrapped_module",
    "_forward_module",  # Lightning Fabric, DeepSpeed
)
"""Steps of a name that are not the model's own."""


def without_wrappers(names: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """Names without the steps that wrappers put into them, wherever and however often these occur.

    A part of a model may be called `module` too. It loses that step in every name, wrapped or not, so that names
    stay comparable; unless two names would become equal: then only what is before all of them goes.

    Args:
        names: of all parameters of a model.

    Returns:
        the names, as different from one another as before; and which wrappers they were without.

    >>> without_wrappers(["module.0._orig_mod.weight", "module.1.weight", "n_averaged"])
    (['0.weight', '1.weight', 'n_averaged'], ('module', '_orig_mod'))
    >>> without_wrappers(["module.module.a", "module.a"])
    (['module.a', 'a'], ('module',))
    """
    current, removed = list(names), []
    for wrapper in WRAPPERS:
        shorter = [_without(name, wrapper) for name in current]
        if len(set(shorter)) < len(set(current)):
            shorter = current
            while shorter and all(name.startswith(f"{wrapper}.") for name in shorter):
                shorter = [name.removeprefix(f"{wrapper}.") for name in shorter]
        if shorter != current:
            current = shorter
            removed.append(wrapper)
    return current, tuple(removed)


def _without(name: str, wrapper: str) -> str:
    """A name without the steps of a wrapper; the last step stays, as it is the tensor's own name."""
    if f"{wrapper}." not in name:
        return name
    *steps, last = name.split(".")
    return ".".join([step for step in steps if step != wrapper] + [last])
