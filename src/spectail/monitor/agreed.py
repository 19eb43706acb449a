"""Whether to measure now, so that all processes that train one model say the same.

Here: who is asked, and when. Not here: the rules (`when`), and how processes speak to one another (`process_group`).
"""

from __future__ import annotations

from collections.abc import Callable

from spectail.monitor.process_group import Ranks
from spectail.monitor.when import Clocks, When

_FARTHEST = 2**20  # steps that are looked ahead
_FARTHEST_ALONE = 16  # to ask costs a process that trains alone microseconds, and its steps may become longer

_STOPPED = Clocks()  # for rules that do not look at the clocks


class AgreedWhen:
    """Asks a rule on each process, where it knows no more than the step; else only on the first, for all.

    A rule that goes by the clock is not asked after each step: the first process says when it is asked next, about
    halfway to the step at which a measurement should be due; where it trains alone, at most 16 steps on.

    Args:
        rule: of a monitor.
        ranks: the processes.
        first_step: that the model was at.

    >>> from spectail.monitor.when import every
    >>> agreed = AgreedWhen(every(3), Ranks(), 0)
    >>> [step for step in range(1, 8) if agreed(step, Clocks, lambda clocks: every(3)(step, clocks))]
    [3, 6]
    """

    def __init__(self, rule: Callable[[int, Clocks], bool], ranks: Ranks, first_step: int) -> None:
        self._rule, self._ranks, self._started = rule, ranks, first_step
        self._by_clock = getattr(rule, "saves_time", False)
        self._by_step = isinstance(rule, When) and not self._by_clock
        self._next = first_step

    def __call__(
        self, step: int, clocks: Callable[[], Clocks], ask: Callable[[Clocks], bool], *, now: bool = False
    ) -> bool:
        """Whether to measure after so many steps; all processes call it after each step.

        Args:
            step: the number of steps.
            clocks: reads the clocks.
            ask: asks the rule; raises nothing.
            now: whether it is asked in any case.

        Raises:
            RankLostError: the first process is gone.
        """
        if self._by_clock and step < self._next and not now:
            return False
        is_alone = self._ranks.size == 1
        if self._by_step:
            return ask(_STOPPED)
        if is_alone and not self._by_clock:
            return ask(clocks())
        is_due, following = False, step + 1
        if self._ranks.is_first:
            read = clocks()
            is_due = ask(read)
            if self._by_clock and not is_due:
                following = step + self._wait(step, read, _FARTHEST_ALONE if is_alone else _FARTHEST)
        if is_alone:
            self._next = following
            return is_due
        answer, self._next = self._ranks.numbers_from_first([is_due, following])
        return bool(answer)

    def _wait(self, step: int, clocks: Clocks, farthest: int) -> int:
        """Steps after which to ask again: at least 1, and fewer than it takes at the speed so far."""
        each = clocks.training / max(1, step - self._started)
        steps = 1
        while steps < farthest:
            later = Clocks(clocks.training + 2 * steps * each, clocks.measuring, clocks.next)
            if self._rule(step + 2 * steps, later):
                break
            steps *= 2
        return steps
