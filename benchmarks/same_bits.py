"""Whether two versions compute the same bits: `python -m benchmarks.same_bits FILE`, in each, on one machine.

It writes the hashes of a fixed set of small runs, an analysis, a watched training and a deep training, all on one
thread. `python -m benchmarks.same_bits A.json B.json` says which differ, and ends with 1 if any does. Hashes of
another processor, or another torch, say nothing. To ask an older commit: check it out elsewhere, and put its src and
this folder's parent into PYTHONPATH.

What was renamed since the first edition is hashed by today's name, and spectra as float32, ascending, without padding.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import platform
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

spectail: Any = importlib.import_module("spectail")

Hashes = dict[str, dict[str, str]]
"""By what was computed, and there by the name of a quantity."""

SMALL = {"n": 120, "n_test": 30, "n_test_large": 50, "d": 60, "h": 90, "steps": 6}
FULL = {"gd": {"optimizer": "gd", "lr": 30.0}, "adam": {"optimizer": "adam", "lr": 0.5}}
PAIRS = ((1, 0), (4, 3), (0, 5))
STEP_LR = {"schedule": "StepLR", "schedule_options": {"step_size": 2, "gamma": 0.5}}
RUNS: dict[str, dict[str, Any]] = {
    "gd, equations": {**FULL["gd"]},
    "gd, published": {**FULL["gd"], "protocol": "published"},
    "gd, momentum and schedule": {**FULL["gd"], "optimizer_options": {"momentum": 0.9}, **STEP_LR},
    "gd, one step": {**FULL["gd"], "lr": 2000.0, "steps": 1, "overlaps": ((0, 0), (1, 0))},
    "gd, wide": {**FULL["gd"], "h": 40, "d": 70, "activation": "gelu", "teacher": "erf"},
    "gd, diverges": {**FULL["gd"], "activation": "he4", "lr": 1e3},
    "adam, equations": {**FULL["adam"], "overlaps": PAIRS},
    "adam, published": {**FULL["adam"], "protocol": "published", "overlaps": PAIRS},
    "adam, one step": {**FULL["adam"], "steps": 1},
    "adam, bfloat16": {**FULL["adam"], "precision": "bfloat16"},
    "adam, float64, mean field": {**FULL["adam"], "dtype": "float64", "initialization": "mean_field"},
    "adam, normalized after": {**FULL["adam"], "weight_normalization": True},
    "adam, normalized before": {**FULL["adam"], "weight_normalization": True, "protocol": "published"},
    "adam, hardly any ridge": {**FULL["adam"], "ridge": 1e-12, "activation": "relu"},
    "adam, much ridge": {**FULL["adam"], "ridge": 10.0, "label_noise": 0.0},
    "sign": {"optimizer": "sign", "lr": 0.2},
    "sign, one step": {"optimizer": "sign", "lr": 0.2, "steps": 1, "protocol": "published"},
    "AdamW": {"optimizer": "AdamW", "lr": 0.2, "optimizer_options": {"weight_decay": 0.1}},
    "RMSprop": {"optimizer": "RMSprop", "lr": 0.1},
    "2 × 2": {**FULL["adam"], "d": 2, "h": 2},
}
TOGETHER = ({**FULL["gd"]}, {**FULL["adam"]}, {**FULL["gd"], "lr": 5.0, "steps": 1}, {**FULL["gd"], "seed": 1})

RENAMED = {"xmin": "ks_xmin", "layer": "matrix", "train_loss": "cross_entropy", "train_accuracy": "accuracy"}
"""In what is measured of networks; the runs of the laboratory keep their names."""
NOT_COMPARED = ("measuring_seconds", "training_seconds", "event_step", "event_layer", "event_before", "event_after")
STATISTICS = ("null_alpha_hill", "null_alpha_ks", "null_spread_hill", "null_spread_ks", "z_hill", "z_ks", "note",
              "alpha_stderr", "p_value", "bulk_edge", "bulk_variance", "bulk_distance", "n_spikes", "spectral_gap",
              "phase", "effective_rank")  # fmt: skip
"""What rests on draws of Gaussian matrices: another edition of the nulls has other draws, and a note quotes z. Standard
errors and goodness of fit were once those of independent values; phases, spikes and the bulk of networks have been
judged by such draws since, and the effective rank has been that without rounding. The checksum of a run of the
laboratory holds all of them."""
SPECTRA = "eigenvalues"


def digest(values: Any) -> str:
    """The hash of numbers or words, with their shape; all numbers as float64, which holds them exactly."""
    array = np.asarray(values)
    if array.dtype.kind in "OSUT":
        content = json.dumps([None if word != word else str(word) for word in array.ravel().tolist()]).encode()
    else:
        array = array.astype(np.float64)
        content = np.where(np.isnan(array), np.nan, array).astype("<f8").tobytes()  # one NaN, whatever its bits
    return hashlib.sha256(repr(array.shape).encode() + content).hexdigest()[:16]


def spectrum_digest(values: Any) -> str:
    """The hash of one spectrum as float32, however it is padded."""
    spectrum = np.asarray(values, dtype=np.float32)
    return digest(np.sort(spectrum[~np.isnan(spectrum)]))


def run_hashes(run: Any) -> dict[str, str]:
    """The hashes of what the file of a run of the laboratory holds, by name."""
    whole = {"checksum": str(run.attrs["checksum"])[:16]}
    names = [str(name) for name in (*run.data_vars, *run.coords) if run[name].dims]
    return whole | {name: digest(run[name].values) for name in sorted(names)}


def recording_hashes(recording: Any) -> dict[str, str]:
    """The hashes of what was measured of a network over steps, by name."""
    names = {RENAMED.get(str(name), str(name)): str(name) for name in recording.variables}
    hashes = {
        new: digest(recording[old].values)
        for new, old in names.items()
        if new not in (*NOT_COMPARED, SPECTRA, "matrix") and recording[old].dims
    }
    for at, matrix in enumerate(recording[names["matrix"]].values.tolist()):
        for step, spectra in zip(recording.step.values.tolist(), recording[SPECTRA].values, strict=True):
            hashes[f"{SPECTRA} of {matrix} at {step}"] = spectrum_digest(spectra[at])
    return hashes


def laboratory() -> Iterator[tuple[str, dict[str, str]]]:
    for name, fields in RUNS.items():
        yield f"run: {name}", run_hashes(spectail.simulate(spectail.Experiment(**{**SMALL, **fields})))
    experiments = [spectail.Experiment(**{**SMALL, **fields}) for fields in TOGETHER]
    for at, (_, run) in enumerate(spectail.simulate_many(experiments)):
        yield f"simulate_many: {at}", run_hashes(run)


class Mixed(nn.Module):
    """One of each kind of layer; its weights have bulks, a spike, a heavy tail and a lost rank."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(90, 40)
        self.conv = nn.Conv2d(20, 30, 3)
        self.lstm = nn.LSTM(40, 50)
        self.attention = nn.MultiheadAttention(48, 4)
        self.tall = nn.Linear(60, 400)
        self.wide = nn.Linear(300, 80, dtype=torch.bfloat16)
        self.narrow = nn.Linear(40, 3)
        with torch.no_grad():
            self.tall.weight += 0.05 * torch.outer(torch.randn(400), torch.randn(60))
            self.embedding.weight /= torch.rand(90, 1) ** 1.5
            self.wide.weight[40:] = self.wide.weight[:40]


