import pytest

from spectail.experiments.cost import training_operations
from spectail.experiments.experiment import Experiment

VGG11 = Experiment(model="vgg11", dataset="mnist")


def test_operations_are_those_of_all_images_and_steps():
    training = Experiment(model="experiments.deep.trained_models:dense", dataset="digits", images=7, steps=5)
    first, second = 2 * 3 * 32 * 32 * 12, 2 * 12 * 10
    forward, of_weights, of_inputs = first + second, first + second, second  # the images need no gradient
    assert training_operations(training) == 7 * 5 * (forward + of_weights + of_inputs)


def test_all_images_of_a_known_data_set_are_counted_and_of_another_not():
    of = {images: training_operations(VGG11.replace(images=images)) for images in (600, "all")}
    assert of["all"] == 100 * of[600]
    with pytest.raises(ValueError, match="how many images mine has is not known"):
        training_operations(VGG11.replace(dataset="mine", images="all"))
