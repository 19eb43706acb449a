"""Last release's names of modules: each works for one release, with a warning that names the new one.

No file has these names; where Python finds none it asks `find_spec` here. To be deleted whole after the release, with
the finder in `__init__.py` and tests/house/test_moved.py. Not here: keywords and functions that stand where they stood.
"""

from __future__ import annotations

import importlib
import warnings
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

TODAY: dict[str, dict[str, str]] = {
    "experiments.two_layer.run": {"simulate": "simulate", "simulate_many": "simulate_many"},
    "drawing": {"plots": "plots"},
    "drawing.plots": {"*": "plots.results_plot"},
    "drawing.run": {"draw_run": "plots.recording_plot.draw_recording"},
    "drawing.style": {
        "figure_style": "plots.style",
        "letter": "plots.look.panel_title",
        "save_figure": "plots.picture_files.save_figure",
        "*": "plots.look",
    },
    "networks": {
        "ConvMatrix": "weights.matrix.ConvMatrix",
        "Measurement": "recording.layout.Measurement",
        "PhaseChange": "recording.events.Event",
        "Skipped": "weights.matrix.Skipped",
        "SpectralMonitor": "SpectralMonitor",
        "WeightMatrix": "weights.matrix.WeightMatrix",
        "Weights": "weights.matrix.Weights",
        "effective_rank": "spectra.effective_rank",
        "measure_matrix": "analysis.row.measure_matrix",
        "open_monitor": "open_monitor",
        "open_weights": "weights.opening.open_weights",
        "pooled_eigenvalues": "analysis.pooling.pooled_eigenvalues",
        "to_csv": "monitor.loggers.to_csv",
    },
    "networks.adapters": {
        "SpectralCallback": "SpectralCallback",
        "SpectralTrainerCallback": "SpectralTrainerCallback",
    },
    "networks.adapters.lightning": {"SpectralCallback": "SpectralCallback"},
    "networks.adapters.transformers": {"SpectralTrainerCallback": "SpectralTrainerCallback"},
    "networks.train": {"train": "store.trainings.get_or_train", "open_training": "open_monitor"},
    "networks.training": {"Training": "Training"},
    "paper": {},
    "paper.catalogue": {"*": "study.catalogue"},
    "paper.record": {"*": "study.records"},
    "teacher_student": {
        "ACTIVATIONS": "experiments.activations.ACTIVATIONS",
        "Activation": "experiments.activations.Activation",
        "Experiment": "Experiment",
        "FullBatchAdam": "experiments.optimizers.FullBatchAdam",
        "OneStepPrediction": "experiments.theory.OneStepPrediction",
        "PROTOCOLS": "experiments.protocols.PROTOCOLS",
        "Points": "experiments.two_layer.problem.Points",
        "Problem": "Problem",
        "Readout": "experiments.two_layer.readout.Readout",
        "SignDescent": "experiments.optimizers.SignDescent",
        "Student": "experiments.two_layer.student.Student",
        "critical_lr": "critical_lr",
        "experiment_of": "experiments.experiment.experiment_of",
        "fit_readout": "experiments.two_layer.readout.fit_readout",
        "predict_one_step": "predict_one_step",
        "readout_loss": "experiments.two_layer.readout.readout_loss",
    },
    "teacher_student.theory": {"*": "experiments.theory"},
}
"""By old module: its names, each with where it is today; "*" is a module that has the rest under the old names."""


def find_spec(name: str) -> ModuleSpec | None:
    """How Python gets a module of the last release; None for any other name."""
    module = name.removeprefix("spectail.")
    if module not in TODAY:
        return None
    return ModuleSpec(name, _Loader(), is_package=any(other.startswith(f"{module}.") for other in TODAY))


class _Loader(Loader):
    def exec_module(self, module: ModuleType) -> None:
        """Let an empty module look for a name when it is used."""
        names = TODAY[module.__name__.removeprefix("spectail.")]

        def today(name: str) -> Any:
            rest = names.get("*", "")
            place = names.get(name) or (rest and f"{rest}.{name}")
            if not place or name.startswith("_"):
                raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")
            where, _, new = f"spectail.{place}".rpartition(".")
            target = getattr(importlib.import_module(where), new)
            sentence = f"{module.__name__}.{name} is now spectail.{place}; the old name works for one release"
            warnings.warn(sentence, DeprecationWarning, stacklevel=2)
            return target

        module.__dict__["__getattr__"] = today
