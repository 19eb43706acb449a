"""What is computed on a GPU is what the CPU computes: every kind of matrix, every question that can be asked of it."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from spectail import analyze, compare
from spectail.spectra.eigen import eigenvalues_of_slices
from spectail.spectra.inhomogeneity import homogeneous
from spectail.weights.opening import open_weights

pytestmark = [pytest.mark.cuda, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]

TOLERANCE = 1e-9
"""Other libraries: rounding of Gram matrices, whose condition is 1e4."""


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def every_kind() -> nn.Module:
    """Linear, fused, convolutions of all kinds; Gaussian, spiked, of unequal norms, of low rank, constant."""
    torch.manual_seed(0)
    model = nn.ModuleDict(
        {
            "gaussian": nn.Linear(120, 80),
            "spiked": nn.Linear(120, 80),
            "norms": nn.Linear(120, 80),
            "rank": nn.Linear(120, 80),
            "constant": nn.Linear(30, 30),
            "in_bfloat16": nn.Linear(300, 256).bfloat16(),
            "attention": nn.MultiheadAttention(64, 4),
            "convolution": nn.Conv2d(24, 48, 3),
            "depthwise": nn.Conv2d(64, 64, 7, groups=64),
            "embedding": nn.Embedding(200, 50),
            "recurrent": nn.LSTM(40, 50),
        }
    )
    with torch.no_grad():
        model["spiked"].weight += 0.3 * torch.outer(torch.randn(80), torch.randn(120)) / 10
        model["norms"].weight *= torch.linspace(0.5, 2.0, 80)[:, None]
        model["rank"].weight.copy_(torch.randn(80, 5) @ torch.randn(5, 120))
        model["constant"].weight.fill_(0.5)
    return model


def same(here: pd.DataFrame, there: pd.DataFrame) -> None:
    """Spectra to rounding; what is said of norms to that of float32, in which they are compared.

    Where norms were taken out, that is until they agree to 1e-3; scores of heavy entries are drawn on the device.
    """
    assert list(here["name"]) == list(there["name"])
    of_norms = ["row_norm_spread", "col_norm_spread", "slice_norm_spread", "kurtosis"]
    pd.testing.assert_frame_equal(here[of_norms], there[of_norms], rtol=1e-4, atol=1e-3)
    here, there = here.drop(columns=of_norms), there.drop(columns=of_norms)
    norms = here["cause"].eq("norms")
    exact = ~here["cause"].isin(["norms", "entries"])
    pd.testing.assert_frame_equal(here[exact], there[exact], rtol=TOLERANCE, atol=1e-12)
    pd.testing.assert_frame_equal(here[norms], there[norms], rtol=1e-2, atol=1e-2)


def test_rows_of_every_kind_are_those_of_the_cpu():
    model = every_kind()
    same(analyze(model).frame, analyze(model, device="cuda").frame)


def test_a_model_that_lies_on_the_gpu_is_measured_there():
    model = every_kind()
    here = analyze(model).frame
    same(here, analyze(model.cuda()).frame)


def test_the_smallest_eigenvalues_of_a_square_matrix_are_those_of_the_cpu():
    weights = torch.randn(1, 2048, 2048)
    here, there = eigenvalues_of_slices(weights)[0], eigenvalues_of_slices(weights.cuda())[0].cpu()
    torch.testing.assert_close(there, here, rtol=1e-6, atol=0)  # what is promised above 1e-10 of the largest


def test_what_is_asked_on_request_is_answered_there_too():
    layers = every_kind()
    model = nn.ModuleDict({name: layers[name] for name in ("gaussian", "norms", "depthwise")})
    here, there = (analyze(model, nulls="full", tail=True, device=device).frame for device in ("cpu", "cuda"))
    assert list(here["note"]) == list(there["note"])
    assert list(here["tail_kind"]) == list(there["tail_kind"])
    assert list(here["phase"]) == list(there["phase"])


def test_changes_are_those_of_the_cpu():
    before, after = every_kind(), every_kind()
    with torch.no_grad():
        after["gaussian"].weight += 0.1 * torch.randn(80, 120)
    pd.testing.assert_frame_equal(
        compare(before, after).frame, compare(before.cuda(), after.cuda()).frame, rtol=1e-6, atol=1e-9
    )


def test_what_is_taken_out_of_a_matrix_is_taken_out_on_its_device():
    slices = torch.randn(3, 90, 70) * torch.linspace(0.5, 2.0, 90)[:, None]
    (here, inhomogeneity), (there, same_inhomogeneity) = homogeneous(slices), homogeneous(slices.cuda())
    assert there.device.type == "cuda"
    torch.testing.assert_close(there.cpu(), here, rtol=1e-2, atol=1e-3)  # scaling ends at 1e-3; float16
    assert inhomogeneity.norms == same_inhomogeneity.norms


def test_weights_are_handed_over_on_the_device_they_have():
    weights = open_weights(every_kind().cuda())
    assert {one.load().device.type for one in weights.matrices} == {"cuda"}
    assert all(np.isfinite(one.load().float().sum().item()) for one in weights.matrices)
