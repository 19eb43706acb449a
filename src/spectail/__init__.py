"""How the spectrum of a neural network's weights evolves while it trains."""

import sys as _sys

import lazy_loader as _lazy

_public, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)


def __getattr__(name):
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version(__name__)
        except PackageNotFoundError:  # a source tree that was not installed, as a cluster's workers may have it
            return "unknown"
    return _public(name)


class _Moved:
    """Python asks it last, for a module that has no file: one of the last release, maybe."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.startswith("spectail."):
            from spectail import moved

            return moved.find_spec(name)
        return None


_sys.meta_path.append(_Moved)
