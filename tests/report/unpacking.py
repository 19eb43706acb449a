"""The numbers of a page, as its script reads them: what `packing.py` promises to `base.js`."""

import base64
import json
import re
import zlib

import numpy as np


def unpacked(text, place):
    """One array of `PackedArrays.text()`."""
    raw = zlib.decompress(base64.b64decode(text))
    dtype = np.dtype(f"<{place['type']}")
    data = raw[place["at"] : place["at"] + place["n"] * dtype.itemsize]
    return np.frombuffer(data, np.uint8).reshape(dtype.itemsize, place["n"]).T.copy().view(dtype).ravel()


def data_of_page(text):
    """What the scripts of a page draw with: its data, its palette, and a function that gives an array of the data."""
    parts = {
        name: re.search(f'<script type="[^"]*" id="{name}">(.*?)</script>', text, re.DOTALL)[1]
        for name in ("data", "palette", "arrays")
    }
    return json.loads(parts["data"]), json.loads(parts["palette"]), lambda place: unpacked(parts["arrays"], place)
