"""The house stands: every import runs the way that the rooms allow, and no files run in a circle."""

import ast
from pathlib import Path

import pytest

import spectail

ROOT = Path(spectail.__file__).parent
ROOMS = {  # what a room may import, beside itself and the plain files at the root; from the bottom up
    "spectra": "",
    "hdf5": "",
    "weights": "hdf5",
    "recording": "hdf5",
    "running": "",
    "analysis": "spectra weights recording running",
    "monitor": "spectra weights recording analysis",
    "experiments": "spectra weights recording analysis",
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
FILES = {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text()) for path in sorted(ROOT.rglob("*.py"))}


def file_of(module):
    """The file of a dotted name of ours; None for a name in a module."""
    inside = "/".join(module.split(".")[1:])
    return next((f for f in (f"{inside}.py", f"{inside}/__init__.py".lstrip("/")) if f in FILES), None)


def imports(tree):
    """Files of ours that a file imports anywhere: at its top, in functions, for types."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name the whole path"
            modules = [
                f"{node.module}.{a.name}" if file_of(f"{node.module}.{a.name}") else node.module for a in node.names
            ]
        else:
            continue
        yield from {file for m in modules if m.split(".")[0] == "spectail" and (file := file_of(m))}


GRAPH = {file: sorted(set(imports(tree)) - {file}) for file, tree in FILES.items()}


def room(file):
    return file.split("/")[0]


def test_every_file_stands_in_a_room():
    assert {room(file) for file in FILES} <= {*ROOMS, *PLAIN, *NAMES_ONLY}


@pytest.mark.parametrize("file", [file for file in FILES if file not in NAMES_ONLY])
def test_a_file_imports_only_what_its_room_may(file):
    allowed = set() if file in PLAIN else {room(file), *ROOMS[room(file)].split(), *PLAIN}
    version = {"__init__.py"}  # `from spectail import __version__` is a plain string
    assert {other for other in GRAPH[file] if room(other) not in allowed} - version == set()


def test_no_files_import_each_other_in_a_circle():
    finished = set()
    graph = {file: [other for other in others if other != "__init__.py"] for file, others in GRAPH.items()}
    while ready := [f for f in graph if f not in finished and finished.issuperset(graph[f])]:
        finished |= set(ready)
    assert sorted(set(graph) - finished) == [], "these import each other, or files that do"


def test_no_figure_imports_a_figure():
    figures = [file for file in FILES if file.startswith("study/figures/")]
    assert len(figures) > 10
    assert {(f, o) for f in figures for o in GRAPH[f] if o.startswith("study/figures/") and o != f} == set()


def public_names(stub):
    return {
        alias.asname
        for node in ast.parse((ROOT / stub).read_text()).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


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
