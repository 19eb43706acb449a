"""How learning rates scale with the width in the maximal-update parametrisation, µP (Yang et al. 2022).

Not here: how weights are drawn in it (two_layer/problem.py), and the layers that an experiment has (`experiment`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

_LINEAR_UPDATES = ("gd", "SGD")
_UNIT_UPDATES = ("adam", "sign", "Lion", "Adam", "AdamW", "NAdam", "RAdam", "Adamax", "RMSprop", "Adagrad")


def mup_factors(optimizer: str, widths: Sequence[int]) -> list[float] | None:
    """The factor of the learning rate of each layer: W₁, hidden layers, and a (Table 3 there, for f = aᵀσ/√h).

    Args:
        optimizer: its name, in any case.
        widths: of the hidden layers, from the input on.

    Returns:
        one factor for each hidden layer and one for a; None where it is not known how the updates of this optimizer
        scale: whether they are in proportion to the gradient, or have entries about 1.

    >>> mup_factors("gd", [300]), mup_factors("adam", [100, 400])
    ([300.0, 1.0], [1.0, 0.01, 0.05])
    >>> mup_factors("Muon", [300]) is None
    True
    """
    name = optimizer.lower()
    if name in (known.lower() for known in _LINEAR_UPDATES):
        return [float(widths[0]), *(1.0 for _ in widths[1:]), 1.0]
    if name in (known.lower() for known in _UNIT_UPDATES):
        return [1.0, *(1.0 / fan_in for fan_in in widths[:-1]), 1.0 / math.sqrt(widths[-1])]
    return None


def mup_bias_factors(optimizer: str, widths: Sequence[int]) -> list[float] | None:
    """The factor of the learning rate of each hidden layer's biases: as of an input layer of that width.

    Args:
        optimizer: as for `mup_factors`.
        widths: likewise.

    >>> mup_bias_factors("gd", [300, 200]), mup_bias_factors("adam", [300, 200])
    ([300.0, 200.0], [1.0, 1.0])
    """
    of_layers = [mup_factors(optimizer, [width]) for width in widths]
    return [factors[0] for factors in of_layers if factors] or None
