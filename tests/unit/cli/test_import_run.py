"""Imports against a door that speaks the contract and fails in every way it allows."""

from __future__ import annotations

import asyncio
import csv
import json
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from aiohttp import web

from services.cli.codes import Exit, Fail
from services.cli.importer import run as run_module
from services.cli.importer import send
from services.cli.importer.cells import Instants
from services.cli.importer.journal import Journal
from services.cli.importer.mapping import parse_map
from services.cli.importer.rows import Options
from services.cli.importer.run import Job, Result, run
from services.cli.importer.source import find_delimiter, inspect
from services.cli.instance import Door
from tests.unit.cli.door import FakeDoor, fake_door, problem

HEADER = "Team,Score,When,Note"


def lines(count: int, *, start: int = 0, teams: int = 7) -> list[str]:
    return [
        f"team {number % teams},{number % 11},2026-0{1 + number % 9}-01 10:{number % 60:02d},note {number}"
        for number in range(start, start + count)
    ]


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a few rows are many batches."""
    monkeypatch.setattr(send, "MAX_ITEMS", 100)
    monkeypatch.setattr(send, "MAX_BEHIND", 400)
    monkeypatch.setattr(run_module, "_BREATH", 50)
    monkeypatch.setattr(send, "BACKOFF_S", tuple(wait_s / 10 for wait_s in send.BACKOFF_S))


class Import:
    """One file and where it goes."""

    def __init__(self, folder: Path, door: FakeDoor | None) -> None:
        self.path = folder / "answers.csv"
        self.rejects = folder / "rejects.csv"
        self.journal = folder / "state" / "journal.jsonl"
        self.door = door

    def write(self, rows: list[str]) -> Import:
        self.path.write_text("\n".join([HEADER, *rows]) + "\n")
        return self

    async def run(self, *, key: str = "import-key", give_up_s: float = 20.0) -> Result:
        mapping = parse_map(["team=Team,score=Score,answered_at=When,comment=Note"], default_team=None)
        source = inspect(self.path)
        journal = Journal(self.journal)
        journal.load()
        job = Job(
            source=source,
            delimiter=find_delimiter(source, mapping, None),
            mapping=mapping,
            options=Options(Instants(None, ZoneInfo("UTC")), None, slugify=True),
            rejects=self.rejects,
            door=None if self.door is None else Door(self.door.url, key),
            journal=None if self.door is None else journal,
            give_up_s=give_up_s,
        )
        return await run(job, lambda read, summary: None)

    def rejected(self) -> list[dict[str, str]]:
        with self.rejects.open(encoding="utf-8-sig", newline="") as file:
            return list(csv.DictReader(file))


async def test_every_row_is_held_once(tmp_path: Path) -> None:
    async with fake_door() as door:
        summary = (await Import(tmp_path, door).write(lines(1_200)).run()).summary
        assert (summary.rows, summary.accepted, len(door.held)) == (1_200, 1_200, 1_200)
        assert summary.tally.total == 1_200
        assert sorted(door.scores) == sorted(number % 11 for number in range(1_200))
        assert sum(offset + 1 for offset in summary.positions.values()) == 1_200


async def test_importing_again_adds_nothing_and_ten_rows_at_the_top_add_ten(tmp_path: Path) -> None:
    async with fake_door() as door:
        job = Import(tmp_path, door).write(lines(500))
        await job.run()
        await job.run()
        assert len(door.held) == 500
        await job.write([*lines(9, start=1000), lines(1)[0], *lines(500)]).run()
        assert len(door.held) == 510


async def test_the_order_of_a_team_s_answers_is_kept(tmp_path: Path) -> None:
    async with fake_door() as door:
        await Import(tmp_path, door).write(lines(900, teams=3)).run()
        for team in range(3):
            notes = [int(body["comment"].split()[1]) for body in door.log if body["team"] == f"team-{team}"]
            assert notes == sorted(notes)
            assert len(notes) == 300


async def test_a_batch_stays_below_the_door_s_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(send, "MAX_ITEMS", 1_000)
    async with fake_door() as door:
        rows = [f'one,9,2026-01-01,"{"ø" * 3_900}{number}"' for number in range(250)]
        await Import(tmp_path, door).write(rows).run()
        assert len(door.held) == 250
        assert 800 << 10 < max(door.sizes) < 1 << 20


def refuse_once(*troubles: web.StreamResponse) -> list[Any]:
    return [lambda _, response=response: response for response in troubles]


@pytest.mark.parametrize(
    "trouble",
    [
        problem(429, "slow down", Retry_After="0"),
        problem(503, "the log cannot take it", Retry_After="0"),
        problem(503, "the log cannot take it"),
        problem(502, "bad gateway"),
        web.Response(status=500, text="oops"),
    ],
    ids=["429", "503 with Retry-After", "503", "502", "500"],
)
async def test_what_is_refused_for_now_is_sent_again(tmp_path: Path, trouble: web.StreamResponse) -> None:
    async with fake_door() as door:
        door.troubles = refuse_once(trouble)
        summary = (await Import(tmp_path, door).write(lines(50)).run()).summary
        assert (summary.accepted, len(door.held)) == (50, 50)


async def test_a_door_that_says_when_is_not_asked_before(tmp_path: Path) -> None:
    async with fake_door() as door:
        door.troubles = refuse_once(problem(429, "slow down", Retry_After="0.5"))
        loop = asyncio.get_running_loop()
        before = loop.time()
        await Import(tmp_path, door).write(lines(5, teams=1)).run()
        assert loop.time() - before >= 0.5
        assert door.requests == 2


async def test_items_not_known_to_be_held_are_sent_again_and_only_they(tmp_path: Path) -> None:
    async with fake_door() as door:

        def half(items: list[dict[str, Any]]) -> web.StreamResponse:
            results = [
                door.take(index, item) if index % 2 else {"index": index, "status": "retry"}
                for index, item in enumerate(items)
            ]
            return web.json_response({"items": results, "accepted": 5, "rejected": 0, "retry": 5})

        door.troubles = [half]
        summary = (await Import(tmp_path, door).write(lines(10, teams=1)).run()).summary
        assert summary.accepted == 10
        assert len(door.log) == len(door.held) == 10


async def test_a_connection_that_breaks_is_made_again(tmp_path: Path) -> None:
    async with fake_door() as door:

        def broken(_: list[dict[str, Any]]) -> web.StreamResponse:
            raise ConnectionResetError

        door.troubles = [broken, broken]
        assert (await Import(tmp_path, door).write(lines(20)).run()).summary.accepted == 20


async def test_a_batch_too_large_for_the_door_is_halved(tmp_path: Path) -> None:
    async with fake_door() as door:

        def small(items: list[dict[str, Any]]) -> web.StreamResponse | None:
            return problem(413, "too large") if len(items) > 30 else None

        door.troubles = [small] * 20
        assert (await Import(tmp_path, door).write(lines(100, teams=1)).run()).summary.accepted == 100


async def test_what_the_door_refuses_for_good_is_a_reject_with_its_cells(tmp_path: Path) -> None:
    async with fake_door() as door:
        door.refuse = lambda item: "respondent.phone" if item["comment"] == "note 3" else None
        job = Import(tmp_path, door).write(lines(10))
        summary = (await job.run()).summary
        assert (summary.accepted, summary.rejected) == (9, {"respondent.phone_invalid": 1})
        assert job.rejected() == [
            {
                "reject_row": "4",
                "reject_line": "5",
                "reject_reason": "respondent.phone_invalid",
                "reject_detail": "must be better",
                "Team": "team 3",
                "Score": "3",
                "When": "2026-04-01 10:03",
                "Note": "note 3",
            }
        ]


async def test_rejects_are_told_with_row_line_reason_and_cells(tmp_path: Path) -> None:
    rows = ['a,9,2026-01-01,"two', 'lines"', "b,,2026-01-01,", 'c,"9"9,2026-01-01,', "d,8,2026-01-01,"]
    job = Import(tmp_path, None).write(rows)
    summary = (await job.run()).summary
    assert (summary.rows, summary.accepted) == (4, 2)
    assert [(r["reject_row"], r["reject_line"], r["reject_reason"]) for r in job.rejected()] == [
        ("2", "4", "score_blank"),
        ("3", "5", "malformed"),
    ]
    assert job.rejected()[1]["Team"] == 'c,"9"9,2026-01-01,'
    assert job.rejects.stat().st_mode & 0o777 == 0o600


async def test_without_rejects_there_is_no_file(tmp_path: Path) -> None:
    job = Import(tmp_path, None).write(lines(3))
    assert not (await job.run()).rejects_written
    assert not job.rejects.exists()


async def test_rows_before_a_quote_never_closed_are_sent_and_the_rest_is_told(tmp_path: Path) -> None:
    async with fake_door() as door:
        result = (
            await Import(tmp_path, door).write([*lines(5), '"never closed,9,2026-01-01,', *lines(5, start=9)]).run()
        )
        assert len(door.held) == 5
        assert result.unreadable is not None
        assert "line 7" in result.unreadable


async def test_a_refused_key_stops_the_import_at_once(tmp_path: Path) -> None:
    async with fake_door() as door:
        with pytest.raises(Fail, match="refused the key") as refused:
            await Import(tmp_path, door).write(lines(5)).run(key="wrong")
        assert refused.value.code is Exit.USAGE


async def test_a_door_that_stays_away_is_given_up_with_a_way_to_go_on(tmp_path: Path) -> None:
    async with fake_door() as door:
        door.troubles = refuse_once(*(problem(503, "the log is away", Retry_After="0") for _ in range(100)))
        with pytest.raises(Fail, match="the log is away") as given_up:
            await Import(tmp_path, door).write(lines(5)).run(give_up_s=0.3)
        assert given_up.value.code is Exit.NOT_READY


async def test_a_stalled_import_says_what_it_waits_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(send, "TELL_AFTER_S", 0.0)
    async with fake_door() as door:
        door.troubles = refuse_once(*(problem(503, "the log is away", Retry_After="0") for _ in range(3)))
        await Import(tmp_path, door).write(lines(5, teams=1)).run()
    assert capsys.readouterr().err == "waiting: the log is away; giving up after 20 s without progress\n"


async def stopped_halfway(job: Import, door: FakeDoor) -> None:
    """Ctrl-C after some batches were acknowledged, while others are on their way."""
    door.target = 1_500
    task = asyncio.create_task(job.run())
    async with asyncio.timeout(20):
        await door.reached.wait()
    task.cancel()
    with pytest.raises(Fail, match="goes on there") as stopped:
        await task
    assert stopped.value.code is Exit.INTERRUPTED


async def test_a_stopped_import_goes_on_where_it_was(tmp_path: Path) -> None:
    async with fake_door() as door:
        door.refuse = lambda item: "comment" if item["comment"] == "note 7" else None
        job = Import(tmp_path, door).write(lines(2_500))
        await stopped_halfway(job, door)
        sent_before = len(door.log)
        assert sent_before < 2_400
        result = await job.run()
        assert result.resumed_from > 0
        assert len(door.held) == 2_499
        assert result.summary.accepted == 2_499
        assert result.summary.rejected == {"comment_invalid": 1}
        assert [row["Note"] for row in job.rejected()] == ["note 7"]
        # What was held below the row it went on from was not sent again, but for the one probe.
        assert len(door.log) - sent_before <= 2_500 - result.resumed_from + 1
        assert not job.journal.exists()


async def test_against_another_log_a_stopped_import_sends_everything(tmp_path: Path) -> None:
    async with fake_door() as door:
        job = Import(tmp_path, door).write(lines(2_500))
        await stopped_halfway(job, door)
    async with fake_door() as empty:
        job.door = empty
        result = await job.run()
        assert (result.resumed_from, len(empty.held), result.summary.accepted) == (0, 2_500, 2_500)


async def test_a_journal_cut_short_by_a_crash_is_used_as_far_as_it_goes(tmp_path: Path) -> None:
    async with fake_door() as door:
        job = Import(tmp_path, door).write(lines(2_500))
        await stopped_halfway(job, door)
        with job.journal.open("a") as file:
            file.write('{"type":"through","row":199')
        result = await job.run()
        assert 0 < result.resumed_from < 2_500
        assert len(door.held) == 2_500


async def test_a_dry_run_tells_the_same_and_sends_nothing(tmp_path: Path) -> None:
    async with fake_door() as door:
        job = Import(tmp_path, door).write([*lines(30), "a,n/a,2026-01-01,"])
        wet = (await job.run()).summary.document()
        requests, job.door = door.requests, None
        dry = (await job.run()).summary.document()
        assert door.requests == requests
        assert {**dry, "positions": {}} == {**wet, "positions": {}}


async def test_identical_rows_are_counted_each_and_told(tmp_path: Path) -> None:
    async with fake_door() as door:
        summary = (await Import(tmp_path, door).write(lines(1) * 3).run()).summary
        assert (len(door.held), summary.identical) == (3, 2)


async def test_names_that_became_one_team_are_told(tmp_path: Path) -> None:
    rows = [f"{name},9,2026-01-01," for name in ("Team A", "team\u00a0a", "TEAM-A", "Team B")]
    summary = (await Import(tmp_path, None).write(rows).run()).summary
    assert summary.merged == {"team-a": ["TEAM-A", "Team A", "team a"]}


async def test_a_rejects_file_must_not_be_the_file_itself(tmp_path: Path) -> None:
    job = Import(tmp_path, None).write(lines(1))
    job.rejects = job.path
    with pytest.raises(Fail, match="must not name the file"):
        await job.run()
    assert job.path.read_text().startswith(HEADER)


async def test_the_summary_is_json(tmp_path: Path) -> None:
    summary = (await Import(tmp_path, None).write([*lines(11), "x,,2020-01-01,"]).run()).summary
    document = json.loads(json.dumps(summary.document()))
    assert (document["detractors"], document["passives"], document["promoters"]) == (7, 2, 2)
    assert (document["nps"], document["display"]) == (pytest.approx(-45.4545, abs=1e-3), -45)
    assert document["rejected_by_reason"] == {"score_blank": 1}
