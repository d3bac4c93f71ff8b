"""Values of a partition's state: a version byte, then MessagePack. Compact, because there is one an answer."""

from __future__ import annotations

from typing import Any, Final, Generic, TypeVar

import msgspec
from msgspec import structs

from schemas.followups import Case, Clock, State
from schemas.policies import TeamPolicy
from stream.domain import minutes
from stream.domain.keys import UUID_BYTES

VERSION: Final = b"\x01"
FOLD_VERSION: Final = 4  # grows when the fold would give other values for the same log: the state is then rebuilt

T = TypeVar("T")


class Context(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What an answer came with; carried to ClickHouse and to its case, never counted with."""

    survey: str | None = None
    channel: str | None = None
    locale: str | None = None
    medium: str | None = None
    callback_ms: int | None = None
    age_group: str | None = None
    attributes: dict[str, str] = {}


PLAIN: Final = Context()


class Resolved(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """An answer as it stands: its winning revision, and what its first accepted record fixed.

    `event_ms`, `first_offset` and `history` never change after the first record. `reasons` empty: counted.
    `marks`: what commands said last of each reason, True for exclude. A command may come before the answer: then only
    its marks, or that it is erased, are known, `first_offset` is `NOT_GIVEN`, and `event_ms` is the time of the last
    mark.
    """

    event_ms: int
    first_offset: int
    history: bool
    score: int
    revision: int
    content: str
    respondent: str | None = None
    reasons: tuple[str, ...] = ()
    personal: bool = False
    case_id: str | None = None
    not_raised: str | None = None
    context: Context | None = None
    marks: dict[str, bool] | None = None
    erased: bool = False

    @property
    def minute(self) -> int:
        """The pane of its event time (minutes since 1970, UTC)."""
        return -(-self.event_ms // 60_000)


class Reasked(Resolved, array_like=True, frozen=True, gc=False):
    """An answer to being asked again about the case `reask_of`, whether or not there is one.

    Stored, it is longer than others by this field: so they pay nothing for it, and are told apart by their length.
    """

    reask_of: str = ""


NOT_GIVEN: Final = -1

OPEN: Final[frozenset[State]] = frozenset({"open", "acknowledged", "contacted", "snoozed"})  # somebody has it to do


class Newest(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A respondent's newest counted answer: the greatest (event_ms, first_offset)."""

    event_ms: int
    first_offset: int
    response_id: str
    score: int
    history: bool

    @property
    def minute(self) -> int:
        """The pane of its event time."""
        return -(-self.event_ms // 60_000)


class Team(msgspec.Struct, array_like=True, gc=False):
    """The live windows of a team at minute `t`, as rings (`stream.domain.windows`). Mutable within a batch.

    `rings[j]` = [oldest pane or 0, D, N, P of `all`, D, N, P of `latest`]. `due`: the next minute at which a pane
    leaves a window, 0 for never. `version`: of the record that last changed it.
    """

    t: int
    due: int
    version: int
    rings: list[list[int]]


class Point(msgspec.Struct, array_like=True, frozen=True, order=True, gc=False):
    """Something to be said of a case when `due_ms` has come. Their order is that in which they are said."""

    due_ms: int
    clock: Clock | None  # None: its sleep is over, or the customer is to be asked again
    step: int  # index in `clocks.STEPS`
    level: int = 0  # of an escalation, from 1


class Meta(msgspec.Struct, array_like=True, frozen=True):
    """Where a partition's state stands.

    `position`: next offset to apply. `known_ms`: stream time. `before_ms`, `before_crc`: append time and CRC-32 of the
    record at `position - 1`, which tell this log from another. `quiet_until`: below it nothing was sent (a rebuild).
    """

    position: int = 0
    known_ms: int = 0
    before_ms: int = 0
    before_crc: int = 0
    generation: int = 0
    fold_version: int = FOLD_VERSION
    quiet_until: int = 0


class Codec(Generic[T]):
    """Bytes to value and back. Raises ValueError for a version it does not know: never guess at state."""

    def __init__(self, type_: Any) -> None:
        self._decoder: msgspec.msgpack.Decoder[T] = msgspec.msgpack.Decoder(type_)
        self._encode = msgspec.msgpack.Encoder().encode

    def pack(self, value: T) -> bytes:
        """The stored form."""
        return VERSION + self._encode(value)

    def unpack(self, raw: bytes) -> T:
        """The value of a stored form."""
        if raw[:1] != VERSION:
            raise ValueError(f"state value of unknown version {raw[:1]!r}")
        return self._decoder.decode(memoryview(raw)[1:])


class _Answers(Codec[Resolved]):
    """Answers, `Reasked` or not."""

    def __init__(self) -> None:
        super().__init__(Resolved)
        self._longer: msgspec.msgpack.Decoder[Resolved] = msgspec.msgpack.Decoder(Reasked)
        self._length = self.pack(Reasked(0, 0, False, 0, 0, ""))[1:2]  # how many fields there are

    def unpack(self, raw: bytes) -> Resolved:
        """The value of a stored form."""
        if raw[:1] != VERSION:
            raise ValueError(f"state value of unknown version {raw[:1]!r}")
        decoder = self._longer if raw[1:2] == self._length else self._decoder
        return decoder.decode(memoryview(raw)[1:])


RESOLVED: Final[Codec[Resolved]] = _Answers()
NEWEST: Final[Codec[Newest]] = Codec(Newest)
TEAM: Final[Codec[Team]] = Codec(Team)
META: Final[Codec[Meta]] = Codec(Meta)
WINDOWS: Final[Codec[tuple[int, ...]]] = Codec(tuple[int, ...])
PANE: Final[Codec[list[int]]] = Codec(list[int])
CASE: Final[Codec[Case]] = Codec(Case)
POINTS: Final[Codec[list[Point]]] = Codec(list[Point])
POLICY: Final[Codec[TeamPolicy]] = Codec(TeamPolicy)


def reask_of(resolved: Resolved) -> str | None:
    """The case that an answer was asked for again; None for none."""
    return resolved.reask_of if isinstance(resolved, Reasked) else None


def reasked(resolved: Resolved, case_id: str) -> Resolved:
    """The answer as one to being asked again about a case; as it is where that is no id."""
    if len(case_id) != UUID_BYTES or not case_id.isascii():
        return resolved
    return Reasked(**structs.asdict(resolved), reask_of=case_id)


def live_windows(raw: bytes | None) -> tuple[int, ...]:
    """What the state says of the live windows, as minutes; those of a log that has set none, when it says nothing."""
    return minutes.WINDOWS if raw is None else WINDOWS.unpack(raw)
