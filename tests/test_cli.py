import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch

from spectail import Experiment, Store, __version__, lazy_results, load_results, simulate
from spectail.cli import COMMANDS, main
from spectail.errors import StoreError
from spectail.experiments.experiment import experiment_of
from spectail.plots import recording_plot
from spectail.recording.reading import load_recording

SIZES = ["--n", "40", "--n-test", "10", "--n-test-large", "20", "--d", "15", "--h", "20"]


def spectail(capsys, *arguments):
    """Exit code, standard output and standard error of a command, in this process."""
    code = 0
    try:
        main(list(arguments))
    except SystemExit as end:
        code = end.code
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def undrawn(monkeypatch):
    """Without pictures, where they are not what is asked about."""
    monkeypatch.setattr(recording_plot, "draw_beside", lambda *arguments: [])


def test_run_prints_a_table_saves_a_run_and_draws_it(capsys, tmp_path):
    code, out, _ = spectail(capsys, "run", *SIZES, "--steps", "3", "--overlaps", "1:0", "--out", str(tmp_path))
    assert code == 0
    names = sorted(p.name for p in (tmp_path / "runs").iterdir())
    (netcdf,) = [n for n in names if n.endswith(".nc")]
    stem = netcdf.removesuffix(".nc")
    assert names == sorted(
        [netcdf] + [f"{stem}-{what}.{end}" for what in ("esd", "evolution", "overlaps") for end in ("png", "pdf")]
    )
    assert all(str(tmp_path / "runs" / n) in out for n in names)
    assert "phase" in out


@pytest.mark.usefixtures("undrawn")
def test_a_second_run_is_found_again(capsys, tmp_path):
    arguments = ["run", *SIZES, "--steps", "1", "--out", str(tmp_path)]
    spectail(capsys, *arguments)
    before = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "runs").glob("*.nc")}
    _, out, _ = spectail(capsys, *arguments)
    assert "found, not computed again" in out
    assert {p.name: p.stat().st_mtime_ns for p in (tmp_path / "runs").glob("*.nc")} == before


@pytest.mark.usefixtures("undrawn")
def test_every_field_of_an_experiment_is_an_option(capsys, tmp_path):
    options = json.dumps({"betas": [0.8, 0.9]})
    code, _, err = spectail(
        capsys, "run", *SIZES, "--teacher", "tanh", "--activation", "he2", "--label-noise", "0.1", "--ridge", "0.1",
        "--initialization", "mean_field", "--optimizer", "adam", "--lr", "0.01", "--optimizer-options", options,
        "--schedule", "StepLR", "--schedule-options", '{"step_size": 1, "gamma": 0.4}',
        "--weight-normalization", "true", "--steps", "2", "--record", "0", "2", "--protocol", "published",
        "--feature-scale", "model", "--dtype", "float64", "--seed", "7", "--out", str(tmp_path),
    )  # fmt: skip
    assert code == 0, err
    (path,) = (tmp_path / "runs").glob("*.nc")
    e = experiment_of(load_recording(path))
    assert (e.teacher, e.activation, e.initialization, e.record, e.seed) == ("tanh", "he2", "mean_field", (0, 2), 7)
    assert (e.optimizer_options, e.schedule_options["gamma"]) == ({"betas": [0.8, 0.9]}, 0.4)
    assert (e.protocol, e.loss_factor, e.feature_scale, e.weight_normalization) == ("custom", 1.0, "model", True)


def test_show_prints_a_stored_run_and_draws_it_where_asked(capsys, tmp_path):
    spectail(capsys, "run", *SIZES, "--steps", "1", "--out", str(tmp_path))
    (path,) = (tmp_path / "runs").glob("*.nc")
    code, out, _ = spectail(capsys, "show", str(path), "--out", str(tmp_path / "elsewhere"))
    assert code == 0
    assert (tmp_path / "elsewhere" / f"{path.stem}-esd.png").exists()
    assert "random-like" in out
    assert "heavy-tailed" in out


@pytest.mark.usefixtures("undrawn")
def test_a_diverged_run_is_told_and_exits_well(capsys, tmp_path):
    arguments = ["--activation", "he4", "--optimizer", "gd", "--lr", "1e6", "--steps", "50", "--out", str(tmp_path)]
    code, out, _ = spectail(capsys, "run", *SIZES, *arguments)
    assert code == 0
    assert "diverged at step" in out


