"""What a user can mend, in a sentence.

Not here: how they are printed (`cli/__init__.py`), and errors that one file alone raises and catches.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class SpectailError(ValueError):
    """Something that the user can mend; the text is one sentence that says how."""


class SourceError(SpectailError):
    """Where weights or images are read from: a file, a folder, a format, a model."""


class SettingError(SpectailError):
    """An option, a field of an experiment, a grid."""


class StoreError(SpectailError):
    """Files that spectail wrote: a store, a recording, a journal."""


class MissingPackageError(SpectailError, ImportError):
    """A package that not everybody needs is not installed; the text says what brings it."""


_EXTRAS = {
    "netCDF4": "files",
    "matplotlib": "plots",
    "jinja2": "pages",
    "markupsafe": "pages",
    "PIL": "pages",
    "lightning": "lightning",
    "transformers": "transformers",
    "pytorch_optimizer": "optimizers",
    "schedulefree": "optimizers",
    "ray": "ray",
    "huggingface_hub": "hub",
    "gguf": "gguf",
    "h5py": "keras",
    "onnx": "onnx",
    "torchvision": "vision",
    "sklearn": "vision",
}
"""Packages that a plain install does not bring, as they are imported, and the extra of pyproject.toml that does."""


@contextmanager
def naming_the_extra(who: str) -> Iterator[None]:
    """Say which extra brings a package, where one is imported that is not installed.

    Args:
        who: what needs the package.

    Raises:
        MissingPackageError: a package that an extra brings is not installed.

    >>> with naming_the_extra("a picture"):
    ...     raise ModuleNotFoundError(name="matplotlib.figure")
    Traceback (most recent call last):
    spectail.errors.MissingPackageError: a picture needs matplotlib, which ... 'spectail[plots]'
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        if package not in _EXTRAS:
            raise
        sentence = f"{who} needs {package}, which is not installed: pip install 'spectail[{_EXTRAS[package]}]'"
        raise MissingPackageError(sentence) from None


_MOST, _SHOWN = 60, 8  # up to so many known names are all told; of more, so many that are alike


class NewerVersionError(StoreError):
    """A file of a newer spectail, which is whole and is to be left as it is."""


def unknown_name(field: str, value: object, known: Iterable[str]) -> str:
    """One sentence that says which names are known, and the nearest one.

    >>> unknown_name("teacher", "sofplus", ("softplus", "tanh"))
    "teacher='sofplus' is not known; did you mean 'softplus'? (softplus, tanh)"
    >>> unknown_name("optimizer", "adm", ("adam", "Adam"))
    "optimizer='adm' is not known; did you mean 'adam'? (adam, Adam)"
    """
    names = list(known)
    folded = {name.lower(): name for name in reversed(names)}  # of two that differ in their case, the first
    near = difflib.get_close_matches(str(value).lower(), folded, n=_SHOWN, cutoff=0.5)
    if len(names) > _MOST:
        shown = [folded[one] for one in near] or names[:_SHOWN]
        names = [*shown, f"… of {len(names)}"]
    hint = f"; did you mean '{folded[near[0]]}'?" if near else "; known names are"
    return f"{field}={value!r:.80} is not known{hint} ({', '.join(names)})"


def first_line(error: BaseException) -> str:
    """The first line of what an error says; its kind where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def kind_and_first_line(error: BaseException) -> str:
    """What an error of somebody else's code is, and says.

    >>> kind_and_first_line(KeyError("w")), kind_and_first_line(MemoryError())
    ("KeyError: 'w'", 'MemoryError')
    """
    kind, line = type(error).__name__, first_line(error)
    return kind if line == kind else f"{kind}: {line:.200}"


def complaint(error: ValidationError, fields: Iterable[str]) -> str:
    """The first complaint of pydantic as one sentence that names the field and the value.

    Args:
        error: of pydantic.
        fields: of the model that it is about.
    """
    fields, first = list(fields), error.errors()[0]
    message, value = first["msg"], first.get("input")
    field = ".".join(str(part) for part in first["loc"] if part in fields)
    match first["type"]:
        case "value_error":
            return message.removeprefix("Value error, ")
        case "extra_forbidden":
            return unknown_name("field", first["loc"][0], fields)
        case "literal_error" | "enum":
            expected = str(first.get("ctx", {}).get("expected", "")).replace("'", "").replace(" or ", ", ")
            return unknown_name(field, value, expected.split(", "))
        case "int_parsing" | "int_from_float" | "int_type":
            return f"{field}={value!r:.80} is not a whole number"
    return f"{field}={value!r:.80} is not valid; {message[0].lower()}{message[1:]}"
