import json
import math
import os
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recording.journal_writer import SAMPLE, closing, line, line_of, lines, read, rows
from spectail.errors import StoreError
from spectail.recording import journal_file
from spectail.recording.journal_file import JournalFile
from spectail.recording.journal_reading import journal_path, read_journal, read_with_journal
from spectail.recording.journal_records import MOST_BYTES

HEAD = 20  # bytes
WRITER = Path(__file__).with_name("journal_writer.py")
ONE_THREAD = os.environ | {"OPENBLAS_NUM_THREADS": "1"}  # so that a process may fork


def run(job, folder):
    return subprocess.run([sys.executable, WRITER, job, folder], env=ONE_THREAD, capture_output=True, text=True)


def add(journal, step):
    for row, spectrum in rows(step):
        journal.append(row, spectrum)
    journal.close_step(closing(step))


def journal_of(path, n_steps):
    """A file of one step, and a journal of those behind it."""
    journal = JournalFile(path, SAMPLE)
    journal.fold(lambda part: part.write_text(line_of(0) + "\n"))
    for step in range(1, n_steps):
        add(journal, step)
    journal.close()
    return journal_path(path)


def record(kind, text, values=b"", width=0, before=0, n_text=None, n_values=None):
    """A record whose sums are right, whatever it says."""
    n_values = len(values) // (width or 1) if n_values is None else n_values
    sizes = len(text) if n_text is None else n_text, n_values, zlib.crc32(text + values, before)
    head = struct.pack("<2sccIII", b"\xf5J", kind, bytes([width]), *sizes)
    return head + struct.pack("<I", zlib.crc32(head)) + text + values


def starts(data):
    """Where the records of a journal start, and its end."""
    found = [0]
    while found[-1] < len(data):
        _, _, width, n_text, n_values, _, _ = struct.unpack_from("<2scBIIII", data, found[-1])
        found.append(found[-1] + HEAD + n_text + width * n_values)
    return found


def test_rows_and_spectra_come_back_to_the_bit_in_whole_steps(tmp_path):
    path = tmp_path / "new" / "run.nc"
    journal = JournalFile(path, SAMPLE)
    assert journal.content.header is None
    for step in range(3):
        add(journal, step)
    journal.append(*next(rows(3)))
    content = read_journal(path)  # while it is open, too
    assert [line(step) for step in content.steps] == lines(3)
    assert content.header == SAMPLE
    assert content.open_step.rows[0]["layer"] == 0
    np.testing.assert_array_equal(content.open_step.spectra[0], next(rows(3))[1])
    assert [s is None or s.dtype.itemsize for s in content.steps[0].spectra] == [4, 8, True]
    journal.close()
    assert [line(step) for step in JournalFile(path, SAMPLE).content.steps] == lines(3)


NUMBERS = st.floats() | st.integers() | st.floats(width=32).map(np.float32) | st.integers(-9, 9).map(np.int64)
ROWS = st.dictionaries(st.text(), NUMBERS | st.text() | st.booleans() | st.lists(NUMBERS, max_size=3))


@settings(max_examples=25)
@given(ROWS, ROWS, st.lists(st.floats(width=32)))
def test_any_row_comes_back_and_what_lies_on_the_disk_is_strict_json(row, closing, values):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "run.nc")
        journal = JournalFile(path, {})
        journal.append(row, np.array(values, dtype=np.float32))
        journal.close_step(closing)
        journal.close()
        (step,) = read_journal(path).steps
        data = journal_path(path).read_bytes()
    for got, put in ((step.rows[0], row), (step.closing, closing)):
        np.testing.assert_equal(got, json.loads(json.dumps(put, default=lambda number: number.item())))
    np.testing.assert_array_equal(step.spectra[0], np.array(values, dtype=np.float32))
    text = data[starts(data)[1] + HEAD : starts(data)[2] - 4 * len(values)].decode()
    json.loads(text, parse_constant=lambda constant: pytest.fail(f"{constant} is not strict JSON"))


def test_what_is_not_there_comes_back_as_nan(tmp_path):
    journal = JournalFile(tmp_path / "run.nc", {"key": None})
    journal.append({"alpha": None, "lrs": [None, -math.inf]})
    content = read_journal(tmp_path / "run.nc")
    assert math.isnan(content.open_step.rows[0]["alpha"])
    assert math.isnan(content.open_step.rows[0]["lrs"][0])
    assert content.open_step.rows[0]["lrs"][1] == -math.inf
    assert content.header == {"key": None}, "an option that is not given is no number"
    with pytest.raises(TypeError, match="float32 or float64, not int64"):
        journal.append({}, np.arange(3))


