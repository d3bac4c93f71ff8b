"""Two generations of one log come to the same, team by team; a copy that is not one is found out."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from schemas.feedback import Answer, Erase, EraseRespondent, Exclude, Policy, Tick, Windows
from schemas.generations import Generation
from stream.copying import Seen, copy_log, look
from stream.facts import Compared, compared, facts_of
from tests.unit.stream.fakes import DAY, MINUTE, Record
from tests.unit.worker.copies import Filling, Partitions, Target

OLD, NEW = Generation(1, 4), Generation(2, 3)
TEAMS = [f"team-{number}" for number in range(9)]
LISTS = [(60, 43_200), (129_600,), (7, 60, 10_080, 527_040)]
PEOPLE = [f"{number:032x}" for number in range(12)]


def life(seed: int, *, but: int | None = None) -> Filling:
    """Answers, revisions, late ones, exclusions, erasures of answers and of people, policies, lists of windows.

    In the middle over 400 days go by: what came before leaves the state.
    """
    draw = random.Random(seed)
    log = Filling(OLD)
    given: list[tuple[str, Answer]] = []
    for number in range(250):
        log.at_ms += draw.choice([0, 1_000, MINUTE, 3 * 60 * MINUTE])
        if number == 60:
            log.at_ms += 401 * DAY
        chance = draw.random()
        team, answer = draw.choice(given) if given else (TEAMS[0], Answer("", 0, ""))
        if chance < 0.7 or not given:
            ago = draw.choice([None, 0, MINUTE, 5 * DAY])
            answer = Answer(
                *(f"00000000-0000-4000-8000-{number:012d}", draw.randrange(11), f"{number}"),
                answered_ms=None if ago is None else log.at_ms - ago,
                respondent=draw.choice([None, *PEOPLE]),
            )
            given.append((draw.choice(TEAMS), answer))
            log.of(given[-1][0], msgspec.json.encode(answer))
        elif chance < 0.8:
            log.of(team, msgspec.json.encode(replace(answer, revision=1, score=draw.randrange(11), content="r")))
        elif chance < 0.87:
            log.of(team, msgspec.json.encode(Exclude(answer.response_id, "bot")))
        elif chance < 0.92:
            log.of(team, msgspec.json.encode(Erase(answer.response_id)))
        elif chance < 0.935:
            hours = draw.randrange(1, 20)
            log.of(team, msgspec.json.encode(Policy(f"{number}", contact_ms=hours * 60 * MINUTE)))
        elif chance < 0.95:
            log.put(draw.randrange(4), None, msgspec.json.encode(Tick()))
        elif chance < 0.97:
            log.everywhere(msgspec.json.encode(Windows(draw.choice(LISTS))), but=but)
        else:
            log.everywhere(msgspec.json.encode(EraseRespondent(draw.choice(PEOPLE))), but=but)
    return log


async def both(log: Filling, folder: Path, spoil: Callable[[Target], None] = lambda _: None) -> list[Compared]:
    """The facts of a log and of its copy."""
    seen: Seen = await look(log.log(), OLD, lambda *_: None)
    target = Target()
    await copy_log(log.log(), OLD, NEW, target, seen, lambda *_: None)
    spoil(target)
    before = await facts_of(log.log(), OLD, seen.known_ms, folder, seen.incomplete, lambda *_: None)
    copy = Partitions(target.log(), NEW.partitions)
    after = await facts_of(copy, NEW, seen.known_ms, folder, lambda _: (), lambda *_: None)
    return list(compared(before, after))


@pytest.mark.parametrize("seed", range(4))
async def test_a_copy_comes_to_the_same(seed: int, tmp_path: Path) -> None:
    found = await both(life(seed), tmp_path)
    assert [one.team for one in found] == sorted(TEAMS)
    assert [one.team for one in found if not one.equal] == []
    facts = [one.new for one in found if one.new is not None]
    assert sum(each.answers for each in facts) > 100
    assert sum(each.erased for each in facts) > 5
    assert sum(each.cases for each in facts) > 5
    assert sum(window.all.promoters for each in facts for window in each.windows) > 0


async def test_a_command_that_stood_in_some_partitions_only_is_completed_on_both_sides(tmp_path: Path) -> None:
    assert all(one.equal for one in await both(life(5, but=2), tmp_path))


async def test_a_lost_record_is_found_out(tmp_path: Path) -> None:
    lost: list[Record] = []

    def lose(target: Target) -> None:
        records = next(iter(target.log().values()))
        at = next(at for at, record in enumerate(records) if b'"answer"' in (record.value or b""))
        lost.append(records.pop(at))

    found = [one for one in await both(life(1), tmp_path, lose) if not one.equal]
    assert [one.team.encode() for one in found] == [lost[0].key]


async def test_a_copy_without_its_erasures_is_found_out(tmp_path: Path) -> None:
    def forgive(target: Target) -> None:
        for records in target.log().values():
            records[:] = [record for record in records if b"erase_respondent" not in (record.value or b"")]

    assert not all(one.equal for one in await both(life(2), tmp_path, forgive))


async def test_a_copy_without_its_lists_of_windows_is_found_out(tmp_path: Path) -> None:
    def forget(target: Target) -> None:
        for records in target.log().values():
            records[:] = [record for record in records if b'"windows"' not in (record.value or b"")]

    assert not any(one.equal for one in await both(life(3), tmp_path, forget))


async def test_nothing_comes_to_nothing(tmp_path: Path) -> None:
    assert await both(Filling(OLD), tmp_path) == []
