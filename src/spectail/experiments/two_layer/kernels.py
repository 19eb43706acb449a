"""Spectra of the kernels of a student on the hold-out points: of its features, and of its gradients.

Not here: what theory says of them before training (kernel_law.py), and their alignment with the labels (readout.py).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from spectail.experiments.activations import find_activation
from spectail.experiments.experiment import Experiment
from spectail.experiments.two_layer.networks import Network
from spectail.experiments.two_layer.problem import Problem
from spectail.spectra.gram import lower_gram


def kernel_eigenvalues(experiment: Experiment, problem: Problem, network: Network) -> dict[str, NDArray[np.float64]]:
    """The eigenvalues of each kernel that an experiment asks for, ascending, by the name of the variable.

    Those that the readout gives on the way are left out (`has_gram_of_kernel`). For n points and h units of the last
    hidden layer, the conjugate kernel has the min(n, h) eigenvalues that need not be 0.
    """
    e, x, spectra = experiment, problem.holdout.x, {}
    if e.kernels == ("ck",) and has_gram_of_kernel(e):
        return {}
    features = network.hidden(x, 1.0).double() / e.widths[-1] ** 0.5
    if "ck" in e.kernels and not has_gram_of_kernel(e):
        gram = lower_gram([features.T if e.n <= e.widths[-1] else features])
        spectra["ck_eigenvalues"] = eigenvalues_of_gram(gram)
    if "ntk" in e.kernels:
        inputs = x.double()
        scale = 1.0 if e.initialization != "ntk" else 1.0 / e.d**0.5
        preactivations = scale * network.matrices[0].double() @ inputs.T
        if network.biases:
            preactivations += network.biases[0].double()[:, None]
        slopes = find_activation(e.activation).slope(preactivations).mul_(network.a.double()[:, None])
        kernel = (inputs @ inputs.T).mul_(scale**2 / e.h)
        if e.bias == "trained":
            kernel += 1 / e.h
        kernel = kernel.mul_(slopes.T @ slopes).addmm_(features.T, features)
        spectra["ntk_eigenvalues"] = eigenvalues_of_gram(kernel)
    return spectra


def has_gram_of_kernel(experiment: Experiment) -> bool:
    """Whether the conjugate kernel is asked for, and the readout forms a Gram matrix that has its eigenvalues."""
    e = experiment
    return "ck" in e.kernels and e.feature_scale == "model" and e.n >= e.widths[-1]


def eigenvalues_of_gram(gram: torch.Tensor) -> NDArray[np.float64]:
    """The eigenvalues of a Gram matrix that is given by its lower half, ascending, none below 0."""
    values: NDArray[np.float64] = torch.linalg.eigvalsh(gram).clamp_(min=0).cpu().numpy()
    return values
