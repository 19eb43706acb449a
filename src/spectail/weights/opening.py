"""Models by the name of what makes them: package.module:factory."""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from spectail.errors import SourceError
from spectail.weights.matrix import ConvMatrix, Weights

PATTERN = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


def call_factory(name: str) -> nn.Module | Mapping[Any, Any]:
    """What a factory returns; modules of the current folder can be named.

    Args:
        name: "package.module:factory"; the factory is called without arguments.

    Returns:
        the module or state dict.

    Raises:
        ValueError: the module cannot be imported, has no such factory, or the factory fails or returns anything else.
    """
    if not PATTERN.fullmatch(name):
        raise SourceError(f"{name!r} is neither a file nor package.module:factory")
    where, _, what = name.partition(":")
    here = str(Path.cwd())
    added = here not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        factory = _found(name, where, what)
        if not callable(factory):
            raise SourceError(f"{name}: {what} is a {type(factory).__name__}, not a function that makes a model")
        try:
            result = factory()
        except (Exception, SystemExit) as error:  # whatever a user's own function raises
            raise SourceError(f"{name}: {what}() failed: {_said(error)}") from error
    finally:
        if added and here in sys.path:
            sys.path.remove(here)
    if not isinstance(result, nn.Module | Mapping):
        raise SourceError(f"{name}: {what}() returned a {type(result).__name__}; expected a module or a state dict")
    return result


def _found(name: str, where: str, what: str) -> Any:
    try:
        found: Any = importlib.import_module(where)
    except (Exception, SystemExit) as error:  # importing runs a user's own code
        raise SourceError(f"{name}: {where} cannot be imported: {_said(error)}") from error
    for step in what.split("."):
        if not hasattr(found, step):
            raise SourceError(f"{name}: {where} has no {what}")
        found = getattr(found, step)
    return found


def _said(error: BaseException) -> str:
    first = str(error).strip().splitlines()
    return f"{type(error).__name__}: {first[0]:.200}" if first else type(error).__name__


def open_weights(source: Any, conv: ConvMatrix | str = ConvMatrix.KERNEL_SLICES) -> Weights:
    """The matrices of a model, without reading them yet.

    Args:
        source: a module; a state dict; the path of a `.safetensors` file, of a `.pt`, `.pth` or `.bin` state dict, of
            the index of a sharded checkpoint, or of a folder that holds one of these; or "package.module:factory".
        conv: how a convolution's kernel becomes matrices.

    Returns:
        what it holds, in the order of definition.

    Raises:
        ValueError: the source is none of these, or a file is not what it says it is.
        OSError: a file cannot be read.
    """
    from torch import nn

    from spectail.weights.by_module import module_weights
    from spectail.weights.folders import file_weights
    from spectail.weights.state_dict import state_weights

    try:
        how = ConvMatrix(conv)
    except ValueError:
        raise SourceError(f"conv={conv!r} is not known; expected {' or '.join(ConvMatrix)}") from None
    title = ""
    if isinstance(source, str) and ":" in source and not os.path.exists(source):
        title, source = source, call_factory(source)
    if isinstance(source, nn.Module):
        return module_weights(source, how, title)
    if isinstance(source, Mapping):
        return state_weights(source, how, title or "state dict")
    if isinstance(source, str | os.PathLike):
        return file_weights(Path(source), how)
    raise SourceError(f"a {type(source).__name__} is no source of weights; expected a module, a state dict or a path")
