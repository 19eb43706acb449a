import math
import os
import pickle
import sys

import pytest
from filelock import FileLock
from matplotlib.text import Text

from forked import finish
from plots.letters import faults_of_letters, letters_of, recorded_letters
from spectail.cli import main
from spectail.experiments import cost
from spectail.experiments.experiment import Experiment
from spectail.experiments.run import simulate_many
from spectail.experiments.theory import critical_lr, predict_one_step
from spectail.plots.look import style
from spectail.plots.picture_files import Pictures
from spectail.store.store import Store
from spectail.study import making
from spectail.study import plan as paper
from spectail.study.catalogue import catalogue, find
from spectail.study.lemmas import first_gradient
from spectail.study.runs import Runs
from spectail.study.settings import PAPER, SMALL, Scale
from spectail.sweeps.sweep import run_missing
from study.made_up import MadeUpRuns
from sweeps.sweeping import command
from typechecker import unchecked_types


class Short(Scale):
    """Of a long trajectory only that it is longer than a hundred steps."""

    def step(self, step):
        return step if step <= 100 else 100 + math.isqrt(step) // 10


TINY = Short("tiny", 25, long=False)  # n = 80, d = 40, h = 60

DRAWN = find(["all", "late-tails", "necessity"])
"""Of what "all" leaves out, one whose steps a scale cuts, and one with marks of its own: both are made in a second."""


def test_the_catalogue_is_in_the_papers_order():
    figures = [f"fig{i}" for i in range(1, 38)]
    tables = [f"table{i}" for i in range(1, 6)]
    scaled = ["table3-quarter", "table5-full"]
    ours = ["epsilon", "epsilon-quarter", "evolution", "forces", "gap", "late-tails", "necessity", "overlaps"]
    assert list(catalogue()) == [*figures, *tables, *scaled, *ours, "precision", "prediction"]


def test_names_are_found_once_and_unknown_ones_are_named():
    assert [a.name for a in find(["fig4", "FIG4", "fig2"])] == ["fig4", "fig2"]
    assert len(find(["all"])) == len(catalogue()) - 14  # eight take long or are for one question, six need images
    with pytest.raises(ValueError, match="did you mean 'fig3'"):
        find(["fgi3"])


def test_the_plan_has_each_run_once():
    experiments = paper.Plan(find(["fig2", "fig3"]), PAPER).experiments()
    assert len(experiments) == 2 * 90  # those of Fig. 2 are among Fig. 3's; two protocols
    assert len({e.key for e in experiments}) == len(experiments)
    assert len({e.problem_key for e in experiments}) == 5


@pytest.mark.parametrize("optimizer", ["gd", "adam", "sign"])
@pytest.mark.parametrize("initialization", ["ntk", "mean_field"])
def test_the_small_scale_keeps_the_spike_where_it_is_relative_to_the_bulk(optimizer, initialization):
    base = Experiment(optimizer=optimizer, initialization=initialization)
    e = base.replace(lr=2 * critical_lr(base))
    large, small = predict_one_step(e), predict_one_step(SMALL(e))
    assert SMALL(e).d == e.d / 5
    # mean-field keeps terms of 1/√h = 0.06, most of which cancel
    assert small.theta / small.critical_theta == pytest.approx(large.theta / large.critical_theta, rel=0.02)


def test_the_small_scale_cuts_long_trajectories_short_but_keeps_the_first_hundred_steps():
    e = SMALL(Experiment(steps=10_000, record=(0, 1, 10, 100, 10_000)))
    assert (e.steps, e.record) == (1000, (0, 1, 10, 100, 1000))


def test_the_papers_scale_changes_nothing():
    e = Experiment(lr=3)
    assert PAPER(e) is e


def computed(plan, store):
    """The runs of a plan by key, after those that were missing were computed."""
    run_missing(plan.experiments(), store)
    return {e.key: store.get(e) for e in plan.experiments()}


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory, worker_id):
    """The runs of every artifact, at sizes that take milliseconds: made by one worker, and read by the others."""
    plan = paper.Plan(DRAWN, TINY, repeats=1)
    of_all_workers = tmp_path_factory.getbasetemp().parent
    kept = (tmp_path_factory.mktemp("runs") if worker_id == "master" else of_all_workers) / "reproduced.pickle"
    with FileLock(f"{kept}.lock"):
        if not kept.exists():
            experiments = sorted(plan.experiments(), key=lambda e: e.problem_key)
            with unchecked_types():  # of so small runs checks are more than half; other tests check the same code
                kept.write_bytes(pickle.dumps({e.key: run for e, run in simulate_many(experiments)}))
    return plan, pickle.loads(kept.read_bytes())


