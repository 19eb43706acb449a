"""The command line: parses, calls, prints. Nothing heavy is imported before it is needed.

Here: a file a command. Not here: how anything is measured or run (`analysis/`, `experiments/`, `sweeps/`), and how it
looks (`report/`, `plots/`). This holds for each file of the folder.
"""

from __future__ import annotations

import dataclasses
import importlib
import io
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, redirect_stdout, suppress
from itertools import pairwise
from typing import Any, NoReturn

import tyro

from spectail.cli.completion import FILES, completion_script
from spectail.cli.imports import own_process
from spectail.cli.option import NUMBERS, NoNumberError
from spectail.cli.printing import Printing, option_names, with_file
from spectail.errors import SettingError, SpectailError, naming_the_extra, unknown_name
from spectail.files import check_folder

__all__ = ["COMMANDS", "main"]

COMMANDS = {
    "run": "run:Run",
    "sweep": "sweep:Sweep",
    "reproduce": "reproduce:Reproduce",
    "show": "show:Show",
    "list": "listing:List",
    "predict": "predict:Predict",
    "report": "report:Report",
    "watch": "watch:Watch",
    "analyze": "analyze:Analyze",
    "compare": "compare:Compare",
    "series": "series:SeriesCommand",
    "train": "train:Train",
    "store": "store:StoreCommand",
}
"""Module and class of each command. Its fields are the options; an instance, when called, does what they say."""

_OPTIONS = ("--help", "--version", "--completion")

_ABOUT = """How the spectrum of a neural network's weights evolves while it trains.

spectail COMMAND --help says what a command does; -V prints the version, --completion SHELL what lets bash, zsh or fish
complete commands and options."""

GO_ON = {"sweep", "reproduce"}
"""Commands that keep what was computed when they are interrupted."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point.

    Exit codes: 0 done; 1 runs that failed, a damaged store, or a fault of ours; 2 bad input or a disk that refuses; 130
    interrupted.
    """
    if arguments is None:
        own_process()
    try:
        _main(sys.argv[1:] if arguments is None else list(arguments))
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads has read enough, as head does; what was to be written is there
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python writes once more when it ends


def _main(words: list[str]) -> None:
    for stream in (sys.stdout, sys.stderr):  # a terminal that has no λ gets a question mark
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):  # of the C locale
            stream.reconfigure(errors="replace")
    if words in (["--version"], ["-V"]):
        from spectail import __version__

        print(f"spectail {__version__}")
        return
    if words[:1] == ["--completion"]:
        shell, script = _shell(words[1:]), io.StringIO()
        with suppress(SystemExit), redirect_stdout(script):  # tyro ends when it has printed
            _main(["--tyro-print-completion", shell])
        print(completion_script(script.getvalue(), shell))
        return
    name = words[0] if words else ""
    if name and name not in COMMANDS and not name.startswith(("-h", "--help", "--tyro")):
        of, known = ("option", _OPTIONS) if name.startswith("-") else ("command", COMMANDS)
        _fail(unknown_name(of, name, known))
    if name in COMMANDS:  # the others are not imported
        try:
            words = with_file(name, _with_address(words[1:]), _command(name))
        except SettingError as error:
            _fail(str(error))
        _refuse_no_path([name, *words])
        _refuse_other_words(words, _command(name))
        try:
            chosen = tyro.cli(_command(name), args=words, prog=f"spectail {name}", registry=NUMBERS)
        except NoNumberError as error:
            _fail(error.sentence(words))
    else:
        commands = {name: _command(name) for name in COMMANDS}
        if not name.startswith("--tyro"):
            commands = {name: _first_line_of(command) for name, command in commands.items()}
        chosen = tyro.extras.subcommand_cli_from_dict(commands, args=words, prog="spectail", description=_ABOUT)
    warnings.showwarning = _print_warning
    printing = getattr(chosen, "printing", Printing())
    try:
        with naming_the_extra(f"spectail {name}"), _without_bars() if printing.quiet else nullcontext():
            if name != "series" and getattr(chosen, "out", None) is not None:
                check_folder(chosen.out)
            chosen()
    except BrokenPipeError:
        raise
    except (SpectailError, OSError) as error:
        if printing.verbose:
            traceback.print_exc()
        _fail(_sentence(error))
    except KeyboardInterrupt as interrupt:
        sentence = (
            "what was computed is kept, and the same command goes on from there" if name in GO_ON else str(interrupt)
        )
        print(f"interrupted{sentence and '; '}{sentence}", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        # torch reports a lack of memory as a RuntimeError
        if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "memory" in str(error)):
            _fail("there is not enough memory for an experiment of this size; make n, d or h smaller")
        traceback.print_exc()
        print("error: this is a fault of spectail itself; please report it with the lines above", file=sys.stderr)
        sys.exit(1)


