"""`--map`: which column feeds which field of an answer."""

from __future__ import annotations

import csv
import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from services.cli.codes import Exit, Fail

# Short names, as an export's owner would say them, for the fields of `schemas.responses`.
ALIASES: Final = {
    "respondent": "respondent.id",
    "name": "respondent.name",
    "email": "respondent.email",
    "phone": "respondent.phone",
    "medium": "respondent.medium",
    "age_group": "respondent.age_group",
    "callback_at": "respondent.callback_at",
}
FIELDS: Final = (
    "team",
    "score",
    "answered_at",
    "response_id",
    "comment",
    "survey",
    "channel",
    "locale",
    "test",
    "reask_of",
    *ALIASES.values(),
)
FREE: Final = ("attributes.", "answers.")  # plus a name of the user's own
REQUIRED: Final = ("score", "answered_at")


@dataclass(frozen=True, slots=True)
class Mapping:
    """Field to column name, in field order. `team` may be missing when there is a default team."""

    columns: dict[str, str]

    def positions(self, header: Sequence[str]) -> dict[str, int]:
        """Field to column index in `header`. Fails naming the columns that are missing or stand there twice."""
        return {field: _find(column, header) for field, column in self.columns.items()}


def parse_map(texts: Sequence[str], *, default_team: str | None) -> Mapping:
    """The mapping of one or more `--map` values: `field=COL,field=COL`; quote a part whose column holds a comma.

    Fails naming the part for an unknown, repeated or missing field.
    """
    columns: dict[str, str] = {}
    for text in texts:
        for part in next(csv.reader([text], skipinitialspace=True), []):
            given, equals, column = part.partition("=")
            field = ALIASES.get(given.strip(), given.strip())
            if not equals or not column:
                raise Fail(Exit.USAGE, f"--map: {part!r} is not field=COLUMN")
            if field not in FIELDS and not (field.startswith(FREE) and field.partition(".")[2]):
                raise Fail(Exit.USAGE, f"--map: there is no field {given!r}{close(given, (*FIELDS, *ALIASES))}")
            if field in columns:
                raise Fail(Exit.USAGE, f"--map: {given} is given twice")
            columns[field] = column
    for field in REQUIRED if default_team else ("team", *REQUIRED):
        if field not in columns:
            hint = " (or give --default-team)" if field == "team" else ""
            raise Fail(Exit.USAGE, f"--map must name the column of {field}{hint}")
    return Mapping(dict(sorted(columns.items())))


def _plain(name: str) -> str:
    """A column name without what people do not see: case, no-break and surrounding spaces."""
    return " ".join(name.replace("\ufeff", "").split()).casefold()


def _find(column: str, header: Sequence[str]) -> int:
    found = [index for index, name in enumerate(header) if name == column]
    if not found:
        found = [index for index, name in enumerate(header) if _plain(name) == _plain(column)]
    if len(found) == 1:
        return found[0]
    if found:
        raise Fail(Exit.USAGE, f"column {column!r} stands {len(found)} times in the file; rename all but one")
    raise Fail(Exit.USAGE, f"there is no column {column!r}{close(column, header)}; the file has: {', '.join(header)}")


def close(word: str, words: Sequence[str]) -> str:
    """`, did you mean …?` when one of `words` is near; nothing otherwise."""
    near = difflib.get_close_matches(word, words, n=1)
    return f", did you mean {near[0]!r}?" if near else ""
