"""What the spectrum of one matrix says. Pure functions of tensors, on any device."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
