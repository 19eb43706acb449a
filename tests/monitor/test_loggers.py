"""What trackers are handed: the same names everywhere, spectra where they are taken, and W&B keeps its own step."""

import math
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from monitor.small_training import go_on, small
from spectail import SpectralMonitor, every
from spectail.monitor.loggers import scalars_of, spectra_of, to_accelerate, to_csv, to_tensorboard, to_wandb
from spectail.recording.layout import Measurement


class Writer:
    """As a SummaryWriter."""

    def __init__(self):
        self.scalars, self.histograms, self.texts = {}, {}, {}

    def add_scalar(self, tag, value, step):
        self.scalars.setdefault(step, {})[tag] = value

    def add_histogram(self, tag, values, step):
        assert np.isfinite(values).all()
        self.histograms.setdefault(step, set()).add(tag)

    def add_text(self, tag, text, step):
        self.texts[step] = text


class Run:
    """As a run of W&B: a row grows until it is committed, and `step` counts rows."""

    def __init__(self):
        self.step, self.rows, self.row, self.metrics = 0, [], {}, {}

    def define_metric(self, name, step_metric=None):
        self.metrics[name] = step_metric

    def log(self, data, step=None, commit=None):
        if step is not None and step > self.step:
            self._commit(step)
        self.row |= data
        if commit or (commit is None and step is None):
            self._commit(self.step + 1)

    def _commit(self, step):
        self.rows.append(self.row)
        self.row, self.step = {}, step


@pytest.fixture
def wandb(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(Histogram=lambda np_histogram: np_histogram))


def watch(logger, steps=4, after=lambda step: None):
    """Train, with a measurement of every second step, and do something after each."""
    model, optimizer = small()
    options = {"when": every(2), "nulls": False, "alerts": None, "summary": False}
    with SpectralMonitor(model, optimizer, on_measurement=logger, **options):
        for step in range(steps):
            go_on(model, optimizer, 1)
            after(step)


def test_names_are_those_of_layers_and_quantities_and_every_tracker_takes_them():
    measurements = []
    watch(measurements.append)
    scalars, spectra = scalars_of(measurements[0]), spectra_of(measurements[0])
    assert "spectail/0.weight/stable_rank" in scalars
    assert all(math.isfinite(value) for value in scalars.values())
    assert set(spectra) == {"spectail/0.weight/log10 eigenvalues", "spectail/1.weight/log10 eigenvalues"}


def test_tensorboard_has_numbers_spectra_and_events_at_the_steps():
    writer = Writer()
    watch(to_tensorboard(writer))
    assert set(writer.scalars) == set(writer.histograms) == {0, 2, 4}
    assert writer.histograms[2] == {"spectail/0.weight/log10 eigenvalues", "spectail/1.weight/log10 eigenvalues"}


@pytest.mark.usefixtures("wandb")
@pytest.mark.parametrize("says_step", [True, False])
def test_the_step_of_wandb_is_what_it_is_without_us_and_nothing_is_lost(says_step):
    run, alone = Run(), Run()

    def log(step):
        for one in (run, alone):
            one.log({"loss": 1.0}, step=step if says_step else None)

    watch(to_wandb(run), after=log)
    assert run.step == alone.step
    rows = [*run.rows, run.row]
    assert sum("loss" in row for row in rows) == 4
    assert [row["spectail/step"] for row in rows if "spectail/step" in row] == [0, 2, 4]
    assert run.metrics == {"spectail/step": None, "spectail/*": "spectail/step"}


@pytest.mark.usefixtures("wandb")
def test_measurements_between_two_rows_of_the_users_own_are_rows():
    run = Run()
    watch(to_wandb(run), steps=6, after=lambda step: run.log({"loss": 1.0}) if step == 5 else None)
    assert [row["spectail/step"] for row in run.rows] == [0, 2, 4, 6]


@pytest.mark.usefixtures("wandb")
def test_accelerate_hands_spectra_to_those_that_take_them_and_numbers_to_all():
    writer, numbers = Writer(), {}
    other = SimpleNamespace(tracker=None, log=lambda values, step: numbers.update({step: values}))
    watch(to_accelerate(SimpleNamespace(trackers=[SimpleNamespace(tracker=writer), other])))
    assert set(writer.histograms) == set(numbers) == {0, 2, 4}
    assert numbers[2] == writer.scalars[2]


def test_a_csv_file_that_another_release_began_keeps_its_columns(tmp_path):
    """Else numbers would go on in the columns of other quantities."""
    path, log = tmp_path / "log.csv", to_csv(tmp_path / "log.csv")
    path.write_text("step,name,phase,gone_since,pl_alpha_hill\n1,fc,random-like,7,2.5\n")
    log(Measurement(2, [{"name": "fc", "phase": "heavy-tailed", "pl_alpha_hill": 1.75, "stable_rank": 3.0}]))
    assert path.read_text().splitlines()[1:] == ["1,fc,random-like,7,2.5", "2,fc,heavy-tailed,,1.75"]
