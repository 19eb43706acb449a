"""How one option looks in a command's help, and how a number is read.

Not here: options that several commands share (`options`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

NUMBERS = ConstructorRegistry()
"""How options that are numbers are read."""


class NoNumberError(Exception):
    """What was to be a number is none. It is not a ValueError: tyro would show that with all that it tried."""

    def __init__(self, text: str, expected: str) -> None:
        super().__init__(text)
        self.text, self.expected = text, expected

    def sentence(self, words: Sequence[str]) -> str:
        """Which option of a command line it is, and what it expects."""
        of = next((one for one, text in pairwise(words) if text == self.text and one.startswith("-")), "")
        of = of or next((one[: -len(self.text) - 1] for one in words if one.endswith(f"={self.text}")), "an option")
        return f"{of} is {self.text!r:.80}; expected {self.expected}"


@NUMBERS.primitive_rule
def _number(asked: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    if asked.type not in (int, float):
        return None
    kind = asked.type
    expected = "a whole number, such as 3" if kind is int else "a number, such as 0.5"

    def number(words: list[str]) -> Any:
        try:
            return kind(words[0])
        except ValueError:
            raise NoNumberError(words[0], expected) from None

    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=kind.__name__.upper(),
        instance_from_str=number,
        is_instance=lambda one: isinstance(one, kind | int),
        str_from_instance=lambda one: [str(one)],
    )


def option(
    metavar: str | None = None,
    help: str | None = None,
    *,
    help_behavior_hint: str | None = None,
    aliases: tuple[str, ...] | None = None,
) -> Any:
    """What a help text says of an option; a default that is nothing is left to the words of the help.

    Args:
        metavar: what is to be written behind its name.
        help: what it does.
        help_behavior_hint: what stands behind that; by default the option's default.
        aliases: short forms, as "-q".
    """
    hint = _default if help_behavior_hint is None else help_behavior_hint
    return tyro.conf.arg(metavar=metavar, help=help, help_behavior_hint=hint, aliases=aliases)


def _default(default: str) -> str:
    return "" if default in ("", "None", "False") else f"(default: {default})"
