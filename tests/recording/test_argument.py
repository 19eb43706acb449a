"""What is no recording is told so wherever one is expected, and an analysis is taken for its recording."""

import pytest
import torch
import xarray as xr

import spectail
from spectail.errors import StoreError

TAKE_RECORDINGS = {
    "events": spectail.events,
    "each_matrix": lambda x: list(spectail.each_matrix(x)),
    "complete": spectail.complete,
    "summarize": spectail.summarize,
    "layer_rates": spectail.layer_rates,
}


NO_RECORDING = xr.Dataset({"a": ("step", [1.0])}, {"step": [0]})


@pytest.mark.parametrize("take", TAKE_RECORDINGS.values(), ids=TAKE_RECORDINGS)
@pytest.mark.parametrize("wrong", [3, None, "run.nc", NO_RECORDING])
def test_what_is_no_recording_is_told_in_a_sentence(take, wrong):
    with pytest.raises(StoreError, match=r"is not a recording; expected one, or what spectail\.analyze returned"):
        take(wrong)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (3, "int is neither a recording nor results; expected one, or its path"),
        (None, "NoneType is neither a recording nor results; expected one, or its path"),
        ("run.nc", "run.nc does not exist; expected the netCDF file of a recording"),
        (NO_RECORDING, "is not a recording; expected one"),
    ],
)
def test_a_picture_takes_paths_too_and_tells_what_is_neither(wrong, sentence):
    with pytest.raises((StoreError, FileNotFoundError), match=sentence):
        spectail.plots.spectrum(wrong)


def test_an_analysis_is_as_good_as_its_recording():
    analysis = spectail.analyze({"w": torch.randn(40, 30)})
    for take in (spectail.events, spectail.complete, spectail.summarize, spectail.layer_rates):
        assert str(take(analysis)) == str(take(analysis.recording))
