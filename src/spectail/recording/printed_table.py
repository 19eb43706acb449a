"""A table of matrices that shows exponents and phases when it is printed and pandas leaves out its middle.

Not here: what is in it (`layout.frame`).
"""

from __future__ import annotations

from typing import Any

import pandas as pd

_FIRST, _LAST = ("name", "pl_alpha_hill"), ("z_hill", "phase")


class PrintedTable(pd.DataFrame):
    """A DataFrame with its columns in the order of the table of quantities, but where it is shown.

    What is selected or computed of it is a plain DataFrame.

    >>> import numpy as np
    >>> PrintedTable(np.ones((1, 3)), columns=["name", "phase", "pl_alpha_hill"])
       name  pl_alpha_hill  phase
    0   1.0            1.0    1.0
    """

    @property
    def _constructor(self) -> Any:
        return pd.DataFrame

    def _as_shown(self) -> pd.DataFrame:
        ends = {*_FIRST, *_LAST}
        between = [column for column in self.columns if column not in ends]
        order = [*_FIRST, *between, *_LAST]
        return pd.DataFrame(self)[[column for column in order if column in self.columns]]

    def __repr__(self) -> str:
        return repr(self._as_shown())

    def _repr_html_(self) -> Any:
        return self._as_shown()._repr_html_()
