import pytest

from spectail.experiments.cost import training_operations
from spectail.experiments.deep.training import Training


def test_operations_are_those_of_all_images_and_steps():
    training = Training(model="experiments.deep.trained_models:dense", dataset="digits", images=7, steps=5)
    first, second = 2 * 3 * 32 * 32 * 12, 2 * 12 * 10
    forward, of_weights, of_inputs = first + second, first + second, second  # the images need no gradient
    assert training_operations(training) == 7 * 5 * (forward + of_weights + of_inputs)


def test_all_images_of_a_known_data_set_are_counted_and_of_another_not():
    of = {images: training_operations(Training(dataset="mnist", images=images)) for images in (600, None)}
    assert of[None] == 100 * of[600]
    with pytest.raises(ValueError, match="how many images mine has is not known"):
        training_operations(Training(dataset="mine", images=None))
