"""What a user calls explains itself: arguments, what comes back, what is refused, an example that asserts."""

import ast
import re
from itertools import pairwise

import pytest

from house.sources import ROOT, tree

STUBS = [ROOT / "__init__.pyi", ROOT / "spectra" / "__init__.pyi", ROOT / "plots" / "__init__.pyi"]
DEPRECATED = {"open_monitor", "open_run", "open_results", "pl_alpha_hill"}  # they name what is to be called instead


def handed_on():
    """Name → syntax tree of every function and class that a stub hands on from a file, but the deprecated ones."""
    definitions = {}
    for stub in STUBS:
        for node in tree(stub).body:
            if isinstance(node, ast.ImportFrom) and node.module:
                path = stub.parent.joinpath(*node.module.split(".")).with_suffix(".py")
                for alias in node.names:
                    for definition in tree(path).body:
                        if getattr(definition, "name", "") == alias.name:
                            definitions[alias.name] = definition
    return {name: definitions[name] for name in sorted(set(definitions) - DEPRECATED)}


PUBLIC = handed_on()


def is_named(parameter, text):
    """Whether `parameter:` stands at the beginning of a line of a section, alone or with others."""
    return re.search(rf"^\s*(\*{{0,2}}\w+, )*\*{{0,2}}{parameter}(, \*{{0,2}}\w+)*: ", text, re.M) is not None


def documented_below(body):
    """Fields of a class that have a text of their own below them, as pydantic takes it."""
    texts = {id(field) for field, text in pairwise(body) if isinstance(text, ast.Expr)}
    return {field.target.id for field in body if isinstance(field, ast.AnnAssign) and id(field) in texts}


def lacks(node):
    """Which parts the docstring of a function or class has not, of those that apply."""
    text = ast.get_docstring(node) or ""
    example = ">>>" in text or node.name.endswith("Error")  # what raises an error shows it
    if isinstance(node, ast.FunctionDef):
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        arguments += [extra for extra in (node.args.vararg, node.args.kwarg) if extra]
        names = [argument.arg for argument in arguments if argument.arg not in ("self", "cls")]
        raised = any(isinstance(inner, ast.Raise) and inner.exc for inner in ast.walk(node))
        answer = ast.unparse(node.returns or ast.Constant(None))
    else:
        annotated = [inner for inner in node.body if isinstance(inner, ast.AnnAssign)]
        fields = {inner.target.id for inner in annotated if not ast.unparse(inner.annotation).startswith("ClassVar")}
        names = [name for name in fields - documented_below(node.body) if not name.startswith("_")]
        methods = [inner for inner in node.body if isinstance(inner, ast.FunctionDef)]
        example |= any(">>>" in (ast.get_docstring(method) or "") for method in methods)
        raised, answer = False, "None"
    if not text:
        return {"docstring"}
    several = answer.startswith("tuple") or "| None" in answer  # one thing is said by the first line
    has = {
        "example": example,
        "Args": all(is_named(name, text) for name in names),
        "Raises": not raised or "Raises:" in text,
        "Returns": not several or "Returns:" in text,
    }
    return {part for part, there in has.items() if not there}


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_has_arguments_answers_errors_and_an_example(name):
    assert lacks(PUBLIC[name]) == set()


def not_here(path):
    """What a file says does not belong in it, to the end of the paragraph; "" where its docstring does not say."""
    paragraphs = (ast.get_docstring(tree(path)) or "").split("\n\n")
    return next(filter(None, (" ".join(one.split()).partition("Not here:")[2] for one in paragraphs)), "")


def speaks_for(path):
    """The file that says it: the folder's own for figures, and for commands whose docstring is a line."""
    one_of_many = path.parent.name == "figures" or (
        path.parent.name == "cli" and "\n" not in tree(path).body[0].value.value
    )
    return path.with_name("__init__.py") if one_of_many else path


def is_there(path, name):
    """Whether a name in a docstring is that of a file or folder, here, in the room or in any, or of what a file has."""
    folders = [path.parent, ROOT / path.relative_to(ROOT).parts[0], ROOT]
    places = [folder / form for folder in folders for form in (name, f"{name}.py", f"{name.replace('.', '/')}.py")]
    module, _, attribute = name.rpartition(".")
    files = [folder / f"{module.replace('.', '/')}.py" for folder in folders] if attribute != "py" else []
    defined = (getattr(node, "name", "") for file in files if file.is_file() for node in tree(file).body)
    return any(place.exists() for place in places) or attribute in defined


FILES = sorted(ROOT.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_file_says_what_belongs_in_it_and_where_the_rest_is(path):
    assert ast.get_docstring(tree(path))
    neighbours = not_here(speaks_for(path))
    assert neighbours, "its docstring has a sentence that begins with 'Not here:'"
    names = [name for name in re.findall(r"`([\w./]+)`", neighbours) if not name[0].isupper()]
    names += re.findall(r"[\w/]+\.py\b|\w+/[\w/]*", re.sub(r"`[^`]+`", "", neighbours))
    assert [name for name in names if not is_there(path, name)] == [], "files that it names are there"


@pytest.mark.parametrize("room", sorted({path.parent.name for path in ROOT.glob("*/__init__.py")}))
def test_a_room_says_what_does_not_belong_in_it(room):
    assert "Not here:" in ast.get_docstring(tree(ROOT / room / "__init__.py"))
