"""How one option looks in a command's help. Not here: options that several commands share (`options`)."""

from __future__ import annotations

from typing import Any

import tyro


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
