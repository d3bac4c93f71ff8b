"""A recount of logs of more than 400 days. An old answer is forgotten with its case, and cases are not recounted."""

from __future__ import annotations

from stream.domain import keys, values
from stream.domain.fold import fold
from tests.unit.stream.fakes import TICK, FakeState, Record
from tests.unit.stream.recount import LogRecord, Recount

Name = tuple[str, str]  # team, response id


class Kept:
    """Which answers the time of a record leaves in the state, whatever the record says: the fold is asked for that.

    It may be wrong only about answers that have been in a case. Asked seldom, so it folds no sooner than it must.
    """

    def __init__(self, partition: int) -> None:
        self._partition = partition
        self._state = FakeState()
        self._followed: set[Name] = set()  # answers that have ever been in a case
        self._ahead: list[Record] = []
        self._changes: dict[bytes, bytes | None] | None = None  # by the time of the newest record alone

    def come_to(self, record: LogRecord) -> None:
        """The next record of the log."""
        self._ahead.append(Record(record.offset, record.timestamp, record.key, record.value, list(record.headers)))
        self._changes = None

    def __call__(self, name: Name) -> bool:
        """Whether an answer is still known, because of its case."""
        if self._changes is None:
            for record in self._ahead[:-1]:
                self._fold(record)
            self._ahead = self._ahead[-1:]
            self._changes = self._changed_by_time(self._ahead[0])
        if name not in self._followed:
            return False
        key = keys.answer(*name)
        return self._changes.get(key, self._state.data.get(key)) is not None

    def _fold(self, record: Record) -> None:
        effects = fold(self._state, [record], self._partition)
        self._state.commit(effects, ())
        for key, raw in effects.changes.items():
            if key[:1] == b"r" and raw is not None and _may_outlive(values.RESOLVED.unpack(raw)):
                self._followed.add(keys.split_id(key))

    def _changed_by_time(self, record: Record) -> dict[bytes, bytes | None]:
        tick = Record(record.offset, record.timestamp, None, TICK, record.headers)
        return fold(self._state, [tick], self._partition).changes


def _may_outlive(one: values.Resolved) -> bool:
    """Whether an answer may stay for more than 400 days: in a case, or told of by one."""
    return one.case_id is not None or values.reask_of(one) is not None


class KnowingRecount(Recount):
    """See the module."""

    def __init__(self, partition: int) -> None:
        self._kept = Kept(partition)
        super().__init__(partition, self._kept)

    def read(self, record: LogRecord) -> None:
        """One record more, in the order of the log."""
        self._kept.come_to(record)
        super().read(record)
