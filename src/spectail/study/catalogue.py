"""Every figure and table that can be reproduced, listed from `figures/`.

Not here: which of them are chosen, and what they cost (`plan.py`).
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterable
from functools import lru_cache

from spectail.errors import SettingError, naming_the_extra, unknown_name
from spectail.study.artifact import Artifact


@lru_cache(maxsize=1)
def catalogue() -> dict[str, Artifact]:
    """All artifacts by name, in the paper's order."""
    package = importlib.import_module("spectail.study.figures")
    names = [f"{package.__name__}.{module.name}" for module in pkgutil.iter_modules(package.__path__)]
    with naming_the_extra("a figure"):
        modules = [importlib.import_module(name) for name in names]
    artifacts = {artifact.name: artifact for module in modules for artifact in module.ARTIFACTS}
    return dict(sorted(artifacts.items(), key=lambda item: _paper_order(item[0])))


def find(names: Iterable[str]) -> list[Artifact]:
    """Artifacts by name, or all of them for "all"; each once, in the order given.

    "all" leaves out those of deep networks, which need images: see `find_deep`.

    Raises:
        ValueError: a name is not in the catalogue.
    """
    known = catalogue()
    chosen: dict[str, Artifact] = {}
    for name in names:
        if name == "all":
            chosen |= {name: artifact for name, artifact in known.items() if artifact.in_all and not artifact.trainings}
        elif name.lower() in known:
            chosen[name.lower()] = known[name.lower()]
        else:
            raise SettingError(unknown_name("artifact", name, [*known, "all"]))
    return list(chosen.values())


def find_deep() -> list[Artifact]:
    """The artifacts of deep networks, in the paper's order."""
    return [artifact for artifact in catalogue().values() if artifact.trainings]


def _paper_order(name: str) -> tuple[bool, str, int]:
    digits = re.search(r"\d+", name)
    return (not digits, name.rstrip("0123456789"), int(digits[0]) if digits else 0)
