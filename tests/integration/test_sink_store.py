"""The sink's store against the real engine: what it says is stored is stored, and whose fault a refusal is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError
from pydantic import SecretStr

from schemas.topics import FOLLOWUPS, TEAM_CHANGES
from stream.domain.ids import version
from stream.rows import TABLES, Row
from stream.store import ClickHouseStore, Refused, Unreachable
from tests.engines import Engines

pytestmark = pytest.mark.real

AT_MS = 1_790_000_040_123
MINUTE = AT_MS // 60_000
MONTH_MS = 31 * 86_400_000
AT = datetime.fromtimestamp(AT_MS / 1000, UTC)
THE_MINUTE = datetime.fromtimestamp(MINUTE * 60, UTC)

# One full row of each table, and what reading it gives where that differs.
ROWS: dict[str, Row] = {
    "panes": ("acme", MINUTE * 60, [*range(11)], [0] * 11, 7),
    "scores": ("acme", 60, "all", MINUTE * 60, None, 1, 2, 3, 7),
    "answers": (
        *("acme", "a-1", 7, AT_MS, AT_MS, 5, 3, 2, "who", ("test", "bot"), True, True, "s", "web", "da-DK", "sms"),
        *(AT_MS, "18-25", {"plan": "pro", "ø": "ÿ"}, "case-1", "too_old", 0),
        "case-0",
    ),
    "people": (
        *("acme", "a-1", 2, "Nej tak 👎", "cust-7", "Ane", "ane@example.com", "+4512345678", '{"q":1}', 7, 0),
        *("", None),
    ),
    "followups": (
        *("case-1", "acme", "a-1", 3, "open", 2, AT_MS, AT_MS, AT_MS, AT_MS, ("a-1", "a-2"), "who", "", "s", "web"),
        *("da-DK", "sms", None, True, "", 7, AT_MS, None, AT_MS, "contacted", None, "price", 3, 2, ("note-1",)),
        *(AT_MS, "a-9", 9, AT_MS, "case-0"),
    ),
    "followup_events": (
        *("case-1", 2, "event-1", "acme", "followup.contacted", AT_MS, "a-1", "open", 3, "kim", 7),
        *("kim", "phone", "reached", AT_MS, "price", "note-1", "contact", 2, AT_MS),
    ),
    "followup_commands": (
        *("case-1", "c-1", "acme", AT_MS, '{"type":"act"}', "stale", ("assign", "note"), ("price",), "open", 2, 7),
    ),
    "corrections": (
        *("c-1", "acme", AT_MS, MINUTE * 60, "late", "a-1", [(MINUTE * 60, "all", 3, -1)]),
        *([(60, "latest", [1, 0, 0], [0, 0, 1])], 7),
    ),
    "policies": ("acme", 7, AT_MS, "rev-1", AT_MS, 36_000_000, 259_200_000, ("slow", "rude"), '{"a":1}'),
    "rejects": ("r-1", "feedback.v1", 15, 1 << 40, AT_MS, "undecodable", "not JSON", "acme", b"\x00\xff{"),
    "positions": ("team-changes.v1", 15, 9, 7),
}


def instant(column: str, value: Any) -> Any:
    """Times as the client reads them."""
    if value is not None and column in ("minute", "as_of", "valid_until"):
        return datetime.fromtimestamp(value, UTC)
    if value is not None and (column in ("at", "until", "snoozed_until") or column.endswith("_at")):
        return datetime.fromtimestamp(value / 1000, UTC)
    return list(value) if isinstance(value, tuple) else value


@pytest.fixture(scope="module")
def url(engines: Engines) -> str:
    return engines.database()


@pytest.fixture
def store(url: str) -> Iterator[ClickHouseStore]:
    store = ClickHouseStore(SecretStr(url))
    yield store
    store.close()


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with clickhouse_connect.get_client(dsn=url) as client:
        yield client


def answer(number: int, event_ms: int) -> Row:
    row = dict(zip(TABLES["answers"], ROWS["answers"], strict=True))
    return tuple((row | {"response_id": f"m-{number}", "event_at": event_ms}).values())


def test_the_columns_of_every_table_are_those_that_are_written(client: Client) -> None:
    found = client.query(
        "SELECT table, groupArray(name) FROM (SELECT table, name FROM system.columns WHERE database = currentDatabase()"
        " AND default_kind != 'MATERIALIZED' ORDER BY table, position) GROUP BY table"
    ).result_rows
    assert {table: tuple(names) for table, names in found if table in TABLES} == TABLES


@pytest.mark.parametrize("table", TABLES)
def test_a_row_is_read_back_as_it_was_written(store: ClickHouseStore, client: Client, table: str) -> None:
    store.insert(table, [ROWS[table]])
    formats: dict[str, str | dict[str, str]] = {"record": "bytes"} if table == "rejects" else {}
    read = client.query(
        f"SELECT {', '.join(TABLES[table])} FROM {table} FINAL WHERE {TABLES[table][0]} = %(first)s",
        {"first": ROWS[table][0]},
        column_formats=formats,
        query_tz="UTC",
        tz_mode="aware",
    ).result_rows
    if table == "corrections":
        deltas = [{"minute": THE_MINUTE, "policy": "all", "score": 3, "change": -1}]
        moves = [{"minutes": 60, "policy": "latest", "before": [1, 0, 0], "after": [0, 0, 1]}]
        expected = [
            *(instant(*pair) for pair in zip(TABLES[table][:6], ROWS[table][:6], strict=True)),
            deltas,
            moves,
            7,
        ]
    else:
        expected = [instant(*pair) for pair in zip(TABLES[table], ROWS[table], strict=True)]
    assert [list(row) for row in read] == [expected]


def test_an_insert_that_the_engine_refuses_is_not_acknowledged(url: str, client: Client) -> None:
    """chDB's streamed insert says `written` for a block of too many partitions, and drops it."""
    rows = [answer(1_000 + number, number * MONTH_MS) for number in range(150)]
    with pytest.raises(DatabaseError, match="Too many partitions"):
        client.insert("answers", rows, list(TABLES["answers"]))
    assert client.query("SELECT count() FROM answers WHERE response_id LIKE 'm-1%'").result_rows == [(0,)]