def test_25_kills_while_it_is_written_as_fast_as_possible(tmp_path):
    done = run("kills", tmp_path)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0, "no kill was inside a step"


def test_a_kill_at_any_call_that_changes_a_file_loses_and_doubles_nothing(tmp_path):
    done = run("calls", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "write fsync fsync replace fsync ftruncate" in done.stdout, "a fold: F, F and file synced, the rest"
    assert done.stdout.split()[-1] == "unlink"


def test_it_can_be_read_while_it_is_written_and_folded(tmp_path):
    path = tmp_path / "run.nc"
    lengths, files = [0], set()
    with subprocess.Popen([sys.executable, WRITER, "write", path], env=ONE_THREAD) as writer:
        try:
            while writer.poll() is None:
                whole = read(path)
                assert whole == EXPECTED[: len(whole)]
                lengths.append(len(whole))
                files.add(path.exists() and path.stat().st_size)
        finally:
            writer.kill()
    assert writer.returncode == 0
    assert read(path) == EXPECTED
    assert lengths == sorted(lengths), "nothing that could be read before is missing later"
    assert len(set(lengths)) > 3
    assert len(files) > 2


EXPECTED = lines(2000)


def test_a_file_that_is_torn_at_any_byte_is_cut_and_gone_on_with(tmp_path):
    path = tmp_path / "run.nc"
    journal = journal_of(path, 3)
    data = journal.read_bytes()
    *_, last_row, last_closing, end = starts(data)
    assert end == len(data)
    for length in range(last_row, end):
        journal.write_bytes(data[:length])
        assert read(path) == lines(2)
        assert len(read_journal(path).open_step.rows) == (2 if length < last_closing else 3)
        assert journal.read_bytes() == data[:length], "a reader changes nothing"
        writer = JournalFile(path, SAMPLE)
        add(writer, 2)
        os.close(writer.handle)  # as a process that ends does; close would sync, which takes long
        del writer
        assert journal.read_bytes() == data


def test_a_power_cut_leaves_zeros_for_what_was_not_synced(tmp_path):
    path = tmp_path / "run.nc"
    journal = journal_of(path, 3)
    data = journal.read_bytes()
    for start in starts(data)[1:-1]:
        journal.write_bytes(data[: start + 3] + bytes(len(data) - start - 3))
        assert read(path) == lines(2 if start >= starts(data)[5] else 1)
        JournalFile(path, SAMPLE).close()
        assert read(path) == lines(2 if start >= starts(data)[5] else 1)
        journal_of(path, 3)


def test_a_journal_whose_beginning_is_torn_is_begun_anew(tmp_path):
    path = tmp_path / "run.nc"
    journal = journal_of(path, 3)
    data = journal.read_bytes()
    for length in range(starts(data)[1]):
        journal.write_bytes(data[:length])
        assert read(path) == lines(1)
        JournalFile(path, SAMPLE).close()
        assert not journal.exists()


def test_a_flipped_bit_anywhere_is_noticed(tmp_path):
    path = tmp_path / "run.nc"
    writer = JournalFile(path, SAMPLE)
    for step in range(2):
        writer.append({"alpha": step / 3}, np.arange(5.0))
        writer.close_step({"step": step})
    writer.close()
    journal = journal_path(path)
    data = journal.read_bytes()
    last = starts(data)[-2]
    for at in range(len(data)):
        journal.write_bytes(data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :])
        if at < last:
            for use in (read_journal, lambda path: JournalFile(path, SAMPLE)):
                with pytest.raises(StoreError, match=r"is damaged at byte|is not a journal"):
                    use(path)
        else:  # cannot be told from a write that a power cut tore
            content = read_journal(path)
            assert [step.closing["step"] for step in content.steps] == [0]
            assert content.open_step.rows == [{"alpha": 1 / 3}]


def test_the_sentence_about_damage_says_how_to_go_on(tmp_path):
    path = tmp_path / "run.nc"
    journal = journal_of(path, 4)
    data = bytearray(journal.read_bytes())
    data[starts(data)[6] + HEAD] ^= 1
    journal.write_bytes(data)
    with pytest.raises(StoreError, match="to go on with what stands before: ") as refused:
        JournalFile(path, SAMPLE)
    subprocess.run(str(refused.value).split(": ")[-1].split(), check=True)
    assert [line(step) for step in JournalFile(path, SAMPLE).content.steps] == lines(2)[1:]


