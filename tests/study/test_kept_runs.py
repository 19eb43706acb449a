"""Whoever has only what is published, curves and some small files, comes to the verdicts of the runs themselves."""

import numpy as np
import pytest

from spectail.analysis.two_layer_nulls import known_overlaps, largest_overlap
from spectail.experiments.experiment import Experiment
from spectail.experiments.run import simulate_many
from spectail.recording.netcdf import write_netcdf
from spectail.recording.reading import load_recording
from spectail.spectra.overlaps import leading_overlap
from spectail.study import kept_runs
from spectail.study.artifact import Artifact
from spectail.study.claims import Claim, Outcome
from spectail.study.kept_curves import runs_of_curves
from spectail.study.kept_runs import KeptRuns, compact_run, judge_kept
from spectail.study.making import verify
from spectail.study.records import ClaimRecord, artifact_curves, read_verdicts, save_verdicts
from spectail.study.runs import NotKeptError, Runs
from spectail.study.settings import PAPER, in_protocol
from spectail.study.verdicts import UNTESTED, Verdict, clear, in_every_repeat

ONE = Experiment(optimizer="gd", lr=30.0, n=40, n_test=9, n_test_large=9, d=10, h=15, steps=2, record=(0, 2),
                 overlaps=((2, 1),))  # fmt: skip
REPEATS = 4


def loss_falls(runs):
    falls = -np.diff(runs.over_steps("objective", ONE, (0, 2)))[:, 0]
    return Outcome(clear(falls), f"{falls.mean():.4g} over {len(falls)}")


def grows(runs):
    return Outcome(clear(np.log(runs.ratio(ONE, [2])[:, 0])), f"over {len(runs.seeds)}")


def overlaps_at_all(runs):
    return Outcome(in_every_repeat(runs.largest_overlap(ONE, (2, 1), "left") > 0), "")


ARTIFACT = Artifact(
    name="small", title="", repeats=REPEATS, draw=lambda runs: None, experiments=[ONE], protocols=("published",),
    claims=tuple(Claim(n, "", "", "", t) for n, t in (("a", loss_falls), ("b", grows), ("c", overlaps_at_all))),
)  # fmt: skip


@pytest.fixture(scope="module")
def stored():
    wanted = [in_protocol(ONE.replace(seed=seed), "published", "program") for seed in range(REPEATS)]
    return {e.key: run for e, run in simulate_many(wanted)}


@pytest.fixture(scope="module")
def curves(stored, tmp_path_factory):
    folder = tmp_path_factory.mktemp("curves")
    artifact_curves(ARTIFACT, {"published": Runs("published", PAPER, range(REPEATS), stored)}).to_csv(
        folder / "small.csv", index=False, float_format="%.6g"
    )
    return {"small": runs_of_curves([ARTIFACT], folder)}


def files_of(stored, folder, count=REPEATS):
    keys = [*stored][:count]
    return {key: write_netcdf(compact_run(stored[key]), folder / f"{key}.nc") for key in keys}


def verdicts(outcomes):
    return {number: str(of["published"].verdict) for number, of in outcomes.items()}


def test_curves_and_compact_files_give_the_verdicts_of_whole_runs(stored, curves, tmp_path):
    whole = verify(ARTIFACT, {"published": Runs("published", PAPER, range(REPEATS), stored)})
    found = judge_kept(ARTIFACT, KeptRuns(curves, files_of(stored, tmp_path)))
    assert verdicts(found) == {c.number: str(c.outcomes["published"].verdict) for c in whole}
    for claim in whole:
        assert found[claim.number]["published"].finding.tested == claim.outcomes["published"].finding.tested


def test_files_are_asked_for_by_claims_about_spectra_alone(stored, curves, tmp_path):
    """What is packed are the runs that were asked for, so a claim about losses must not ask."""
    kept = KeptRuns(curves, files_of(stored, tmp_path))
    judge_kept(Artifact(**{**vars(ARTIFACT), "claims": ARTIFACT.claims[:1]}), kept)
    assert kept.asked == set()
    judge_kept(ARTIFACT, kept)
    assert kept.asked == stored.keys()


def test_with_fewer_repeats_a_claim_is_judged_only_where_it_has_no_verdict_by_todays_rule(stored, curves, tmp_path):
    kept = KeptRuns(curves, files_of(stored, tmp_path, count=3))
    assert judge_kept(ARTIFACT, kept)["b"]["published"].measured == "over 3"
    found = judge_kept(ARTIFACT, kept, {"b": {"published"}})
    assert found.keys() == {"a", "c"}  # a has its curves, of all repeats; c no verdict yet
    assert judge_kept(ARTIFACT, kept, {"b": {"equations"}}).keys() == {"a", "b", "c"}


def test_all_repeats_that_are_kept_count_where_there_are_more_than_the_artifact_names(stored, curves, tmp_path):
    names_two = Artifact(**{**vars(ARTIFACT), "repeats": 2})
    found = judge_kept(names_two, KeptRuns(curves, files_of(stored, tmp_path, count=3)))
    assert found["a"]["published"].measured.endswith("over 4")  # of all curves
    assert found["b"]["published"].measured == "over 3"  # of all files


