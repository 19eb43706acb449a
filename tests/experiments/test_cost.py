import math

import pytest

from spectail.experiments.cost import COUNTED, counted, disk_bytes, operations, weight
from spectail.experiments.experiment import Experiment

VGG11 = Experiment(model="vgg11", dataset="mnist")


def test_operations_are_those_of_all_images_and_steps():
    training = Experiment(model="experiments.deep.trained_models:dense", dataset="digits", images=7, steps=5)
    first, second = 2 * 3 * 32 * 32 * 12, 2 * 12 * 10
    forward, of_weights, of_inputs = first + second, first + second, second  # the images need no gradient
    assert operations(training) == 7 * 5 * (forward + of_weights + of_inputs)


def test_all_images_of_a_known_data_set_are_counted_and_of_another_not():
    of = {images: operations(VGG11.replace(images=images)) for images in (600, "all")}
    assert of["all"] == 100 * of[600]
    assert math.isnan(operations(VGG11.replace(dataset="mine", images="all")))


def test_a_network_that_cannot_be_counted_still_weighs_something():
    broken = VGG11.replace(model="math:pi", images=10, steps=3)
    assert math.isnan(operations(broken))
    assert weight(broken) > 0
    assert weight(VGG11) == operations(VGG11)
    # 8 convolutions, their batch norms' scales are vectors, and one linear layer: eigenvalues of each kernel position
    assert disk_bytes(VGG11.replace(record=[0, 1])) - disk_bytes(VGG11.replace(record=[0])) == 4 * (
        9 * (3 + 64 + 128 + 256 + 256 + 512 + 512 + 512) + 10
    )


@pytest.mark.parametrize("network", COUNTED, ids=lambda network: network[0])
def test_what_is_known_of_the_networks_of_the_paper_is_what_is_counted(network):
    model, shape, outputs = network
    assert counted(model, (), shape, outputs) == COUNTED[network]
