"""Everything one spectrum says: pure functions of tensors and arrays, on any device.

Not here: files, models, drawings.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
