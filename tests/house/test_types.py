"""What a type checker says of code that uses us."""

import importlib.util
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(importlib.util.find_spec("mypy") is None, reason="needs mypy")

SETTINGS = """
[mypy]
strict = true
follow_imports = skip
[mypy-spectail.experiments.*,pydantic.*]
follow_imports = normal
"""  # what is not asked about is not read, which takes half a minute


def complaints(tmp_path, code):
    """Line and complaint of each error."""
    (tmp_path / "mypy.ini").write_text(SETTINGS)
    (tmp_path / "code.py").write_text(code)
    command = [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "--cache-dir", "cache", "code.py"]
    output = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False).stdout
    return [line.split(": ", 2) for line in output.splitlines() if line.startswith("code.py")]


def test_fields_of_experiments_and_trainings_are_known(tmp_path):
    """Misspelt names and wrong types are found before a run is begun; what is right passes."""
    code = (
        "from spectail.experiments.experiment import Experiment\n"
        'Experiment(n="x", lrr=1)\n'
        "Experiment(model=3)\n"
        "Experiment(n=40, lr=1, optimizer='gd', record=(0, 1), protocol='published').replace(lr=2).lr\n"
        "Experiment(model='vgg11', dataset='mine', images='all', conv='flatten', record=(0,))\n"
    )
    errors = complaints(tmp_path, code)
    assert [place for place, *_ in errors] == ["code.py:2", "code.py:2", "code.py:3"]
    text = " ".join(said for *_, said in errors)
    assert '"lrr"' in text
    assert 'Argument "n" to "Experiment" has incompatible type "str"' in text
    assert 'Argument "model" to "Experiment" has incompatible type "int"' in text
