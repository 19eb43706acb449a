"""Pictures as files: in which formats, how wide, in which letters, each whole or not at all.

Not here: what is drawn, and how a style is set (`look`).
"""

from __future__ import annotations

import shutil
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from spectail.errors import SettingError, unknown_name
from spectail.files import write_content, write_whole
from spectail.plots.latex import PREAMBLE, in_commands
from spectail.plots.look import MEDIA, medium_of, style

PICTURE_FORMATS = ("png", "pdf", "svg", "pgf")

_SAVED: Any = {"pdf.fonttype": 42, "ps.fonttype": 42, "savefig.dpi": 200, "svg.hashsalt": "spectail"}

_PGF: Any = {"pgf.texsystem": "pdflatex", "pgf.rcfonts": False, "pgf.preamble": PREAMBLE}  # in the document's fonts


@dataclass(frozen=True)
class Pictures:
    """How pictures are made.

    Attributes:
        formats: of the files, some of `PICTURE_FORMATS`.
        width: "column", "page" or "talk", or inches.
        font: as `plots.style` takes it.
        usetex: whether LaTeX sets all text.

    >>> Pictures(("gif",)).check()
    Traceback (most recent call last):
    ...
    spectail.errors.SettingError: format='gif' is not known; did you mean 'pgf'? (png, pdf, svg, pgf)
    """

    formats: tuple[str, ...] = ("png", "pdf")
    width: str | float = "page"
    font: str | None = None
    usetex: bool = False

    def check(self) -> None:
        """See that they can be made, before anything is computed for them.

        Raises:
            SettingError: a format, the width or the font is not known, or LaTeX is needed and not installed.
        """
        for one in self.formats:
            if one not in PICTURE_FORMATS:
                raise SettingError(unknown_name("format", one, PICTURE_FORMATS))
        if not self.formats:
            raise SettingError(f"there is no format to save pictures in; expected some of {', '.join(PICTURE_FORMATS)}")
        if "pgf" in self.formats and shutil.which("pdflatex") is None:
            raise SettingError("format='pgf' needs LaTeX (pdflatex), which is not installed")
        with self.style():
            pass

    def style(self) -> AbstractContextManager[None]:
        """The look in which they are drawn."""
        return style(self.width, font=self.font, usetex=self.usetex)

    @property
    def suffix(self) -> str:
        """What is put behind the name of pictures that are not as wide as a page, so that these stay.

        >>> Pictures().suffix, Pictures(width="column").suffix, Pictures(width=5.5).suffix
        ('', '-column', '-5.5in')
        """
        if self.width == "page":
            return ""
        return f"-{self.width}" if self.width in MEDIA else f"-{medium_of(self.width).width:g}in"


PAGE = Pictures()
"""PNG and PDF, as wide as a page's text."""


def save_figure(figure: Figure, path: Path, formats: tuple[str, ...] = PAGE.formats) -> list[Path]:
    """Save a figure in files beside each other, each whole or not at all.

    Args:
        figure: what to save.
        path: where, without ending.
        formats: of the files.

    Returns:
        the paths.

    Raises:
        OSError: the folder cannot be written to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    saved = []
    for ending in formats:
        target = path.with_name(f"{path.name}.{ending}")
        metadata = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(ending)
        with matplotlib.rc_context(_SAVED):
            if ending == "pgf":
                saved += _save_pgf(figure, target)
            else:
                saved.append(write_whole(target, partial(figure.savefig, format=ending, metadata=metadata)))
        figure.set_layout_engine(None)  # the layout found for the first file is good for the others
    return saved


def _save_pgf(figure: Figure, path: Path) -> list[Path]:
    """PGF puts what is no line or text, such as a picture of overlaps, into further files beside it."""
    with TemporaryDirectory(dir=path.parent) as folder, matplotlib.rc_context(_PGF):
        figure.savefig(Path(folder) / path.name, format="pgf")
        images = [
            write_content(path.with_name(one.name), one.read_bytes()) for one in sorted(Path(folder).glob("*.png"))
        ]
        text = in_commands((Path(folder) / path.name).read_text(encoding="utf-8"))
        return [*images, write_content(path, text)]
