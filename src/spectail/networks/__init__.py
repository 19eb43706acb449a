"""The spectra of any PyTorch model: its matrices, one row each, and a monitor while it trains."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
