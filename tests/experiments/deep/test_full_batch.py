import socket
from pathlib import Path

import pytest
import torch
from torch.nn.functional import cross_entropy

from experiments.deep.trained_models import dense, normed
from forked import finish, start
from spectail.cli import main
from spectail.experiments.deep.full_batch import chunk_bounds, full_batch, set_full_batch_mode
from spectail.experiments.deep.samples import Samples
from spectail.experiments.experiment import experiment_of
from spectail.recording.reading import load_recording


def images(n, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randn(n, 3, 32, 32, dtype=dtype, generator=generator)
    return Samples(pixels, torch.arange(n) % 10, 10, "")


def made(factory, batch_norm="chunk", dtype=torch.float64):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = factory().to(dtype)
    set_full_batch_mode(model, batch_norm)
    return model


@pytest.mark.parametrize(("n", "micro_batch"), [(1, 1), (10, 4), (7, 100), (129, 128), (512, 128)])
def test_chunks_cover_every_image_once_and_are_of_nearly_one_size(n, micro_batch):
    bounds = chunk_bounds(n, micro_batch)
    assert [i for start, end in bounds for i in range(start, end)] == list(range(n))
    sizes = [end - start for start, end in bounds]
    assert max(sizes) <= micro_batch
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("micro_batch", [1, 3, 7, 23])
def test_the_accumulated_gradient_is_that_of_one_pass_over_all_images(micro_batch):
    data, model = images(23), made(dense)
    loss = cross_entropy(model(data.inputs), data.targets)
    expected = torch.autograd.grad(loss, list(model.parameters()))
    found = full_batch(model, data, micro_batch)
    assert found.loss == pytest.approx(loss.item(), rel=1e-13)  # rounding of a mean of 23
    for parameter, gradient in zip(model.parameters(), expected, strict=True):
        assert torch.allclose(parameter.grad, gradient, rtol=1e-11, atol=1e-15)  # rounding of sums of 3,072 products


def test_gradients_are_summed_in_float64_and_rounded_once():
    data, wide = images(64), made(dense)
    narrow = made(dense, dtype=torch.float32)
    single = Samples(data.inputs.float(), data.targets, 10, "")
    full_batch(wide, data, 1)
    full_batch(narrow, single, 1)
    for a, b in zip(wide.parameters(), narrow.parameters(), strict=True):
        # each of 64 gradients is rounded in float32, 6e-8 of its size; their sum in float32 would add to that
        assert (a.grad - b.grad).norm() < 1e-6 * a.grad.norm()


def test_accuracy_counts_images():
    data, model = images(10), made(dense)
    rightly = (model(data.inputs).argmax(1) == data.targets).double().mean().item()
    assert full_batch(model, data, 3, gradients=False).accuracy == pytest.approx(rightly, abs=1e-12)  # tenths


def test_frozen_statistics_do_not_depend_on_the_micro_batch_and_stay():
    gradients = []
    for micro_batch in (4, 13):
        model = made(normed, "frozen")
        full_batch(model, images(13), micro_batch)
        assert torch.equal(model[1].running_mean, torch.zeros(12, dtype=torch.float64))
        gradients.append(model[0].weight.grad)
    assert torch.allclose(*gradients, rtol=1e-10, atol=1e-15)  # rounding of other sums


def test_statistics_of_chunks_depend_on_the_micro_batch_and_their_average_is_kept():
    losses = set()
    for micro_batch in (4, 13):
        model, data = made(normed), images(13)
        losses.add(round(full_batch(model, data, micro_batch).loss, 8))
        means = [model[0](data.inputs[a:b]).mean((0, 2, 3)) for a, b in chunk_bounds(13, micro_batch)]
        assert torch.allclose(model[1].running_mean, torch.stack(means).mean(0), rtol=1e-10, atol=1e-14)  # rounding
    assert len(losses) == 2


def test_dropout_is_off():
    losses = {full_batch(made(normed), images(8), 8, gradients=False).loss for _ in range(3)}
    assert len(losses) == 1


def test_a_model_without_enough_outputs_is_refused():
    model = made(lambda: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3072, 3)))
    with pytest.raises(ValueError, match="expected 10 numbers each"):
        full_batch(model, images(4), 4)


def test_two_processes_train_as_one_does(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent)
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MASTER_PORT", str(free.getsockname()[1]))
    runs = []
    for world in (1, 2):  # 5 chunks of 11, 11, 11, 10, 10: 3 for one process, 2 for the other
        folder = tmp_path / str(world)
        command = ["run", "--model", "trained_models:normed", "--dataset", "digits", "--images", "53"]
        command += ["--micro-batch", "11", "--record", "ends", "--format", "png"]
        command += ["--steps", "3", "--dtype", "float64", "--out", str(folder)]
        processes = []
        for rank in range(world):  # what torchrun says to the processes that it starts
            for name, value in (("WORLD_SIZE", world), ("RANK", rank), ("LOCAL_RANK", rank)):
                monkeypatch.setenv(name, str(value))
            processes.append(start(tmp_path, main, command))
        ends = [finish(process) for process in processes]
        assert [code for code, _ in ends] == [0] * world, ends
        assert sum(printed.count("written:") for _, printed in ends) == 1, "one process tells"
        (path,) = (folder / "trainings").glob("*.nc")
        runs.append(load_recording(path))
    one, two = runs
    assert experiment_of(one).images == 53
    # float64: rounding of 1e-16 in each sum, and Adam divides by small second moments
    assert two.cross_entropy.values == pytest.approx(one.cross_entropy.values, rel=1e-10)
    assert two.frobenius_norm.values == pytest.approx(one.frobenius_norm.values, rel=1e-10)
    assert two.cross_entropy.values[-1] < two.cross_entropy.values[0]
