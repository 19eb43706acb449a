"""How far something is: a bar on the standard error of a terminal, a line below the cell of a notebook.

Not here: bars over the runs of a sweep (`sweeps/bar_over_runs.py`), and how it ended (`report/terminal/sweep.py`).
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

StepProgress = Callable[[int, int], None]
"""Called with the step that a run has reached, and how many there are."""

TrainingProgress = Callable[[int, int, float], None]
"""Called with the step that a training has reached, how many there are, and the loss."""

MatrixProgress = Callable[[float, str], None]
"""Called before each matrix with the share of the work that is done, and the name of the matrix."""


@contextmanager
def step_progress(steps: int) -> Iterator[StepProgress]:
    """A bar over the steps of one run."""
    with bar() as progress:
        task = progress.add_task("steps", total=max(steps, 1), text="step 0")
        yield lambda step, steps: progress.update(task, completed=step, text=f"step {step} of {steps}")


def over_files(paths: Sequence[Path], seconds: float = 60.0) -> Iterator[Path]:
    """Each path, with a bar over all.

    Args:
        paths: of files, of which there may be thousands.
        seconds: between two lines, where standard error is no terminal.

    >>> list(over_files([Path("run.nc")])) == [Path("run.nc")]
    True
    """
    with bar(seconds=seconds) as progress:
        task = progress.add_task("files", total=len(paths), text="file 0")
        for at, path in enumerate(paths):
            progress.update(task, completed=at, text=f"file {at + 1} of {len(paths)}")
            yield path


def bar(*left: ProgressColumn, line: Callable[[], str] | None = None, seconds: float = 60.0) -> Bar:
    """A bar with what is done, and how long the rest takes; where standard error is no terminal, a line a minute.

    Args:
        left: what says how long the rest takes; by default it goes by the last half minute.
        line: says how far it is; by default the text of its first task, with its share and what is left at this pace.
        seconds: between two lines. No line is shown where the work ends sooner.
    """
    rest = left or (TextColumn("left"), TimeRemainingColumn())
    return Bar(line, seconds, TextColumn("{task.fields[text]}"), BarColumn(), TimeElapsedColumn(), *rest)


_silent = False

_NOTEBOOK_SECONDS = 0.5  # between two lines there: what ends sooner shows nothing


@contextmanager
def silent() -> Iterator[None]:
    """No bar and no line is shown."""
    global _silent
    before, _silent = _silent, True
    try:
        yield
    finally:
        _silent = before


def in_notebook() -> bool:
    """Whether this is the kernel of a notebook, where what is displayed stands below a cell."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"


class Bar(Progress):
    """A bar on a terminal, lines in a file, one line that changes in a notebook."""

    def __init__(self, line: Callable[[], str] | None, seconds: float, *columns: ProgressColumn) -> None:
        out = Console(stderr=True)
        super().__init__(*columns, console=out, transient=True, disable=_silent or not out.is_terminal)
        self._line, self._stopped = line or self._line_of_task, threading.Event()
        self._shown: Any = None
        self._printing: threading.Thread | None = None
        self._in_notebook = not out.is_terminal and in_notebook()
        self._seconds = _NOTEBOOK_SECONDS if self._in_notebook else seconds
        self._began, self.prints_lines = time.monotonic(), not (_silent or out.is_terminal)

    def start(self) -> None:
        """Show it."""
        super().start()
        if self.prints_lines:
            self._printing = threading.Thread(target=self._print_lines, daemon=True)
            self._printing.start()

    def stop(self) -> None:
        """Show it no more."""
        self._stopped.set()
        super().stop()
        if self._printing is not None:
            self._printing.join(timeout=1.0)  # lest a line comes after the last
            self._printing = None
        if self._shown is not None:
            self._shown.update({"text/plain": ""}, raw=True)

    def _print_lines(self) -> None:
        while not self._stopped.wait(self._seconds):
            if self._in_notebook:
                self._display(self._line())
            else:
                print(self._line(), file=sys.stderr, flush=True)

    def _display(self, line: str) -> None:
        from IPython.display import display  # there is one in a notebook

        if self._shown is None:
            self._shown = display({"text/plain": line}, raw=True, display_id=True)
        else:
            self._shown.update({"text/plain": line}, raw=True)

    def _line_of_task(self) -> str:
        task = self.tasks[0] if self.tasks else None
        share = task.completed / task.total if task and task.total else 0.0
        return f"{task.fields['text'] if task else 'begun'}, {100 * share:.0f} %{_left(share, self._began)}"


