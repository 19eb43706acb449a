"""Learning rates of layers by the tails of their spectra, as TempBalance and its successors set them.

Not here: what measures the layers (model.py), and the optimizer that is given the rates.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectail.errors import SettingError, unknown_name
from spectail.recording.argument import as_recording
from spectail.recording.layout import frame

UNREMARKABLE = 3.0
"""|z| of a Hill exponent below which a layer is as one untrained: its exponent says nothing of its training."""


def layer_rates(
    x: Any,
    rule: str = "linear",
    *,
    low: float = 0.5,
    high: float = 1.5,
    null_guard: bool = True,
    shuffled: int | None = None,
) -> dict[str, float]:
    """Multipliers of the learning rate, by the name of the matrix: less for heavier tails.

    Args:
        x: an `Analysis`, or a recording of which the last step counts.
        rule: "linear" from `low` at the smallest α_H to `high` at the largest; "sqrt" or "log2", in proportion to √α_H
            or log₂ α_H, 1 on average.
        low: of "linear".
        high: of "linear".
        null_guard: give 1 to a layer whose exponent is that of an untrained matrix of its shape, |z| < 3. False is the
            rule as published.
        shuffled: a seed: the same multipliers, given to layers at random. It is what a gain must be compared with: else
            it may be due to unequal learning rates as such.

    Raises:
        SettingError: the rule is not known, or no layer has an exponent.

    Source: Zhou et al. (2023), 2312.00359, TempBalance; its code's tb_linear_map, tb_sqrt and tb_log2.

    >>> import spectail, torch
    >>> analysis = spectail.analyze({"a.weight": torch.randn(90, 60), "b.weight": torch.randn(90, 60).exp()})
    >>> rates = layer_rates(analysis)
    >>> rates["a.weight"], rates["b.weight"]  # a is as untrained, whatever its exponent
    (1.0, 0.5)
    """
    table = frame(as_recording(x))
    names, alphas = [str(name) for name in table["name"]], table["pl_alpha_hill"].to_numpy(float, na_value=np.nan)
    known = np.isfinite(alphas)
    if not known.any():
        raise SettingError("no layer has a Hill exponent to set a learning rate by")
    rates = np.ones(len(alphas))
    rates[known] = _multipliers(alphas[known], rule, low, high)
    if null_guard:
        z = table["z_hill"].to_numpy(float, na_value=np.nan)
        rates[~(np.abs(z) >= UNREMARKABLE)] = 1.0
    if shuffled is not None:
        rates = np.random.default_rng(shuffled).permutation(rates)
    return dict(zip(names, rates.tolist(), strict=True))


def _multipliers(alphas: NDArray[np.float64], rule: str, low: float, high: float) -> NDArray[np.float64]:
    if rule == "linear":
        span = float(np.ptp(alphas))
        return low + (high - low) * (alphas - alphas.min()) / span if span > 0 else np.ones(len(alphas))
    if rule not in ("sqrt", "log2"):
        raise SettingError(unknown_name("rule", rule, ("linear", "sqrt", "log2")))
    weights = np.sqrt(alphas) if rule == "sqrt" else np.log2(alphas)
    return np.asarray(weights / weights.mean())
