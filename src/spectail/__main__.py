"""`python -m spectail` is the command `spectail`."""

from spectail.cli import main

if __name__ == "__main__":
    main()
