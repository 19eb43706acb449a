"""The way from a source to its matrices: read, split, make; and models by the name of what makes them.

Here: which step comes when. Not here: what any step does.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from spectail.errors import MissingPackageError, SettingError, SourceError, kind_and_first_line, naming_the_extra
from spectail.weights.by_module import read_module, split_by_module
from spectail.weights.by_name import split_by_name
from spectail.weights.folders import read_file
from spectail.weights.heads import with_heads
from spectail.weights.matrix import ConvMatrix, Weights
from spectail.weights.parameter import Source, make_weights
from spectail.weights.remote import is_remote, read_remote
from spectail.weights.splitting import Splitting, in_one
from spectail.weights.state_dict import as_in_the_model, read_mapping

PATTERN = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


def open_weights(
    source: Any, conv: ConvMatrix | str = ConvMatrix.KERNEL_SLICES, *, key: str | None = None, heads: bool = False
) -> Weights:
    """The matrices of a model, without reading them yet.

    Args:
        source: a module; a state dict; the path of a `.safetensors` file, of a `.pt`, `.pth` or `.bin` state dict, of
            the index of a sharded checkpoint, or of a folder that holds one of these; "hub:owner/name[@revision]" of
            the Hugging Face hub, with "/file" or "/folder" where one is meant; an address, as "https://…", "s3://…";
            or "package.module:factory". Of what lies elsewhere only headers and the tensors asked for are read.
        conv: how a convolution's kernel becomes matrices.
        key: of the state dict that is meant, in a checkpoint that holds several; by default the model's, or all.
        heads: whether the QK and OV circuits of attention heads have rows as well, where their number is known.

    Returns:
        what it holds, in the order of definition.

    Raises:
        SettingError: conv is not known.
        SourceError: the source is none of these, or a file is not what it says it is.
        OSError: a file cannot be read.
    """
    conv = _checked(conv)
    parameters = _read(source, key)
    weights = make_weights(parameters, _split(parameters, conv))
    return with_heads(weights, parameters) if heads else weights


def open_module(
    module: nn.Module, conv: ConvMatrix | str = ConvMatrix.KERNEL_SLICES
) -> tuple[Weights, dict[str, weakref.ref[Any]]]:
    """The matrices of a module, and what holds the values of each parameter, so that another one in its place is known.

    Args:
        module: any; its parameters may lie in pieces on several processes.
        conv: how a convolution's kernel becomes matrices.

    Returns:
        the matrices; and of each parameter, by name, a weak reference to it, or to its module where it is computed.

    Raises:
        SettingError: conv is not known.
    """
    conv = _checked(conv)
    source = read_module(module, in_pieces=True)
    assert source.modules is not None
    holders: dict[str, weakref.ref[Any]] = {}
    for parameter in source.parameters:
        path, _, local = parameter.name.rpartition(".")
        owner, _ = source.modules.get(path, (module, None))
        own = owner._parameters.get(local)
        holders[parameter.name] = weakref.ref(owner if own is None else own)
    return make_weights(source, split_by_module(source, conv)), holders


def _checked(conv: ConvMatrix | str) -> ConvMatrix:
    if conv not in list(ConvMatrix):
        raise SettingError(f"conv={conv!r} is not known; expected {' or '.join(ConvMatrix)}")
    return ConvMatrix(conv)


def open_whole(source: Any) -> Weights:
    """The parameters of a model as the matrices that adapters add to, without reading them yet.

    Args:
        source: as for `open_weights`.

    Returns:
        one matrix a parameter: fused layers in one, kernels as out × everything, tied ones under each of their names.

    Raises:
        SourceError: as `open_weights`.
        OSError: a file cannot be read.
    """
    read = _read(source, None)
    untied = replace(read, parameters=[replace(one, memory=None) for one in read.parameters])
    splittings = _split(untied, ConvMatrix.FLATTEN)
    pairs = zip(splittings, untied.parameters, strict=True)
    return make_weights(untied, [one if isinstance(one, str) else in_one(one, of.shape) for one, of in pairs])


def _split(source: Source, conv: ConvMatrix) -> list[Splitting | str]:
    """How each parameter becomes matrices: by the class of its module, or by its name."""
    return (split_by_name if source.modules is None else split_by_module)(source, conv)


def _read(source: Any, key: str | None) -> Source:
    """Read a source, whatever kind it is."""
    title = ""
    if isinstance(source, str) and not source.strip():  # a variable of the shell that is not set; Path("") is here
        raise SourceError(f"source={source!r} is empty; expected a path, hub:owner/name, or package.module:factory")
    if is_remote(source):
        return as_in_the_model(read_remote(source, key))
    if isinstance(source, str) and ":" in source and not os.path.exists(source):
        title, source = source, call_factory(source)
    if isinstance(source, nn.Module) and key is None:
        return read_module(source, title)
    if isinstance(source, nn.Module):
        raise SourceError(f"a module has no keys; expected key=None, not {key!r:.80}")
    if isinstance(source, Mapping):
        return as_in_the_model(read_mapping(source, title or "state dict", key))
    if isinstance(source, str | os.PathLike):
        return as_in_the_model(read_file(Path(source), key))
    raise SourceError(f"a {type(source).__name__} is no source of weights; expected a module, a state dict or a path")


def call_factory(name: str) -> nn.Module | Mapping[Any, Any]:
    """What a factory returns; modules of the current folder can be named.

    Args:
        name: "package.module:factory"; the factory is called without arguments.

    Returns:
        the module or state dict.

    Raises:
        SourceError: the module cannot be imported, has no such factory, or the factory fails or returns anything else.
    """
    if not PATTERN.fullmatch(name):
        raise SourceError(f"{name!r} is neither a file nor package.module:factory")
    what, factory = name.partition(":")[2], object_by_name(name)
    if not callable(factory):
        raise SourceError(f"{name}: {what} is a {type(factory).__name__}, not a function that makes a model")
    result = call_by_name(name, factory)
    if not isinstance(result, nn.Module | Mapping):
        raise SourceError(f"{name}: {what}() returned a {type(result).__name__}; expected a module or a state dict")
    return result


def call_by_name(name: str, function: Callable[[], Any]) -> Any:
    """What a user's own function gives, which may import modules of the current folder.

    Args:
        name: of the function, as for `object_by_name`.
        function: what has that name.

    Raises:
        SourceError: it fails.
    """
    try:
        with _current_folder():
            return function()
    except (Exception, SystemExit) as error:  # whatever a user's own function raises
        raise SourceError(f"{name}: {name.partition(':')[2]}() failed: {kind_and_first_line(error)}") from error


def object_by_name(name: str) -> Any:
    """What package.module:object names; modules of the current folder can be named.

    Raises:
        SourceError: the module cannot be imported, or has no such object.
        MissingPackageError: it is of a package that an extra brings, and is not installed.
    """
    where, _, what = name.partition(":")
    try:
        with _current_folder(), naming_the_extra(name):
            value: Any = importlib.import_module(where)
    except MissingPackageError:
        raise
    except (Exception, SystemExit) as error:  # importing runs a user's own code
        raise SourceError(f"{name}: {where} cannot be imported: {kind_and_first_line(error)}") from error
    for step in what.split("."):
        if not hasattr(value, step):
            raise SourceError(f"{name}: {where} has no {what}")
        value = getattr(value, step)
    return value


@contextmanager
def _current_folder() -> Iterator[None]:
    """Inside, modules of the current folder can be imported."""
    here = str(Path.cwd())
    added = here not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        yield
    finally:
        if added and here in sys.path:
            sys.path.remove(here)
