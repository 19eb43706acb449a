"""Options that are one of a few words, and are asked for wherever matrices are measured: checked here, and only here.

Not here: what the words do.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spectail.errors import SettingError, unknown_name

NULLS = ("gaussian", "full", "none")

_EXISTING = ("resume", "replace", "refuse")


def checked_nulls(nulls: object, known: Sequence[str] = NULLS) -> str | bool:
    """What to compare with, checked.

    Args:
        nulls: one of the words; False is "none", and True is "gaussian".
        known: the words that are possible.

    Returns:
        the word; False for "none".

    Raises:
        SettingError: it is not known.

    >>> checked_nulls("full"), checked_nulls("none"), checked_nulls(True)
    ('full', False, 'gaussian')
    """
    word = {True: "gaussian", False: "none"}[bool(nulls)] if isinstance(nulls, bool | np.bool_) else nulls
    if word not in known:
        raise SettingError(unknown_name("nulls", nulls, known))
    return False if word == "none" else str(word)


def check_existing(existing: object) -> None:
    """Refuse an unknown word for what is done with what is there already.

    Raises:
        SettingError: it is not known.
    """
    if existing not in _EXISTING:
        raise SettingError(unknown_name("existing", existing, _EXISTING))