@pytest.mark.parametrize("name", [a.name for a in DRAWN])
@pytest.mark.usefixtures("unchecked")  # of thousands of small calls, as above
def test_an_artifact_draws_itself_and_tests_its_claims_under_both_protocols(reproduced, name, tmp_path):
    plan, runs = reproduced
    artifact = catalogue()[name]
    by_protocol = paper.by_protocol(plan, artifact, runs)
    with recorded_letters() as drawn:
        paths = making.draw(artifact, {"published": by_protocol["published"]}, tmp_path, Pictures(formats=("png",)))
    figure = next(iter(drawn)).get_figure(root=True)
    assert faults_of_letters(figure, drawn) == []
    assert [path.name for path in paths] == [f"{name}.png"]
    assert paths[0].stat().st_size > 5000
    with style("column"):
        narrow = artifact.draw(by_protocol.get("equations", by_protocol["published"]))
    assert faults_of_letters(narrow, letters_of(narrow)) == []
    assert narrow.get_figwidth() == 3.25
    assert narrow.get_figheight() <= 9.0  # of a journal's page
    abreast = 3 if name.startswith("table") else 2  # their twenty panels would fill more than a page
    assert max(ax.get_subplotspec().get_gridspec().ncols for ax in narrow.axes if ax.get_subplotspec()) <= abreast
    claims = making.verify(artifact, by_protocol)
    assert [claim.number for claim in claims] == [claim.number for claim in artifact.claims]
    for claim in claims:
        assert set(claim.outcomes) == set(artifact.protocols)
        for outcome in claim.outcomes.values():
            assert any(c.isdigit() for c in outcome.measured) or "→" in outcome.measured


def test_runs_that_are_stored_draw_both_protocols_and_a_second_time_nothing_is_computed(tmp_path):
    (artifact,) = find(["fig2"])
    plan, store = paper.Plan([artifact], TINY, repeats=1), Store(tmp_path)
    paths = making.draw(artifact, paper.by_protocol(plan, artifact, computed(plan, store)), tmp_path)
    assert [path.name for path in paths] == ["fig2.png", "fig2.pdf", "fig2-equations.png", "fig2-equations.pdf"]
    assert all(path.stat().st_size > 5000 for path in paths)
    assert b"/Type3" not in paths[1].read_bytes()  # fonts are embedded as outlines, not bitmaps
    summary = run_missing(plan.experiments(), store)
    assert (summary.found, summary.computed) == (len(plan.experiments()), 0)


@pytest.mark.parametrize(("name", "panels"), [("fig2", 4), ("fig7", 6), ("fig9", 4), ("fig21", 3), ("table3", 20)])
def test_a_panel_of_a_run_that_diverged_before_says_so(name, panels):
    runs = Runs("published", PAPER, range(1), MadeUpRuns(name, lambda experiment: None))
    with style():
        figure = catalogue()[name].draw(runs)
    assert sum(text.get_text() == "diverged at step 1" for text in figure.findobj(Text)) == panels


def test_the_list_estimates_what_is_missing(tmp_path):
    store = Store(tmp_path)
    plan = paper.Plan(find(["fig4"]), TINY)
    (before,) = paper.costs([plan], store)
    assert (before.runs, before.missing.runs) == (10, 10)
    assert before.missing.seconds > 0
    run_missing(plan.experiments()[:4], store)
    (after,) = paper.costs([plan], store)
    assert after.missing.runs == 6


def test_the_list_counts_trainings_too_and_says_what_it_cannot_know(tmp_path, monkeypatch):
    store, plan = Store(tmp_path), paper.Plan(find(["fig33"]), PAPER, repeats=1)
    (known,) = paper.costs([plan], store)
    assert (known.runs, known.missing.runs) == (1, 1)
    assert known.missing.seconds > 1
    monkeypatch.setitem(sys.modules, "torchvision", None)
    cost.counted.cache_clear()
    (unknown,) = paper.costs([plan], store)
    assert math.isnan(unknown.missing.seconds)


@pytest.mark.skipif(os.name != "posix", reason="forks")
def test_two_processes_reproduce_into_one_folder(tmp_path):
    arguments = ["reproduce", "fig2", "--scale", "small", "--repeats", "1", "--out", str(tmp_path)]
    both = [command(tmp_path, *arguments) for _ in range(2)]
    outputs = [finish(process, timeout=240) for process in both]
    assert [code for code, _ in outputs] == [0, 0], outputs
    assert main(["store", "check", str(tmp_path)]) is None
    assert len(list((tmp_path / "runs").glob("*.nc"))) == 8
    assert not list(tmp_path.rglob("*.part"))
    assert len((tmp_path / "figures-small" / "claims.csv").read_text().splitlines()) == 1 + 2 * 4


@pytest.mark.parametrize("initialization", ["ntk", "mean_field"])
def test_the_first_gradient_is_close_to_the_rank_one_part_of_the_residual(initialization):
    # the rest is σ' − E σ', with a norm that falls as the sizes grow at fixed ratios: 0.1 here
    found = first_gradient(Experiment(n=800, d=400, h=600, initialization=initialization))
    assert found.error_of_residual < 0.12
    assert found.zeros == 0
    assert 0.5 < found.same_sign <= 1.0
    if initialization == "ntk":  # f₀ is not small beside y there
        assert found.error > 0.3


@pytest.mark.paper
@pytest.mark.parametrize(
    ("number", "protocol", "expected"), [("2", "published", "holds"), ("2", "equations", "does not hold")]
)
def test_the_published_spike_of_gd_at_2000_exists_only_with_the_loss_of_the_program(
    tmp_path, number, protocol, expected
):
    artifact = find(["fig2"])[0]
    plan = paper.Plan([artifact], PAPER, repeats=2)
    runs = computed(plan, Store(tmp_path))
    claims = {claim.number: claim for claim in making.verify(artifact, paper.by_protocol(plan, artifact, runs))}
    assert claims[number].outcomes[protocol].verdict == expected
