"""What `published` and `equations` mean, in the order in which they are shown.

Not here: where each convention acts. Their fields are those of `Experiment`.
"""

from __future__ import annotations

from typing import Any, Literal

Protocol = Literal["published", "equations"]

# What separates the method as the paper's published program ran it from the method as its text states it.
# They give different losses and, for some claims, different verdicts. The text says ε ≈ 0 (App. B). Both have had the
# program's ε since numerics 1, and the equations will have NO_EPSILON with the next; until then it is said by name.
PROTOCOLS: dict[Protocol, dict[str, Any]] = {
    "published": {
        "loss_factor": 1.0,
        "bias_correction": True,
        "epsilon": 1e-8,
        "feature_scale": "extra_sqrt_d",
        "normalize_when": "before_forward",
    },
    "equations": {
        "loss_factor": 0.5,
        "bias_correction": False,
        "epsilon": 1e-8,
        "feature_scale": "model",
        "normalize_when": "after_update",
    },
}

NO_EPSILON = 1e-20
"""ε → 0 as float32 can have it: below every √V that is not 0, and not itself 0, since entries without a gradient
would be 0/0."""

DEFAULT: Protocol = "equations"
"""The protocol of an experiment that names none."""

PLAIN: Protocol = "published"
"""The protocol whose pictures have plain names; the paper's figures were made under it."""

CONVENTIONS = tuple(PROTOCOLS[DEFAULT])
"""The fields that a protocol sets."""
