"""Names of matrices in little room, so that they can still be told apart, and how many there are of something.

Not here: what is said of the matrices (`summary`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby

_NUMBER = re.compile(r"(?<=[.\[])\d+(?=[.\]])|^\d+(?=\.)|(?<= )\d+(?=\])")

_LONGEST = 12  # letters that list numbers


def how_many(count: int, noun: str) -> str:
    """How many there are of something.

    Args:
        count: of it.
        noun: for one.

    >>> how_many(1, "matrix"), how_many(2, "matrix"), how_many(0, "run")
    ('1 matrix', '2 matrices', '0 runs')
    """
    return f"{count:,} {noun if count == 1 else 'matrices' if noun == 'matrix' else noun + 's'}"


def without_numbers(name: str) -> str:
    """The name of a matrix with * for every number that counts layers, experts or heads.

    Args:
        name: of it.

    >>> without_numbers("model.layers.7.mlp.experts.3.w1.weight")
    'model.layers.*.mlp.experts.*.w1.weight'
    """
    return _NUMBER.sub("*", name)


def together(names: Sequence[str]) -> list[tuple[str, int]]:
    """Names that differ only in the numbers of their layers, as one name with how many it stands for.

    Args:
        names: of matrices.

    Returns:
        in the order of the first of each. Where several numbers differ, or many, a * stands for each.

    >>> together(["h.0.fc.weight", "h.1.fc.weight", "head.weight", "h.3.fc.weight"])
    [('h.{0-1,3}.fc.weight', 3), ('head.weight', 1)]
    """
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(without_numbers(name), []).append(name)
    return [(_one_for_all(pattern, group), len(group)) for pattern, group in alike.items()]


def _one_for_all(pattern: str, names: Sequence[str]) -> str:
    columns = [sorted(set(column)) for column in zip(*(map(int, _NUMBER.findall(name)) for name in names), strict=True)]
    if len(names) == 1:
        return names[0]
    if sum(len(column) > 1 for column in columns) > 1:
        return pattern
    texts = [str(column[0]) if len(column) == 1 else f"{{{_ranges(column)}}}" for column in columns]
    if max(map(len, texts)) > _LONGEST:
        return pattern
    numbers = iter(texts)
    return _NUMBER.sub(lambda _: next(numbers), names[0])


def _ranges(numbers: Sequence[int]) -> str:
    """Ascending numbers, neighbours together: 0-3,5."""
    runs = [[n for _, n in run] for _, run in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])]
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def listed(names: Sequence[str], room: int) -> str:
    """Names one after the other, as many as there is room for, and how many more there are.

    Args:
        names: of matrices.
        room: letters; one name is given in any case.

    >>> listed(["a.weight", "b.weight", "c.weight"], 20)
    'a.weight, and 2 more'
    """
    parts = together(names)
    for count in range(len(parts), 0, -1):
        rest = sum(number for _, number in parts[count:])
        shown = (f"{name} ({number})" if number > 1 and "*" in name else name for name, number in parts[:count])
        text = ", ".join(shown) + (f", and {rest} more" if rest else "")
        if len(text) <= room or count == 1:
            return text
    return ""


def shortened(name: str, names: Sequence[str], width: int) -> str:
    """A name with … for what is left out, if that leaves only one name that it can stand for; else the whole name.

    Args:
        name: of a matrix.
        names: of all, from which it is to be told.
        width: letters that there is room for.

    >>> names = [f"encoder.layer.{i}.attention.output.dense.weight" for i in range(3)]
    >>> shortened(names[1], names, 20)
    'encoder.layer.1…ense'
    """
    if len(name) <= width:
        return name
    ends = [one.removesuffix(".weight") for one in names]
    whole = name.removesuffix(".weight")
    if len(whole) <= width and ends.count(whole) == 1:
        return whole
    for head in sorted(range(width), key=lambda letters: abs(letters - width // 3)):
        start, end = whole[:head], whole[len(whole) - (width - 1 - head) :]
        if sum(one.startswith(start) and one.endswith(end) and len(one) >= width for one in ends) == 1:
            return f"{start}…{end}"
    return name
