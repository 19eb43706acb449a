"""Where the figures of docs/speed.md come from: `make bench`, or `python -m benchmarks [name...]`."""
