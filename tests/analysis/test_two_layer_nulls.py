"""What a two-layer run would have by chance, completed from its file."""

import numpy as np
import pytest

import spectail
from spectail.analysis.completion import complete
from spectail.analysis.two_layer_nulls import OF_OVERLAPS, known_overlaps, overlaps_in_numbers, with_chance
from spectail.recording.netcdf import checksum
from spectail.spectra.overlap_nulls import alignment_null, overlap_null

E = spectail.Experiment(
    n=200, n_test=20, n_test_large=20, d=30, h=40, steps=2, optimizer="adam", lr=0.5, overlaps=((0, 0), (2, 1))
)


@pytest.fixture(scope="module")
def run():
    return spectail.simulate(E)


def test_sim_and_kta_have_their_nulls_over_steps(run):
    whole = complete(run)
    null = alignment_null(30)
    np.testing.assert_allclose(whole["null_alignment"], null.mean)
    np.testing.assert_allclose(whole["null_spread_alignment"], null.spread)
    assert whole["null_kta"].dims == ("step",)
    # softplus labels have a mean, so that shuffled ones are aligned too, and less than the labels themselves
    assert (whole["null_kta"] > 0).all()
    assert (whole["kta"] > whole["null_kta"] + 2 * whole["null_spread_kta"]).all()


def test_overlaps_are_told_by_windows_and_subspaces_with_their_nulls(run):
    whole = with_chance(run)
    for side, n in (("left", 40), ("right", 30)):
        name = f"overlap_{side}"
        assert (whole[f"null_{name}"] == overlap_null(n).mean).all()
        for end in ("_entropy", "_window", "_subspace"):
            assert np.isfinite(whole[f"{name}{end}"]).all()
        # before the step W knows nothing of M; 30 rows of shares of 11 of 30 entries: a standard error of 0.015
        assert float(whole[f"{name}_window"][0].mean()) == pytest.approx(
            float(whole[f"null_{name}_window"][0].mean()), abs=0.08
        )


def test_each_pair_has_its_overlaps_in_a_row_beside_chance(run):
    rows = overlaps_in_numbers(run)
    assert [row["name"] for row in rows] == ["O(U_W0, U_M0)", "O(V_W0, V_M0)", "O(U_W2, U_M1)", "O(V_W2, V_M1)"]
    before = rows[1]  # the step, W knows nothing of M: as by chance, but for a few standard errors of 30 directions
    for one in OF_OVERLAPS:
        assert before[one.name] == pytest.approx(before[one.null], rel=0.8 if one.name == "diagonal" else 0.45)
    assert rows[3]["largest"] == float(run["overlap_right"][1].max())
    assert rows[0]["null_diagonal"] == overlap_null(40).mean
    assert overlaps_in_numbers(run.isel(pair=[])) == []


def test_directions_past_a_rank_are_left_out(run):
    short = run.assign_attrs(overlap_ranks="[[30, 12], [30, 30]]")
    overlaps = known_overlaps(short, 0, "left")
    assert np.isnan(overlaps[:, 12:]).all()
    assert np.isfinite(overlaps[:, :12]).all()
    assert float(with_chance(short)["overlap_left_entropy"][0].max()) <= np.log(12)
    assert overlaps_in_numbers(short)[0]["entropy"] <= np.log(12)
    none = overlaps_in_numbers(run.assign_attrs(overlap_ranks="[[30, 0], [30, 30]]"))[0]  # an update of zero
    assert np.isnan([none[one.name] for one in OF_OVERLAPS]).all()


def test_what_files_hold_has_the_bits_it_had_and_older_files_lack_only_the_null_of_kta(run):
    older = run.copy()
    for name in ("null_kta", "null_spread_kta", "overlap_ranks"):
        del older.attrs[name]
    assert checksum(older) == checksum(run)
    whole = complete(older)
    assert np.isnan(whole["null_kta"]).all()
    assert np.isfinite(whole["null_alignment"]).all()
    assert np.isfinite(known_overlaps(older, 0, "left")).all()
