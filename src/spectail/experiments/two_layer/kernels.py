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

    Of n points and h units of the last hidden layer, the conjugate kernel has the min(n, h) that need not be 0.
    """
    e, x, spectra = experiment, problem.holdout.x, {}
    features = network.hidden(x, 1.0).double() / e.widths[-1] ** 0.5
    if "ck" in e.kernels:
        gram = lower_gram([features.T if e.n <= e.widths[-1] else features])
        spectra["ck_eigenvalues"] = torch.linalg.eigvalsh(gram).clamp_(min=0).cpu().numpy()
    if "ntk" in e.kernels:
        inputs = x.double()
        scale = 1.0 if e.initialization != "ntk" else 1.0 / e.d**0.5
        preactivations = scale * network.matrices[0].double() @ inputs.T
        slopes = find_activation(e.activation).slope(preactivations).mul_(network.a.double()[:, None])
        kernel = (inputs @ inputs.T).mul_(scale**2 / e.h).mul_(slopes.T @ slopes).addmm_(features.T, features)
        spectra["ntk_eigenvalues"] = torch.linalg.eigvalsh(kernel).clamp_(min=0).cpu().numpy()
    return spectra