def _without_bars() -> AbstractContextManager[None]:
    from spectail.progress import silent

    return silent()


def _shell(words: Sequence[str]) -> str:
    """The shell whose completion is asked for."""
    if len(words) == 1 and words[0] in FILES:
        return words[0]
    _fail(unknown_name("completion", " ".join(words), FILES))


def _command(name: str) -> Any:
    module, _, kind = COMMANDS[name].partition(":")
    return getattr(importlib.import_module(f"spectail.cli.{module}"), kind)


def _first_line_of(command: Any) -> Any:
    """A command that says in one line what it does, for the list of all."""
    line = (command.__doc__ or "").strip().partition("\n")[0]
    return dataclasses.make_dataclass(command.__name__, [], namespace={"__doc__": line})


def _sentence(error: Exception) -> str:
    """What an error says; of one that the system raised, the file and the reason."""
    if isinstance(error, OSError) and error.errno is not None and error.filename is not None:
        return f"{error.filename} cannot be used: {error.strerror}"
    return str(error)


def _refuse_no_path(words: Sequence[str]) -> None:
    """An empty path would be the current folder, which nobody means who writes a shell's variable that is not set."""
    for before, word in pairwise(words):
        is_option = word.startswith("--") and word.endswith("=")
        if is_option or (not word and before != "--ray"):
            where = word.rstrip("=") if is_option else f"what follows {before}"
            _fail(f"{where} is empty; expected a value, or is a variable of the shell not set?")
        if "\0" in word:  # of a configuration file; no path may have it
            _fail(f"what follows {before} is {word!r}; expected text without the character 0")


def _refuse_other_words(words: Sequence[str], command: Any) -> None:
    """Refuse what others call an option, if it is not spelled like ours: --learning-rate for --lr."""
    options = set(option_names(command))
    if "lr" not in options:  # not of experiments
        return
    from spectail.experiments.description import OTHER_WORDS

    for word in words:
        name = word.partition("=")[0].removeprefix("--").replace("-", "_")
        if word.startswith("--") and name not in options and OTHER_WORDS.get(name.lower()) in options:
            _fail(f"option {word.partition('=')[0]} is not known; did you mean --{OTHER_WORDS[name.lower()]}?")


def _with_address(arguments: Sequence[str]) -> list[str]:
    """`--ray` alone stands for the cluster that is running, or else a local one."""
    words = list(arguments)
    for i, word in enumerate(words):
        if word == "--ray" and (i + 1 == len(words) or words[i + 1].startswith("-")):
            words[i : i + 1] = ["--ray", ""]
            break
    return words


def _print_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"warning: {_in_one_line(message)}", file=sys.stderr)


def _fail(sentence: str) -> NoReturn:
    print(f"error: {_in_one_line(sentence)}", file=sys.stderr)
    sys.exit(2)


def _in_one_line(sentence: object) -> str:
    """With names as they can be shown: what a terminal would obey is escaped."""
    from spectail.weights.untrusted import printable

    return printable(str(sentence))
