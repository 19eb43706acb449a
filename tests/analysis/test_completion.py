"""A recording that lacks quantities is completed with those that it would have, without measuring what is there."""

import numpy as np
import pytest
import torch
from torch import nn

import spectail
from spectail import SpectralMonitor, every
from spectail.analysis import completion
from spectail.recording.quantities import select

LATER = ("n_eigenvalues", "z_hill", "effect", "alpha_stderr", "effective_rank", "stable_rank", "spectral_norm")


@pytest.fixture(scope="module")
def recording():
    torch.manual_seed(0)
    model = nn.ModuleDict({"a": nn.Linear(60, 40), "conv": nn.Conv2d(30, 24, 3), "tiny": nn.Linear(30, 5)})
    model["zero"] = nn.Linear(30, 20)
    nn.init.zeros_(model["zero"].weight)
    with SpectralMonitor(model, when=every(1), summary=False, alerts=None) as monitor:
        for _ in range(2):
            with torch.no_grad():
                model["a"].weight += 0.1 * torch.outer(torch.randn(40), torch.randn(60))
            monitor.step()
    return monitor.recording


def test_what_follows_from_what_is_there_is_what_was_measured_and_no_spectrum_is_fitted_again(recording, monkeypatch):
    nulls = [q.name for q in select("null")]
    older = recording.drop_vars([*LATER, "frobenius_norm", *nulls])
    monkeypatch.setattr(completion, "measure_spectrum", lambda *_: pytest.fail("a spectrum was fitted"))
    whole = spectail.complete(older)
    for name in (*LATER, "frobenius_norm", *nulls):
        # spectra are kept in float32
        np.testing.assert_allclose(whole[name].values, recording[name].values, rtol=2e-6, err_msg=name)
        assert whole[name].dims == recording[name].dims


def test_what_only_weights_tell_is_left_open(recording):
    whole = spectail.complete(recording.drop_vars(["effect_homogeneous", "cause", "kurtosis"]))
    assert whole["effect_homogeneous"].isnull().all()
    assert (whole["cause"] == "").all()
    assert spectail.summarize(whole).rankings, "ranked by the effect, which is known"


def test_fits_that_are_not_there_are_made(recording):
    older = recording.drop_vars(["pl_alpha_ks", "alpha_stderr", "phase"])
    whole = spectail.complete(older)
    # the KS fit looks for the threshold among the eigenvalues, which are kept in float32
    np.testing.assert_allclose(whole["pl_alpha_ks"], recording["pl_alpha_ks"], rtol=1e-3)
    assert (whole["phase"].sel(matrix="a.weight").isel(step=-1) == recording["phase"].sel(matrix="a.weight")[-1]).all()


def test_where_spectra_were_not_kept_nothing_is_added(recording):
    older = recording.drop_vars(["eigenvalues", "z_hill"])
    assert "z_hill" not in spectail.complete(older)