def test_a_record_that_is_lost_doubled_or_moved_is_noticed(tmp_path):
    path = tmp_path / "run.nc"
    journal = journal_of(path, 3)
    data = journal.read_bytes()
    at = starts(data)
    first, second = data[at[1] : at[2]], data[at[2] : at[3]]
    for changed in (second, second + first, first + first + second):
        journal.write_bytes(data[: at[1]] + changed + data[at[3] :])
        with pytest.raises(StoreError, match="is damaged"):
            read_journal(path)


def test_the_journal_of_another_file_is_refused(tmp_path):
    path = tmp_path / "run.nc"
    journal = journal_of(path, 3)
    for change in (lambda: path.write_text("another\n"), lambda: path.unlink()):
        change()
        for use in (read_journal, lambda path: JournalFile(path, SAMPLE)):
            with pytest.raises(
                StoreError, match=r"run\.nc\.journal is of another 'run\.nc' than the one beside it: put"
            ):
                use(path)
    new = tmp_path / "new.nc"
    JournalFile(new, SAMPLE).append({})
    new.write_text("it had no file")
    with pytest.raises(StoreError, match="another"):
        read_journal(new)
    assert read_with_journal(tmp_path / "none.nc", Path.read_text)[0] is None
    assert len(starts(journal.read_bytes())) == 10, "what was refused is not touched"


def test_only_who_continues_what_was_begun_may(tmp_path):
    path = tmp_path / "run.nc"
    journal_of(path, 2)
    with pytest.raises(
        StoreError, match=r"was begun with options=\{'conv': 'kernel-slices', 'key': None\}, not \{'conv"
    ):
        JournalFile(path, SAMPLE | {"options": {"conv": "unfolded"}})
    with pytest.raises(StoreError, match="was begun with edition=None, not 3: go on so, or remove it"):
        JournalFile(path, SAMPLE | {"edition": 3})
    JournalFile(path, SAMPLE | {"edition": None}).close()  # None is what was not asked for
    JournalFile(path, {"options": SAMPLE["options"], "sources": [("a.safetensors", 12, 34)]}).close()


def test_two_processes_do_not_write_at_once(tmp_path):
    path = tmp_path / "run.nc"
    journal = JournalFile(path, SAMPLE)
    journal.append({})
    assert "another process writes to" in run("write", path).stderr


@pytest.mark.parametrize("change", [lambda path: path.unlink(), lambda path: path.write_bytes(b"")])
def test_who_finds_the_journal_changed_under_it_says_so(tmp_path, change):
    """Two in one process, and folders without locks: no lock keeps those apart."""
    journal = JournalFile(tmp_path / "run.nc", SAMPLE)
    journal.append({})
    change(journal_path(journal.path))
    with pytest.raises(StoreError, match=r"journal was written to or removed by somebody else"):
        journal.append({})


def test_a_file_system_without_locks_will_do(tmp_path, monkeypatch):
    def lockf(*arguments):
        raise OSError("No locks available")

    monkeypatch.setattr(journal_file.fcntl, "lockf", lockf)
    journal_of(tmp_path / "run.nc", 3)
    assert read(tmp_path / "run.nc") == lines(3)


def test_open_rows_are_cut_or_gone_on_with(tmp_path):
    path = tmp_path / "run.nc"
    every = list(rows(0))
    for kept in (2, 1):
        journal = JournalFile(path, SAMPLE)
        for row, spectrum in every[:kept]:
            journal.append(row, spectrum)
        journal.close()
    journal = JournalFile(path, SAMPLE, open_rows="keep")
    assert len(journal.content.open_step.rows) == 1
    for row, spectrum in every[1:]:
        journal.append(row, spectrum)
    journal.close_step(closing(0))
    assert read(path) == lines(1)


