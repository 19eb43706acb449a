"""Overlaps of the singular vectors of a two-layer run's weights with those of its updates, as pages draw them.

Not here: how they are measured (`experiments/two_layer`), and what they are by chance (`analysis/two_layer_nulls`).
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import xarray as xr

from spectail.analysis.two_layer_nulls import largest_overlap, overlaps_of_pair
from spectail.report.pages.template import json_number

_BLOCK = 24  # directions shown of an overlap matrix

_DECADES = 4  # below one that are told apart

PAST_RANK = 255
"""The level of directions past the rank of either matrix."""


def packed_overlaps(run: xr.Dataset) -> list[dict[str, Any]]:
    """The leading overlaps of each pair and side, in 255 levels of their logarithm, from 0 to 254.

    Args:
        run: a two-layer run; other recordings have none.
    """
    blocks = []
    for pair in range(run.sizes.get("pair", 0)):
        s, t = int(run.w_step[pair]), int(run.m_step[pair])
        for side, role in (("left", "U"), ("right", "V")):
            matrix, chance = overlaps_of_pair(run, pair, side)
            block = matrix[:_BLOCK, :_BLOCK]
            levels = np.round((PAST_RANK - 1) * (1 + np.log10(np.clip(block, 10.0**-_DECADES, 1.0)) / _DECADES))
            packed = np.where(np.isnan(levels), PAST_RANK, levels).astype(np.uint8)
            known = np.isfinite(matrix)
            blocks.append(
                {
                    "name": f"O({role}_W{s}, {role}_M{t})",
                    "size": len(block),
                    "max": json_number(largest_overlap(matrix)),
                    "mean": json_number(chance.mean),
                    "largest": json_number(chance.largest),
                    "ranks": [["W", int(known.any(1).sum())], ["M", int(known.any(0).sum())]],
                    "b": base64.b64encode(packed.tobytes()).decode(),
                }
            )
    return blocks
