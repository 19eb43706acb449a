"""`python -m spectail` is the command `spectail`."""

from __future__ import annotations

from spectail.cli import main

if __name__ == "__main__":
    main()
