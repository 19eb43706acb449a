"""What lets a shell complete the command line: tyro's script, and that files follow a command.

Not here: what is an option, which each command says.
"""

from __future__ import annotations

FILES = {
    "bash": """
_spectail_or_files() {
  _tyro_spectail "$@"
  if (( COMP_CWORD > 1 )) && [[ ${COMP_WORDS[COMP_CWORD]} != -* ]]; then COMPREPLY=(); fi
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
"""By shell, what follows tyro's script, which knows commands and options: words that begin no option are files."""


def completion_script(of_tyro: str, shell: str) -> str:
    r"""What a shell reads to complete the command line.

    Args:
        of_tyro: the script that tyro prints. It takes a line of its answer for a word, and a description may have more
            lines than one: they are joined.
        shell: a key of `FILES`.

    Returns:
        the whole script.

    >>> completion_script("SPEC = {'description': 'an optimizer,\\nor your own'}", "zsh").splitlines()[0]
    "SPEC = {'description': 'an optimizer, or your own'}"
    """
    lines = of_tyro.splitlines()
    return "\n".join(line.replace("\\n", " ") if "SPEC = " in line else line for line in lines) + FILES[shell]
