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
        self._left: set[Name] | None = None

    def come_to(self, record: LogRecord) -> None:
        """The next record of the log."""
        self._ahead.append(Record(record.offset, record.timestamp, record.key, record.value, list(record.headers)))
        self._left = None

    def __call__(self, name: Name) -> bool:
        """Whether an answer is still known, because of its case."""
        if self._left is None:
            for record in self._ahead[:-1]:
                self._fold(record)
            self._ahead = self._ahead[-1:]
            self._left = self._left_by(self._ahead[0])
        return name in self._followed and name in self._left

    def _fold(self, record: Record) -> None:
        effects = fold(self._state, [record], self._partition)
        self._state.commit(effects, ())
        for key, raw in effects.changes.items():
            if key[:1] == b"r" and raw is not None and _may_outlive(values.RESOLVED.unpack(raw)):
                self._followed.add(keys.split_id(key))

    def _left_by(self, record: Record) -> set[Name]:
        tick = Record(record.offset, record.timestamp, None, TICK, record.headers)
        changes = fold(self._state, [tick], self._partition).changes
        after = {**self._state.data, **changes}
        return {keys.split_id(key) for key, raw in after.items() if key[:1] == b"r" and raw is not None}


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
