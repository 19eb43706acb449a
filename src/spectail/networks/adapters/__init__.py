"""The monitor as a callback of Lightning and of the Hugging Face Trainer; each needs its library."""

from __future__ import annotations

from typing import Any

_CALLBACKS = {"SpectralCallback": "lightning", "SpectralTrainerCallback": "transformers"}

__all__ = ["SpectralCallback", "SpectralTrainerCallback"]


def __getattr__(name: str) -> Any:
    """A callback, when it is asked for; its library may be missing."""
    import importlib

    if name not in _CALLBACKS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    library = _CALLBACKS[name]
    try:
        return getattr(importlib.import_module(f"{__name__}.{library}"), name)
    except ModuleNotFoundError as error:
        raise ImportError(
            f"{name} needs {error.name}, which is not installed: pip install 'spectail[{library}]'"
        ) from error
