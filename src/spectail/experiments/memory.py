"""What memory an experiment takes at the least, so that what cannot fit is refused before any is asked for.

Not here: how much there is (running/memory.py), and the time and disk that a run takes (cost.py).
"""

from __future__ import annotations

from collections.abc import Iterable

from spectail.errors import SettingError
from spectail.experiments.experiment import Experiment
from spectail.experiments.fields import modulus_of
from spectail.running.memory import available_memory

_INPUTS_OF_IMAGES = 3 * 32 * 32


def check_memory(experiments: Iterable[Experiment]) -> None:
    """See that each experiment by itself fits into what memory is free here.

    Raises:
        SettingError: one needs more than there is, whatever is done.
    """
    free = None
    for e in experiments:
        needs = least_memory(e)
        total = sum(needs.values())
        if total <= _ALWAYS:
            continue
        free = available_memory() if free is None else free
        if free is None:  # nobody says
            return
        if total > free:
            largest = max(needs, key=lambda names: needs[names])
            said = " with ".join(f"{name}={_value(e, name)}" for name in largest)
            raise SettingError(
                f"{said} takes at least {_gigabytes(total)} of memory; this machine has {_gigabytes(free)} free"
            )


def least_memory(experiment: Experiment) -> dict[tuple[str, ...], int]:
    """Bytes that a run holds at once at the least, by the fields that they grow with.

    Points, weights with their gradients, hidden units of the readout's points, Gram matrices, and the spectra that are
    kept; not what comes and goes. Of a user's own network or data, only what is known beforehand.

    >>> needs = least_memory(Experiment(n=10_000, n_test=200, n_test_large=800, d=10**9))
    >>> round(needs["n", "d"] / 1e12), round(needs["h", "d"] / 1e12)  # terabytes
    (84, 12)
    """
    e, size = experiment, 8 if experiment.dtype == "float64" else 4
    if e.dataset is None:
        points = 2 * e.n + e.n_test + e.n_test_large if e.has_closed_form else e.n + e.n_test_large
        inputs, needs = e.d, {_of_points(e): points * e.d * size}
    else:
        modulus = modulus_of(e.dataset)
        inputs = 1 if ":" in e.dataset else _INPUTS_OF_IMAGES if modulus is None else 2 * modulus
        needs = {}
    if e.model is not None:
        return needs
    fan_ins = (inputs, *e.widths[:-1])
    entries = sum(h * fan_in for h, fan_in in zip(e.widths, fan_ins, strict=True))
    shorter = [min(shape) for shape in zip(e.widths, fan_ins, strict=True)]
    width = "layers" if e.layers else "h"
    needs[width, *(["d"] if e.dataset is None else [])] = 2 * entries * size
    needs[width, "record"] = 8 * sum(shorter) * len(e.recorded_steps)
    if e.has_closed_form:
        needs["n", width] = e.n * e.widths[-1] * size
        needs[(width,)] = 8 * e.widths[-1] ** 2
        needs["n", "kernels"] = 8 * e.n**2 * ("ntk" in e.kernels)
    return needs


_ALWAYS = 2**27  # bytes; for no more than these, nobody asks how much memory is free


def _of_points(e: Experiment) -> tuple[str, ...]:
    """The name of the field that counts the most points, and "d"."""
    counts = ("n", "n_test", "n_test_large") if e.has_closed_form else ("n", "n_test_large")
    return max(counts, key=lambda name: getattr(e, name)), "d"


def _value(e: Experiment, name: str) -> str:
    value = getattr(e, name)
    if isinstance(value, tuple):
        return f"{list(value)!r:.80}" if len(value) < 20 else f"({len(value):,} of them)"
    return str(value)


def _gigabytes(count: float) -> str:
    return f"{count / 1e9:,.2g} GB" if count < 1e11 else f"{count / 1e9:,.0f} GB"
