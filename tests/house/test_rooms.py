"""The house stands: every import runs the way that the rooms allow, and no files run in a circle."""

import ast

import pytest

import spectail
from house.sources import FILES, ROOT, graph, tree

ROOMS = {  # what a room may import, beside itself and the plain files at the root; from the bottom up
    "spectra": "",
    "hdf5": "",
    "weights": "hdf5",
    "recording": "hdf5",
    "running": "",
    "analysis": "spectra weights recording running",
    "monitor": "spectra weights recording analysis",
    "experiments": "spectra weights recording running analysis",
    "store": "recording experiments",
    "sweeps": "spectra recording running experiments store",
    "plots": "spectra recording analysis experiments store",
    "study": "spectra recording running analysis experiments store sweeps plots",
    "report": "spectra weights recording running analysis experiments store sweeps plots study",
    "cli": "spectra weights recording running analysis monitor experiments store sweeps plots study report",
}
PLAIN = {
    "errors.py",
    "files.py",
    "notebooks.py",
    "progress.py",
}  # for all; they import nothing of ours
NAMES_ONLY = {"__init__.py", "__main__.py", "moved.py"}  # import when a name is asked for; nothing imports them
STUBS = {"": "__init__.pyi", "spectra": "spectra/__init__.pyi", "plots": "plots/__init__.pyi"}


def room(file):
    return file.split("/")[0]


def test_every_file_stands_in_a_room():
    assert {room(file) for file in FILES} <= {*ROOMS, *PLAIN, *NAMES_ONLY}


@pytest.mark.parametrize("file", [file for file in FILES if file not in NAMES_ONLY])
def test_a_file_imports_only_what_its_room_may(file):
    allowed = set() if file in PLAIN else {room(file), *ROOMS[room(file)].split(), *PLAIN}
    version = {"__init__.py"}  # `from spectail import __version__` is a plain string
    assert {other for other in graph()[file] if room(other) not in allowed} - version == set()


def test_no_files_import_each_other_in_a_circle():
    finished = set()
    needed = {file: [other for other in others if other != "__init__.py"] for file, others in graph().items()}
    while ready := [f for f in needed if f not in finished and finished.issuperset(needed[f])]:
        finished |= set(ready)
    assert sorted(set(needed) - finished) == [], "these import each other, or files that do"


def test_no_figure_imports_a_figure():
    figures = [file for file in FILES if file.startswith("study/figures/")]
    assert len(figures) > 10
    assert {(f, o) for f in figures for o in graph()[f] if o.startswith("study/figures/") and o != f} == set()


def public_names(stub):
    return {alias.asname for node in tree(ROOT / stub).body if isinstance(node, ast.ImportFrom) for alias in node.names}


@pytest.mark.parametrize("where", STUBS)
def test_no_file_or_room_is_called_like_a_public_name_beside_it(where):
    """Importing the file would put the module in the place of the name."""
    beside = {path.stem for path in (ROOT / where).iterdir() if path.suffix in ("", ".py")}
    assert public_names(STUBS[where]) & beside <= {"plots", "spectra"}  # the root hands on these rooms themselves


def test_every_public_name_can_be_imported():
    for name in set(spectail.__all__) - {
        "SpectralCallback",
        "SpectralTrainerCallback",
    }:  # their libraries may be missing
        assert getattr(spectail, name) is not None
