"""Students with several hidden layers, and with more than the first layer trained: gradients, runs, files, results."""

import numpy as np
import pytest
import torch

from spectail.experiments.experiment import Experiment
from spectail.experiments.resume import ResumeState, Suspended
from spectail.experiments.run import simulate
from spectail.experiments.two_layer.kernels import kernel_eigenvalues
from spectail.experiments.two_layer.loop import TwoLayerRun
from spectail.experiments.two_layer.networks import MultilayerNetwork, make_network
from spectail.experiments.two_layer.problem import Problem
from spectail.recording.layout import each_matrix
from spectail.report.terminal.runs import print_runs
from spectail.store.results import experiment_at, load_results, results_frame, runs_of
from spectail.store.store import Store
from spectail.sweeps.sweep import sweep

SIZES = {"n": 40, "n_test": 5, "n_test_large": 5, "d": 12, "steps": 2, "lr": 0.2, "dtype": "float64"}
DEEP = Experiment(**SIZES, layers=(16, 14, 10))


def by_autograd(experiment, problem):
    """Gradients of the training objective, of every layer and the last, as a user would write the network down."""
    weights = [w.clone().requires_grad_() for w in (problem.w0, *problem.deeper, problem.a)]
    biases = [b.clone().requires_grad_() for b in problem.biases]
    sigma, values = getattr(torch.nn.functional, experiment.activation), problem.train.x.T
    for layer, w in enumerate(weights[:-1]):
        values = w @ values / (w.shape[1] ** 0.5 if experiment.initialization == "ntk" else 1.0)
        values = sigma(values + biases[layer][:, None] if biases else values)
    outputs = values.T @ weights[-1] / len(weights[-1]) ** 0.5
    loss = experiment.loss_factor * (problem.train.y - outputs).square().mean()
    return torch.autograd.grad(loss, [*weights, *biases])


@pytest.mark.parametrize("activation", ["tanh", "gelu"])  # slopes are found from values, and from inputs
@pytest.mark.parametrize("initialization", ["ntk", "mup"])
@pytest.mark.parametrize("layers", [(16,), (16, 14, 10)])
@pytest.mark.parametrize("bias", ["none", "trained"])
def test_gradients_are_those_of_autograd(layers, initialization, activation, bias):
    experiment = DEEP.replace(
        layers=layers, initialization=initialization, activation=activation, train_layers="all", bias=bias
    )
    problem = Problem.draw(experiment)
    network = make_network(experiment, problem)
    x, y = problem.train.x, problem.train.y
    network.put_gradients(network.residual(x, y), x, 2 * experiment.loss_factor)
    for ours, theirs in zip(network.trained, by_autograd(experiment, problem), strict=True):
        torch.testing.assert_close(ours.grad, theirs, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    ("train_layers", "bias", "trained"),
    [
        ("first", "fixed", [(16, 12)]),
        ("first", "trained", [(16, 12), (16,)]),
        ("hidden", "trained", [(16, 12), (14, 16), (16,), (14,)]),
    ],
)
def test_biases_are_trained_with_their_layer_or_stay(train_layers, bias, trained):
    """And a training with them goes as autograd says: one step of descent, whose learning rate is the layer's."""
    experiment = DEEP.replace(
        layers=(16, 14), train_layers=train_layers, bias=bias, optimizer="gd", steps=1,
        lr_factors=(2.0, 3.0)[: 1 if train_layers == "first" else 2],
    )  # fmt: skip
    problem = Problem.draw(experiment)
    run = TwoLayerRun(experiment, problem)
    assert [tuple(one.shape) for one in run.network.trained] == trained
    of_all = by_autograd(experiment, problem)
    run.train(lambda step, steps: None, lambda step: None)
    for at, b in enumerate(problem.biases):
        moved = bias == "trained" and at < len(trained) / 2
        expected = b - 0.2 * (2.0, 3.0)[at] * of_all[3 + at] if moved else b
        torch.testing.assert_close(run.network.biases[at], expected, rtol=1e-12, atol=1e-15)
    assert run.records[1]["update_lr"] == ([0.4, 0.0] if train_layers == "first" else pytest.approx([0.4, 0.6]))


