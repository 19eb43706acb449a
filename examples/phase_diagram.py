"""Draw the phase of W₁ and W₁₀ over learning rate and width, with the critical learning rate of theory.

The runs: spectail sweep examples/phase-diagram.toml --out results/phase-diagram
The picture: python examples/phase_diagram.py results/phase-diagram
"""

import sys
from pathlib import Path

from spectail import lazy_results, plots
from spectail.plots.look import new_figure, panel_title, style
from spectail.plots.picture_files import save_figure


def draw(folder: Path, out: Path) -> None:
    """Four panels: GD and FB-Adam, after one step and after the last."""
    results = lazy_results(folder)
    last = int(results.step.values[-1])
    with style():
        figure, axes = new_figure(2, 2, 5.2)
        panels = [(optimizer, step) for step in (1, last) for optimizer in ("gd", "adam")]
        for index, (ax, (optimizer, step)) in enumerate(zip(axes, panels, strict=True)):
            plots.phase_diagram(results, optimizer=optimizer, step=step, ax=ax)
            panel_title(ax, index, f"{'GD' if optimizer == 'gd' else 'FB-Adam'}, $W_{{{step}}}$")
        plots.phase_legend(figure, results)
        for path in save_figure(figure, out / "phase-diagram"):
            print(path)


if __name__ == "__main__":
    if len(sys.argv) == 2:
        draw(Path(sys.argv[1]), Path(sys.argv[1]))
    else:
        print(__doc__)
