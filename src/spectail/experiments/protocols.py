"""What `published` and `equations` mean, in the order in which they are shown.

Not here: where each convention acts. Their fields are those of `Experiment`.
"""

from __future__ import annotations

from typing import Any, Literal

Protocol = Literal["published", "equations"]

# What separates the method as the paper's published program ran it from the method as its text states it.
# They give different losses and, for some claims, different verdicts.
PROTOCOLS: dict[Protocol, dict[str, Any]] = {
    "published": {
        "loss_factor": 1.0,
        "bias_correction": True,
        "feature_scale": "extra_sqrt_d",
        "normalize_when": "before_forward",
    },
    "equations": {
        "loss_factor": 0.5,
        "bias_correction": False,
        "feature_scale": "model",
        "normalize_when": "after_update",
    },
}

DEFAULT: Protocol = "equations"
"""The protocol of an experiment that names none."""

PLAIN: Protocol = "published"
"""The one whose pictures have plain names, and whose settings the paper's figures were made under."""

CONVENTIONS = tuple(PROTOCOLS[DEFAULT])
"""The fields that a protocol sets."""
