"""What the first edition's documents import still works, says what it is called now, and is today's object."""

import importlib
import subprocess
import sys

import pytest

import spectail
from spectail.moved import TODAY

LINES = {  # every import line of the documents and examples that names a module of the first edition, and what it gives
    "from spectail.drawing.run import draw_run": ["spectail.plots.recording_plot.draw_recording"],
    "from spectail.drawing.style import figure_style, letter, new_figure, save_figure": [
        "spectail.plots.look.style",
        "spectail.plots.look.panel_title",
        "spectail.plots.look.new_figure",
        "spectail.plots.picture_files.save_figure",
    ],
    "from spectail.networks import Measurement": ["spectail.recording.layout.Measurement"],
    "from spectail.networks import to_csv": ["spectail.monitor.loggers.to_csv"],
    "from spectail.networks.train import open_training, train": [
        "spectail.recording.reading.open_monitor",
        "spectail.store.trainings.get_or_train",
    ],
    "from spectail.networks.training import Training": ["spectail.store.trainings.Training"],
    "from spectail.paper.catalogue import catalogue": ["spectail.study.catalogue.catalogue"],
    "from spectail.paper.record import read_records, save_verdicts, save_verdicts_as_markdown": [
        "spectail.study.records.read_records",
        "spectail.study.records.save_verdicts",
        "spectail.study.records.save_verdicts_as_markdown",
    ],
    "from spectail.teacher_student.theory import critical_lr": ["spectail.experiments.theory.critical_lr"],
}
CALLBACKS = {"lightning": "SpectralCallback", "transformers": "SpectralTrainerCallback"}


def object_of(dotted):
    module, _, name = dotted.rpartition(".")
    return getattr(importlib.import_module(module), name)


@pytest.mark.parametrize("line", LINES)
def test_an_import_of_the_first_edition_gives_the_object_of_today_and_names_it(line):
    names = line.partition(" import ")[2].split(", ")
    namespace = {}
    with pytest.warns(DeprecationWarning, match="the old name works for one release") as warned:
        exec(line, namespace)
    for name, today in zip(names, LINES[line], strict=True):
        assert namespace[name] is object_of(today)
        [sentence] = {str(w.message) for w in warned if f".{name} is now" in str(w.message)}
        assert object_of(sentence.split(" is now ")[1].partition(";")[0]) is namespace[name]
    assert {w.filename for w in warned} == {"<string>"}, "the warning names the line that imports"


@pytest.mark.parametrize("module", TODAY)
def test_every_name_of_the_table_is_there_today(module):
    last_release = importlib.import_module(f"spectail.{module}")
    for name, place in TODAY[module].items():
        if name == "*":
            assert importlib.import_module(f"spectail.{place}")
        elif name not in CALLBACKS.values():  # their libraries may be missing
            with pytest.warns(DeprecationWarning, match=f"{name} is now spectail.{place}"):
                assert getattr(last_release, name) is object_of(f"spectail.{place}")


@pytest.mark.filterwarnings("ignore")  # of the libraries themselves
@pytest.mark.parametrize("library", CALLBACKS)
def test_a_callback_is_there_or_says_which_extra_it_needs(library):
    adapters, name = importlib.import_module("spectail.networks.adapters"), CALLBACKS[library]
    try:
        importlib.import_module(library)
    except ModuleNotFoundError:
        with pytest.raises(ImportError, match=rf"spectail\[{library}\]"):
            getattr(adapters, name)
    else:
        with pytest.warns(DeprecationWarning, match=f"is now spectail.{name}"):
            assert getattr(adapters, name) is getattr(spectail, name)


def test_a_module_and_a_name_that_never_were_are_not_there():
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'spectail\.network'"):
        importlib.import_module("spectail.network")
    with pytest.raises(ImportError, match="cannot import name 'Weight'"):
        exec("from spectail.networks import Weight")


def test_importing_spectail_does_not_read_the_table():
    code = "import spectail, sys; assert 'spectail.moved' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_names_of_the_last_release_work_and_are_not_offered():
    import spectail

    for name in spectail._OLD:
        assert name in spectail.__all__
        assert callable(getattr(spectail, name))
        assert name not in dir(spectail)
    assert {"analyze", "Experiment", "SpectralMonitor", "SpectralCallback", "plots"} <= set(dir(spectail))