def test_it_is_folded_when_it_is_as_large_as_the_file_for_2_percent_of_the_time(tmp_path, monkeypatch):
    path, now = tmp_path / "run.nc", [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    journal = JournalFile(path, SAMPLE)
    assert not journal.is_due_to_fold(), "it holds nothing"
    add(journal, 0)
    assert journal.is_due_to_fold()

    def write(part):
        part.write_bytes(bytes(5000))
        now[0] += 3

    journal.fold(write)
    assert journal_path(path).stat().st_size == 0
    row = 0
    while journal_path(path).stat().st_size < 5000:
        now[0] += 1000
        assert not journal.is_due_to_fold()
        journal.append({"row": row})
        row += 1
    assert journal.is_due_to_fold()
    journal.fold(write)
    add(journal, 1)
    add(journal, 2)
    now[0] += 149
    assert not journal.is_due_to_fold(), "3 of 149 seconds are more than 2 %"
    now[0] += 1
    assert journal.is_due_to_fold()


def test_it_is_synced_every_ten_seconds_and_at_the_end(tmp_path, monkeypatch):
    now, synced = [0.0], []
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(now[0]))
    journal = JournalFile(tmp_path / "run.nc", SAMPLE)
    for second in range(0, 35, 5):
        now[0] = second
        journal.append({})
    journal.close()
    assert synced == [0, 0, 10, 20, 30, 30], "first the header and the folder"


def test_a_full_disk_is_an_oserror_and_the_journal_stays_readable(tmp_path):
    resource = pytest.importorskip("resource", reason="limits of POSIX")
    path = tmp_path / "run.nc"
    journal_of(path, 3)
    journal = JournalFile(path, SAMPLE)
    size = journal_path(path).stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 1000, limits[1]))  # bytes of a file; a row has 3000
    try:
        with pytest.raises(OSError, match=r"^cannot write to .*run\.nc\.journal: file too large$"):
            add(journal, 3)
        assert journal_path(path).stat().st_size == size
        assert read(path) == lines(3)
        with pytest.raises(OSError, match="large"):
            journal.fold(lambda part: part.write_bytes(bytes(size + 2000)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert read(path) == lines(3)
    add(journal, 3)
    assert read(path) == lines(4)
    assert sorted(os.listdir(tmp_path)) == ["run.nc", "run.nc.journal"]


def test_a_disk_so_full_that_not_even_the_torn_end_goes_is_survived(tmp_path, monkeypatch):
    path = tmp_path / "run.nc"
    journal = JournalFile(path, SAMPLE)
    add(journal, 0)
    write, calls = os.write, []

    def torn(handle, data):
        calls.append(len(data))
        if len(calls) == 1:
            return write(handle, data[:30])
        raise OSError(28, "No space left on device")

    def refuse(handle, length):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", lambda *_: refuse(0, 0))
        with pytest.raises(OSError, match=r"^cannot write to .*other\.nc\.journal: input/output error$"):
            JournalFile(path.with_name("other.nc"), {})
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", torn)
        patch.setattr(os, "ftruncate", refuse)
        with pytest.raises(OSError, match="no space left on device"):
            journal.append(*next(rows(1)))
    assert read(path) == lines(1)
    add(journal, 1)
    assert read(path) == lines(2)


def test_a_fold_that_fails_after_it_was_announced_is_none(tmp_path, monkeypatch):
    path = tmp_path / "run.nc"
    journal_of(path, 3)
    journal = JournalFile(path, SAMPLE)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", lambda part, path: (_ for _ in ()).throw(OSError("no")))
        with pytest.raises(OSError, match="no"):
            journal.fold(lambda part: part.write_text("\n".join(lines(3)) + "\n"))
    assert read(path) == lines(3)
    add(journal, 3)
    journal.close()
    assert read(path) == lines(4)
    journal = JournalFile(path, SAMPLE)
    assert len(journal.content.steps) == 3
    journal.fold(lambda part: part.write_text("\n".join(lines(4)) + "\n"))
    journal.close()
    assert read(path) == lines(4)
    assert os.listdir(tmp_path) == ["run.nc"]


HEADER = json.dumps({"format": 1, "name": "run.nc", "file": None, "header": {}}).encode()
BEGUN = record(b"H", HEADER)
BEFORE = zlib.crc32(HEADER)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"CDF\x01 something else", "is not a journal of spectail"),
        (bytes(100), "is not a journal of spectail"),
        (BEGUN[:-1] + b"\x00", "is damaged at byte 0 of .*; remove it"),
        (BEGUN + record(b"R", b"{}", before=BEFORE, n_text=2**32 - 1), "what it holds at byte 79 is none"),
        (BEGUN + record(b"R", b"{}", b"", 8, BEFORE, n_values=2**32 - 1), "what it holds at byte 79 is none"),
        (BEGUN + record(b"R", b"{}", b"abcdef", 3, BEFORE), "what it holds at byte 79 is none"),
        (BEGUN + record(b"X", b"{}", before=BEFORE), "what it holds at byte 79 is none"),
        (BEGUN + record(b"H", HEADER, before=BEFORE), "what it holds at byte 79 is none"),
        (record(b"R", b"{}"), "what it holds at byte 0 is none"),
        (BEGUN + record(b"R", b"not JSON", before=BEFORE), "before byte 107, 'Expecting value"),
        (BEGUN + record(b"R", b'{"a": NaN}', before=BEFORE), "NaN is not JSON"),
        (BEGUN + record(b"R", b"\xff\xfe", before=BEFORE), "codec can.t decode"),
        (BEGUN + record(b"R", b"[1]", before=BEFORE), "no JSON object"),
        (BEGUN + record(b"C", b"17", before=BEFORE), "no JSON object"),
        (BEGUN + record(b"C", b'{"a":' + b"[" * 10**5 + b"]" * 10**5 + b"}", before=BEFORE), "nested too deep"),
        (BEGUN + record(b"C", b"9" * 10**5, before=BEFORE), "limit"),
        (BEGUN + record(b"C", b"[" + b"[]," * 10**6 + b"[]]", before=BEFORE), "more entries than any that is meant"),
        (BEGUN + record(b"F", b"{}", before=BEFORE), "'file'"),
        (BEGUN + record(b"F", b'{"file": {"size": 3}}', before=BEFORE), "missing 1 required"),
        (record(b"H", b"{}"), "'format'"),
        (record(b"H", HEADER.replace(b"{}", b"[]")), "its header is of another kind"),
        (record(b"H", HEADER.replace(b"1", b"true")), "its header is of another kind"),
        (record(b"H", HEADER.replace(b"1", b"2")), "has format 2, newer than this spectail reads; please upgrade"),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else value,
)
def test_a_hostile_journal_is_refused_in_a_sentence(tmp_path, data, sentence):
    path = tmp_path / "run.nc"
    journal_path(path).write_bytes(data)
    for use in (read_journal, lambda path: JournalFile(path, {})):
        with pytest.raises(StoreError, match=sentence) as refused:
            use(path)
        assert "\n" not in str(refused.value)
    assert journal_path(path).read_bytes() == data


