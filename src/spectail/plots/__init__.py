"""Recordings and results as matplotlib axes.

Not here: what is measured, and pages.
"""

import lazy_loader as _lazy

_public, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)


def __getattr__(name):
    from spectail.errors import naming_the_extra

    with naming_the_extra(f"{__name__}.{name}"):
        return _public(name)
