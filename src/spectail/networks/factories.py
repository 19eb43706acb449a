"""Models by the name of what makes them: package.module:factory."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

PATTERN = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


def made(name: str) -> nn.Module | Mapping[Any, Any]:
    """What a factory returns; modules of the current folder can be named.

    Args:
        name: "package.module:factory"; the factory is called without arguments.

    Returns:
        the module or state dict.

    Raises:
        ValueError: the module cannot be imported, has no such factory, or the factory fails or returns anything else.
    """
    if not PATTERN.fullmatch(name):
        raise ValueError(f"{name!r} is neither a file nor package.module:factory")
    where, _, what = name.partition(":")
    here = str(Path.cwd())
    added = here not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        factory = _found(name, where, what)
        if not callable(factory):
            raise ValueError(f"{name}: {what} is a {type(factory).__name__}, not a function that makes a model")
        try:
            result = factory()
        except (Exception, SystemExit) as error:  # whatever a user's own function raises
            raise ValueError(f"{name}: {what}() failed: {_said(error)}") from error
    finally:
        if added and here in sys.path:
            sys.path.remove(here)
    if not isinstance(result, nn.Module | Mapping):
        raise ValueError(f"{name}: {what}() returned a {type(result).__name__}; expected a module or a state dict")
    return result


def _found(name: str, where: str, what: str) -> Any:
    try:
        found: Any = importlib.import_module(where)
    except (Exception, SystemExit) as error:  # importing runs a user's own code
        raise ValueError(f"{name}: {where} cannot be imported: {_said(error)}") from error
    for step in what.split("."):
        if not hasattr(found, step):
            raise ValueError(f"{name}: {where} has no {what}")
        found = getattr(found, step)
    return found


def _said(error: BaseException) -> str:
    first = str(error).strip().splitlines()
    return f"{type(error).__name__}: {first[0]:.200}" if first else type(error).__name__
