"""The published table of verdicts: whether it has all claims, and whether pages that count it count right."""

import csv
import re
from collections import Counter
from pathlib import Path

import pytest

from spectail.study.catalogue import catalogue
from spectail.study.claims import Outcome

DOCS = Path(__file__).parents[2] / "docs"

NUMBERS = ("p_claimed", "p_contrary", "effect", "comparisons")


@pytest.fixture(scope="module")
def rows():
    with (DOCS / "results" / "claims.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_claim_about_two_layers_is_there_as_the_catalogue_has_it_or_said_not_to_be(rows):
    claims = {c.number: (a.name, c.criterion) for a in catalogue().values() if not a.trainings for c in a.claims}
    there = {row["claim"]: (row["artifact"], row["criterion"]) for row in rows}
    assert there.items() <= claims.items()
    text = (DOCS / "results" / "study.md").read_text(encoding="utf-8")
    (not_judged,) = re.findall(r"more ha(?:s|ve) not been judged, since.*?\[", text, re.DOTALL)
    figures = {"3", "24", "5"}
    assert claims.keys() - there.keys() == set(re.findall(r"\b[A-Z]?\d+[a-f]?\b", not_judged)) - figures


def test_each_verdict_is_the_one_that_its_numbers_give(rows):
    for row in rows:
        if row["p_claimed"]:
            numbers = {name: float(row[name]) if row[name] else None for name in NUMBERS}
            assert Outcome.read({"measured": "", "verdict": "holds", **numbers}).verdict == row["verdict"], row["claim"]
        if row["margin"] and row["comparisons"] == "1.0":
            above, below = float(row["margin_low"]) > 0, float(row["margin_high"]) < 0
            assert (row["verdict"] == "holds") <= above
            assert (row["verdict"] == "does not hold") <= below


def test_pages_count_what_the_table_has(rows):
    of = {p: Counter(row["verdict"] for row in rows if row["protocol"] == p) for p in ("published", "equations")}
    count, ours = len({row["claim"] for row in rows}), len({r["claim"] for r in rows if r["where"].startswith("ours")})
    missing = len({row["claim"] for row in rows}) - of["equations"].total()
    holds, contrary, undecided = (of["published"][v] for v in ("holds", "does not hold", "undecided"))
    wanted = [count, ours, holds, contrary, undecided]
    wanted += [of["equations"][v] for v in ("holds", "does not hold", "undecided")] + [missing]
    text = " ".join((DOCS / "results" / "study.md").read_text(encoding="utf-8").split())
    sentence = re.search(r"Of \d+ claims \(.*? were not run", text)
    assert [int(n) for n in re.findall(r"\d+", sentence[0])] == wanted
    readme = " ".join((DOCS.parent / "README.md").read_text(encoding="utf-8").split())
    assert f"tests {count} claims, {ours} of them our own" in readme
    assert f"{holds} hold under its program's conventions, {of['equations']['holds']} under its equations" in readme
