"""A name means one thing, and says what it is: no public name in two files, no participle for a variable."""

import ast
from collections import defaultdict

import pytest

from house.sources import HOME, ROOT, tree

SAYS_NOTHING = {"effective", "found", "given", "kept", "lean", "made", "receiver", "seen", "told", "wanted"}
OF_EACH_FILE = {"FORMAT"}  # what each file format says of itself


def names(statement):
    """What a statement at the top of a file defines, also under an `if`."""
    match statement:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return {statement.name}
        case ast.Assign():
            targets = [node for target in statement.targets for node in ast.walk(target)]
            return {node.id for node in targets if isinstance(node, ast.Name)}
        case ast.AnnAssign(target=ast.Name(id=name)):
            return {name}
        case ast.If():
            return {name for inner in (*statement.body, *statement.orelse) for name in names(inner)}
    return set()


def places():
    """In which files each public name is defined; what a figure has of its own may be called as in another."""
    files = defaultdict(set)
    for path in ROOT.rglob("*.py"):
        if path.parent.name != "figures":
            for statement in tree(path).body:
                for name in names(statement):
                    files[name].add(path.relative_to(ROOT).as_posix())
    return {name: where for name, where in files.items() if not name.startswith("_")}


def test_no_name_without_an_underscore_is_defined_in_two_files():
    assert len(places()) > 500, "definitions are found"
    twice = {name: sorted(where) for name, where in places().items() if len(where) > 1}
    assert {name: where for name, where in twice.items() if name not in OF_EACH_FILE} == {}


@pytest.mark.parametrize("path", sorted(ROOT.rglob("__init__.py")), ids=lambda path: path.parent.name)
def test_a_package_that_holds_more_than_its_promise_says_what_of_it_is_public(path):
    body = tree(path).body
    said = {name for statement in body for name in names(statement)} | {
        node.id for statement in body for node in ast.walk(statement) if isinstance(node, ast.Name)
    }
    assert len(body) == 1 or "__all__" in said  # a docstring alone hands nothing on


def variables(path):
    """What a file calls its variables, arguments and functions, with the line; not fields and methods of classes."""
    of_classes = {
        id(inner)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ClassDef)
        for statement in node.body
        for inner in (statement, getattr(statement, "target", None))
    }
    for node in ast.walk(tree(path)):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name) | ast.FunctionDef(name=name):
                if id(node) not in of_classes:
                    yield name, node.lineno


@pytest.mark.parametrize("folder", ["src", "examples", "benchmarks", "docs"])
def test_a_variable_is_called_by_the_noun_that_says_what_it_is(folder):
    assert [
        f"{path.relative_to(HOME)}:{line}: {name}"
        for path in sorted((HOME / folder).rglob("*.py"))
        for name, line in variables(path)
        if name.lstrip("_") in SAYS_NOTHING
    ] == []
