"""Copying a log to another number of partitions: each record where its key lies, with the time it had."""

from __future__ import annotations

import msgspec

from schemas.feedback import Answer, EraseRespondent, Tick
from schemas.generations import Generation
from schemas.people import person_key
from schemas.topics import APPENDED_HEADER, PEOPLE, PLACE_HEADER
from stream.copying import Copied, Seen, copy_log, copy_people, look
from stream.domain.reading import appended_ms
from tests.unit.worker.copies import Filling, Target

OLD, NEW = Generation(1, 3), Generation(2, 2)
TEAMS = ["red", "green", "blue", "grey", "pink"]
TICK = msgspec.json.encode(Tick())


def answer(number: int) -> bytes:
    return msgspec.json.encode(Answer(f"00000000-0000-4000-8000-{number:012d}", number % 11, "c"))


def answers(filling: Filling, count: int) -> None:
    for number in range(count):
        filling.of(TEAMS[number % len(TEAMS)], answer(number))


async def copied(filling: Filling, new: Generation = NEW) -> tuple[Target, Copied, Seen]:
    target = Target()
    seen = await look(filling.log(), OLD, lambda *_: None)
    told: list[tuple[int, int]] = []
    done = await copy_log(filling.log(), OLD, new, target, seen, lambda *now: told.append(now))
    assert told[-1] == (seen.records, seen.records)
    return target, done, seen


async def test_every_record_lies_where_its_key_does_with_the_time_it_had() -> None:
    filling = Filling(OLD)
    answers(filling, 40)
    target, done, _ = await copied(filling)
    assert done.records == 40
    assert done.partitions == {number: len(records) for number, records in target.log().items()}
    was = {record.value: record for records in filling.records.values() for record in records}
    for number, records in target.log().items():
        for record in records[:-1]:
            assert record.key is not None
            assert NEW.partition_of(record.key) == number
            assert record.timestamp == appended_ms(record) == was[record.value].timestamp
        assert [record.timestamp for record in records] == sorted(record.timestamp for record in records)


async def test_the_last_record_everywhere_says_where_time_stood() -> None:
    filling = Filling(OLD)
    answers(filling, 5)
    filling.put(1, None, TICK)
    target, _, seen = await copied(filling)
    assert seen.known_ms == filling.at_ms
    for number in NEW.numbers():
        ticks = [record for record in target.log()[number] if record.key is None]
        assert [(record.value, appended_ms(record)) for record in ticks] == [(TICK, filling.at_ms)]


async def test_a_command_for_everybody_stands_once_in_each_new_partition_at_its_place() -> None:
    filling = Filling(OLD)
    answers(filling, 10)
    before = filling.at_ms
    filling.everywhere(msgspec.json.encode(EraseRespondent("somebody")))
    after = filling.at_ms
    answers(filling, 10)
    target, done, _ = await copied(filling)
    assert done.commands == 1
    for number in NEW.numbers():
        records = target.log()[number]
        (at,) = [at for at, record in enumerate(records) if b"erase_respondent" in (record.value or b"")]
        assert appended_ms(records[at]) == after
        assert all(record.timestamp <= before for record in records[:at])
        assert all(record.timestamp > after for record in records[at + 1 : -1])


async def test_a_command_that_did_not_reach_every_partition_does_now_and_is_named() -> None:
    filling = Filling(OLD)
    answers(filling, 10)
    filling.everywhere(msgspec.json.encode(EraseRespondent("somebody")), but=1)
    _, done, seen = await copied(filling)
    assert done.commands == 1
    assert [len(seen.incomplete(number)) for number in OLD.numbers()] == [0, 1, 0]


async def test_an_earlier_copy_s_header_wins_and_others_stay() -> None:
    filling = Filling(OLD)
    key = b"red"
    filling.put(OLD.partition_of(key), key, answer(1), [("trace", b"x"), (APPENDED_HEADER, b"5000")])
    target, _, _ = await copied(filling)
    (record, _) = target.log()[NEW.partition_of(key)]
    place = b"[1,%d,0]" % OLD.partition_of(key)
    assert (record.timestamp, dict(record.headers)) == (
        *(5_000, {"trace": b"x", PLACE_HEADER: place, APPENDED_HEADER: b"5000"}),
    )
    assert len(record.headers) == 3


async def test_what_was_rejected_is_rejected_again_or_stays_behind() -> None:
    filling = Filling(OLD)
    key = b"red"
    right = OLD.partition_of(key)
    filling.put((right + 1) % 3, key, answer(1))  # in a wrong partition: it would count in the right one
    filling.put(2, None, b"{")
    filling.put(right, key, b"{")
    filling.put(right, None, None)
    target, done, _ = await copied(filling)
    assert (done.misplaced, done.empty, done.records) == (1, 1, 2)
    held = [(number, record.key, record.value) for number, records in target.log().items() for record in records[:-1]]
    assert sorted(held, key=repr) == sorted([(0, None, b"{"), (NEW.partition_of(key), key, b"{")], key=repr)


async def test_an_empty_log_makes_an_empty_log() -> None:
    target, done, _ = await copied(Filling(OLD))
    assert target.given == {}
    assert done.records == 0


async def test_the_newest_text_of_each_answer_is_copied_and_what_was_deleted_is_not() -> None:
    filling = Filling(OLD)
    kept, gone = person_key("red", "1"), person_key("blue", "2")
    for key, value in ((kept, b"first"), (gone, b"secret"), (kept, b"second"), (gone, None)):
        filling.put(OLD.partition_of(key.partition(b"|")[0]), key, value)
    filling.put(0, b"nobody", b"no team")
    target = Target()
    assert await copy_people(filling.log(), OLD, NEW, target, lambda *_: None) == 1
    assert [(place, [record.value for record in records]) for place, records in target.given.items()] == [
        ((PEOPLE, NEW.partition_of(b"red")), [b"second"])
    ]
