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
