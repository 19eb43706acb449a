import shutil
import subprocess
import sys

import pytest

from spectail.experiments.experiment import Experiment
from spectail.experiments.resume import to_bytes
from spectail.recording.netcdf import save_recording
from spectail.store.locks import RunLocks, shared_lock
from spectail.store.store import Store
from spectail.store.upkeep import check, collect_garbage
from spectail.sweeps.sweep import sweep

TINY = {"n": 20, "n_test": 5, "n_test_large": 5, "d": 10, "h": 12, "steps": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    sweep({"fixed": TINY, "axes": {"lr": [0.1, 0.2, 0.3]}}, folder)
    return folder


@pytest.fixture
def store(folder, tmp_path):
    return Store(shutil.copytree(folder, tmp_path / "copy"))


def first(store):
    return sorted(store.runs.glob("*.nc"))[0]


def test_a_store_in_order_has_nothing_to_report(store):
    assert check(store) == []


def test_a_single_flipped_bit_is_found_wherever_it_is(store):
    """In values, in descriptions or in the file's own bookkeeping; either the run cannot be read or it differs."""
    path = first(store)
    whole = path.read_bytes()
    for place in range(97, len(whole), len(whole) // 40):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        defects = check(store)
        if not any(f.harmful for f in defects):  # in a part that holds no result, such as the wall time or padding
            assert [f.path for f in defects] == [path]
        path.write_bytes(whole)
        check(store)
    assert check(store) == []


def test_a_run_under_a_wrong_name_is_found(store):
    run = store.get(Experiment(**TINY, lr=0.1))
    save_recording(run, store.runs / "0123456789abcdef.nc")
    (defect,) = check(store)
    assert defect.harmful
    assert "holds the run of another experiment" in defect.what


def test_a_file_that_is_gone_is_found_and_then_forgotten(store):
    first(store).unlink()
    (defect,) = check(store)
    assert "the file is gone" in defect.what
    assert check(store) == []


def test_a_manifest_that_lies_is_put_right(store):
    text = store.manifest.path.read_text()
    store.manifest.path.write_text(text.replace('"wall_time":', '"wall_time":1'))
    assert len(check(store)) == 3
    assert check(store) == []


def leave_rubbish(store):
    """What kills leave behind, and what must stay."""
    finished, unfinished = Experiment(**TINY, lr=0.1), Experiment(**TINY, lr=9)
    store.write_state(finished, to_bytes({}))
    store.write_state(unfinished, to_bytes({}))
    damaged = store.states / "0123456789abcdef.ckpt"
    damaged.write_bytes(b"half")
    part = store.runs / ".0123456789abcdef-x1y2.part"
    part.write_bytes(b"half")
    return {part, damaged, store.state_path(finished)}, store.state_path(unfinished)


def test_gc_removes_what_is_provably_incomplete_and_nothing_else(store):
    rubbish, keep = leave_rubbish(store)
    store.path(Experiment(**TINY, lr=0.2)).rename(store.runs / "x.nc.set-aside-1")
    before = {path for path in store.root.rglob("*") if path.is_file()}
    assert {defect.path for defect in check(store) if not defect.harmful} >= rubbish
    assert set(collect_garbage(store)) == rubbish
    assert before - {path for path in store.root.rglob("*") if path.is_file()} == rubbish
    assert keep.exists()
    assert collect_garbage(store) == []


def test_folders_beside_the_runs_are_looked_into_when_they_are_handed_over(store):
    part = store.root / "pictures" / ".fig2-abc.part"
    part.parent.mkdir()
    part.write_bytes(b"half a picture")
    assert check(store) == []
    assert [defect.path for defect in check(store, [part.parent])] == [part]
    assert collect_garbage(store) == []
    assert collect_garbage(store, [part.parent]) == [part]
    assert not part.exists()


def test_gc_leaves_a_store_alone_that_is_being_written(store):
    rubbish, _ = leave_rubbish(store)
    with shared_lock(store.write_lock), pytest.raises(ValueError, match="is being written to; nothing was removed"):
        collect_garbage(store)
    assert all(path.exists() for path in rubbish)


def test_folders_that_are_no_store_are_one_sentence(tmp_path):
    for action in (check, collect_garbage):
        with pytest.raises(FileNotFoundError, match="is not a store: it has no folder runs"):
            action(Store(tmp_path))


def test_a_claim_is_granted_once_until_it_is_released(store):
    other = (
        "import sys; from pathlib import Path; from spectail.store.locks import RunLocks\n"
        "with RunLocks(Path(sys.argv[1])) as claims: print([claims.claim(k) for k in sys.argv[2:]])"
    )

    def asked(*keys):
        command = [sys.executable, "-c", other, str(store.run_locks), *keys]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    with RunLocks(store.run_locks) as claims:
        assert claims.claim("00000000000000aa")
        assert asked("00000000000000aa", "00000000000000ff") == "[False, True]"
        claims.release("00000000000000aa")
        assert asked("00000000000000aa") == "[True]"
