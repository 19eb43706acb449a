"""What the file of a record holds, each field checked before anything is made of it: it may come from elsewhere.

Not here: what a record means and shows (`records.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from spectail.errors import StoreError, complaint, first_line
from spectail.experiments.protocols import Protocol
from spectail.files import read_strangers
from spectail.study.verdicts import Verdict

FORMAT = 1

_MOST_BYTES = 2**24  # the largest of the paper's has some ten thousand

_Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
_Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Checked(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Untested(_Checked):
    verdict: Verdict
    measured: str
    least: Annotated[int, Field(ge=1, le=10**6)] | None = None


class _Tested(_Untested):
    p_claimed: _Share
    p_contrary: _Share
    effect: _Finite | None
    comparisons: Annotated[int, Field(ge=1, le=10**6)]
    margin: tuple[_Finite, _Finite, _Finite] | None = None


class _ClaimJson(_Checked):
    artifact: str
    claim: str
    where: str
    statement: str
    criterion: str
    outcomes: dict[Protocol, _Tested | _Untested]


class _RecordJson(_Checked):
    format: int
    name: str
    title: str
    scale: str
    repeats: Annotated[int, Field(ge=1, le=10**6)]
    command: str
    parameters: dict[str, str]
    tables: dict[Protocol, Annotated[list[tuple[str, ...]], Field(min_length=1)]]
    runs: dict[Protocol, list[str]]
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    verdicts: list[_ClaimJson]


def fields_of_record(path: Path) -> dict[str, Any]:
    """The fields of a record's file.

    Args:
        path: of the file.

    Raises:
        StoreError: it is no record; one sentence says why.
        OSError: it cannot be read.
    """
    try:
        content = from_json(read_strangers(path, _MOST_BYTES))
    except ValueError as error:
        raise StoreError(f"{path} is not a record: {first_line(error)}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT or content.get("name") != path.stem:
        raise StoreError(f"{path} is not a record of an artifact")
    try:
        record = _RecordJson.model_validate(content)
    except ValidationError as error:
        deep = len(error.errors()[0]["loc"]) > 1
        raise StoreError(f"{path} is not a record: {complaint(error, _NAMES if deep else _OF_RECORD)}") from None
    return record.model_dump(exclude={"format"})


_OF_RECORD = list(_RecordJson.model_fields)
_NAMES = [name for kind in (_RecordJson, _ClaimJson, _Tested) for name in kind.model_fields]
