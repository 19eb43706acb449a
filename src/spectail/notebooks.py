"""How a result shows itself in a notebook and at a prompt: the answer first, then what it rests on.

Not here: tables of many matrices, which `analysis/summary.py` shows.
"""

from __future__ import annotations

import math
from html import escape


class Answered:
    """A dataclass that says in words what it found, where it is shown.

    >>> from dataclasses import dataclass
    >>> @dataclass(repr=False)
    ... class Fit(Answered):
    ...     alpha: float = 2.5
    ...     note: str = ""
    ...
    ...     def in_words(self) -> str:
    ...         return f"α = {self.alpha} > 2"
    >>> Fit()
    <Fit: α = 2.5 > 2>
    >>> Fit()._repr_html_()
    '<b>α = 2.5 &gt; 2</b><table><tr><th>alpha</th><td>2.5</td></tr></table>'
    """

    def in_words(self) -> str:
        """The answer, in a line."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.in_words()}>"

    def _repr_html_(self) -> str:
        shown = {name: _text(value) for name, value in vars(self).items()}
        rows = "".join(f"<tr><th>{name}</th><td>{escape(text)}</td></tr>" for name, text in shown.items() if text)
        return f"<b>{escape(self.in_words())}</b><table>{rows}</table>"


def _text(value: object) -> str:
    """A value as text; empty where it says nothing."""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.4g}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(part)}" for name, part in value.items())
    return "" if value is None else str(value)