def test_answers_of_hundreds_of_months_go_in_at_once(store: ClickHouseStore, client: Client) -> None:
    store.insert("answers", [answer(2_000 + number, number * MONTH_MS) for number in range(300)])
    assert client.query("SELECT count() FROM answers WHERE response_id LIKE 'm-2%'").result_rows == [(300,)]


@pytest.mark.parametrize("value", [-1, 1 << 64, 10**30], ids=["negative", "64-bits", "huge"])
@pytest.mark.parametrize("table", TABLES)
def test_a_number_out_of_range_is_the_rows_fault(store: ClickHouseStore, table: str, value: int) -> None:
    column = "offset" if table == "rejects" else "version"
    row = dict(zip(TABLES[table], ROWS[table], strict=True)) | {column: value}
    with pytest.raises(Refused):
        store.insert(table, [ROWS[table], tuple(row.values())])
    store.insert(table, [ROWS[table]])  # and the next insert is none the worse


def said(response_id: str, version: int, *, erased: int = 0, event_ms: int = AT_MS, team: str = "erasing") -> Row:
    row = dict(zip(TABLES["answers"], ROWS["answers"], strict=True))
    changes = {"team": team, "response_id": response_id, "version": version, "event_at": event_ms, "erased": erased}
    return tuple((row | changes).values())


def text(response_id: str, version: int, *, deleted: int = 0) -> Row:
    row = dict(zip(TABLES["people"], ROWS["people"], strict=True))
    changes = {"team": "erasing", "response_id": response_id, "version": version, "deleted": deleted}
    return tuple((row | changes | ({"comment": ""} if deleted else {})).values())


