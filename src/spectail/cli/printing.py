"""Options of how a command answers: in words, as JSON, or not at all; and the file that options may come from.

Not here: what is printed (`report/`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from spectail.cli.option import option
from spectail.errors import SettingError, unknown_name
from spectail.files import read_toml

if TYPE_CHECKING:
    from spectail.report.row_choice import RowChoice


@dataclasses.dataclass(frozen=True)
class Printing:
    """How the answer is printed."""

    json: Annotated[bool, option(help="Print JSON alone on standard output.", help_behavior_hint="")] = False
    quiet: Annotated[bool, option(help="Print warnings and errors only.", help_behavior_hint="", aliases=("-q",))] = (
        False
    )
    verbose: Annotated[
        bool,
        option(help="Leave nothing out of tables and lists; trace errors.", help_behavior_hint="", aliases=("-v",)),
    ] = False
    config: Annotated[
        Path | None,
        option(metavar="FILE.toml", help="Options, in a table named after the command; those of the command line win."),
    ] = None

    def tell(self, command: str, answer: Callable[[], Mapping[str, Any]], text: Callable[[], object]) -> None:
        """Answer.

        Args:
            command: that was called.
            answer: makes what JSON holds.
            text: prints the answer in words.
        """
        if self.json:
            from spectail.report.json_answers import print_answer

            print_answer(command, answer())
        else:
            self.say(text)

    def say(self, text: Callable[[], object]) -> None:
        """Print words that JSON leaves out."""
        if not (self.json or self.quiet):
            text()


@dataclasses.dataclass(frozen=True)
class PrintingRows(Printing):
    """How the answer is printed, and which rows of its table."""

    sort: Annotated[
        str | None,
        option(metavar="COLUMN", help="Rows by a column, the largest number first, or with COLUMN:up the smallest."),
    ] = None
    top: Annotated[int | None, option(metavar="N", help="How many rows are shown.")] = None

    def rows(self) -> RowChoice:
        """Which rows are shown. Raises SettingError where a column is not known."""
        from spectail.report.row_choice import RowChoice

        return RowChoice(self.sort or "", self.top)


Answering = Annotated[Printing, tyro.conf.OmitArgPrefixes]
AnsweringRows = Annotated[PrintingRows, tyro.conf.OmitArgPrefixes]


def with_file(command: str, words: Sequence[str], options: Any) -> list[str]:
    """The words of a command line after those that its `--config FILE` stands for; of an option twice the last holds.

    Args:
        command: whose table of the file is read.
        words: of the command line, without the command.
        options: the class of the command, whose fields are its options.

    Raises:
        SettingError: the file is not there, is no TOML, has no table of that name, or one with what is no option.
    """
    words = list(words)
    at = next((i for i, word in enumerate(words) if word == "--config" or word.startswith("--config=")), None)
    if at is None:
        return words
    name, length = (words[at].partition("=")[2], 1) if "=" in words[at] else ("".join(words[at + 1 : at + 2]), 2)
    expected = f"options in TOML, in a table [{command}]"
    if not name:
        raise SettingError(f"--config names no file; expected {expected}")
    try:
        _, tables = read_toml(Path(name), expected)
    except (OSError, ValueError) as error:
        raise SettingError(f"config: {error}") from None
    if not isinstance(tables.get(command), dict):
        raise SettingError(f"config={name!r} has no table [{command}]; it has {', '.join(tables) or 'none'}")
    known = {one.replace("_", "-") for one in option_names(options)}
    for one in tables[command]:
        if one.replace("_", "-") not in known:
            raise SettingError(f"config={name!r}: {unknown_name(f'[{command}] option', one, sorted(known))}")
    flags = {one.replace("_", "-") for one in option_names(options, flags=True)}
    return [*_as_words(tables[command], flags), *words[:at], *words[at + length :]]


def option_names(options: Any, *, flags: bool = False) -> Iterator[str]:
    """The names of the options of a command, with those that it shares with others.

    Args:
        options: the class of the command.
        flags: of its flags alone, which take no value.
    """
    for field in dataclasses.fields(options):
        if dataclasses.is_dataclass(field.default_factory):
            yield from option_names(field.default_factory, flags=flags)
        elif "Positional" not in str(field.type) and (not flags or isinstance(field.default, bool)):
            yield field.name


def _as_words(options: Mapping[str, Any], flags: Container[str]) -> list[str]:
    """What the command line says for options; an option that is no flag takes true or false as its value."""
    words: list[str] = []
    for name, value in options.items():
        flag = f"--{name.replace('_', '-')}"
        match value:
            case True | False if flag[2:] in flags:
                words.append(flag if value else f"--no-{flag[2:]}")
            case True | False:
                words += [flag, str(value).lower()]
            case list():
                words += [flag, *map(str, value)]
            case dict():
                import json

                words += [flag, json.dumps(value)]
            case _:
                words += [flag, str(value)]
    return words