def _left(share: float, began: float, before: float = 0.0) -> str:
    """How long the rest takes at the pace so far."""
    pace = (share - before) / max(time.monotonic() - began, 1e-9)
    return f", about {_about((1 - share) / pace)} left" if pace > 0 else ""


class WorkProgress:
    """How far the matrices of a model are, weighed by their work: a bar on a terminal, else a line a minute.

    No line is shown where the work ends sooner.

    Args:
        total: how many matrices.
        done: how many are done already.
        share: of the work that is done already.
        tell: called in the place of the bar and of the lines, with the share and a name.
        seconds: between two lines.
        unit: what is counted.
    """

    def __init__(
        self,
        total: int,
        done: int = 0,
        share: float = 0.0,
        tell: MatrixProgress | None = None,
        seconds: float = 60.0,
        unit: str = "matrices",
    ) -> None:
        self._total, self._done, self._share, self._share_before = total, done, share, share
        self._unit = unit
        self._name, self._tell = "opening", tell
        self._began = time.monotonic()
        self._bar = bar(TextColumn("{task.fields[left]}"), line=self.line, seconds=seconds)
        if tell is not None:
            self._bar.disable, self._bar.prints_lines = True, False
        self._task = self._bar.add_task("matrices", total=1.0, text=self._name, left="")

    def __enter__(self) -> WorkProgress:
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def begin(self, name: str) -> None:
        """A matrix of this process is begun."""
        self._name = name
        self._show()

    def finish(self, share: float) -> None:
        """A matrix is done, which was this share of the work."""
        self._done += 1
        self.advance(share)

    def part(self, count: int, prefix: str, passes: int = 1) -> PartProgress:
        """One of several parts that are counted as one each, of about the same work.

        Args:
            count: of parts.
            prefix: of the names of its matrices.
            passes: how often its matrices may be gone through.
        """
        return PartProgress(self, count, prefix, passes)

    def advance(self, share: float) -> None:
        """A further share of the work is done."""
        self._share = min(self._share + share, 1.0)
        if not self._bar.disable:
            self._show()

    def say(self, sentence: str) -> None:
        """Print a sentence above the bar."""
        if self._tell is None:
            self._bar.console.print(sentence, style="yellow", soft_wrap=True)

    def line(self) -> str:
        """How far it is, and how long the rest takes at the pace so far."""
        left = _left(self._share, self._began, self._share_before)
        return f"{self._done} of {self._total} {self._unit}, {100 * self._share:.0f} % of the work{left}"

    def _show(self) -> None:
        if self._tell is not None:
            self._tell(self._share, self._name)
        elif not self._bar.disable:
            left = self.line().partition(", about ")[2]
            self._bar.update(self._task, completed=self._share, text=f"{self._done} of {self._total} · {self._name}")
            self._bar.update(self._task, left=f"about {left}" if left else "")


class PartProgress:
    """How far one of several parts of a work is, for who knows of no other part."""

    def __init__(self, whole: WorkProgress, count: int, prefix: str, passes: int) -> None:
        self._whole, self._prefix, self._passes = whole, prefix, passes
        self._left = self._share = 1.0 / count

    def begin(self, name: str) -> None:
        """A matrix is begun."""
        self._whole.begin(f"{self._prefix}{name}")

    def finish(self, share: float) -> None:
        """A matrix is done, which was this share of a pass."""
        done = share * self._share / self._passes
        self._left -= done
        self._whole.advance(done)

    def end(self) -> None:
        """The part is done, even if less of it was to do."""
        self._whole.finish(self._left)

    def say(self, sentence: str) -> None:
        """Print a sentence above the bar."""
        self._whole.say(sentence)


def _about(seconds: float) -> str:
    """A time in the words of somebody who does not know it exactly.

    >>> _about(20), _about(840), _about(5400), _about(300000)
    ('a minute', '14 minutes', '1.5 hours', '3.5 days')
    """
    if seconds < 90:
        return "a minute"
    for size, unit, digits in ((60, "minutes", 0), (3600, "hours", 1), (86400, "days", 1)):
        if seconds < size * (90 if size == 60 else 48) or unit == "days":
            return f"{seconds / size:.{digits}f} {unit}"
    raise AssertionError
