"""The command line answers at once: no help waits for what only computing needs."""

import subprocess
import sys

import pytest

from spectail.cli import COMMANDS


@pytest.mark.parametrize("arguments", [["--help"], *([command, "--help"] for command in COMMANDS)], ids=" ".join)
def test_help_imports_nothing_heavy(arguments):
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


@pytest.mark.parametrize(
    "modules",
    ["spectail.recording.reading, spectail.recording.layout", "spectail.sweeps.sweep, spectail.report.terminal.sweep"],
)
def test_what_computes_nothing_starts_without_torch(modules):
    code = f"import sys, {modules}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_list_of_figures_does_not_wait_for_what_only_training_and_judging_need(tmp_path):
    code = (
        "import sys; from spectail.cli import main\n"
        f"main(['reproduce', '--list', '--out', {str(tmp_path)!r}])\n"
        "slow = {'torch._dynamo', 'torchvision', 'scipy.stats'} & set(sys.modules)\n"  # 4 s together
        "assert not slow, slow"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
