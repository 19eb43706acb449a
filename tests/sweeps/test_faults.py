"""Every fault that docs/faults.md lists, made to happen: the same command then ends with the same bits."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from forked import finish, wait_until
from sweeps.sweeping import NETWORKS, RUNS, children, results, start, states, stored, undisturbed_networks, whole

LONG = "[fixed]\nn = 200\nd = 80\nh = 100\nsteps = 500\nrecord = [0, 250, 500]\n"
pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and locks of POSIX")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    whole(folder)
    return results(folder)


@pytest.fixture(scope="module")
def long_undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("long_undisturbed")
    whole(folder, grid=LONG)
    return results(folder, LONG)


def kill(process):
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL)
    process.join()


def test_kill_9_at_twenty_random_moments(tmp_path, undisturbed):
    """After k new runs and a random while longer, so that moments lie within runs, writes and states."""
    moments = random.Random(0)
    kills = 0
    while kills < 20:
        process = start(tmp_path)
        before = stored(tmp_path)
        if before < RUNS:
            wait_until(lambda before=before, p=process: stored(tmp_path) > before or not p.is_alive())
            process.join(moments.random() * 0.1)
        kill(process)
        kills += 1
        if stored(tmp_path) == RUNS:  # done before twenty: lose some runs, and go on
            for path in moments.sample(sorted((tmp_path / "out" / "runs").glob("*.nc")), 12):
                path.unlink()
    whole(tmp_path)
    assert results(tmp_path) == undisturbed


def test_kill_9_within_a_long_run_goes_on_from_its_state(tmp_path, long_undisturbed):
    folder = tmp_path / "killed"
    for size in (1, 2):
        process = start(folder, grid=LONG)
        wait_until(lambda: states(folder))
        process.join(0.1 * size)
        kill(process)
        assert stored(folder) == 0
    whole(folder, grid=LONG)
    assert results(folder, LONG) == long_undisturbed
    assert not states(folder)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds workers in /proc")
def test_kill_9_of_a_worker_and_then_of_the_parent(tmp_path, undisturbed):
    process = start(tmp_path, "--workers", "2")
    wait_until(lambda: stored(tmp_path) > 2)
    os.kill(children(process.pid)[-1], signal.SIGKILL)  # the sweep goes on with a new one
    code, output = finish(process)
    assert code == 0, output
    assert results(tmp_path) == undisturbed

    shutil.rmtree(tmp_path / "out")
    process = start(tmp_path, "--workers", "2")
    wait_until(lambda: stored(tmp_path) > 2)
    below = children(process.pid)
    kill(process)
    wait_until(lambda: not any(alive(pid) for pid in below))  # no worker is left behind
    whole(tmp_path, "--workers", "2")
    assert results(tmp_path) == undisturbed


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds workers in /proc")
def test_networks_of_a_worker_and_of_a_sweep_that_are_killed_go_on_to_the_same_bits(tmp_path):
    folder = tmp_path / "killed"
    process = start(folder, "--workers", "2", grid=NETWORKS)
    wait_until(lambda: states(folder))
    os.kill(children(process.pid)[-1], signal.SIGKILL)  # the sweep goes on with a new worker
    wait_until(lambda: stored(folder))
    kill(process)
    whole(folder, "--workers", "2", grid=NETWORKS)
    assert results(folder, NETWORKS) == undisturbed_networks()
    assert not states(folder)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_two_sweeps_on_one_store_share_the_runs(tmp_path, undisturbed):
    first, second = start(tmp_path), start(tmp_path)
    outputs = [finish(p) for p in (first, second)]
    assert [code for code, _ in outputs] == [0, 0], outputs
    assert results(tmp_path) == undisturbed
    lines = [line for line in (tmp_path / "out" / "manifest.jsonl").read_text().splitlines() if line]
    assert len(lines) == RUNS  # none was computed twice


def test_a_sweep_whose_neighbour_is_killed_takes_over_its_runs(tmp_path, undisturbed):
    first = start(tmp_path)
    wait_until(lambda: stored(tmp_path) > 0)
    second = start(tmp_path)
    kill(first)
    code, output = finish(second)
    assert code == 0, output
    assert results(tmp_path) == undisturbed


def test_a_corrupted_result_is_set_aside_and_computed_again(tmp_path, undisturbed):
    whole(tmp_path)
    paths = sorted((tmp_path / "out" / "runs").glob("*.nc"))
    content = paths[0].read_bytes()
    middle = len(content) // 2
    paths[0].write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    paths[1].write_bytes(paths[1].read_bytes()[:1000])
    paths[2].write_bytes(b"")
    paths[3].unlink()
    output = whole(tmp_path)
    assert "21 found, 3 computed" in output or "20 found, 4 computed" in output
    assert output.count("set aside") >= 2
    assert results(tmp_path) == undisturbed


def test_a_clock_that_jumps_back_changes_nothing(tmp_path, undisturbed):
    back = "import time; now = time.time; start = now(); time.time = lambda: start - 1e6 * (now() - start)"
    whole(tmp_path, setup=back)
    for path in (tmp_path / "out" / "runs").glob("*.nc"):
        os.utime(path, (4e9, 4e9))  # written in the year 2096
    assert "24 found, 0 computed" in whole(tmp_path, setup=back)
    assert results(tmp_path) == undisturbed


@pytest.mark.parametrize("options", [(), ("--workers", "2")])
def test_ctrl_c_once_finishes_the_current_runs_and_twice_stops_now(tmp_path, undisturbed, options):
    grid_pid = start(tmp_path, *options)
    wait_until(lambda: stored(tmp_path) > 0)
    os.killpg(grid_pid.pid, signal.SIGINT)  # as a terminal does: to the whole group
    code, output = finish(grid_pid)
    assert code == 130, output
    assert "finishing the current runs" in output
    assert 0 < stored(tmp_path) < RUNS
    assert not list((tmp_path / "out" / "runs").glob(".*.part"))

    process = start(tmp_path, *options)
    before = stored(tmp_path)
    wait_until(lambda: stored(tmp_path) > before)
    os.killpg(process.pid, signal.SIGINT)
    os.killpg(process.pid, signal.SIGINT)
    code, output = finish(process, timeout=20)
    assert code == 130, output
    assert "Traceback" not in output
    whole(tmp_path)
    assert results(tmp_path) == undisturbed


@pytest.mark.parametrize("options", [(), ("--workers", "2")])
def test_ctrl_c_leaves_a_long_run_where_it_is(tmp_path, long_undisturbed, options):
    process = start(tmp_path, *options, grid=LONG)
    wait_until(lambda: states(tmp_path))
    os.killpg(process.pid, signal.SIGINT)
    code, output = finish(process)
    assert code == 130, output
    assert stored(tmp_path) == 0
    assert states(tmp_path)
    whole(tmp_path, grid=LONG)
    assert results(tmp_path, LONG) == long_undisturbed


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds workers in /proc")
@pytest.mark.parametrize("seconds", [0.0, 0.7, 2.0])
def test_ctrl_c_while_workers_start_is_no_traceback(tmp_path, seconds):
    process = start(tmp_path, "--workers", "2")
    wait_until(lambda: children(process.pid))
    process.join(seconds)
    os.killpg(process.pid, signal.SIGINT)
    code, output = finish(process)
    assert code == 130, output
    assert "Traceback" not in output


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 1 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True, check=False
    ).returncode
    if mounted:
        pytest.skip("only root may mount a small disk")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=False)


@pytest.mark.parametrize("options", [(), ("--workers", "2")])
def test_a_full_disk_is_one_sentence_and_with_room_the_sweep_goes_on(small_disk, undisturbed, options):
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(700_000))
    code, output = finish(start(small_disk, *options))
    assert code == 2, output
    assert "No space left on device".lower() in output.lower()
    assert "Traceback" not in output
    kept = stored(small_disk)
    assert kept < RUNS
    ballast.unlink()
    subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
    whole(small_disk)
    assert not list((small_disk / "out" / "runs").glob(".*.part"))
    assert results(small_disk) == undisturbed