def test_biases_move_features_and_kernels_of_the_published_readout_too():
    """σ(c(sWx + b)), as the program divides pre-activations; and the NTK has the gradient of b where it is trained."""
    experiment = DEEP.replace(layers=(), h=16, bias="trained", kernels=("ck", "ntk"), feature_scale="extra_sqrt_d")
    problem = Problem.draw(experiment)
    network = make_network(experiment, problem)
    x = problem.holdout.x
    w, b, a = (one.clone().requires_grad_() for one in (problem.w0, problem.biases[0], problem.a))
    preactivations = w @ x.T / 12**0.5 + b[:, None]
    torch.testing.assert_close(network.hidden(x, 12**-0.5), (preactivations / 12**0.5).tanh(), rtol=1e-12, atol=1e-15)
    outputs = a @ preactivations.tanh() / 4
    rows = [torch.cat([g.flatten() for g in torch.autograd.grad(y, (w, b, a), retain_graph=True)]) for y in outputs]
    jacobian = torch.stack(rows)
    spectra = kernel_eigenvalues(experiment, problem, network)
    expected = torch.linalg.eigvalsh(jacobian @ jacobian.T)
    np.testing.assert_allclose(spectra["ntk_eigenvalues"], expected, rtol=1e-10, atol=1e-12)


def test_a_run_with_biases_has_the_same_bits_whether_its_problem_is_shared_and_goes_on(tmp_path):
    experiment = DEEP.replace(layers=(), h=16, bias="trained", steps=1)
    whole = simulate(experiment, problem=Problem.draw(experiment))
    kept = []
    with pytest.raises(Suspended):
        simulate(experiment, resume=ResumeState(lambda: None, kept.append, seconds=0, stopping=lambda: len(kept) == 1))
    again = simulate(experiment, resume=ResumeState(lambda: kept[-1], lambda content: None, seconds=0))
    assert again.checksum == whole.checksum
    assert whole.train_loss[0] != simulate(DEEP.replace(layers=(), h=16, steps=1)).train_loss[0]


def test_the_papers_student_is_the_same_to_rounding_by_either_way():
    experiment = DEEP.replace(layers=(), h=16)
    problem = Problem.draw(experiment)
    x, y = problem.train.x, problem.train.y
    gradients = []
    for network in (make_network(experiment, problem), MultilayerNetwork(experiment, problem)):
        network.put_gradients(network.residual(x, y), x, 1.0)
        gradients.append(network.trained[0].grad)
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-15)


def test_one_hidden_layer_is_the_papers_and_a_deeper_student_trains_all_hidden_layers():
    assert Experiment(layers=[300]).key == Experiment(h=300).key
    assert Experiment(layers=[300]).is_the_papers
    assert (DEEP.h, DEEP.train_layers, DEEP.is_the_papers) == (16, "hidden", False)
    assert Experiment().replace(layers=[20, 10]).h == 20


@pytest.fixture(scope="module")
def run():
    return simulate(DEEP)


def test_every_layer_has_a_spectrum_and_rows(run):
    assert run["matrix"].values.tolist() == ["W1", "W2", "W3"]
    assert (run.rows.values.tolist(), run.cols.values.tolist()) == ([16, 14, 10], [12, 16, 14])
    assert run.phase.dims == run.update_norm_2.dims == ("step", "matrix")
    assert run.objective.dims == run.alignment.dims == ("step",)
    problem = Problem.draw(DEEP)
    for one, w in zip(each_matrix(run), (problem.w0, *problem.deeper), strict=True):
        spectrum = one.eigenvalues.sel(step=0).dropna("index").values
        np.testing.assert_allclose(spectrum, torch.linalg.svdvals(w).square().flip(0), rtol=1e-9)
    assert (run.update_norm_fro.sel(step=1) > 0).all()


def test_a_folder_with_it_is_listed(run, tmp_path, capsys):
    Store(tmp_path).put(run)
    print_runs("here", runs_of(tmp_path))
    assert run.attrs["key"] in capsys.readouterr().out


def test_layers_that_are_not_trained_stay_and_factors_are_of_each():
    first = simulate(DEEP.replace(train_layers="first", steps=1))
    assert (first.update_norm_fro.sel(step=1).values > 0).tolist() == [True, False, False]
    assert first.update_lr.sel(step=1).values.tolist() == [0.2, 0, 0]
    gd = DEEP.replace(optimizer="gd", steps=1)
    one, twice = (simulate(gd.replace(lr_factors=factors)).sel(step=1) for factors in ((), (1, 2, 1)))
    np.testing.assert_allclose(twice.update_norm_fro / one.update_norm_fro, [1, 2, 1], rtol=1e-12)


def test_a_run_goes_on_to_the_same_bits(run):
    kept = []
    with pytest.raises(Suspended):
        simulate(DEEP, resume=ResumeState(lambda: None, kept.append, seconds=0, stopping=lambda: len(kept) == 1))
    again = simulate(DEEP, resume=ResumeState(lambda: kept[-1], lambda content: None, seconds=0))
    assert again.checksum == run.checksum


