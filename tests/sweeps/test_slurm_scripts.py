"""The job scripts of docs/how/slurm.md, run by bash as SLURM would; its commands and those of Ray are stand-ins."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "how" / "slurm.md"
ARRAY, ON_RAY = re.findall(r"^```sh\n(#!/bin/bash\n.*?)^```", PAGE.read_text(encoding="utf-8"), re.S | re.M)

pytestmark = pytest.mark.skipif(os.name == "nt", reason="SLURM's scripts are of bash")


def start(script: str, folder: Path, commands: dict[str, str], **variables: str) -> subprocess.Popen:
    """Starts the script in `folder`, which is its HOME too, with nothing but `commands` before the system's."""
    programs = folder / "bin"
    programs.mkdir(exist_ok=True)
    for name, text in commands.items():
        (programs / name).write_text(f"#!/bin/bash\n{text}\n")
        (programs / name).chmod(0o755)
    (folder / "job.sh").write_text(script)
    environment = {**os.environ, "HOME": str(folder), "PATH": f"{programs}:/usr/bin:/bin", **variables}
    return subprocess.Popen(
        ["bash", "job.sh"], cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def test_a_task_of_a_job_array_computes_a_grid(tmp_path):
    (tmp_path / "grid.toml").write_text(
        "[fixed]\nn = 60\nn_test = 20\nn_test_large = 20\nd = 20\nh = 30\nsteps = 1\n[axes]\nlr = [0.1, 0.2]\n"
    )
    real = {"spectail": f'exec "{sys.executable}" -m spectail "$@"'}
    task = start(ARRAY, tmp_path, real, SLURM_CPUS_PER_TASK="1", SLURM_ARRAY_TASK_ID="3")
    said = task.communicate()[0]
    assert task.returncode == 0, said
    assert len(list((tmp_path / "results" / "runs").glob("*.nc"))) == 2  # HOME of the script is this folder


def test_the_signal_of_the_batch_shell_reaches_spectail(tmp_path):
    job = start(ARRAY, tmp_path, {"spectail": 'echo "$$ $OMP_NUM_THREADS"'}, SLURM_CPUS_PER_TASK="8")
    assert job.communicate()[0].split() == [str(job.pid), "8"]  # the same process: `exec`


def test_the_nodes_of_a_job_become_one_cluster_of_ray(tmp_path):
    answers = {
        "hostname": 'if [ "$1" = --ip-address ]; then echo 10.0.0.1; else echo node1; fi',
        "ray": 'echo "ray $*"',
        "srun": 'echo "srun $*"',
        "spectail": 'echo "spectail $*"',
    }
    job = start(ON_RAY, tmp_path, answers, SLURM_CPUS_PER_TASK="32", SLURM_NNODES="4")
    assert set(job.communicate()[0].splitlines()) == {
        "ray start --head --port=6379 --num-cpus=32",
        "srun --nodes=3 --exclude=node1 ray start --address=10.0.0.1:6379 --num-cpus=32 --block",
        f"spectail sweep grid.toml --out {tmp_path}/results --ray 10.0.0.1:6379 --cpus 4",
    }
