"""docs/architecture.md says what is so: its rooms, its diagram, every file and name in it, and in CONTRIBUTING.md."""

import ast
import re

import pytest
import torch

import spectail
from house.sources import HOME, ROOT, graph, tree
from house.test_rooms import ROOMS, room
from spectail.experiments.activations import ACTIVATIONS, Activation
from spectail.experiments.optimizers import OPTIMIZERS

PAGE = (HOME / "docs" / "architecture.md").read_text()
FILE = re.compile(r"`([\w/]*(?:\w+\.(?:pyi?|html|toml|json|md)|/))(?::([\w.]+))?`")
NAMED = sorted({*FILE.findall(PAGE), *FILE.findall((HOME / "CONTRIBUTING.md").read_text())})
PLACES = [ROOT, HOME, HOME / "tests" / "house", HOME / "tests" / "data" / "first_edition"]


def table():
    """The rooms, as the page has to show them: what each promises is the first line of its `__init__`."""
    for name, imports in ROOMS.items():
        promise = ast.get_docstring(tree(ROOT / name / "__init__.py")).splitlines()[0]
        yield f"| `{name}/` | {promise} | {imports or '–'} |"


def diagram():
    """Which room imports which: ● does, ○ may."""
    edges = {
        (room(file), room(other)) for file, others in graph().items() for other in others if room(file) != room(other)
    }
    width = max(map(len, ROOMS))
    yield " " * (width + 3) + "".join(f"{number:3d}" for number in range(1, len(ROOMS)))
    for number, (name, may) in enumerate(ROOMS.items(), 1):
        marks = ("●" if (name, other) in edges else "○" if other in may.split() else "" for other in ROOMS)
        yield f"{number:2d} {name:{width}}{''.join(f'{mark:>3}' for mark in marks)}".rstrip()


def definitions(body):
    """Names that statements define, those of a class with the class before them."""
    for node in body:
        match node:
            case ast.ClassDef():
                yield node.name
                yield from (f"{node.name}.{inner}" for inner in definitions(node.body))
            case ast.FunctionDef():
                yield node.name
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                yield name


def test_the_table_of_the_rooms_is_that_of_the_guard():
    lines = re.search(r"\| room \| promises \| may import \|\n\|---\|---\|---\|\n((?:\|.*\n)+)", PAGE)[1]
    assert lines.splitlines() == list(table())


def test_the_diagram_of_the_rooms_is_that_of_the_imports():
    drawn = re.search(r"```text\n( +1  2 .*?)```", PAGE, re.S)[1]
    assert drawn.splitlines() == list(diagram()), "\n".join(["the diagram is to be:", *diagram()])


@pytest.mark.parametrize(("file", "name"), NAMED, ids=[":".join(filter(None, one)) for one in NAMED])
def test_a_file_and_a_name_of_the_page_are_there(file, name):
    path = next((place / file for place in PLACES if (place / file).exists()), None)
    assert path, f"there is no {file}"
    assert not name or name in set(definitions(tree(path).body))


TINY = {"n": 40, "n_test": 9, "n_test_large": 9, "d": 20, "h": 30, "steps": 2}


def test_a_line_of_its_table_is_all_that_an_optimizer_needs(monkeypatch):
    monkeypatch.setitem(OPTIMIZERS, "mine", torch.optim.SGD)
    mine, gd = (spectail.simulate(spectail.Experiment(optimizer=name, lr=1.0, **TINY)) for name in ("mine", "gd"))
    torch.testing.assert_close(mine.eigenvalues.values, gd.eigenvalues.values, rtol=1e-5, atol=1e-6)  # float32


def test_a_line_of_its_table_is_all_that_a_teacher_and_an_activation_need(monkeypatch):
    monkeypatch.setitem(
        ACTIVATIONS, "mine", Activation(ACTIVATIONS["tanh"].value_, ACTIVATIONS["tanh"].slope_, "value")
    )
    runs = [
        spectail.simulate(spectail.Experiment(teacher=name, activation=name, lr=1.0, **TINY))
        for name in ("mine", "tanh")
    ]
    assert runs[0].eigenvalues.equals(runs[1].eigenvalues)
