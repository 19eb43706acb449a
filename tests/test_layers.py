"""The house stands: imports run one way, and the command line starts without torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import spectail

ROOT = Path(spectail.__file__).parent
# each layer may use itself and those before it
LAYERS = ["files", "spectra", "teacher_student", "networks", "sweeps", "drawing", "paper", "report", "cli"]


def imported_layers(path):
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [node.module]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "spectail" and len(parts) > 1:
                yield parts[1]


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_no_import_runs_back(path):
    layer = path.relative_to(ROOT).parts[0].removesuffix(".py")
    if layer in LAYERS:
        allowed = LAYERS[: LAYERS.index(layer) + 1]
        assert set(imported_layers(path)) <= set(allowed)


def test_every_public_name_can_be_imported():
    for name in spectail.__all__:
        assert getattr(spectail, name) is not None


def test_simulate_is_the_function_whatever_was_imported_before():
    code = "import spectail.teacher_student.simulate, spectail; assert callable(spectail.simulate)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["run", "--help"],
        ["reproduce", "--help"],
        ["show", "--help"],
        ["sweep", "--help"],
        ["store", "--help"],
        ["analyze", "--help"],
    ],
)
def test_help_imports_neither_torch_nor_matplotlib(arguments):
    code = (
        "import sys; from spectail.cli import main\n"
        f"try: main({arguments!r})\n"
        "except SystemExit as e: assert e.code == 0\n"
        "heavy = {'torch', 'matplotlib', 'xarray', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "xample" in done.stdout or arguments == ["--help"]
