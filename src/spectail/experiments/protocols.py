"""What `equations` and `published` mean."""

from __future__ import annotations

from typing import Any

# What separates the method as the paper's text states it from the method as its published program
# ran it. They give different losses and, for some claims, different verdicts.
PROTOCOLS: dict[str, dict[str, Any]] = {
    "equations": {
        "loss_factor": 0.5,
        "bias_correction": False,
        "feature_scale": "model",
        "normalize_when": "after_update",
    },
    "published": {
        "loss_factor": 1.0,
        "bias_correction": True,
        "feature_scale": "extra_sqrt_d",
        "normalize_when": "before_forward",
    },
}
