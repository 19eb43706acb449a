"""How the spectrum of a neural network's weights evolves while it trains.

Not here: definitions; `__init__.pyi` says which file has each public name.
"""

import sys as _sys

import lazy_loader as _lazy

_public, _, _names = _lazy.attach_stub(__name__, __file__)
__all__ = [name for name in _names if name not in ("SpectralCallback", "SpectralTrainerCallback")]  # need a trainer

_OLD = ("Training", "open_monitor", "open_results", "open_run", "pl_alpha_hill", "train")
"""Names of the last release, which work and are not offered."""


def __dir__():
    return [name for name in _names if name not in _OLD]


def __getattr__(name):
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version(__name__)
        except PackageNotFoundError:  # a source tree that was not installed, as a cluster's workers may have it
            return "unknown"
    from spectail.errors import naming_the_extra

    with naming_the_extra(f"spectail.{name}"):
        return _public(name)


class _Moved:
    """Finds modules of the last release; Python asks it last, for a module that has no file."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.startswith("spectail."):
            from spectail import moved

            return moved.find_spec(name)
        return None


_sys.meta_path.append(_Moved)
