"""What a batch has changed for one team, as it goes over the wire (`team-changes.v1`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from schemas import topics
from schemas.changes import AnswerChange, Correction, PaneChange, TeamChanges
from stream.domain.messages import LARGEST, Message, message

_AROUND: Final = 1_000  # bytes: the team, and the names of the fields
_ENCODE: Final = msgspec.json.Encoder().encode


class Answers:
    """The answers that a batch says of one team, each as JSON."""

    __slots__ = ("_json",)

    def __init__(self) -> None:
        self._json: list[bytes] = []

    def __bool__(self) -> bool:
        return bool(self._json)

    def append(self, change: AnswerChange) -> None:
        """One more."""
        self._json.append(_ENCODE(change))

    def items(self) -> list[msgspec.Raw]:
        """Each of them."""
        return [msgspec.Raw(json) for json in self._json]

    def raw(self) -> msgspec.Raw:
        """All of them, as a JSON list."""
        return msgspec.Raw(b"[%b]" % b",".join(self._json))


def changes(
    team: str, panes: Sequence[PaneChange], answers: Answers, corrections: Sequence[Correction]
) -> Iterator[Message]:
    """What a batch has changed for one team, if anything.

    What does not fit a message is several: all of it is absolute, so nothing is lost.
    """
    if not (panes or answers or corrections):
        return
    of_team = team.encode()
    whole = message(topics.TEAM_CHANGES, of_team, _changes(team, panes, answers.raw() if answers else [], corrections))
    if len(whole.value or b"") <= LARGEST:
        yield whole
        return
    part: dict[str, list[Any]] = {}
    size = 0
    for kind, items in (
        ("panes", [msgspec.Raw(_ENCODE(pane)) for pane in panes]),
        ("answers", answers.items()),
        ("corrections", [msgspec.Raw(_ENCODE(correction)) for correction in corrections]),
    ):
        for item in items:
            more = len(memoryview(item)) + 1
            if size and size + more > LARGEST - _AROUND:
                yield message(topics.TEAM_CHANGES, of_team, _changes(team, **part))
                part, size = {}, 0
            part.setdefault(kind, []).append(item)
            size += more
    yield message(topics.TEAM_CHANGES, of_team, _changes(team, **part))


def _changes(team: str, panes: Any = (), answers: Any = (), corrections: Any = ()) -> TeamChanges:
    """Of what is encoded already, in part: a struct's types are checked where it is read."""
    return TeamChanges(team, panes or [], answers or [], corrections or [])
