"""Where the README's speed figures come from: `make bench`, or `python -m benchmarks [name...]`."""
