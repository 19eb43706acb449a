"""Draw the phase of W₁ and W₁₀ over learning rate and width, and write its numbers, under each protocol.

Lines are the critical learning rate of theory, and the largest stable one of the first step, which is measured.

The runs: spectail sweep examples/phase-diagram.toml --out results/phase-diagram
The pictures: python examples/phase_diagram.py results/phase-diagram
"""

import sys
from pathlib import Path

import xarray as xr

from spectail import lazy_results, plots
from spectail.plots.look import figure_title, new_figure, panel_title, style
from spectail.plots.picture_files import save_figure

NUMBERS = (
    "phase", "pl_alpha_hill", "pl_alpha_ks", "spectral_gap", "n_spikes", "alignment", "kta", "test_loss_large",
)  # fmt: skip


def draw(results: xr.Dataset, protocol: str, out: Path) -> None:
    """Four panels: GD and FB-Adam, after one step and after the last."""
    last = int(results.step.values[-1])
    with style():
        figure, axes = new_figure(2, 2, 5.4)
        panels = [(optimizer, step) for step in (1, last) for optimizer in ("gd", "adam")]
        for index, (ax, (optimizer, step)) in enumerate(zip(axes, panels, strict=True)):
            plots.phase_diagram(results, optimizer=optimizer, protocol=protocol, step=step, stable=True, ax=ax)
            panel_title(ax, index, f"{'GD' if optimizer == 'gd' else 'FB-Adam'}, $W_{{{step}}}$")
        plots.phase_legend(figure, results, ncols=3)
        figure_title(figure, f"Phases over learning rate and width; conventions: {protocol}")
        for path in save_figure(figure, out / f"phase-diagram-{protocol}"):
            print(path)


def write(results: xr.Dataset, path: Path) -> None:
    """One row for each run and step after the start."""
    columns = ["protocol", "optimizer", "lr", "h", "seed", "step", *NUMBERS]
    table = results[list(NUMBERS)].sel(step=results.step > 0).to_dataframe().reset_index()
    of_runs = table[table.phase != ""].sort_values(columns[:6])[columns]  # elsewhere there is no run
    of_runs.to_csv(path, index=False, float_format="%.5g", lineterminator="\n")
    print(path)


def main(folder: Path, out: Path) -> None:
    results = lazy_results(folder)
    for protocol in results.protocol.values.tolist():
        draw(results, protocol, out)
    write(results, out / "phase-diagram.csv")


if __name__ == "__main__":
    if len(sys.argv) == 2:
        main(Path(sys.argv[1]), Path(sys.argv[1]))
    else:
        print(__doc__)