def test_reproduce_draws_tests_claims_and_says_where(capsys, tmp_path):
    code, out, err = spectail(capsys, "reproduce", "fig2", "--scale", "small", "--repeats", "2", "--out", str(tmp_path))
    assert code == 0, err
    assert (tmp_path / "figures-small" / "fig2.png").exists()
    assert "published" in out
    assert "equations" in out
    assert "does not hold" in out
    assert "not evidence" in out
    with (tmp_path / "figures-small" / "claims.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {(row["claim"], row["protocol"]) for row in rows} == {
        (number, protocol) for number in "1234" for protocol in ("published", "equations")
    }


def test_reproduce_lists_what_there_is(capsys):
    code, out, _ = spectail(capsys, "reproduce", "--list")
    assert code == 0
    assert all(name in out for name in ("fig1", "fig5", "evolution"))


BAD = [
    (["run", "--n", "0"], "n='0' is not valid"),
    (["run", "--lr", "nan"], "lr='nan' is not valid"),
    (["run", "--lr", "0"], "lr='0'"),
    (["run", "--steps", "1.5"], "steps='1.5' is not a whole number"),
    (["run", "--teacher", "sofplus"], "did you mean 'softplus'"),
    (["run", "--record", "0", "99"], "step 99, but the run ends at step 10"),
    (["run", "--record", "some"], "record="),
    (["run", "--overlaps", "1"], "expected S:T"),
    (["run", "--optimizer-options", "betas=0.9"], "expected JSON"),
    (["run", "--optimizer-options", '{"betas": [1.5, 0.9]}'], "Invalid beta"),
    (["run", "--device", "abacus"], "device='abacus' is not available"),
    (["reproduce", "fig99"], "artifact='fig99' is not known"),
    (["reproduce", "fig2", "--scale", "tiny"], "scale='tiny' is not known"),
    (["reproduce", "fig2", "--repeats", "0"], "repeats=0"),
    (["reproduce", "fig2", "--repeats", "1001"], "expected 1 to 1,000"),
    (["reproduce", "all", "--repeats", "1000", "--scale", "small"], "runs; expected at most 100,000 in one call"),
    (["reproduce"], "needs the name"),
    (["show", "nowhere.nc"], "nowhere.nc does not exist"),
    (["series"], "series needs a SOURCE"),
    (["series", "run", "--out", ""], "what follows --out is empty"),  # it would be the current folder
    (["report", "--out="], "--out is empty"),
    (["reproduce", "fig4", "--repeats", "1e3"], "--repeats is '1e3'; expected a whole number, such as 3"),
    (["reproduce", "fig4", "--cpus=many"], "--cpus is 'many'; expected a number, such as 0.5"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=[" ".join(a) for a, _ in BAD])
def test_bad_input_is_one_sentence_exit_code_2_and_nothing_written(capsys, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, _, err = spectail(capsys, *arguments)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_an_output_folder_that_cannot_be_written_is_refused_before_anything_is_computed(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    code, _, err = spectail(capsys, "run", *SIZES, "--out", str(tmp_path / "file"))
    assert (code, err.count("\n")) == (2, 1)
    assert "cannot write to" in err


def test_sizes_beyond_memory_are_one_sentence(capsys, tmp_path):
    code, _, err = spectail(capsys, "run", "--n", "1000000000", "--out", str(tmp_path))
    assert (code, err.count("\n")) == (2, 1)
    assert "n=1000000000 with d=1000 takes at least" in err
    assert not list((tmp_path / "runs").iterdir())


def test_a_file_that_is_not_ours_is_refused(capsys, tmp_path):
    path = tmp_path / "photo.nc"
    path.write_bytes(os.urandom(4000))
    code, _, err = spectail(capsys, "show", str(path))
    assert (code, err.count("\n")) == (2, 1)
    assert "photo.nc is not a readable netCDF file" in err


def test_an_unknown_option_or_command_exits_with_2(capsys):
    for arguments in (["run", "--lrr", "1"], ["fly"], []):
        assert spectail(capsys, *arguments)[0] == 2
    for word, sentence in (("analyse", "did you mean 'analyze'"), ("--verison", "did you mean '--version'")):
        code, _, err = spectail(capsys, word, "model.pt")
        assert (code, err.count("\n")) == (2, 1)
        assert sentence in err


def test_the_help_says_in_a_line_what_each_command_does(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = spectail(capsys, "--help")
    assert not code
    assert {"-V", "--completion", *COMMANDS} <= set(re.findall(r"[-\w]+", out))
    assert out.count("\n") < 40, "it fits on a screen or two"


def test_it_tells_its_version(capsys):
    for option in ("--version", "-V"):
        assert spectail(capsys, option) == (0, f"spectail {__version__}\n", "")


def test_a_shell_is_given_its_completion(capsys):
    code, out, _ = spectail(capsys, "--completion", "bash")
    assert not code
    assert out.count("analyze") > 1
    assert "did you mean 'zsh'?" in spectail(capsys, "--completion", "zhs")[2]


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("spectail ana", ["analyze"]),
        ("spectail analyze --nul", ["--nulls"]),
        ("spectail run --optimizer", ["--optimizer", "--optimizer-options"]),  # its help has several lines
        ("spectail analyze mo", []),
        ("spectail analyze --nulls f", ["full"]),
        ("spectail run --precision b", ["bfloat16"]),
        ("spectail run --format p", ["png", "pdf", "pgf"]),
    ],
)
def test_bash_completes_commands_and_options_and_leaves_other_words_to_files(capsys, tmp_path, line, completed):
    script = tmp_path / "completion.bash"
    script.write_text(spectail(capsys, "--completion", "bash")[1])
    words = line.split()
    ask = (
        f"source {script}; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; "
        f"$(complete -p spectail | sed 's/.*-F \\([^ ]*\\).*/\\1/') spectail {words[-1]} {words[-2]}; "
        'printf "%s\\n" "${COMPREPLY[@]}"; complete -p spectail'
    )
    done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True)
    *found, registered = done.stdout.split("\n")[:-1]
    assert [one for one in found if one] == completed
    assert "-o default" in registered  # where nothing is found, files are


GRID = """
[fixed]
n = 40
n_test = 10
n_test_large = 20
d = 15
h = 20
steps = 2

[axes]
lr = [0.1, 1.0]
seed = [0, 1]
"""


def test_sweep_says_what_it_would_do_does_it_and_finds_it_again(capsys, tmp_path):
    (tmp_path / "grid.toml").write_text(GRID)
    command = ("sweep", str(tmp_path / "grid.toml"), "--out", str(tmp_path / "out"))
    code, out, _ = spectail(capsys, *command, "--dry-run")
    assert code == 0
    assert "4" in out
    assert not (tmp_path / "out").exists()
    code, out, _ = spectail(capsys, *command)
    assert code == 0
    assert "4 runs: 0 found, 4 computed" in out
    assert len(list((tmp_path / "out" / "runs").glob("*.nc"))) == 4
    _, out, _ = spectail(capsys, *command)
    assert "4 runs: 4 found, 0 computed" in out
    code, out, _ = spectail(capsys, "store", "check", str(tmp_path / "out"))
    assert (code, out.strip()) == (0, "4 runs, all whole")
    path = next((tmp_path / "out" / "runs").glob("*.nc"))
    path.write_bytes(path.read_bytes()[:500])
    code, out, _ = spectail(capsys, "store", "check", str(tmp_path / "out"))
    assert code == 1
    assert "3 runs whole, 1 not" in out
    code, out, _ = spectail(capsys, "store", "gc", str(tmp_path / "out"))
    assert (code, out.strip()) == (0, "0 files removed")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["sweep", "nowhere.toml"], "nowhere.toml does not exist"),
        (["sweep", "{grid}", "--workers", "0"], "workers=0 is not valid"),
        (["sweep", "{grid}", "--cpus", "-1"], "cpus=-1.0 is not valid"),
        (["sweep", "{bad}"], "bad.toml, line 2: lr=-1 is not valid"),
        (["store", "mend", "here"], "action='mend' is not known"),
        (["store", "check", "here"], "here is not a store"),
    ],
)
def test_bad_sweeps_are_one_sentence(capsys, tmp_path, monkeypatch, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "grid.toml").write_text(GRID)
    (tmp_path / "bad.toml").write_text("[axes]\nlr = [-1]\n")
    paths = {"grid": "grid.toml", "bad": "bad.toml"}
    code, _, err = spectail(capsys, *(a.format(**paths) for a in arguments))
    assert code == 2
    assert sentence in err
    assert err.count("\n") == 1
    assert not (tmp_path / "results").exists()


