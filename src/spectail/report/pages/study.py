"""The report: one HTML file of pictures, verdicts and an explorer of runs, which needs no network.

Not here: what the explorer knows of each run (explorer.py).
"""

from __future__ import annotations

import base64
import io
import os
import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image

from spectail.errors import StoreError, kind_and_first_line
from spectail.experiments.protocols import PROTOCOLS
from spectail.files import check_writable, read_strangers, write_content
from spectail.report.pages.explorer import packed_runs
from spectail.report.pages.template import page
from spectail.report.wording import duration
from spectail.store.locks import shared_lock
from spectail.store.recordings import warn_of_unreadable
from spectail.store.store import Store, hint_above
from spectail.study.records import Record, read_records
from spectail.study.settings import figure_folder, picture_stem

_PICTURE_WIDTH = 1150

_MOST_PIXELS, _MOST_BYTES = 50_000_000, 2**26  # of a picture; the paper's largest have 5 million and a MB


def write_report(root: Path, scale: str = "paper", out: Path | None = None) -> Path:
    """Write the report of a folder that `spectail reproduce`, `sweep` or `run` filled.

    The folder may be a stranger's: what is not as spectail writes it is left out, and a warning says so.

    Args:
        root: the folder, with `runs` and, if something was reproduced, `figures`.
        scale: which reproductions it shows: those at the "paper"'s sizes, at a "quarter" of them, or the "small" ones.
        out: folder of the page; by default `root`, which is then written to.

    Returns:
        the path of the page: report.html, or report-SCALE.html.

    Raises:
        StoreError: the folder holds neither runs nor figures.
        OSError: the page cannot be written.
    """
    store, folder = Store(root), root if out is None else out
    path = folder / ("report.html" if scale == "paper" else f"report-{scale}.html")
    unreadable: dict[Path, Exception] = {}
    artifacts = [_artifact(record, folder, unreadable) for record in read_records(figure_folder(root, scale))]
    files = store.files()
    if not artifacts and not files:
        hint = hint_above(root) or "; expected a folder that spectail wrote to"
        raise StoreError(f"{root} holds neither runs nor figures{hint}")
    of_artifacts = {key for artifact in artifacts for of in artifact["runs"].values() for key in of}
    check_writable(path)
    data, arrays = packed_runs([file for file in files if not artifacts or file.stem in of_artifacts], unreadable)
    warn_of_unreadable(unreadable)
    text = page(
        "study",
        data,
        arrays,
        ("overlaps.js", "grid.js", "study.js"),
        title=str(root.resolve().name),
        small=scale != "paper",
        artifacts=artifacts,
        protocols=list(PROTOCOLS),
        claims=[claim for artifact in artifacts for claim in artifact["claims"]],
        runs=data["count"],
        grid=bool(data["axes"]),
    )
    with shared_lock(store.write_lock) if out is None else nullcontext():
        return write_content(path, text)


def _artifact(record: Record, folder: Path, unreadable: dict[Path, Exception]) -> dict[str, Any]:
    """A record as a page in a folder shows it: with its pictures, and its first two measurements in words."""
    measured = [f"Claim {claim.number}: {o.measured}." for claim in record.claims for o in claim.outcomes.values()]
    return {
        **vars(record),
        "pictures": [
            {"protocol": protocol, "stem": path.stem, **picture}
            for protocol in record.runs
            for path in record.paths
            if path.name == f"{picture_stem(record.name, protocol)}.png"
            and (picture := _picture_or_none(path, unreadable))
        ],
        "folder": _link(record.paths[0].parent, folder),
        "summary": " ".join(measured[:2]),
        "minutes": duration(record.seconds),
    }  # fmt: skip


def _link(to: Path, folder: Path) -> str:
    """The address of a folder, as a page in another folder has it."""
    try:
        return quote(os.path.relpath(to, folder).replace(os.sep, "/"))
    except ValueError:  # another drive of Windows
        return to.resolve().as_uri()


def _picture_or_none(path: Path, unreadable: dict[Path, Exception]) -> dict[str, Any] | None:
    try:
        return _picture(path)
    except (OSError, StoreError) as error:
        unreadable[path] = error
        return None


def _picture(path: Path) -> dict[str, Any]:
    """A picture no wider than the page, as a data URI in WebP, with its width and height in pixels.

    Raises:
        StoreError: it is no PNG, or larger than any figure.
        OSError: it cannot be read.
    """
    content = io.BytesIO(read_strangers(path, _MOST_BYTES))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our limit is below
            picture = Image.open(content, formats=["PNG"])
        if picture.width * picture.height > _MOST_PIXELS:
            raise StoreError(f"{path} has {picture.width}×{picture.height} pixels, more than any figure")
        image = picture.convert("RGB")
    except StoreError:
        raise
    except Exception as error:  # whatever the reader makes of a stranger's bytes
        raise StoreError(f"{path} is not a PNG: {kind_and_first_line(error)}") from None
    if image.width > _PICTURE_WIDTH:
        height = round(image.height * _PICTURE_WIDTH / image.width)
        image = image.resize((_PICTURE_WIDTH, height), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    image.save(stream, "WEBP", quality=62, method=4)
    source = "data:image/webp;base64," + base64.b64encode(stream.getvalue()).decode()
    return {"source": source, "width": image.width, "height": image.height}
