"""The names that an experiment may use, free of torch, so that the command line starts at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

ACTIVATION_NAMES = (
    "softplus",
    "tanh",
    "relu",
    "gelu",
    "erf",
    "sigmoid",
    "identity",
    "sine",
    "he0",
    "he1",
    "he2",
    "he3",
    "he4",
)
UPDATE_NAMES = ("gd", "adam", "sign")
PROBLEM_FIELDS = ("n", "n_test", "n_test_large", "d", "h", "teacher", "label_noise", "initialization", "dtype", "seed")
"""The fields of an experiment that decide its problem: teacher, data and initial weights."""


def unknown_name(field: str, value: object, known: Iterable[str]) -> str:
    """One sentence that says which names are known, and the nearest one.

    >>> unknown_name("teacher", "sofplus", ("softplus", "tanh"))
    "teacher='sofplus' is not known; did you mean 'softplus'? (softplus, tanh)"
    """
    names = list(known)
    folded = {name.lower(): name for name in names}
    near = difflib.get_close_matches(str(value).lower(), folded, n=1, cutoff=0.5)
    hint = f"; did you mean '{folded[near[0]]}'?" if near else "; known names are"
    return f"{field}={value!r} is not known{hint} ({', '.join(names)})"
