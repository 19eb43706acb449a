"""Shapes in signatures are checked while the tests run; workers do not fight over cores."""

import os

import torch
from jaxtyping import install_import_hook

install_import_hook(["spectail.spectra", "spectail.teacher_student"], "typechecker.check")

if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)
