"""Train a student, follow its spectrum, and draw where it ended: python examples/one_run.py"""

from pathlib import Path

from spectail import Experiment, MarchenkoPastur, simulate
from spectail.plots.look import style
from spectail.plots.picture_files import save_figure
from spectail.plots.recording_plot import draw_recording

experiment = Experiment(n=400, d=200, h=300, optimizer="gd", lr=400, steps=10, protocol="published")
run = simulate(experiment)

untrained = MarchenkoPastur(experiment.h, experiment.d).hill()
for step in run.step.values:
    at = run.sel(step=step)
    print(f"step {step:3d}  {at.phase.item():14s} Hill {at.pl_alpha_hill.item():.3f} (untrained {untrained:.3f})")

with style():
    for name, figure in draw_recording(run).items():
        print(*save_figure(figure, Path("results") / f"one-run-{name}"))