def test_predict_prints_the_critical_learning_rate_and_what_happens_around_it(capsys):
    code, out, _ = spectail(capsys, "predict", "--h", "1500", "--d", "1000", "--n", "2000", "--optimizer", "adam")
    assert code == 0
    assert "critical learning rate η_c = 0.01472" in out
    assert "left overlap" in out
    code, out, _ = spectail(capsys, "predict", "--optimizer", "gd", "--protocol", "published", "--lr", "1000", "2000")
    assert code == 0
    assert [line.split("│")[3].strip() for line in out.splitlines() if line.startswith("│")] == ["no", "yes"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--h", "-3"), "h='-3' is not valid"),
        (("--lr", "0"), "lr='0' is not valid"),
        (("--optimizer", "AdamW"), "optimizer='AdamW' has no prediction; gd, adam and sign have one"),
    ],
)
def test_predict_says_what_it_cannot_use(capsys, arguments, sentence):
    code, _, err = spectail(capsys, "predict", *arguments)
    assert code == 2
    assert sentence in err


def test_reproduce_under_a_protocol_of_ones_choice(capsys, tmp_path):
    common = ("reproduce", "fig2", "--scale", "small", "--repeats", "1", "--out", str(tmp_path))
    code, out, _ = spectail(capsys, *common, "--protocol", "equations")
    assert code == 0
    assert "not run" in out
    code, _, err = spectail(capsys, *common, "--protocol", "equation")
    assert code == 2
    assert "did you mean 'equations'" in err


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "x.pt"
    torch.save({"model": {"fc.weight": torch.randn(20, 12)}, "ema": {"fc.weight": torch.randn(20, 12)}}, path)
    return str(path)


