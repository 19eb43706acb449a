"""Colours stand in one file, and scripts of pages get them as data."""

import re
from pathlib import Path

import pytest

import spectail
from spectail.spectra.phases import Phase

ROOT = Path(spectail.__file__).parent
PALETTES = {"plots/colours.py", "report/pages/base.css"}
FILES = [p for p in sorted(ROOT.rglob("*")) if p.suffix in (".py", ".html", ".js", ".css")]
HEX = re.compile(r"""(?<!&)(?<!href=")#(?:[0-9a-f]{3,4}|[0-9a-f]{6}|[0-9a-f]{8})(?![\w-])""", re.I)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_colours_stand_in_the_palette(path):
    colours = HEX.findall(path.read_text(encoding="utf-8"))
    assert bool(colours) == (path.relative_to(ROOT).as_posix() in PALETTES), colours


@pytest.mark.parametrize("path", [p for p in FILES if p.suffix == ".js"], ids=lambda path: path.name)
def test_no_script_knows_a_phase(path):
    text = path.read_text(encoding="utf-8")
    assert [
        phase for phase in Phase if re.search(rf"""["'`]{re.escape(phase)}["'`]|\b{re.escape(phase)}\b\s*:""", text)
    ] == []
