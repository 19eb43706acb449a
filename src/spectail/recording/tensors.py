"""What of a parameter a matrix is: its weights, or what belongs to them, under a name with an ending.

Not here: how any of it is measured.
"""

from __future__ import annotations

NAME_ENDINGS = {"weights": "", "gradients": " (gradient)", "updates": " (update)", "momentum": " (momentum)"}
"""What stands behind the name of the weights, by the word of the label `tensor`."""


def tensor_of(name: str) -> str:
    """What of a parameter a matrix is.

    Args:
        name: of it, in a recording.

    >>> tensor_of("fc.weight (update)"), tensor_of("fc.weight")
    ('updates', 'weights')
    """
    return next((tensor for tensor, end in NAME_ENDINGS.items() if end and name.endswith(end)), "weights")


def name_of_weights(name: str) -> str:
    """The name of the weights that a matrix belongs to.

    Args:
        name: of it, in a recording.

    >>> name_of_weights("fc.weight (update)"), name_of_weights("fc.weight")
    ('fc.weight', 'fc.weight')
    """
    return name.removesuffix(NAME_ENDINGS[tensor_of(name)])
