"""`python -m spectail` is the command `spectail`.

Not here: commands (`cli/`).
"""

from __future__ import annotations

from spectail.cli import main

if __name__ == "__main__":
    main()
