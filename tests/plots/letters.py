"""What is wrong with the letters of a figure, as a reader of print would find it."""

from contextlib import contextmanager
from itertools import combinations
from unittest import mock

import numpy as np
from matplotlib.text import Text
from matplotlib.transforms import Bbox

SMALLEST = 7.0  # points

_DPI = 200  # as files have it; letters are of other widths in fewer dots

_LINE_GAP = 0.14  # of the height of letters, above and below them, which a box has and no ink

_TOUCH = 1.0  # points by which boxes may still overlap: side bearings and rounding


@contextmanager
def recorded_letters():
    """The texts that are drawn inside as files have them, and their boxes: an axis has more labels than it shows."""
    drawn, draw = {}, Text.draw

    def record(text, renderer, *others, **options):
        draw(text, renderer, *others, **options)
        if text.get_visible() and text.get_text().strip() and text.get_figure(root=True).dpi == _DPI:
            drawn[text] = text.get_window_extent(renderer)

    with mock.patch.object(Text, "draw", record):
        yield drawn


def letters_of(figure):
    """The texts that a figure draws, and their boxes."""
    figure.set_dpi(_DPI)
    figure.draw_without_rendering()  # as `savefig` does: titles make room for the powers of ten that this finds
    figure.set_layout_engine("none")  # as well: it is laid out once
    with recorded_letters() as drawn:
        figure.draw_without_rendering()
    return drawn


def along_the_line(box, slant):
    """The box of a slanted line seen along it, of its upright box."""
    cos, sin = np.cos(np.radians(slant)), np.sin(np.radians(slant))
    length, height = np.linalg.solve([[cos, sin], [sin, cos]], [box.width, box.height])
    x, y = np.array([[cos, sin], [-sin, cos]]) @ [(box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2]
    return Bbox.from_bounds(x - length / 2, y - height / 2, length, height)


def faults_of_letters(figure, drawn):
    """Sentences on texts that are too small, leave the canvas, or lie over each other.

    Args:
        figure: which is laid out.
        drawn: its texts, and their boxes.
    """
    figure.set_dpi(_DPI)
    point, canvas = _DPI / 72, figure.bbox
    faults, boxes = [], []
    for text, box in drawn.items():
        said = text.get_text()
        if text.get_fontsize() < SMALLEST:
            faults.append(f"{said!r} is set in {text.get_fontsize():g} points")
        if box.x0 < -point or box.y0 < -point or box.x1 > canvas.x1 + point or box.y1 > canvas.y1 + point:
            faults.append(f"{said!r} leaves the canvas: {box.bounds} of {canvas.bounds}")
        gap = _LINE_GAP * text.get_fontsize() * point
        sideways = text.get_rotation() % 180 == 90
        slant = text.get_rotation() % 90
        boxes.append((said, slant, box.padded(-gap if sideways else 0, 0 if sideways else -gap)))
    for (one, slant, first), (other, other_slant, second) in combinations(boxes, 2):
        if slant and slant == other_slant:  # lines beside each other, whose upright boxes overlap
            first, second = along_the_line(first, slant), along_the_line(second, slant)
        across = min(first.x1, second.x1) - max(first.x0, second.x0)
        along = min(first.y1, second.y1) - max(first.y0, second.y0)
        if across > _TOUCH * point and along > _TOUCH * point:
            faults.append(f"{one!r} and {other!r} overlap by {across / point:.1f} × {along / point:.1f} points")
    return faults
