"""Numbers and spectra in few bytes, as the script of a page reads them (`base.js`, `spectra.js`).

Arrays stand one behind the other, deflated together, each with the first bytes of all its numbers first, which makes
alike bytes neighbours. A spectrum is how many eigenvalues lie in each cell of a grid of log λ, the same for all spectra
of a page, with its largest eigenvalues singly. Not here: what goes into a page.
"""

from __future__ import annotations

import base64
import json
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

_PARTS = ("first", "sizes", "lengths", "counts", "tops", "largest")
"""Of each spectrum: its first cell, how many eigenvalues and cells it has, how many lie in each of these, how many of
the largest are kept singly, and their decimal logarithms."""

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

    def add_json(self, value: Any) -> dict[str, Any]:
        """Keep what JSON can say; the text of many alike objects is deflated to little.

        Args:
            value: without NaN.

        Returns:
            where the script finds it.
        """
        text = json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
        return self.add(np.frombuffer(text.encode(), np.uint8))

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
        self._count = 0
        self._parts: dict[str, list[NDArray[Any]]] = {name: [] for name in _PARTS}

    def add(self, spectra: NDArray[Any], n_spikes: NDArray[Any] | None = None) -> NDArray[np.int64]:
        """Keep some spectra.

        Args:
            spectra: one a row, ascending, with NaN before the eigenvalues of a shorter one.
            n_spikes: how many of the largest are wanted singly; at least one and at most `_SINGLY` are kept so.

        Returns:
            the number of each; −1 where nothing of it can be drawn.
        """
        numbers = np.full(len(spectra), -1)
        n_single = np.ones(len(spectra)) if n_spikes is None else np.clip(np.nan_to_num(n_spikes), 1, _SINGLY)
        top = spectra[:, -1].astype(float) if spectra.shape[1] else np.full(len(spectra), np.nan)
        drawable = np.flatnonzero((top > 10.0 ** (_DECADES - _REACH)) & (top < 10.0**_REACH))
        if not len(drawable):
            return numbers
        numbers[drawable] = self._count + np.arange(len(drawable))
        self._count += len(drawable)
        values, top, n_single = spectra[drawable], top[drawable], n_single[drawable].astype(int)
        missing = np.isnan(values).sum(axis=1)
        sizes = values.shape[1] - missing
        least = np.maximum(values[np.arange(len(values)), missing].astype(float), top * 10.0**-_DECADES)
        first, last = (np.floor(np.log10(one) * self._cells).astype(int) for one in (least, top))
        counts = self._counts(values, missing, first, last + 1)
        tops, largest = np.minimum(n_single, sizes), values[:, -_SINGLY:]
        singly = largest[np.arange(largest.shape[1]) >= largest.shape[1] - tops[:, None]]
        parts = (first, sizes, last + 1 - first, counts, tops, np.log10(singly.astype(float)))
        for name, part in zip(_PARTS, parts, strict=True):
            self._parts[name].append(part)
        return numbers

    def _counts(
        self, spectra: NDArray[Any], missing: NDArray[Any], first: NDArray[Any], last: NDArray[Any]
    ) -> NDArray[Any]:
        """How many eigenvalues lie in each cell, one spectrum after the other."""
        bounds, middle, counts = self._bounds_in(spectra.dtype), _REACH * self._cells, []
        ranges = zip(missing.tolist(), (first + middle).tolist(), (last + middle + 1).tolist(), strict=True)
        for row, (start, low, high) in zip(spectra, ranges, strict=True):
            below = row[start:].searchsorted(bounds[low:high])
            below[-1] = len(row) - start  # whatever rounding made of the bounds
            counts.append(below[1:] - below[:-1])
        return np.concatenate(counts)

    def _bounds_in(self, dtype: np.dtype[Any]) -> NDArray[Any]:
        """The bounds of all cells; what float32 cannot hold lies past each of its spectra."""
        if dtype not in self._bounds:
            exponents = np.arange(-_REACH * self._cells, _REACH * self._cells + 1) / self._cells
            with np.errstate(over="ignore", under="ignore"):
                self._bounds[dtype] = (10.0**exponents).astype(dtype)
        return self._bounds[dtype]

    def packed(self, arrays: PackedArrays) -> dict[str, Any]:
        """Where the script finds the spectra.

        Args:
            arrays: that they are added to.
        """
        parts = {name: np.concatenate([np.empty(0, int), *self._parts[name]]) for name in _PARTS}
        return {"cells": self._cells, **{name: arrays.add(part) for name, part in parts.items()}}
