"""The command line: parses, calls, prints. Nothing heavy is imported before it is needed."""

from __future__ import annotations

import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import tyro

from spectail.cli.analyze import Analyze
from spectail.cli.predict import Predict
from spectail.cli.report import Report
from spectail.cli.reproduce import Reproduce
from spectail.cli.run import Run
from spectail.cli.show import Show
from spectail.cli.store import StoreCommand
from spectail.cli.sweep import Sweep
from spectail.cli.train import Train
from spectail.errors import SpectailError

COMMANDS: dict[str, Callable[..., Any]] = {
    "run": Run,
    "sweep": Sweep,
    "reproduce": Reproduce,
    "show": Show,
    "predict": Predict,
    "report": Report,
    "analyze": Analyze,
    "train": Train,
    "store": StoreCommand,
}
"""Each parses its options, and does when it is called what they say."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point. Exit codes: 0 done, 1 a fault of ours, 2 bad input or a disk that refuses, 130 interrupted."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given == ["--version"]:
        from spectail import __version__

        print(f"spectail {__version__}")
        return
    chosen = tyro.extras.subcommand_cli_from_dict(
        COMMANDS,
        args=_with_address(given),
        prog="spectail",
        description="How the spectrum of a neural network's weights evolves while it trains.",
    )
    warnings.showwarning = _print_warning
    try:
        chosen()
    except (SpectailError, OSError) as error:
        _fail(str(error))
    except KeyboardInterrupt:
        many = type(chosen) in (Reproduce, Sweep)
        kept = "; what was computed is kept, and the same command goes on from there" if many else ""
        print(f"interrupted{kept}", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        # torch reports a lack of memory as a RuntimeError
        if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "memory" in str(error)):
            _fail("there is not enough memory for an experiment of this size; make n, d or h smaller")
        traceback.print_exc()
        print("error: this is a fault of spectail itself; please report it with the lines above", file=sys.stderr)
        sys.exit(1)


def _with_address(arguments: Sequence[str]) -> list[str]:
    """`--ray` alone stands for the cluster that is running, or else a local one."""
    given = list(arguments)
    for i, word in enumerate(given):
        if word == "--ray" and (i + 1 == len(given) or given[i + 1].startswith("-")):
            given[i : i + 1] = ["--ray", ""]
            break
    return given


def _print_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"warning: {message}", file=sys.stderr)


def _fail(sentence: str) -> None:
    print(f"error: {sentence}", file=sys.stderr)
    sys.exit(2)
