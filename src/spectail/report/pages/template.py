"""One page out of its template, scripts and numbers; what all share, their head too, is in `base.html`.

Styles and scripts of all are in `base.css` and `base.js`; pages draw with `draw.js` and `spectra.js`. Not here:
what a page of one kind shows (the file named after the kind), and how numbers become few bytes (`packing`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from spectail.analysis.name_lists import listed
from spectail.errors import naming_the_extra
from spectail.plots.colours import palette
from spectail.report.pages.packing import PackedArrays

if TYPE_CHECKING:
    from markupsafe import Markup

_SHARED = ("base.js", "draw.js", "spectra.js")  # scripts of all pages


def page(name: str, data: Any, arrays: PackedArrays, scripts: Sequence[str], **shown: Any) -> str:
    """A page that needs no network: its text, style, scripts and data in one.

    Args:
        name: study or recording: of its text and its style in this folder.
        data: what its scripts draw; the palette goes with it.
        arrays: numbers that the data refers to.
        scripts: of its own, in their order.
        **shown: what its text shows, escaped.
    """
    need_pages()
    from markupsafe import Markup

    scripts = (*_SHARED, *scripts, *(["live.js"] if shown.get("version") else []))
    return _rendered(
        f"{name}.html",
        **{"version": "", **shown},
        css=Markup(_resource("base.css") + _resource(f"{name}.css")),
        palette=_as_json(palette()),
        data=_as_json(data),
        arrays=Markup(arrays.text()),
        script=Markup("".join(map(_resource, scripts))),
    )


def waiting_page(sentence: str) -> str:
    """A page that says why there is nothing yet, and loads itself anew.

    Args:
        sentence: why, without a full stop.
    """
    return plain_page("waiting.html", sentence=sentence)


def plain_page(name: str, **shown: Any) -> str:
    """A page of text and pictures, without scripts.

    Args:
        name: of its template, in this folder.
        **shown: what it shows, escaped.
    """
    need_pages()
    from markupsafe import Markup

    return _rendered(name, version="", css=Markup(_resource("base.css")), **shown)


def need_pages() -> None:
    """Import what writes a page, before the work that it is to show. Raises MissingPackageError."""
    with naming_the_extra("a page"):
        import jinja2  # noqa: F401


def _rendered(name: str, **shown: Any) -> str:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_resource), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["in_short"] = listed
    return environment.get_template(name).render(**shown)


def _as_json(data: Any) -> Markup:
    """JSON that no text in it can break out of."""
    from markupsafe import Markup

    return Markup(json.dumps(data, separators=(",", ":"), allow_nan=False, ensure_ascii=False).replace("<", "\\u003c"))


def _resource(name: str) -> str:
    return files("spectail.report.pages").joinpath(name).read_text(encoding="utf-8")


def json_number(value: Any) -> float | None:
    """Five digits, or nothing for NaN and inf, which JSON has not."""
    return float(f"{value:.5g}") if np.isfinite(value) else None