def test_one_of_several_state_dicts_is_asked_for_by_its_key(capsys, checkpoint):
    _, out, _ = spectail(capsys, "analyze", checkpoint, "--key", "ema")
    assert 'x.pt["ema"]' in out
    _, out, _ = spectail(capsys, "analyze", checkpoint, "--list")
    assert 'x.pt["model"]' in out
    code, _, err = spectail(capsys, "analyze", checkpoint, "--key", "best")
    assert (code, err.count("\n")) == (2, 1)
    assert "has no state dict under key='best'; there are model, ema" in err


def test_the_command_starts_and_a_terminal_without_greek_letters_gets_question_marks(checkpoint, tmp_path):
    command = [sys.executable, "-m", "spectail", "analyze", checkpoint, "--out", str(tmp_path / "out")]
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252"}
    done = subprocess.run(command, capture_output=True, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr.decode()
    assert (tmp_path / "out" / "analysis.csv").exists()


def test_in_the_c_locale_too(checkpoint, monkeypatch):
    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding="ascii", errors="surrogateescape"))
    main(["analyze", checkpoint])
    sys.stdout.flush()
    assert b"?/?" in out.getvalue()  # the head of a column that has λ


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="needs root, to be somebody without a home")
def test_somebody_without_a_home_gets_an_analysis(checkpoint):
    env = {name: value for name, value in os.environ.items() if name not in ("HOME", "XDG_CACHE_HOME")}
    command = ["setpriv", "--reuid", "34567", "--regid", "34567", "--clear-groups"]
    with tempfile.TemporaryDirectory() as name:  # pytest closes its own folders to others whenever another one starts
        for folder in (Path(name), *Path(name).parents[:-1]):
            folder.chmod(folder.stat().st_mode | 0o055)
        readable = shutil.copy(checkpoint, name)
        done = subprocess.run(
            [*command, sys.executable, "-m", "spectail", "analyze", readable], capture_output=True, env=env, text=True
        )
    assert done.returncode == 0, done.stderr


def test_an_analysis_is_written_though_nobody_reads_to_its_end(tmp_path, checkpoint):
    command = [sys.executable, "-m", "spectail", "analyze", checkpoint, "--out", str(tmp_path / "out")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        process.stdout.close()
    assert process.returncode == 0
    command = [sys.executable, "-m", "spectail", "run", "--help"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"summary.txt", "analysis.csv", "analysis.html"}


def test_show_of_a_folder_lists_its_runs(tmp_path, capsys, monkeypatch):
    """Files are named by their keys alone, so that somebody must say which is which."""
    monkeypatch.setenv("COLUMNS", "80")
    store, tiny = Store(tmp_path), Experiment(n=40, d=20, h=30, n_test=9, n_test_large=9, steps=1, optimizer="gd")
    for lr in (20.0, 3.0):
        store.put(simulate(tiny.replace(lr=lr)))
    main(["show", str(tmp_path)])
    keys = re.findall(r"\b[0-9a-f]{16}\b", capsys.readouterr().out)
    assert keys == [tiny.replace(lr=lr).key for lr in (3.0, 20.0)]
    with pytest.raises(SystemExit, match="2"):
        main(["show", str(tmp_path / "runs")])
    assert f"holds no results: it has no folder runs, and no recordings of models; did you mean {tmp_path}?" in (
        capsys.readouterr().err.replace("\n", " ")
    )
    for command, hint in (("report", f"; did you mean {tmp_path}?"), ("watch", f", such as {store.runs}/")):
        with pytest.raises(SystemExit, match="2"):
            main([command, str(store.runs)])
        assert hint in capsys.readouterr().err.replace("\n", " ")
    for load in (load_results, lazy_results):
        with pytest.raises((StoreError, FileNotFoundError), match="did you mean"):
            load(store.runs)


def test_a_name_that_a_terminal_would_obey_is_refused_in_one_line_that_shows_it(capsys):
    code, _, err = spectail(capsys, "report", "\x1b[31mred\n.pt")
    assert code == 2
    assert err.startswith(r"error: \x1b[31mred\n.pt is not")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("out", "sentence"), [("", "is empty; expected a value"), ("a\\u0000b", r"is 'a\x00b'; expected")]
)
def test_a_configuration_file_says_no_path_that_is_none(out, sentence, capsys, tmp_path):
    (tmp_path / "my.toml").write_text(f'[analyze]\nout = "{out}"\n')
    code, _, err = spectail(capsys, "analyze", "model.pt", "--config", str(tmp_path / "my.toml"))
    assert code == 2
    assert f"error: what follows --out {sentence}" in err


