"""Where worker processes come from."""

import os
import subprocess
import sys

import pytest

posix = pytest.mark.skipif(os.name != "posix", reason="signals and forks of POSIX")


def run(folder, code):
    script = folder / "script.py"
    script.write_text(code)
    return subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120, check=False)


@posix
def test_processes_of_other_code_can_be_interrupted_though_workers_were_prepared_for(tmp_path):
    code = """
import signal
from concurrent.futures import ProcessPoolExecutor
from spectail.running.forkserver import start_early, worker_context
if __name__ == "__main__":
    start_early(1)
    with ProcessPoolExecutor(1, worker_context()) as pool:
        assert signal.SIGINT not in pool.submit(signal.pthread_sigmask, signal.SIG_BLOCK, ()).result()
        assert pool.submit(signal.getsignal, signal.SIGINT).result() is signal.default_int_handler
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
"""
    done = run(tmp_path, code)
    assert done.returncode == 0, done.stderr


@posix
def test_workers_have_what_was_asked_for_from_their_start_and_a_share_of_the_threads(tmp_path):
    code = """
import os, sys
from spectail.running.processes import worker_pool
if __name__ == "__main__":
    with worker_pool(1, int, ["wave"]) as pool:
        assert pool.submit(eval, "'wave' in __import__('sys').modules").result()
        threads = pool.submit(eval, "__import__('torch').get_num_threads()").result()
        assert threads == os.cpu_count(), threads
    assert "wave" not in sys.modules
"""
    done = run(tmp_path, code)
    assert done.returncode == 0, done.stderr