def test_a_journal_that_is_huge_and_hollow_fills_no_memory(tmp_path):
    """The head says 2³² − 1 values, and a sparse file has them: it is refused before they are read."""
    journal = journal_path(tmp_path / "run.nc")
    journal.write_bytes(BEGUN + record(b"R", b"{}", b"", 8, BEFORE, n_values=2**32 - 1))
    os.truncate(journal, 2**40)
    with pytest.raises(StoreError, match="is none"):
        read_journal(tmp_path / "run.nc")
    journal.write_bytes(BEGUN)
    os.truncate(journal, 2**40)  # zeros: a torn end
    assert read_journal(tmp_path / "run.nc").steps == []


def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(journal_path(tmp_path / "run.nc"))
    for use in (read_journal, lambda path: JournalFile(path, {})):
        with pytest.raises(StoreError, match="is no file, but where a journal must be; move it away"):
            use(tmp_path / "run.nc")


def test_a_record_that_no_reader_would_take_is_not_written(tmp_path):
    path = tmp_path / "run.nc"
    journal = JournalFile(path, {})
    with pytest.raises(StoreError, match="more than a journal takes at once"):
        journal.append({}, np.zeros(MOST_BYTES // 4, np.float32))
    journal.append({}, np.zeros(MOST_BYTES // 4 - 1, np.float32))
    assert len(read_journal(path).open_step.rows) == 1


def test_a_row_is_written_in_few_bytes(tmp_path):
    """A spectrum of 700 values and 25 quantities: nothing is written but these, and a head."""
    path = tmp_path / "run.nc"
    journal = JournalFile(path, SAMPLE)
    row = {f"quantity_{number}": number / 7 for number in range(25)}
    journal.append({})
    before = journal_path(path).stat().st_size
    journal.append(row, np.zeros(700, np.float32))
    assert journal_path(path).stat().st_size - before <= HEAD + 2800 + len(json.dumps(row))


def test_two_in_one_program_do_not_write_to_one_file(tmp_path):
    """Locks keep out other processes only."""
    first = JournalFile(tmp_path / "run.nc", SAMPLE)
    with pytest.raises(StoreError, match=r"run\.nc is being written to in this program already; expected another path"):
        JournalFile(tmp_path / "run.nc", SAMPLE, replace=True)
    first.close()
    JournalFile(tmp_path / "run.nc", SAMPLE).close()