def analysis() -> Iterator[tuple[str, dict[str, str]]]:
    torch.manual_seed(11)
    before, after = Mixed(), Mixed()
    changed = {name: tensor + 0.01 * torch.randn_like(tensor) for name, tensor in before.state_dict().items()}
    after.load_state_dict(changed)
    frame, spectra = analyzed(before)
    yield "analyze: rows", frame_hashes(frame)
    yield "analyze: spectra", {name: spectrum_digest(spectrum) for name, spectrum in spectra.items()}
    frame, _ = analyzed(before.state_dict(), conv="flatten")
    yield "analyze: a state dict, kernels flattened", frame_hashes(frame)
    yield "compare: rows", frame_hashes(compared(before, after))


def analyzed(source: Any, **options: Any) -> tuple[Any, Mapping[str, Any]]:
    """The frame of an analysis, and its spectra by name."""
    analysis = spectail.analyze(source, **options)
    if hasattr(analysis, "frame"):
        return analysis.frame, analysis.spectra
    old = first_of("analyze_with_spectra", ".networks.analyze", ".analysis.model")(source, **options)
    return analysis, dict(zip(analysis["name"], old.spectra, strict=True))


def compared(before: Any, after: Any) -> Any:
    """The frame of what changed between two models."""
    if "after" in inspect.signature(spectail.analyze).parameters:
        comparison = spectail.analyze(before, after=after)
    else:
        comparison = spectail.compare(before, after)
    return getattr(comparison, "frame", comparison)


def frame_hashes(frame: Any) -> dict[str, str]:
    renamed = {**RENAMED, "overlap_left": "top_overlap_left", "overlap_right": "top_overlap_right"}
    hashes = {}
    for name in map(str, frame.columns):
        column = frame[name]
        words = column.dtype.kind in "OSUT" or "str" in str(column.dtype).lower()
        values = column.to_numpy(object) if words else column.to_numpy(float, na_value=np.nan)
        hashes[renamed.get(name, name)] = digest(values)
    return hashes