def left(client: Client, table: str, marker: str) -> list[tuple[str, str, int]]:
    """Every row that is stored of the team, whether or not a newer one replaces it."""
    sql = f"SELECT team, response_id, {marker} FROM {table} WHERE team LIKE 'erasing%' ORDER BY ALL"
    return [(team, id_, marked) for team, id_, marked in client.query(sql).result_rows]


@pytest.fixture(scope="module")
def few_months(engines: Engines) -> str:
    """A database without the hundreds of months of the tests above: a deletion touches every part."""
    return engines.database()


@pytest.fixture
def erasing(few_months: str) -> Iterator[tuple[ClickHouseStore, Client]]:
    store = ClickHouseStore(SecretStr(few_months))
    with clickhouse_connect.get_client(dsn=few_months) as client:
        yield store, client
    store.close()


def test_an_erasure_leaves_nothing_but_the_row_that_says_so(erasing: tuple[ClickHouseStore, Client]) -> None:
    store, client = erasing
    months = [AT_MS, AT_MS - 3 * MONTH_MS, AT_MS - 40 * MONTH_MS]
    ids = ["it's \\ 'one'", "two", "three"]
    for response_id, event_ms in zip(ids, months, strict=True):  # states of an answer come in inserts of their own
        store.insert("answers", [said(response_id, 1, event_ms=event_ms), said("stays", 1, event_ms=event_ms)])
        store.insert("answers", [said(response_id, 2, event_ms=event_ms)])
    store.insert("answers", [said("two", 1, team="erasing-not")])
    store.insert("answers", [said(i, 9, erased=1, event_ms=at) for i, at in zip(ids, months, strict=True)])
    store.insert("people", [text("two", 1), text("stays", 1)])
    store.insert("people", [text("two", 2), text("two", 9, deleted=1)])
    for _ in range(2):
        store.erase("answers", [("erasing", response_id) for response_id in [*ids, "never-seen"]])
        store.erase("people", [("erasing", "two")])
        assert left(client, "answers", "erased") == sorted(
            [
                *(("erasing", response_id, 1) for response_id in ids),
                *[("erasing", "stays", 0)] * 3,
                ("erasing-not", "two", 0),
            ]
        )
        assert left(client, "people", "deleted") == [("erasing", "stays", 0), ("erasing", "two", 1)]


def test_what_is_gone_is_in_no_file_that_is_read(erasing: tuple[ClickHouseStore, Client]) -> None:
    """A lightweight DELETE would only mark the row; it would still lie there until a merge."""
    store, client = erasing
    store.insert("answers", [said("filed", 1), said("filed", 2, erased=1)])
    store.erase("answers", [("erasing", "filed")])
    parts = "FROM system.parts WHERE database = currentDatabase() AND table = 'answers' AND active"
    stored, counted = client.query(f"SELECT sum(rows), (SELECT count() FROM answers) {parts}").result_rows[0]
    assert stored == counted
    assert client.query(f"SELECT countIf(has_lightweight_delete) {parts}").result_rows == [(0,)]


def test_notes_that_no_case_names_are_found_once_they_are_old_enough(erasing: tuple[ClickHouseStore, Client]) -> None:
    store, _ = erasing
    case = dict(zip(TABLES["followups"], ROWS["followups"], strict=True))
    store.insert("followups", [tuple((case | {"team": "erasing", "notes": ["named"]}).values())])
    row = dict(zip(TABLES["people"], ROWS["people"], strict=True)) | {"team": "erasing", "case_id": "case-1"}
    notes = {"named": AT_MS, "unnamed": AT_MS, "young": AT_MS + 2, "gone": AT_MS}
    store.insert(
        "people", [tuple((row | {"response_id": note, "noted_at": at}).values()) for note, at in notes.items()]
    )
    store.insert("people", [text("gone", 9, deleted=1), text("an-answer", 1)])
    assert store.unnamed_notes(AT_MS + 1) == [("erasing", "unnamed")]
    assert store.unnamed_notes(AT_MS) == []


