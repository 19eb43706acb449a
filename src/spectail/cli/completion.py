"""What lets a shell complete the command line: tyro's script, and that files follow a command.

Not here: what is an option, which each command says.
"""

from __future__ import annotations

import re

FILES = {
    "bash": """
_spectail_or_files() {
  _tyro_spectail "$@"
  if (( COMP_CWORD > 1 )) && [[ ${COMP_WORDS[COMP_CWORD]} != -* ]]; then
    local word words=()
    for word in "${COMPREPLY[@]}"; do [[ $word == -* ]] || words+=("$word"); done
    COMPREPLY=("${words[@]}")
  fi
}
complete -o default -F _spectail_or_files spectail
""",
    "zsh": """
if (( CURRENT > 2 )) && [[ ${words[CURRENT]} != -* ]]; then _files; fi
""",
    "fish": """
complete --command spectail --force-files --condition \\
    'test (count (commandline -opc)) -gt 1; and not string match -q -- "-*" (commandline -ct)'
""",
}
"""By shell, what follows tyro's script, which knows commands and options: other words are choices, or files."""

_ALTERNATIVES = re.compile(r"""(['"])((?:[^\s|'"]+\|)+[^\s|'"]+) •((?:(?!'type': ).)*)'type': 'path'""")
"""An option in tyro's script whose value is one of some words, such as gaussian|full|none."""


def completion_script(of_tyro: str, shell: str) -> str:
    r"""What a shell reads to complete the command line.

    Args:
        of_tyro: the script that tyro prints. It takes a line of its answer for a word, and a description may have more
            lines than one: they are joined. It takes any word for a file; where an option's help begins with its
            words, they are offered instead.
        shell: a key of `FILES`.

    Returns:
        the whole script.

    >>> completion_script("SPEC = {'description': 'an optimizer,\\nor your own'}", "zsh").splitlines()[0]
    "SPEC = {'description': 'an optimizer, or your own'}"
    """

    def with_choices(option: re.Match[str]) -> str:
        choices = [word.removesuffix(",...") for word in option[2].split("|") if word.islower()]
        as_path = option[0]
        return as_path.removesuffix("'path'") + f"'choice', 'choices': {choices}" if choices else as_path

    lines = [
        _ALTERNATIVES.sub(with_choices, line.replace("\\n", " ")) if "SPEC = " in line else line
        for line in of_tyro.splitlines()
    ]
    return "\n".join(lines) + FILES[shell]