def test_a_claim_whose_runs_nobody_kept_has_no_outcome(curves):
    assert judge_kept(ARTIFACT, KeptRuns(curves, {})).keys() == {"a"}
    assert judge_kept(ARTIFACT, KeptRuns({}, {})) == {}
    with pytest.raises(NotKeptError, match="nothing is kept of run 0123"):
        KeptRuns({}, {}).runs_of("small", whole=False)["0123"]


def test_a_run_that_has_no_curves_is_read_from_its_file(stored, tmp_path):
    kept = KeptRuns({}, files_of(stored, tmp_path))
    assert {*kept.runs_of("small", whole=False)} == stored.keys()
    assert judge_kept(ARTIFACT, kept).keys() == {"a", "b", "c"}


def test_an_artifacts_own_curves_come_before_those_that_another_has_of_the_same_runs(curves):
    """Where rounding grows two figures have two results of one experiment, and each verdict is of its figure's."""
    other = {key: run.assign(objective=-run.objective) for key, run in curves["small"].items()}
    alone = judge_kept(ARTIFACT, KeptRuns(curves, {}))["a"]
    for both in ({**curves, "other": other}, {"other": other, **curves}):
        assert judge_kept(ARTIFACT, KeptRuns(both, {}))["a"] == alone
    assert judge_kept(ARTIFACT, KeptRuns({"other": other}, {}))["a"] != alone


def test_a_compact_run_has_its_spectra_to_six_digits_and_the_overlaps_that_claims_read(stored, tmp_path):
    (key, path) = next(iter(files_of(stored, tmp_path, count=1).items()))
    small, run = load_recording(path), stored[key]
    np.testing.assert_allclose(small.eigenvalues, run.eigenvalues, rtol=1e-6)  # float32 has seven digits
    for name in ("overlap_left", "overlap_right"):
        was, now = (r[name].values[0] for r in (run, small))
        np.testing.assert_array_equal(np.diag(now), np.diag(was))
        assert now.max() == was.max()
        assert np.unravel_index(now.argmax(), now.shape) == np.unravel_index(was.argmax(), was.shape)
        assert np.count_nonzero(now) < np.count_nonzero(was)


def test_the_largest_overlap_that_is_kept_is_of_known_directions_not_of_arbitrary_ones(stored, tmp_path):
    """Past the rank of an update its singular vectors are any, and may overlap more than all that mean something."""
    run = next(iter(stored.values())).copy(deep=True)
    run.attrs["overlap_ranks"] = "[[10, 8]]"
    whole = known_overlaps(run, 0, "left")
    run.overlap_left.values[0, 2, 9] = 2 * largest_overlap(whole)
    small = load_recording(write_netcdf(compact_run(run), tmp_path / "small.nc"))
    assert largest_overlap(known_overlaps(small, 0, "left")) == largest_overlap(whole)


def test_a_pair_of_which_all_overlaps_are_kept_has_them_to_eight_bits(stored, tmp_path, monkeypatch):
    """So that means over blocks of them, which claims compare with theory, can be taken again."""
    monkeypatch.setattr(kept_runs, "LEADING", 3)  # of 10 × 10
    run = next(iter(stored.values()))
    pair = (int(run.w_step[0]), int(run.m_step[0]))
    of_pair = load_recording(write_netcdf(compact_run(run, [pair]), tmp_path / "of_pair.nc"))
    of_another = load_recording(write_netcdf(compact_run(run, [(98, 97)]), tmp_path / "of_another.nc"))
    for name in ("overlap_left", "overlap_right"):
        was = run[name].values[0]
        np.testing.assert_allclose(of_pair[name].values[0], was, rtol=2.0**-8)  # half a unit of the last of 8 bits
        now = of_another[name].values[0]
        np.testing.assert_array_equal(now[0], was[0])  # what the strongest direction spreads over
        np.testing.assert_array_equal(leading_overlap(now, 3), leading_overlap(was, 3))
        assert np.count_nonzero(now) < np.count_nonzero(was)


def test_a_table_of_verdicts_is_read_as_it_was_written(tmp_path):
    tested, untested = clear([0.1, 0.3, 0.2]), UNTESTED[Verdict.DOES_NOT_HOLD]
    outcomes = {"published": Outcome(tested, "0.2"), "equations": Outcome(untested, "none")}
    path = save_verdicts([ClaimRecord("fig1", "§1a", "", "", "", outcomes)], tmp_path / "claims.csv")
    found = read_verdicts(path)["§1a"]
    assert found["equations"] == outcomes["equations"]
    alone = {"published": Outcome(clear([0.1]), "of one repeat")}
    path = save_verdicts([ClaimRecord("fig1", "§1a", "", "", "", alone)], tmp_path / "claims.csv")
    assert read_verdicts(path)["§1a"] == alone
    assert found["published"].verdict == tested.verdict
    np.testing.assert_allclose(found["published"].finding.margin, tested.margin, rtol=1e-5)  # six digits are written


def test_a_file_that_is_no_table_of_verdicts_is_said_to_be_none(tmp_path):
    assert read_verdicts(tmp_path / "nowhere.csv") == {}
    path = tmp_path / "claims.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="no table of verdicts: it has no column claim or measured"):
        read_verdicts(path)
