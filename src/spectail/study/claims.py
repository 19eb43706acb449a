"""What a claim of the paper is, and what is found of it.

Not here: the rules that make a verdict of repeats (`verdicts.py`), and what claims measure: `figures/`, and
`criteria.py` where several share it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spectail.study.verdicts import Verdict

if TYPE_CHECKING:
    from spectail.study.runs import Runs


@dataclass(frozen=True)
class Outcome:
    """A claim's verdict under one protocol, and the numbers it rests on."""

    verdict: Verdict
    measured: str


@dataclass(frozen=True)
class Claim:
    """One checkable statement of the paper.

    Attributes:
        number: in the list of claims; with a letter where one statement is tested in parts.
        where: section or figure of the paper.
        statement: in our words.
        criterion: what must be measured for it to hold, fixed before the runs.
        test: measures it on the runs of one protocol.
    """

    number: str
    where: str
    statement: str
    criterion: str
    test: Callable[[Runs], Outcome]
