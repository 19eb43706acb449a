"""What a claim of the paper is, and what is found of it.

Not here: the rules that make a verdict of repeats (`verdicts.py`), and what claims measure: `figures/`, and
`criteria.py` where several share it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from spectail.study.verdicts import MOST_REPEATS, UNTESTED, Finding, Verdict

if TYPE_CHECKING:
    from spectail.study.runs import Runs


@dataclass(frozen=True)
class Outcome:
    """What was found of a claim under one protocol, and the numbers it rests on."""

    finding: Finding
    measured: str

    @property
    def verdict(self) -> Verdict:
        """The verdict of the finding."""
        return self.finding.verdict

    @property
    def clarity(self) -> str:
        """The p-value, the margin that decides, and how many repeats would decide what is undecided, in words.

        Without p-value and margin where nothing was tested.

        >>> Outcome(Finding(0.1, 0.9, effect=0.8, margin=(0.4, -0.2, 1.0)), "").clarity
        'p = 0.2; margin 0.4, −0.2 to 1; 9 repeats would decide'
        """
        chance, needed = self.finding.chance, self.finding.needed
        if chance is None:
            return "" if needed is None else f"{needed} repeats would decide if they agree"
        text = "p < 0.0001" if chance < 1e-4 else f"p = {chance:.2g}"
        if self.finding.margin is not None:
            mean, low, high = (f"{end:.2g}".replace("-", "−") for end in self.finding.margin)
            text += f"; margin {mean}, {low} to {high}"
        if needed is None:
            return text
        return f"{text}; {f'over {needed:,}' if needed == MOST_REPEATS else f'{needed:,}'} repeats would decide"

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> Outcome:
        """From JSON; records of earlier releases have no p-values, or no margins."""
        if "p_claimed" not in fields:
            untested = replace(UNTESTED[Verdict(fields["verdict"])], least=fields.get("least"))
            return cls(untested, fields["measured"])
        margin = fields.get("margin")
        finding = Finding(
            fields["p_claimed"], fields["p_contrary"], fields["effect"], fields["comparisons"],
            None if margin is None else tuple(margin),
        )  # fmt: skip
        return cls(finding, fields["measured"])

    def json(self) -> dict[str, Any]:
        """For JSON."""
        f = self.finding
        said: dict[str, Any] = {"verdict": str(self.verdict), "measured": self.measured}
        if not f.tested:
            return said if f.least is None else {**said, "least": f.least}
        numbers = {"p_claimed": f.claimed, "p_contrary": f.contrary, "effect": f.effect, "comparisons": f.comparisons}
        return {**said, **numbers, **({} if f.margin is None else {"margin": list(f.margin)})}


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
