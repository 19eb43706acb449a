"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

Device = Annotated[str, tyro.conf.arg(metavar="NAME", help="Where to compute: cpu, cuda, cuda:1, mps.")]
Out = Annotated[Path, tyro.conf.arg(metavar="DIR", help="Folder for runs and figures.")]


def image_count(text: str) -> int | None:
    """How many images an option asks for; None for all."""
    if text == "all":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"images={text!r} is not understood; expected a whole number from 1, or all")
    return int(text)