def test_a_file_holds_it_whole(run, tmp_path):
    store = Store(tmp_path)
    store.put(run)
    again = store.get(DEEP)
    assert again.drop_attrs().identical(run.drop_attrs())
    assert again.checksum == run.checksum


def test_results_and_tables_hold_students_of_several_depths(tmp_path):
    """An axis of depths: what a shallower student has no layer for is NaN, and no row."""
    fixed = {**SIZES, "steps": 1}
    results = sweep({"fixed": fixed, "axes": {"layers": [[16], [16, 14]], "seed": [0, 1]}}, tmp_path)
    assert results.eigenvalues.dims == ("h", "layers", "seed", "step", "matrix", "index")[1:]
    assert results["matrix"].values.tolist() == ["W1", "W2"]
    deep = results.sel(layers="[16, 14]", seed=1, step=1)
    ((experiment),) = [experiment_at(results, layers="[16, 14]", seed=1)]
    alone = simulate(experiment).sel(step=1)
    np.testing.assert_array_equal(deep.pl_alpha_hill, alone.pl_alpha_hill)
    spectra = load_results(tmp_path).eigenvalues.sel(layers="[16, 14]", seed=1, step=1).values
    np.testing.assert_array_equal(spectra[0][:12], alone.eigenvalues.values[0][-12:])
    assert np.isnan(results.stable_rank.sel(layers="[]", matrix="W2")).all()
    frame = results_frame(tmp_path)
    assert frame.groupby("layers").size().to_dict() == {"[16, 14]": 8, "[]": 4}


def test_features_of_wide_students_move_alike_in_mup_and_not_in_ntk():
    """The largest eigenvalue of a square hidden layer after five steps of descent, over that of its initial law."""

    def top(initialization, h, lr):
        e = DEEP.replace(
            layers=(h, h), initialization=initialization, optimizer="gd", lr=lr, steps=5, n=100, record=(5,)
        )
        spectrum = simulate(e).eigenvalues.sel(step=5).values[1]
        return spectrum[-1] / (h if initialization == "ntk" else 1)

    mup = [top("mup", h, 10.0) for h in (64, 256)]
    ntk = [top("ntk", h, 60.0) for h in (64, 256)]
    assert abs(mup[1] / mup[0] - 1) < 0.5 * abs(ntk[1] / ntk[0] - 1)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"layers": [3, 2], "h": 5}, r"^h=5 is not the first of layers=\[3, 2\]; leave h out$"),
        ({"layers": [3, 0]}, r"^layers=0 is not valid; input should be greater than or equal to 1$"),
        ({"layers": [3, 2], "overlaps": [(0, 0)]}, "^overlaps are of a student with one hidden layer"),
        ({"layers": [3, 2], "precision": "bfloat16"}, "^precision='bfloat16' is of one hidden layer"),
        ({"bias": "trained", "precision": "bfloat16"}, "^precision='bfloat16' is of one hidden layer without biases"),
        ({"bias": "trained", "optimizer": "muon"}, r"do.* not suit optimizer='Muon': Muon only supports 2D parameters"),
        ({"train_layers": "all", "optimizer": "muon"}, r"optimizer='Muon': Muon only supports 2D parameters"),
        ({"train_layers": "all", "lr_factors": [1, 2], "optimizer": "LBFGS"}, r"LBFGS doesn't support per-parameter"),
        ({"bias_scale": 0.5}, "^bias_scale=0.5 is of a student with biases; say bias='fixed' or 'trained' too$"),
        ({"bias": "fixed", "bias_scale": 0}, "^bias='fixed' with bias_scale=0 is a student without biases"),
        ({"train_layers": "all", "weight_normalization": True}, "^weight_normalization is of the first layer alone"),
        ({"layers": [3, 2], "lr_factors": [1, 2, 3]}, "^lr_factors has 3 values; expected 2, one for each layer"),
        ({"initialization": "mup", "optimizer": "Muon"}, "^initialization='mup' does not know how optimizer='Muon'"),
        ({"batch": 3000}, "^batch=3000 is more than all n=2000 points$"),
        ({"directions": 2000}, "^directions=2000 are more than d=1000 dimensions$"),
        (
            {"combination": "joint"},
            "^combination='joint' takes a teacher of your own, module:function, not 'softplus'$",
        ),
    ],
)
def test_fields_that_do_not_suit_each_other_are_said_in_a_sentence(fields, sentence):
    with pytest.raises(ValueError, match=sentence):
        Experiment(**fields)
