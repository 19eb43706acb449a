"""Figures of deep networks: what is in them, what their claims test, and what is said without images."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from plots.letters import faults_of_letters, letters_of
from spectail.cli import main
from spectail.experiments.experiment import Experiment
from spectail.experiments.run import simulate
from spectail.plots.look import style, title_above
from spectail.store.store import Store
from spectail.study.artifact import Artifact
from spectail.study.catalogue import find, find_deep
from spectail.study.figures import fig06_33_to_37 as deep
from spectail.study.making import draw, verify
from spectail.study.plan import Plan, by_protocol, choose
from spectail.study.records import artifact_curves, record_of, save_record
from spectail.study.runs import StoredRuns
from spectail.study.settings import PAPER, SMALL
from spectail.study.verdicts import Verdict

NETWORKS = Path(__file__).parent.parent / "experiments" / "deep"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An artifact of two layers of a tiny network, and its stored training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(NETWORKS)
        tiny = Experiment(
            model="trained_models:normed", dataset="digits", images=60, micro_batch=20, lr=0.05, record="ends"
        )
        layers = [deep.Layer(tiny, 1), deep.Layer(tiny, 2)]
        artifact = Artifact(
            name="fig99", title="A tiny network", repeats=1,
            trainings=[tiny], draw=deep.draw("Fig. 99", layers),
            claims=deep.claims("40.99", "§0", layers), protocols=("published",),
        )  # fmt: skip
        store, plan = Store(tmp_path_factory.mktemp("store")), Plan([artifact], PAPER)
        paths = {training.key: store.put(simulate(training)) for training in plan.trainings()}
        return artifact, plan, StoredRuns(paths)


def test_an_artifact_draws_itself_tests_its_claims_and_keeps_a_record(made, tmp_path):
    artifact, plan, stored = made
    runs = by_protocol(plan, artifact, stored)
    assert {path.name for path in draw(artifact, runs, tmp_path)} == {"fig99.png", "fig99.pdf"}
    assert isinstance(artifact.draw(runs["published"]), Figure)
    claims = verify(artifact, runs)
    assert [claim.number for claim in claims] == ["40.99a", "40.99b"]
    json, csv = save_record(record_of(artifact, plan, runs, claims), artifact_curves(artifact, runs), tmp_path)
    assert '"images": "60"' in json.read_text()
    assert len(csv.read_text().splitlines()) == 1 + 3 * 2  # layers × steps


@pytest.mark.parametrize("width", ["page", "column"])
def test_letters_of_a_figure_of_four_layers_fit_and_lie_over_no_others(made, width):
    """As Fig. 6 has them, with its own long names."""
    artifact, plan, stored = made
    first, second = (deep.Layer(training, number) for training in artifact.trainings for number in (1, 2))
    with style(width):
        figure = deep.draw("Fig. 6", [first, second, first, second])(by_protocol(plan, artifact, stored)["published"])
        for ax, layer in zip(figure.axes, deep.FIG6_LAYERS, strict=False):
            title_above(ax, f"({ax.get_title(loc='left')[1]}) {layer.title}")
    assert faults_of_letters(figure, letters_of(figure)) == []


class Fake:
    """Runs whose layers have the exponents given."""

    seeds = (0, 1, 2)

    def __init__(self, run, hill, z):
        self.run, self.hill, self.z = run, hill, z

    def __getitem__(self, training):
        run = self.run.copy(deep=True)
        run["pl_alpha_hill"][:] = np.array(self.hill[training.seed])[:, None]
        run["pl_alpha_ks"][:] = np.array(self.hill[training.seed])[:, None]
        run["z_hill"][:] = self.z[training.seed]
        return run


@pytest.mark.parametrize(
    ("hill", "z", "below_initial", "below_null"),
    [
        ([(3, 2)] * 3, [-5] * 3, Verdict.HOLDS, Verdict.HOLDS),
        ([(3, 2)] * 3, [-1] * 3, Verdict.HOLDS, Verdict.DOES_NOT_HOLD),
        ([(2, 3)] * 3, [-5] * 3, Verdict.DOES_NOT_HOLD, Verdict.HOLDS),
        ([(3, 2), (2, 3), (3, 2)], (-5, -1, -5), Verdict.UNDECIDED, Verdict.UNDECIDED),
        ([(2, 2)] * 3, [np.nan] * 3, Verdict.DOES_NOT_HOLD, Verdict.DOES_NOT_HOLD),
    ],
)
def test_claims_compare_with_the_layers_own_start_and_with_its_null(made, hill, z, below_initial, below_null):
    artifact, plan, stored = made
    (training,) = plan.trainings()
    fake = Fake(stored[training.key], hill, z)
    verdicts = [claim.test(fake).verdict for claim in artifact.claims]
    assert verdicts == [below_initial, below_null]


def test_the_papers_layers_are_in_the_catalogue():
    assert [a.name for a in find_deep()] == ["fig6", "fig33", "fig34", "fig35", "fig36", "fig37"]
    assert [layer.title for layer in deep.FIG6_LAYERS] == [
        "VGG11-L4 (CIFAR10)", "VGG11-L7 (MNIST)", "ResNet18-L5 (CIFAR10)", "ResNet18-L10 (SVHN)",
    ]  # fmt: skip
    for artifact in find_deep():
        for t in artifact.trainings:
            assert (t.optimizer, t.lr, t.steps) == ("adam", 0.01, 10)


def test_figures_that_share_a_training_share_its_file():
    assert len(Plan(find_deep(), PAPER, repeats=1).trainings()) == 5


def test_the_scale_and_the_options_say_how_many_images():
    artifacts = find(["fig33"])
    plans = [Plan(artifacts, PAPER), Plan(artifacts, SMALL)]
    plans += [Plan(artifacts, PAPER, images=99), Plan(artifacts, PAPER, images="all")]
    counts = [plan.trainings()[0].images for plan in plans]
    assert counts == [512, 64, 99, "all"]


def test_the_equations_have_adam_without_bias_correction():
    trainings = Plan(find(["fig33"]), PAPER, repeats=1, protocols=("published", "equations")).trainings()
    assert [t.bias_correction for t in trainings] == [True, False]


def test_without_images_a_named_figure_is_refused(capsys, tmp_path):
    with pytest.raises(SystemExit) as left:
        main(["reproduce", "fig6", "--out", str(tmp_path)])
    assert left.value.code == 2
    assert "needs images of cifar10, mnist, svhn: say --data DIR" in capsys.readouterr().err


def test_all_leaves_out_what_has_no_images(tmp_path):
    (tmp_path / "mnist.npz").touch()
    artifacts, note = choose(["all"], tmp_path)
    assert {"fig33", "fig4"} <= {a.name for a in artifacts}
    assert note == "left out: fig6, fig34, fig35, fig36, fig37, which need images of cifar10, svhn in --data DIR"
