import pickle

import numpy as np
import pytest
import torch
from torch import nn

import spectail
from spectail.spectra.localisation import vector_localisation
from spectail.spectra.subsampling import farms_hill, windowed_eigenvalues
from spectail.spectra.tails import hill


def model():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(120, 40, bias=False), nn.Conv2d(12, 10, 2, bias=False))
    with torch.no_grad():
        network[0].weight[3] *= 20
    return network


def test_they_are_columns_where_they_are_asked_for():
    network = model()
    frame = spectail.analyze(network, nulls=False, measure=spectail.FARMS | spectail.LOCALISATION).frame
    weights = network[0].weight.detach().double()
    assert frame["farms_alpha"][0] == pytest.approx(farms_hill(weights), rel=1e-9)
    one = vector_localisation(weights, top=1)
    assert frame["localisation_left"][0] == pytest.approx(one.excess_left[0], rel=1e-9)
    assert frame["localisation_right"][0] == pytest.approx(one.excess_right[0], rel=1e-9)
    assert "farms_alpha" not in spectail.analyze(network, nulls=False).frame


def test_slices_of_a_kernel_make_one_number():
    network = model()
    row = spectail.analyze(network, nulls=False, measure=spectail.FARMS | spectail.LOCALISATION).frame.iloc[1]
    slices = network[1].weight.detach().double().flatten(2).permute(2, 0, 1)
    pooled = torch.cat([windowed_eigenvalues(one) for one in slices])
    assert row["farms_alpha"] == pytest.approx(hill(pooled), rel=1e-9)
    excess = [vector_localisation(one, top=1).excess_left[0] for one in slices]
    assert row["localisation_left"] == pytest.approx(np.mean(excess), rel=1e-9)


def test_they_can_be_sent_to_workers_and_files_keep_them(tmp_path):
    assert pickle.loads(pickle.dumps(spectail.FARMS | spectail.LOCALISATION)).keys()
    frame = spectail.analyze(model(), nulls=False, measure=spectail.FARMS, out=tmp_path).frame
    assert frame["farms_alpha"].notna().all()
    recording = spectail.load_recording(tmp_path / "spectra.nc")
    assert recording["farms_alpha"].values[0].tolist() == frame["farms_alpha"].tolist()
    assert "aspect ratio" in recording["farms_alpha"].attrs["long_name"]


def test_ones_own_may_be_computed_of_the_weights():
    own = spectail.Quantity("largest", "max", "largest entry", of="weights")
    frame = spectail.analyze(model(), nulls=False, measure={own: lambda weights, rows, cols: weights.max()}).frame
    assert frame["largest"][0] == pytest.approx(float(model()[0].weight.detach().max()), rel=1e-6)
