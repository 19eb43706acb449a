"""Numbers and spectra in few bytes, as the script of a page reads them (`base.js`, `spectra.js`).

Arrays stand one behind the other, deflated together, each with the first bytes of all its numbers first, which makes
alike bytes neighbours. A spectrum is how many eigenvalues lie in each cell of a grid of log λ, the same for all spectra
of a page, with its largest eigenvalues singly. Not here: what goes into a page.
"""

from __future__ import annotations

import base64
import math
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_CELLS = 16_000_000
"""Of all spectra of a page together."""

_FINE, _COARSE = 120, 40  # cells a decade of a page with few spectra, and with many

_MANY = 3000  # spectra from which the coarse grid is taken

_DECADES = 10  # below the largest eigenvalue; what lies lower is zero to rounding

_REACH = 60  # decades to both sides of one that spectra may lie in

_USUAL_DECADES = 6  # that a spectrum takes

_SINGLY = 40  # the most eigenvalues of a spectrum that are kept as they are

_KEPT_BITS = 15  # of the 23 of a float32's fraction: four to five digits


class PackedArrays:
    """Arrays for the script of a page.

    >>> arrays = PackedArrays()
    >>> arrays.add(np.array([1, 2, 300]))
    {'at': 0, 'n': 3, 'type': 'u2'}
    >>> len(arrays.text()) < 60
    True
    """

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, values: NDArray[Any]) -> dict[str, Any]:
        """Keep an array: numbers with a fraction to five digits, whole ones in as few bytes as they need.

        Args:
            values: of any shape, NaN where nothing is known; they are kept row after row.

        Returns:
            where the script finds it.
        """
        flat = np.asarray(values).ravel()
        kind = "f4" if flat.dtype.kind == "f" else _whole(flat)
        packed = _rounded(flat) if kind == "f4" else flat.astype(f"<{kind}")
        data = packed.view(np.uint8).reshape(len(packed), packed.itemsize).T.tobytes()
        at, self._size = self._size, self._size + len(data)
        self._parts.append(data)
        return {"at": at, "n": len(packed), "type": kind}

    def text(self) -> str:
        """All arrays, for a script of a page."""
        return base64.b64encode(zlib.compress(b"".join(self._parts), 3)).decode()


def _whole(values: NDArray[Any]) -> str:
    """The least type that holds whole numbers."""
    low, high = (int(values.min()), int(values.max())) if len(values) else (0, 0)
    types = ("i2", "i4") if low < 0 else ("u1", "u2", "u4")
    return next(name for name in types if np.iinfo(name).min <= low and high <= np.iinfo(name).max)


def _rounded(values: NDArray[Any]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        bits = values.astype("<f4").view("<u4")
    dropped = 23 - _KEPT_BITS
    bits = np.where(
        np.isfinite(values), bits + (1 << (dropped - 1)) >> dropped << dropped, np.float32("nan").view("u4")
    )
    rounded: NDArray[np.float32] = bits.astype("<u4").view("<f4")
    return rounded


def cells_a_decade(spectra: int) -> int:
    """How fine the grid of a page is.

    Args:
        spectra: how many it shows.
    """
    return _FINE if spectra < _MANY else _COARSE


def spectra_with_room(cells: int) -> int:
    """How many spectra a page has room for.

    Args:
        cells: of its grid, a decade.
    """
    return MOST_CELLS // (cells * _USUAL_DECADES)


class PackedSpectra:
    """Spectra for the script of a page, numbered as they are added.

    Args:
        cells: of the grid, a decade.
    """

    def __init__(self, cells: int) -> None:
        self._cells = cells
        self._bounds: dict[np.dtype[Any], NDArray[Any]] = {}
        self._first: list[int] = []
        self._sizes: list[int] = []
        self._below: list[NDArray[np.int64]] = []
        self._largest: list[NDArray[Any]] = []

    def add(self, spectra: NDArray[Any], n_spikes: NDArray[Any] | None = None) -> NDArray[np.int64]:
        """Keep some spectra.

        Args:
            spectra: one a row, ascending, with NaN before the eigenvalues of a shorter one.
            n_spikes: how many of the largest are wanted singly, if they are not too many; one is in any case.

        Returns:
            the number of each; −1 where nothing of it can be drawn.
        """
        numbers = np.full(len(spectra), -1)
        missing = np.isnan(spectra).sum(axis=1)
        wanted = np.ones(len(spectra)) if n_spikes is None else np.clip(np.nan_to_num(n_spikes), 1, _SINGLY)
        top = spectra[:, -1].astype(float) if spectra.shape[1] else np.full(len(spectra), np.nan)
        drawable = (top > 10.0 ** (_DECADES - _REACH)) & (top < 10.0**_REACH)
        bounds = self._bounds_in(spectra.dtype)
        for at in np.flatnonzero(drawable):
            values = spectra[at, missing[at] :]
            least = max(float(values[0]), top[at] * 10.0**-_DECADES)
            first = math.floor(math.log10(least) * self._cells)
            last = math.floor(math.log10(top[at]) * self._cells) + 1
            here = bounds[first + _REACH * self._cells : last + _REACH * self._cells + 1]
            below = values.searchsorted(here)
            below[-1] = len(values)  # whatever rounding made of the bounds
            numbers[at] = len(self._first)
            self._first.append(first)
            self._sizes.append(len(values))
            self._below.append(below)
            self._largest.append(values[len(values) - min(int(wanted[at]), len(values)) :])
        return numbers

    def _bounds_in(self, dtype: np.dtype[Any]) -> NDArray[Any]:
        """The bounds of all cells; what float32 cannot hold lies past each of its spectra."""
        if dtype not in self._bounds:
            exponents = np.arange(-_REACH * self._cells, _REACH * self._cells + 1) / self._cells
            with np.errstate(over="ignore", under="ignore"):
                self._bounds[dtype] = (10.0**exponents).astype(dtype)
        return self._bounds[dtype]

    def packed(self, arrays: PackedArrays) -> dict[str, Any]:
        """Where the script finds them.

        Args:
            arrays: that they are added to.
        """
        lengths = np.array([len(below) for below in self._below], dtype=np.int64)
        counts = np.diff(np.concatenate([*self._below, [0]]))
        inside = np.ones(len(counts), dtype=bool)
        inside[np.cumsum(lengths) - 1] = False  # from the last bound of one to the first of the next
        return {
            "cells": self._cells,
            "first": arrays.add(np.array(self._first, dtype=np.int64)),
            "sizes": arrays.add(np.array(self._sizes, dtype=np.int64)),
            "lengths": arrays.add(lengths - 1),
            "counts": arrays.add(counts[inside].astype(np.int64)),
            "tops": arrays.add(np.array([len(one) for one in self._largest], dtype=np.int64)),
            "largest": arrays.add(np.log10(np.concatenate([*self._largest, np.empty(0)]))),
        }
