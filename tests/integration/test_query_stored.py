"""What the tables hold of answers and respondents, counted row by row in the real ClickHouse."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from services.query.app import build_app
from services.query.stored import MOST
from tests.engines import Engines
from tests.unit.query.samples import NOON_MS, Api, State, Tables, case_row, clock, person_row, served, settings, uid

pytestmark = [pytest.mark.real, pytest.mark.asyncio(loop_scope="module")]

ADA, BEN = "a" * 32, "b" * 32
MONTH_MS = 31 * 86_400_000


@pytest.fixture(scope="module")
def tables(engines: Engines) -> Iterator[Tables]:
    written = Tables(engines.database())
    first = State("alpha", uid(1), 1, NOON_MS, NOON_MS, 1, 3, ADA)
    written.states([first, first.edited(2, NOON_MS, score=9)])
    written.states([State("beta", uid(1), 3, NOON_MS - MONTH_MS, NOON_MS, 1, 9, ADA)])  # the same id, another team
    written.states([State("alpha", uid(2), 4, NOON_MS, NOON_MS, 2, 1, BEN)])
    moved = State("alpha", uid(3), 5, NOON_MS, NOON_MS, 3, 8, ADA)
    written.states([moved, moved.edited(6, NOON_MS, respondent=BEN)])
    written.insert("people", [person_row("alpha", uid(1), "first", version=1)])
    written.insert("people", [person_row("alpha", uid(1), "second", version=2), person_row("alpha", uid(2), "no")])
    written.insert("people", [person_row("beta", uid(1), deleted=1)])
    written.insert("followups", [case_row("alpha", 7, NOON_MS, answers=[uid(8), uid(1)], respondent=ADA)])
    written.insert("followups", [case_row("alpha", 9, NOON_MS, respondent=BEN)])
    written.insert("people", [person_row("alpha", uid(50), "a note", case_id=uid(7))])
    written.insert("people", [person_row("alpha", uid(51), "of another case", case_id=uid(9))])
    record = '{"response_id":"%s","respondent":"%s"}'
    written.insert("rejects", [{"id": "r1", "at": NOON_MS / 1000, "record": record % (uid(4), ADA)}])
    written.insert("rejects", [{"id": "r2", "at": NOON_MS / 1000, "record": record % (uid(1), "")}])
    written.insert("rejects", [{"id": "r3", "at": NOON_MS / 1000, "record": record % (uid(5), BEN)}])
    yield written
    written.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tables: Tables) -> AsyncIterator[Api]:
    async with served(build_app(settings(tables.url), now_ms=clock(NOON_MS))) as running:
        yield running


async def test_of_an_answer_every_row_counts_and_of_others_none(api: Api) -> None:
    assert await api.ok("/v1/stored", answer=f"alpha|{uid(1)}") == {
        "answers": [{"team": "alpha", "response_id": uid(1)}],
        "more": False,
        "answer_rows": 2,
        "people_rows": 2,
        "note_rows": 1,
        "cases": [uid(7)],
        "rejects": 1,
    }


async def test_of_a_respondent_every_team_counts_and_rows_that_named_them_once(api: Api) -> None:
    found = await api.ok("/v1/stored", respondent_key=ADA)
    assert [(one["team"], one["response_id"]) for one in found["answers"]] == [("alpha", uid(1)), ("beta", uid(1))]
    assert (found["answer_rows"], found["people_rows"], found["cases"], found["rejects"]) == (4, 2, [uid(7)], 2)


async def test_what_nobody_sent_is_not_there(api: Api) -> None:
    found = await api.ok("/v1/stored", answer=[f"alpha|{uid(77)}", f"beta|{uid(2)}"], respondent_key="0" * 32)
    assert found == {
        "answers": [{"team": "alpha", "response_id": uid(77)}, {"team": "beta", "response_id": uid(2)}],
        "more": False,
        "answer_rows": 0,
        "people_rows": 0,
        "note_rows": 0,
        "cases": [],
        "rejects": 0,
    }


async def test_notes_of_a_case_that_is_named_count_though_nothing_leads_to_it_any_more(api: Api) -> None:
    found = await api.ok("/v1/stored", answer=f"alpha|{uid(77)}", case=[uid(7), uid(9)])
    assert (found["note_rows"], found["cases"]) == (2, [])


async def test_more_answers_than_are_listed_are_told(tables: Tables, api: Api) -> None:
    crowd = "c" * 32
    tables.states([State("crowd", uid(1_000 + n), 10 + n, NOON_MS, NOON_MS, n, 9, crowd) for n in range(MOST + 1)])
    found = await api.ok("/v1/stored", respondent_key=crowd)
    assert (len(found["answers"]), found["more"]) == (MOST, True)
    listed = [f"{one['team']}|{one['response_id']}" for one in found["answers"]]
    assert (await api.ok("/v1/stored", answer=listed))["answer_rows"] == MOST


@pytest.mark.parametrize(
    ("params", "path"),
    [
        ({}, "answer"),
        ({"answer": "alpha"}, "answer.0"),
        ({"answer": f"Alpha|{uid(1)}"}, "answer.0"),
        ({"answer": [f"alpha|{uid(1)}", "alpha|1"]}, "answer.1"),
        ({"answer": [f"alpha|{uid(1)}"] * 101}, "answer"),
        ({"respondent_key": "x"}, "respondent_key"),
        ({"respondent": ADA}, "respondent"),
        ({"answer": f"alpha|{uid(1)}", "case": "7"}, "case.0"),
    ],
)
async def test_a_question_that_cannot_be_answered_is_refused(api: Api, params: dict[str, str], path: str) -> None:
    status, body, _ = await api.get("/v1/stored", **params)
    assert (status, [error["path"] for error in body["errors"]]) == (422, [path])