def test_the_tables_say_how_far_cases_are_stored_of_this_generation(erasing: tuple[ClickHouseStore, Client]) -> None:
    store, _ = erasing
    positions = [(FOLLOWUPS, 3, 40, version(1, 40)), (FOLLOWUPS, 3, 55, version(1, 55)), (TEAM_CHANGES, 3, 99, 99)]
    store.insert("positions", [*positions, (FOLLOWUPS, 4, 7, version(2, 7))])
    assert store.stored_through(2) == {4: 7}
    assert store.stored_through(1).items() >= {3: 55, 4: 7}.items()


@pytest.mark.parametrize("table", ["answers", "people"])
def test_a_file_that_was_replaced_goes_with_the_erasure(erasing: tuple[ClickHouseStore, Client], table: str) -> None:
    store, client = erasing
    row = said if table == "answers" else text
    store.insert(table, [row("replaced", 1), row("other", 1)])
    client.command(f"OPTIMIZE TABLE {table} FINAL")  # a merge replaces files too
    store.erase(table, [("erasing", "replaced")])
    parts = "FROM system.parts WHERE database = currentDatabase() AND table = %(table)s"
    assert client.query(f"SELECT countIf(NOT active) {parts}", {"table": table}).result_rows == [(0,)]
    store.clear()
    assert client.query(f"SELECT countIf(active) > 0 {parts}", {"table": table}).result_rows == [(1,)]


def test_erasing_what_is_not_there_rewrites_nothing(erasing: tuple[ClickHouseStore, Client]) -> None:
    store, client = erasing
    store.insert("answers", [said("quiet", 1, erased=1)])
    count = "SELECT count() FROM system.mutations WHERE database = currentDatabase()"
    before = client.query(count).result_rows
    store.erase("answers", [("erasing", "quiet"), ("erasing", "nobody")])
    assert client.query(count).result_rows == before


def test_thousands_are_erased_in_a_few_statements(erasing: tuple[ClickHouseStore, Client]) -> None:
    store, client = erasing
    ids = [f"many-{number}-{'x' * 80}" for number in range(1_200)]
    store.insert("answers", [said(response_id, 1) for response_id in ids])
    store.insert("answers", [said(response_id, 2, erased=1) for response_id in ids])
    store.erase("answers", [("erasing", response_id) for response_id in ids])
    found = client.query("SELECT count(), sum(erased) FROM answers WHERE response_id LIKE 'many-%'").result_rows
    assert found == [(1_200, 1_200)]


def test_an_erasure_waits_for_a_table_and_for_a_server(engines: Engines) -> None:
    for url in (f"{engines.clickhouse}/not_migrated", "http://127.0.0.1:9/pulse"):
        store = ClickHouseStore(SecretStr(url))
        with pytest.raises(Unreachable):
            store.erase("people", [("acme", "a-1")])
        store.close()


def test_a_refusal_quotes_no_value_of_the_row(store: ClickHouseStore) -> None:
    row = dict(zip(TABLES["people"], ROWS["people"], strict=True)) | {"revision": 1 << 40, "comment": "my secret"}
    with pytest.raises(Refused) as refused:
        store.insert("people", [tuple(row.values())])
    assert "secret" not in repr(refused.value)
    assert refused.value.__suppress_context__


def test_a_table_that_is_not_there_yet_is_waited_for(engines: Engines) -> None:
    store = ClickHouseStore(SecretStr(f"{engines.clickhouse}/not_migrated"))
    try:
        with pytest.raises(Unreachable, match="code 81"):
            store.insert("positions", [ROWS["positions"]])
    finally:
        store.close()


def test_a_server_that_is_away_is_waited_for() -> None:
    store = ClickHouseStore(SecretStr("http://127.0.0.1:9/pulse"))
    with pytest.raises(Unreachable, match="OperationalError"):
        store.insert("positions", [ROWS["positions"]])
