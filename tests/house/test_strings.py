"""Modules and files that are named in strings are there: no import would notice when they move."""

import ast
import importlib
import re
import tomllib

import pytest

import spectail
from house.sources import HOME, ROOT, tree

PAGES = ROOT / "report" / "pages"
SOURCES = sorted(
    path for folder in ("src", "tests", "benchmarks", "examples") for path in (HOME / folder).rglob("*.py")
)
PROJECT = tomllib.loads((HOME / "pyproject.toml").read_text())
DOTTED = re.compile(r"spectail(\.\w+)+(:\w+)?")
IMPORTED = re.compile(
    r"^\s*(?:>>> |\.\.\. )?from (spectail[\w.]*) import (\w+(?:, \w+)*)|\bimport (spectail(?:\.\w+)+)", re.M
)
OPTIONAL = {"spectail.monitor.lightning", "spectail.monitor.transformers"}  # their libraries may be missing
FIRST_EDITION = {"tests/house/test_moved.py"}  # asks for last release's names


def strings(node):
    """Every text of a syntax tree, or of what TOML gives."""
    if isinstance(node, ast.AST):
        yield from (n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str))
    elif isinstance(node, str):
        yield node
    elif isinstance(node, dict | list):
        for inner in [*node, *node.values()] if isinstance(node, dict) else node:
            yield from strings(inner)


def texts():
    """(where, text) of every string, comments not included."""
    for path in SOURCES:
        where = path.relative_to(HOME).as_posix()
        if where not in FIRST_EDITION:
            yield from ((where, text) for text in strings(tree(path)))
    yield from (("pyproject.toml", text) for text in strings(PROJECT))


def is_there(dotted):
    """Whether a dotted name is a module, or something in one."""
    module, _, attribute = dotted.replace(":", ".").rpartition(".")
    if dotted in OPTIONAL or module in OPTIONAL:
        return (ROOT.parent / (dotted if dotted in OPTIONAL else module).replace(".", "/")).with_suffix(".py").is_file()
    try:
        return bool(importlib.import_module(dotted))
    except ModuleNotFoundError:
        if "." not in module:
            return hasattr(spectail, attribute)
        return is_there(module) and hasattr(importlib.import_module(module), attribute)


def test_every_module_that_a_string_names_is_there():
    named = {(where, text) for where, text in texts() if DOTTED.fullmatch(text)}
    assert {"pyproject.toml", "src/spectail/running/forkserver.py"} <= {where for where, _ in named}
    assert sorted((where, text) for where, text in named if not is_there(text.replace(":", "."))) == []


def test_every_import_in_a_string_of_code_finds_its_name():
    wanting = set()
    for where, text in texts():
        for module, imported, plain in IMPORTED.findall(text):
            dotted = [f"{module}.{name}" for name in imported.split(", ")] if module else [plain]
            wanting |= {(where, name) for name in dotted if not is_there(name)}
    assert sorted(wanting) == []


def test_the_version_is_that_of_the_project_file():
    version = PROJECT["project"]["version"]
    assert spectail.__version__ == version
    assert re.search(r"^version: (.+)$", (HOME / "CITATION.cff").read_text(), re.M)[1] == version


def test_every_room_whose_types_the_tests_check_is_there():
    (rooms,) = (
        ast.literal_eval(node.value)
        for node in tree(HOME / "tests/conftest.py").body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "CHECKED"
    )
    assert [room for room in rooms if not (ROOT / room).is_dir()] == []


def test_every_file_that_is_read_as_a_resource_is_there():
    """Those of a page are named by its template, its style, its script, and what they include."""
    names = re.compile(r"[\w-]+\.(?:html|css|js|toml|json)")
    code = [path for path in SOURCES if ROOT in path.parents and "importlib.resources" in path.read_text()]
    assert code, "resources are read"
    for path in code:
        named = {text for text in strings(tree(path)) if names.fullmatch(text)}
        assert {name for name in named if not (path.parent / name).is_file()} == set()
    for template in PAGES.glob("*.html"):
        included = re.findall(r"{%-? *(?:extends|include|import) *\"([^\"]+)\"", template.read_text())
        assert [name for name in included if not (PAGES / name).is_file()] == []


def paths_of_the_project():
    """Every path and glob of pyproject.toml, with the folder that it starts from."""
    tool = PROJECT["tool"]
    yield from ((HOME, path) for path in PROJECT["project"]["license-files"])
    yield from ((HOME, path.lstrip("/")) for path in tool["hatch"]["build"]["targets"]["sdist"]["include"])
    yield from ((HOME, path) for path in tool["hatch"]["build"]["targets"]["wheel"]["packages"])
    yield from ((HOME, path) for path in (*tool["pytest"]["ini_options"]["testpaths"], *tool["mypy"]["files"]))
    yield from ((HOME, path) for path in (*tool["pytest"]["ini_options"]["pythonpath"], *tool["ruff"]["src"]))
    for pattern in re.findall(r"--ignore-glob='?([^' ]+)", tool["pytest"]["ini_options"]["addopts"]):
        yield HOME / "src", f"*{pattern}"
    yield from ((HOME, pattern) for pattern in tool["ruff"]["lint"].get("per-file-ignores", ()))


@pytest.mark.parametrize(
    ("folder", "pattern"), list(paths_of_the_project()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_path_and_glob_of_the_project_file_matches_something(folder, pattern):
    nested = pattern if "/" in pattern or "*" not in pattern else f"**/{pattern}"
    assert (folder / nested).exists() or any(folder.glob(nested)), f"{pattern} matches nothing"