@pytest.mark.parametrize("command", [["run"], ["reproduce", "fig4"]])
def test_a_word_that_others_have_for_an_option_is_asked_about(command, capsys):
    code, _, err = spectail(capsys, *command, "--learning-rate=0.1")
    assert (code, err) == (2, "error: option --learning-rate is not known; did you mean --lr?\n")


def test_a_size_that_a_scale_makes_none_of_is_named_as_it_was_given(capsys, tmp_path):
    code, _, err = spectail(capsys, "reproduce", "fig4", "--scale", "small", "--d", "2", "--out", str(tmp_path))
    assert (code, err) == (2, "error: d=2 at the small scale is a 5th of it; expected at least 5\n")


def test_a_configuration_file_says_yes_and_no_of_flags_and_of_fields(capsys, tmp_path):
    """A field takes true or false after its name, a flag stands for itself."""
    sizes = "n = 40\nd = 20\nh = 30\nn_test = 5\nn_test_large = 5\nsteps = 1\n"
    options = f"[run]\n{sizes}weight_normalization = true\ncenter_labels = false\njson = true\nquiet = false\n"
    (tmp_path / "my.toml").write_text(options)
    code, out, err = spectail(capsys, "run", "--config", str(tmp_path / "my.toml"), "--out", str(tmp_path))
    assert code == 0, err
    experiment = Experiment(n=40, d=20, h=30, n_test=5, n_test_large=5, steps=1, weight_normalization=True)
    assert experiment.key in out


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"\xff\xfe[", "is not text in UTF-8; expected options in TOML, in a table [run]"),
        (b"[run]\nlr = = 1", "line 2: invalid value"),
        (b"[run]\nlr = " + b"[" * 5000, "has tables within tables without end"),
        (b"[sweep]\nworkers = 2", "has no table [run]; it has sweep"),
        (b"[run]\nlrx = 1", "option='lrx' is not known; did you mean 'lr'?"),
        (None, "is a folder; expected options in TOML"),
    ],
)
def test_a_configuration_file_that_says_nothing_is_one_sentence(content, sentence, capsys, tmp_path):
    path = tmp_path / "my.toml"
    path.mkdir() if content is None else path.write_bytes(content)
    code, _, err = spectail(capsys, "run", "--config", str(path))
    assert code == 2
    assert sentence in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("command", ["analyze", "compare", "report"])
def test_a_folder_that_is_called_as_a_file_is_refused_before_anything_is_measured(command, capsys, tmp_path):
    torch.save({"a.weight": torch.ones(3, 2)}, tmp_path / "m.pt")
    sources = [str(tmp_path / "m.pt")] * (2 if command == "compare" else 1)
    code, _, error = spectail(capsys, command, *sources, "--out", str(tmp_path / "d.csv"))
    assert (code, error.count("\n")) == (2, 1)
    assert "d.csv is called as a file is; expected a folder" in error
    assert not (tmp_path / "d.csv").exists()


def test_a_series_is_no_table(capsys, tmp_path):
    torch.save({"a.weight": torch.ones(3, 2)}, tmp_path / "step-1.pt")
    code, _, error = spectail(capsys, "series", str(tmp_path), "--out", str(tmp_path / "d.csv"))
    assert (code, error.count("\n")) == (2, 1)
    assert "expected a name such as" in error
    assert not (tmp_path / "d.csv").exists()
