"""Pieces of work that know of no experiment: numbers to be squared, by workers to whom something happens."""

import os
import signal
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from spectail.running.queue import Done, Failure


@dataclass(frozen=True)
class Number:
    value: int

    @property
    def key(self):
        return str(self.value)


@dataclass(frozen=True)
class StartSquaring:
    """Starts a worker that notes each number that it begins.

    Args:
        folder: of the notes.
        happens: to a worker at some numbers: "fails", "raises", "dies" (each time), "dies once", "waits" (until it
            is to stop), "interrupts" (its own process, as Ctrl-C does).
    """

    folder: Path
    happens: tuple[tuple[int, str], ...] = ()

    def __call__(self, stopping, call=None):
        def square(chunk):
            for number in chunk:
                if stopping():
                    return
                with (self.folder / "begun").open("a") as file:
                    file.write(f"{number.key}\n")
                match dict(self.happens).get(number.value):
                    case "fails":
                        yield Failure(number.key, "it is odd")
                        continue
                    case "raises":
                        raise OSError("no space left")
                    case "dies":
                        os.kill(os.getpid(), signal.SIGKILL)
                    case "dies once" if self.begun()[number.value] == 1:
                        os.kill(os.getpid(), signal.SIGKILL)
                    case "waits":
                        while not stopping():
                            time.sleep(0.01)
                    case "interrupts":
                        os.kill(os.getpid(), signal.SIGINT)
                if call is not None:
                    call("append", number.value)
                (self.folder / number.key).touch()
                yield Done(number.key, number.value**2)

        return square

    def begun(self):
        """How often each number was begun."""
        return Counter(map(int, (self.folder / "begun").read_text().split()))

    def is_done(self, number):
        return (self.folder / number.key).exists()
