"""Who said what, asked of the real engine: by the contact that stands with a text, and by a respondent's key."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from services.common.problems import Unavailable
from services.ingest.tables import Tables
from services.ingest.whose import Contact, Given
from tests.engines import Engines
from tests.unit.query.samples import NOON_MS, State, filled, person_row, uid

pytestmark = pytest.mark.real

ANNA, BO = "a1" * 16, "b0" * 16


async def test_contacts_are_found_however_they_are_written_and_answers_by_whose_they_are_now(engines: Engines) -> None:
    first = State("a", uid(1), 1, NOON_MS - 9, NOON_MS - 5, 0, 3, ANNA)
    other, moved, gone = (State("b", uid(n), n, NOON_MS, NOON_MS, n, 3, ANNA) for n in (2, 4, 5))
    states = [
        *(first, first.edited(7, NOON_MS, score=5), other, State("b", uid(3), 3, NOON_MS, NOON_MS, 3, 3, BO)),
        *(moved, moved.edited(8, NOON_MS, respondent=BO), gone, gone.erasure(9, NOON_MS)),
    ]
    with filled(engines.database(), states) as written:
        written.insert(
            "people",
            [
                person_row("a", uid(1), respondent_id="c-1", email="Änna@Example.com", phone="(0045) 33 12 34 56"),
                person_row("b", uid(2), respondent_id="c-1", email="Änna@Example.com", phone="(0045) 33 12 34 56"),
                person_row("b", uid(3), email="bo@example.com", phone="33-12-34-57"),
            ],
        )
        tables = Tables(SecretStr(written.url))
        anna, bo = (
            Contact("c-1", "Änna@Example.com", "(0045) 33 12 34 56"),
            Contact("", "bo@example.com", "33-12-34-57"),
        )
        assert await tables.contacts("email", "änna@example.com") == [anna]
        assert await tables.contacts("phone", "+4533123456") == [anna]
        assert await tables.contacts("id", "c-1") == [anna]
        assert await tables.contacts("email", "bo@example.com") == [bo]
        assert await tables.contacts("id", "c-2") == []
        assert await tables.given_by([ANNA]) == [
            Given("a", uid(1), ANNA, NOON_MS - 5),
            Given("b", uid(2), ANNA, NOON_MS),
        ]
        assert [one.response_id for one in await tables.given_by([ANNA, BO])] == [uid(1), uid(2), uid(3), uid(4)]
        await tables.close()


async def test_tables_that_cannot_be_asked_are_told_without_what_was_asked_for(engines: Engines) -> None:
    for url in ("http://127.0.0.1:9/pulse", f"{engines.clickhouse}/not_migrated"):
        tables = Tables(SecretStr(url))
        with pytest.raises(Unavailable) as refused:
            await tables.contacts("email", "anna@example.com")
        assert "anna" not in str(refused.value.detail)
        await tables.close()
