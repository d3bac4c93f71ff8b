"""What an erasure is going to erase: shown before anything is sent, or instead of it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

from services.cli import output
from services.cli.certificate import Erasure

_NAMES: Final = {"id": "id", "email": "e-mail address", "phone": "phone number"}


def tell(known: Sequence[Erasure]) -> None:
    """By which other keys the persons are known, on stderr; nothing when there are none."""
    for one in known:
        if one.linked_by:
            sys.stderr.write(
                f"also erased: {_what(one)}, whose answers hold the {_NAMES[one.linked_by]} that was given\n"
            )


def show(known: Sequence[Erasure], *, as_json: bool) -> None:
    """A dry run, on stdout."""
    if as_json:
        erasures = [
            {**one.subject, "answers": len(one.answers), "more": one.more, "cases": len(one.before.cases)}
            for one in known
        ]
        output.print_json({"dry_run": True, "erasures": erasures})
        return
    sys.stdout.write("nothing was erased; this would be:\n")
    output.print_table(
        ("what", "answers", "texts", "cases"),
        [(_what(one), _count(one), str(one.before.people_rows), str(len(one.before.cases))) for one in known],
        right=("answers", "texts", "cases"),
    )


def _what(one: Erasure) -> str:
    if one.subject["kind"] == "response":
        return f"answer {one.subject['response_id']} of {one.subject['team']}"
    return f"respondent {one.subject['respondent_key']} (by {one.subject['known_by']})"


def _count(one: Erasure) -> str:
    return f"{len(one.answers)}{' or more' if one.more else ''}"
