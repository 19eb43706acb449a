from functools import cache

import numpy as np
import pytest
import torch

from spectail.experiments.deep.images import download_folder, has_images, load_images
from spectail.experiments.deep.models import make_model, paper_layers
from spectail.experiments.experiment import Experiment
from spectail.experiments.run import simulate
from spectail.weights.opening import open_weights


@cache
def network(name):
    """One of a hundred million weights takes a second to draw."""
    return make_model(name, 7, 0)


@pytest.mark.parametrize(
    ("name", "number", "shape"),
    [
        ("vgg11", 2, (128, 64)), ("vgg11", 4, (256, 256)), ("vgg11", 7, (512, 512)),
        ("resnet18", 5, (64, 64)), ("resnet18", 8, (128, 128)), ("resnet18", 10, (256, 128)),
    ],
)  # fmt: skip
def test_layers_are_counted_from_one_over_convolutions_without_shortcuts(name, number, shape):
    matrices = open_weights(network(name)).matrices
    layers = [matrices[at] for at in paper_layers([m.kind for m in matrices], [m.name for m in matrices])]
    assert len(layers) == {"vgg11": 8, "resnet18": 17}[name]
    layer = layers[number - 1]
    assert (layer.rows, layer.cols, layer.slices) == (*shape, 9)


@pytest.mark.parametrize("name", ["vgg11", "resnet18"])
def test_models_take_small_images_and_their_weights_are_the_seeds(name):
    before, first = torch.random.get_rng_state(), network(name)
    second, other = (make_model(name, 7, seed) for seed in (0, 1))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert first(torch.zeros(2, 3, 32, 32)).shape == (2, 7)
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)
    pairs = zip(first.parameters(), other.parameters(), strict=True)
    assert any(not torch.equal(a, b) for a, b in pairs)


def test_an_unknown_model_is_named():
    with pytest.raises(ValueError, match="did you mean 'vgg11'"):
        make_model("vgg12", 10, 0)


def test_a_module_without_numbers_is_refused(tmp_path, monkeypatch):
    (tmp_path / "hollow.py").write_text("from torch import nn\ndef make(): return nn.Linear(5, 3, device='meta')\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"^hollow:make made a module on the device meta, which has no weights"):
        simulate(Experiment(model="hollow:make", n=8, d=5, n_test_large=2, steps=1))


def test_digits_are_enlarged_and_standardised():
    found = load_images("digits", None, 40, 0)
    assert found.inputs.shape == (40, 3, 32, 32)
    assert found.classes == 10
    assert found.inputs.mean((0, 2, 3)).abs().max() < 1e-5  # float32 rounding of a mean of 40,960
    assert found.inputs.std((0, 2, 3), correction=0) == pytest.approx([1.0] * 3, abs=1e-5)
    assert torch.equal(found.inputs[:, 0, ::4, ::4], found.inputs[:, 1, 3::4, 3::4])
    assert len(load_images("digits", None, None, 0).inputs) == 1797


def saved(path, **arrays):
    np.savez(path, **arrays)
    return path


def test_gray_images_are_padded_with_black_and_repeated(tmp_path):
    pixels = np.random.default_rng(0).integers(1, 255, (6, 28, 28), dtype=np.uint8)
    path = saved(tmp_path / "mnist.npz", train_images=pixels, train_labels=np.arange(6))
    assert has_images("mnist", tmp_path)
    for data in (path, tmp_path):
        found = load_images("mnist", data, None, 0)
        assert found.inputs.shape == (6, 3, 32, 32)
        assert len(found.inputs[:, :, :2].unique()) == 1
        assert torch.equal(found.inputs[:, 0], found.inputs[:, 2])


def test_a_larger_subset_of_a_seed_holds_a_smaller_one(tmp_path):
    pixels = np.arange(50, dtype=np.float64).reshape(50, 1, 1) * np.ones((1, 32, 32))
    path = saved(tmp_path / "a.npz", images=pixels, labels=np.arange(50))
    few, many, other = (load_images("", path, n, seed).targets.tolist() for n, seed in ((10, 0), (30, 0), (10, 1)))
    assert set(few) < set(many)
    assert few != other


GOOD = {"images": np.ones((4, 8, 8, 3)) * np.arange(8)[:, None], "labels": np.arange(4)}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"labels": np.arange(3)}, "expected 4 whole numbers"),
        ({"labels": np.arange(4) * 0.5}, "expected 4 whole numbers"),
        ({"labels": np.arange(4) - 1}, "labels from -1"),
        ({"images": np.ones((4, 8, 8, 3))}, "all pixels of a channel are equal"),
        ({"images": np.full((4, 8, 8, 3), np.nan)}, "NaN or inf"),
        ({"images": np.ones((4, 8, 8, 2))}, "1 or 3 channels"),
        ({"images": np.ones((0, 8, 8, 3)), "labels": np.arange(0)}, "at least one"),
        ({"images": np.array(["a"] * 4)}, "expected numbers"),
        ({"images": np.array([{}, {}, {}, {}], dtype=object)}, "plain arrays"),
    ],
)
def test_what_is_wrong_with_an_npz_file_is_said(tmp_path, changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        load_images("", saved(tmp_path / "a.npz", **{**GOOD, **changes}), None, 0)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"not a zip at all"])
def test_a_file_that_is_no_npz_is_refused(tmp_path, content):
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="not a readable"):
        load_images("", path, None, 0)


def test_missing_data_are_refused_in_one_sentence(tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        load_images("", tmp_path / "a.npz", None, 0)
    with pytest.raises(ValueError, match="did you mean 'mnist'"):
        load_images("mnits", None, None, 0)
    with pytest.raises(ValueError, match="holds pixels; expected"):
        load_images("", saved(tmp_path / "b.npz", pixels=np.ones(3)), None, 0)
    with pytest.raises(ValueError, match="name fewer"):
        load_images("digits", None, 5000, 0)


@pytest.mark.parametrize("given", [True, False])
def test_a_data_set_is_downloaded_to_the_folder_or_to_the_cache(tmp_path, monkeypatch, given):
    from torchvision import datasets

    asked = []

    def no_network(root, *, train, download):
        asked.append((root, train, download))
        raise RuntimeError("no network\nat all")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets, "CIFAR10", no_network)
    folder = tmp_path / "images" if given else download_folder()
    with pytest.raises(
        ValueError,
        match=r"could not provide cifar10 in .*: no network; .* or cifar10.npz, must lie there$",
    ):
        load_images("cifar10", folder if given else None, None, 0)
    assert asked == [(str(folder), True, True)]
