"""What the guards of the house look at: each source file is read and parsed once, by whoever asks first."""

import ast
from functools import cache
from pathlib import Path

import spectail

HOME = Path(__file__).parents[2]
ROOT = Path(spectail.__file__).parent
FILES = [path.relative_to(ROOT).as_posix() for path in sorted(ROOT.rglob("*.py"))]


@cache
def tree(path):
    """The syntax tree of a file; not to be changed."""
    return ast.parse(path.read_text())


def file_of(module):
    """The file of a dotted name of ours; None for a name in a module."""
    inside = "/".join(module.split(".")[1:])
    return next((f for f in (f"{inside}.py", f"{inside}/__init__.py".lstrip("/")) if f in FILES), None)


def imports(file):
    """Files of ours that a file imports anywhere: at its top, in functions, for types."""
    for node in ast.walk(tree(ROOT / file)):
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


@cache
def graph():
    """Which files each file imports."""
    return {file: sorted(set(imports(file)) - {file}) for file in FILES}
