"""Tasks and networks in any pairing: students on images, modules taught by a teacher, sums, one's own."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from experiments.deep.own_tasks import ANSWERS, TAUGHT
from spectail.experiments.deep.images import load_images
from spectail.experiments.deep.samples import Samples
from spectail.experiments.deep.tasks import load_samples
from spectail.experiments.experiment import Experiment
from spectail.experiments.resume import ResumeState
from spectail.experiments.run import simulate

HERE = "experiments.deep.own_tasks"


@pytest.mark.parametrize("protocol", ["equations", "published"])
def test_ones_own_module_on_a_teachers_data_learns_what_the_student_learns(protocol):
    student = simulate(TAUGHT.replace(protocol=protocol, record=[0, 1, 2, 3]))
    e = Experiment(
        model=f"{HERE}:TheStudent", n=40, d=12, n_test_large=20, steps=3, optimizer="gd", lr=2.0, dtype="float64",
        protocol=protocol,
    )  # fmt: skip
    module = simulate(e)
    # float64, other products
    objective = e.loss_factor * module.squared_error.values
    np.testing.assert_allclose(student.objective.values, objective, rtol=1e-11)
    # kept as float32; the smallest lose what the largest round off
    np.testing.assert_allclose(student.eigenvalues.values[-1], module.eigenvalues.values[-1, 0], rtol=1e-6)
    assert module.test_squared_error.sizes == {"update": 4}


def test_a_student_on_images_is_a_plain_network_of_torch():
    e = Experiment(
        layers=[9, 7], dataset="digits", images=30, activation="gelu", steps=3, optimizer="SGD", lr=0.2, dtype="float64"
    )
    run = simulate(e)
    data = load_images("digits", None, 30, 0)
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(3072, 9), nn.GELU(), nn.Linear(9, 7), nn.GELU(), nn.Linear(7, 10)
    ).double()
    optimizer, losses = torch.optim.SGD(model.parameters(), lr=0.2), []
    for _ in range(4):
        optimizer.zero_grad()
        loss = cross_entropy(model(data.inputs.double()), data.targets)
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
    np.testing.assert_allclose(run.cross_entropy.values, losses, rtol=1e-10)
    assert run["matrix"].values.tolist() == ["1.weight", "3.weight", "5.weight"]
    assert "test_accuracy" not in run, "no images are held out"


def test_every_pairing_has_one_key_and_one_spelling():
    """Literals, so that stored runs are found again."""
    keys = {
        "0c409a29edcd3eed": Experiment(layers=[64, 32], dataset="digits", images=100, steps=3),
        "63755e93d19e5f88": Experiment(h=16, dataset="modular-addition-7", images=30),
        "6de5ace5cd359082": Experiment(model="mine:make", n=100, d=30, n_test_large=50, steps=3),
        "1e13aaecef448e69": Experiment(h=20, dataset="mine:data"),
    }
    for key, e in keys.items():
        assert e.key == key, e
        assert eval(repr(e)) == e == e.replace(lr=0.5).replace(lr=e.lr)
    assert Experiment(layers=("64", "32"), dataset="digits").h == 64, "as the command line gives them"
    assert Experiment(layers=[64], dataset="digits") == Experiment(h=64, dataset="digits")
    assert (
        keys["6de5ace5cd359082"].protocol
        == keys["6de5ace5cd359082"].replace(protocol="published").protocol
        == "published"
    )
    assert keys["6de5ace5cd359082"].replace(protocol="equations").loss_factor == 0.5


def test_sums_modulo_p_are_learned_and_later_those_that_were_held_out():
    """Numbers below 17, of whose pairs three quarters are trained on; chance is 1/17."""
    e = Experiment(
        h=64, activation="he2", dataset="modular-addition-17", images=217, micro_batch=217, steps=200, lr=0.01,
        optimizer="AdamW", optimizer_options={"weight_decay": 1.0}, record="ends",
    )  # fmt: skip
    samples = load_samples(e, None)
    pairs = samples.inputs.reshape(-1, 2, 17).argmax(2)
    assert torch.equal(pairs.sum(1) % 17, samples.targets)
    assert (len(samples.inputs), len(samples.test.inputs)) == (217, 72)
    assert len({tuple(row) for row in torch.cat([samples.inputs, samples.test.inputs]).tolist()}) == 17**2
    run = simulate(e)
    assert run.accuracy.values[100] == 1
    assert run.test_accuracy.values[100] < 0.2 < 0.4 < run.test_accuracy.values[-1]


def test_a_task_of_ones_own_is_numbers_to_fit_or_labels(tmp_path):
    fitted = simulate(Experiment(h=6, dataset=f"{HERE}:rows", images=15, steps=2))
    assert fitted.squared_error[-1] < fitted.squared_error[0]
    assert fitted.test_squared_error.sizes == {"update": 3}
    assert "accuracy" not in fitted
    told = simulate(Experiment(h=6, dataset=f"{HERE}:labelled", steps=2))
    assert {"cross_entropy", "accuracy"} <= {*told.data_vars}
    assert "test_accuracy" not in told, "all are trained on"
    e = Experiment(h=6, dataset=f"{HERE}:labelled", images=12, steps=4, batch=5)
    kept = []
    whole = simulate(e, resume=ResumeState(lambda: None, kept.append, seconds=0))
    again = simulate(e, resume=ResumeState(lambda: kept[1], lambda content: None))
    assert again.checksum == whole.checksum


X, Y = torch.arange(8.0).reshape(4, 2), torch.tensor([0, 1, 0, 1])


@pytest.mark.parametrize(
    ("answers", "sentence"),
    [
        ([3], r"gave a int; expected inputs and targets, two tensors or arrays$"),
        ([(X, Y, Y)], r"gave a tuple; expected inputs and targets"),
        ([(X, [0, 1, 0, 1])], r"targets are list; expected a tensor or an array of numbers$"),
        ([(X.to(torch.complex64), Y)], r"inputs are torch.complex64; expected"),
        ([(X.to_sparse(), Y)], r"inputs are torch.float32; expected a tensor|expected"),
        ([(X.to("meta"), Y)], r"inputs are torch.float32; expected"),
        ([(np.array([["a", "b"]]), Y)], r"inputs are <U1; expected"),
        ([(X[:, 0], Y)], r"inputs of shape \(4,\); expected at least one, n × d"),
        ([(X[:0], Y[:0])], r"inputs of shape \(0, 2\); expected at least one"),
        ([(X, Y[:3])], r"targets of shape \(3,\) for 4 inputs; expected a label or numbers for each"),
        ([(X, Y.reshape(2, 2, 1))], r"targets of shape \(2, 2, 1\) for 4 inputs"),
        ([(X / 0, Y)], r"some inputs are NaN or inf; expected finite numbers$"),
        ([(X, Y / 0)], r"some targets are NaN or inf"),
        ([(X, Y - 1)], r"whole numbers \(4,\) from -1 to 0; expected labels that count from 0"),
        ([(X, Y * 10**6)], r"from 0 to 1000000; expected labels"),
        ([(X, Y * 0)], r"all targets are equal; there is nothing to learn$"),
        ([(X, Y), (X + 1, Y)], r"gives other samples when it is called again"),
    ],
)  # fmt: skip
def test_what_a_task_of_ones_own_may_not_give_is_said_in_a_sentence(answers, sentence):
    ANSWERS["next"] = list(answers)
    with pytest.raises(ValueError, match=sentence) as told:
        simulate(Experiment(h=5, dataset=f"{HERE}:answer", steps=1))
    assert str(told.value).startswith(f"{HERE}:answer")
    assert "\n" not in str(told.value)


def test_a_task_that_depends_on_global_state_is_told_and_the_state_is_left():
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    with pytest.raises(ValueError, match=r"random_rows gives other samples when it is called again"):
        load_samples(Experiment(dataset=f"{HERE}:random_rows"), None)
    assert torch.equal(before, torch.random.get_rng_state())
    with pytest.raises(ValueError, match=r"ANSWERS is a dict; expected a function"):
        load_samples(Experiment(dataset=f"{HERE}:ANSWERS"), None)
    with pytest.raises(ValueError, match=r"images=99, but .*rows has 20; name fewer, or all$"):
        load_samples(Experiment(dataset=f"{HERE}:rows", images=99), None)


def test_an_output_of_another_shape_than_the_numbers_to_fit_is_told():
    with pytest.raises(ValueError, match=r"the model's output is \(5, 10\) for 5 inputs; expected 1 number each$"):
        simulate(Experiment(model="experiments.deep.trained_models:dense", n=20, d=3072, n_test_large=5, steps=1))
    with pytest.raises(ValueError, match=r"the model does not take inputs of \(8,\)"):
        simulate(Experiment(model=f"{HERE}:TheStudent", n=20, d=8, n_test_large=5, steps=1))


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ("Detached", r"^the model's output depends on no parameter that learns; was it detached\?$"),
        ("Failing", r"^the model does not take inputs of \(12,\): ValueError: no$"),
        ("Idle", r"^model='.*Idle' has no parameter that learns"),
    ],
)
def test_a_module_that_cannot_be_trained_is_told_in_a_sentence(model, sentence):
    with pytest.raises(ValueError, match=sentence):
        simulate(Experiment(model=f"{HERE}:{model}", n=20, d=12, n_test_large=5, steps=1, dtype="float64"))


def test_samples_of_several_numbers_each_are_fitted():
    samples = Samples(X, torch.stack([X[:, 0], X[:, 1], X[:, 0]], 1), None, "")
    assert samples.outputs == 3
