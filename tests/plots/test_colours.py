"""The palette is for everybody: the colour-blind, who prints in grey, who reads at night."""

import numpy as np
import pytest

from spectail.plots.colours import OPTIMIZER_LOOKS, PHASES, SERIES, ink_on, palette
from spectail.spectra.phases import Phase

# Machado, Oliveira & Fernandes (2009), full severity, on linear RGB
EYES = {
    "trichromat": np.eye(3),
    "protanope": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranope": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanope": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def linear(colours):
    values = np.array([[int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)] for colour in colours])
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def oklab(light):
    """Ottosson (2020); 100 from black to white."""
    return 100 * np.cbrt(np.clip(light, 0, None) @ CONES.T) @ LAB.T


def contrast(colour, paper):
    low, high = sorted((linear([colour, paper]) @ [0.2126, 0.7152, 0.0722]).tolist())
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("eyes", EYES)
@pytest.mark.parametrize(
    "colours", [[c for c, *_ in PHASES.values()], [c for c, _ in SERIES[:4]]], ids=["phases", "series"]
)
def test_colours_differ_for_every_eye(eyes, colours):
    lab = oklab(np.clip(linear(colours) @ np.array(EYES[eyes]).T, 0, 1))
    apart = np.linalg.norm(lab[:, None] - lab[None], axis=-1)[np.triu_indices(len(colours), 1)]
    assert apart.min() > 8  # 2 can just be told apart side by side; small marks far from each other need more


def test_in_grey_the_markers_differ():
    for looks in (PHASES.values(), SERIES):
        assert len({look[1] for look in looks}) == len(list(looks))


@pytest.mark.parametrize("paper", ["#FFFFFF", "#16181C"])
def test_marks_stand_out_from_the_page(paper):
    faint = {name: contrast(look[0], paper) for name, look in PHASES.items() if name != "unknown"}
    assert min(faint.values()) > 2  # beside an outline in the page's ink, which has more than 3
    assert contrast(PHASES["unknown"][0], paper) > 1.6


def test_words_on_a_colour_can_be_read():
    for colour, *_ in PHASES.values():
        assert contrast(colour, {"black": "#000000", "white": "#FFFFFF"}[ink_on(colour)]) > 4.5  # WCAG 2.1 AA


def test_every_phase_has_a_look_in_the_order_of_training():
    assert set(PHASES) == set(Phase)
    assert set(palette()["phases"]) == set(Phase)


def test_an_unknown_optimizer_has_a_look_that_stays():
    colour, marker, name = OPTIMIZER_LOOKS["RMSprop"]
    assert (colour, marker) in SERIES
    assert name == "RMSprop"
    assert OPTIMIZER_LOOKS["RMSprop"] == (colour, marker, name)
    assert "RMSprop" not in OPTIMIZER_LOOKS
