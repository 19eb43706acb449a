"""Which settings of the paper's experiments may have other values in a figure.

Not here: the settings themselves, and what takes their place (`settings.py`). The help of the command line
needs this alone.
"""

from __future__ import annotations

from spectail.experiments.experiment import Experiment
from spectail.experiments.fields import OF_NETWORK

OF_THE_FIGURE = ("steps", "record", "overlaps", "seed", "protocol", "numerics", "layers", "kernels")
"""What a figure decides by itself: it would be another with other values."""

SETTABLE = tuple(name for name in Experiment.model_fields if name not in (*OF_THE_FIGURE, *OF_NETWORK))
"""The fields of an experiment that may have other values than the paper's."""