def watched() -> Iterator[tuple[str, dict[str, str]]]:
    """A small training under the eyes of a monitor; also whether its eyes change the training."""
    torch.manual_seed(12)
    inputs = torch.randn(150, 30)
    targets = inputs[:, :1].sign() * inputs[:, 1:2]
    model = nn.Sequential(nn.Linear(30, 50), nn.Tanh(), nn.Linear(50, 20), nn.Tanh(), nn.Dropout(0.1), nn.Linear(20, 1))
    groups: list[dict[str, Any]] = [{"params": model[0].parameters(), "lr": 0.05}, {"params": [*model[2].parameters()]}]
    optimizer = torch.optim.Adam([*groups, {"params": [*model[5].parameters()]}], lr=0.01)
    every: dict[str, Any] = {"when": spectail.every(3)} if hasattr(spectail, "every") else {"every": 3}
    with spectail.SpectralMonitor(model, optimizer, **every) as monitor:
        for _ in range(10):
            optimizer.zero_grad()
            (model(inputs) - targets).square().mean().backward()
            optimizer.step()
    recording = monitor.recording if hasattr(monitor, "recording") else monitor.dataset()
    yield "monitor", recording_hashes(recording)
    yield "monitor: the trained weights", {name: digest(value) for name, value in model.state_dict().items()}


def network() -> nn.Module:
    """For the deep training, whose model has a name: benchmarks.same_bits:network."""
    features = nn.Sequential(nn.Conv2d(3, 12, 4, stride=4, bias=False), nn.BatchNorm2d(12), nn.ReLU())
    return nn.Sequential(features, nn.Conv2d(12, 16, 2, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10))


def trained() -> Iterator[tuple[str, dict[str, str]]]:
    draw = np.random.default_rng(13)
    labels: Any = np.arange(60) % 4
    images = draw.integers(0, 100, (60, 8, 8))
    images[np.arange(60), 2 * labels] += 100
    options: dict[str, Any] = {
        "model": "benchmarks.same_bits:network",
        "dataset": "bars",
        "images": 48,
        "micro_batch": 20,
        "steps": 3,
    }
    further: dict[str, dict[str, Any]] = {
        "adam": {"record": (0, 1, 3)},
        "gd": {"batch_norm": "frozen", "dtype": "float64", "conv": "flatten"},
    }
    for optimizer in further:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            np.savez(folder / "bars.npz", images=images.astype(np.uint8), labels=labels.astype(np.uint8))
            fields = {**options, **further[optimizer], "optimizer": optimizer, "lr": 0.05}
            yield f"train: {optimizer}", recording_hashes(train(fields, folder))


def train(fields: Mapping[str, Any], folder: Path) -> Any:
    data = folder / "bars.npz"
    if hasattr(spectail, "train"):
        return spectail.train(spectail.Training(**fields), folder, data=data)
    training = first_of("Training", ".networks.training", ".experiments.deep.training")(**fields)
    path, _ = first_of("train", ".networks.train", ".experiments.deep.run")(training, folder / "trainings", data=data)
    open_training = first_of("open_training", ".networks.train", ".experiments.deep.run", ".recording.reading")
    return open_training(path)


def first_of(name: str, *modules: str) -> Any:
    """A name that moved, from the first of these modules that has it."""
    for module in modules:
        try:
            return getattr(importlib.import_module(module, spectail.__name__), name)
        except (ImportError, AttributeError):
            continue
    raise ImportError(f"{name} is in none of {', '.join(modules)}")


def compute() -> Hashes:
    """Everything, on one thread."""
    torch.set_num_threads(1)
    by_run: Hashes = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # old names are deprecated, and asked for here on purpose
        for part in (laboratory, analysis, watched, trained):
            for name, hashes in part():
                by_run[name] = hashes
                print(f"{len(by_run):3d} {name}", file=sys.stderr)
    return by_run


def differences(a: Hashes, b: Hashes) -> list[str]:
    """One sentence for each thing that is not the same; quantities that only the second has are no difference."""
    sentences = [f"{name}: only in the {where}" for where, one, other in (("first", a, b), ("second", b, a))
            for name in one if name not in other]  # fmt: skip
    for name in (name for name in a if name in b):
        exact = [quantity for quantity in a[name] if quantity not in STATISTICS]
        gone = [quantity for quantity in exact if quantity not in b[name]]
        other = [quantity for quantity in exact if b[name].get(quantity, a[name][quantity]) != a[name][quantity]]
        sentences += [f"{name}: {', '.join(other)}"] if other else []
        sentences += [f"{name}: gone: {', '.join(gone)}"] if gone else []
    return sentences


def main(arguments: list[str]) -> int:
    if len(arguments) == 1:
        about = {"torch": torch.__version__, "numpy": np.__version__, "machine": platform.machine()}
        result = {**about, "spectail": spectail.__version__, "hashes": compute()}
        Path(arguments[0]).write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return 0
    if len(arguments) != 2:
        print("expected one file to write, or two to compare", file=sys.stderr)
        return 2
    a, b = (json.loads(Path(path).read_text(encoding="utf-8")) for path in arguments)
    for part in ("torch", "numpy", "machine"):
        if a[part] != b[part]:
            print(f"{part}: {a[part]} and {b[part]}; the hashes need not be equal")
    sentences = differences(a["hashes"], b["hashes"])
    print("\n".join(sentences) or f"all {len(a['hashes'])} are the same")
    return 1 if sentences else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
