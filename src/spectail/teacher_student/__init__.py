"""The paper's two-layer laboratory: a student learns a single-index teacher."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
