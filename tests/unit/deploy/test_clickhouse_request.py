"""Statements, data, parameters and settings as they come in HTTP requests."""

from __future__ import annotations

import pytest

from deploy.local.clickhouse_request import read_request


def test_a_query_may_be_the_body() -> None:
    request = read_request({}, b"SELECT 1")
    assert (request.sql, request.data, request.format) == ("SELECT 1", None, "TabSeparated")


def test_a_query_may_be_in_the_address() -> None:
    assert read_request({"query": "SELECT 1"}, b"").sql.strip() == "SELECT 1"


def test_data_after_an_insert_stays_bytes() -> None:
    request = read_request({}, b"INSERT INTO t (`a`, `b`) FORMAT Native\n\xff\x00 FORMAT CSV\n")
    assert request.sql == "INSERT INTO t (`a`, `b`)"
    assert (request.format, request.data) == ("Native", b"\xff\x00 FORMAT CSV\n")


def test_an_insert_in_the_address_takes_the_body_as_its_data() -> None:
    request = read_request({"query": "INSERT INTO t FORMAT CSV"}, b"1,2\n")
    assert (request.sql, request.format, request.data) == ("INSERT INTO t", "CSV", b"1,2\n")


def test_settings_of_an_insert_stay_in_the_statement() -> None:
    request = read_request({}, b"insert into t settings async_insert=0 format JSONEachRow {}")
    assert (request.sql, request.format, request.data) == (
        "insert into t settings async_insert=0",
        "JSONEachRow",
        b"{}",
    )


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO t VALUES (1, 'FORMAT Native')",
        "INSERT INTO t SELECT * FROM u FORMAT Native",
        "INSERT INTO t WITH x AS (SELECT 1) SELECT * FROM x",
        "SELECT 'INSERT INTO t FORMAT Native'",
    ],
)
def test_a_statement_that_only_looks_like_an_insert_with_data_has_none(statement: str) -> None:
    assert read_request({}, statement.encode()).data is None


def test_a_word_in_quotes_does_not_end_an_insert() -> None:
    request = read_request({}, b'INSERT INTO t (`values`, "select", `a FORMAT b`) FORMAT CSV\n1')
    assert request.sql == 'INSERT INTO t (`values`, "select", `a FORMAT b`)'


def test_a_column_may_be_called_format() -> None:
    assert read_request({}, b"INSERT INTO t (format, b) FORMAT CSV\n1").sql == "INSERT INTO t (format, b)"


def test_only_one_line_break_parts_an_insert_from_its_data() -> None:
    assert read_request({}, b"INSERT INTO t FORMAT TSV\n\nx").data == b"\nx"
    assert read_request({}, b"INSERT INTO t FORMAT TSV\r\nx").data == b"x"


def test_the_format_of_the_statement_wins_over_the_default() -> None:
    assert read_request({"default_format": "CSV"}, b"SELECT 1 FORMAT JSON").format == "JSON"
    assert read_request({"default_format": "CSV"}, b"SELECT 1").format == "CSV"


def test_parameters_settings_and_what_the_protocol_uses_itself_are_told_apart() -> None:
    url = {"param_t": "a b", "max_threads": "2", "session_id": "x", "wait_end_of_query": "1", "database": "pulse"}
    request = read_request(url, b"SELECT {t:String}")
    assert request.params == {"t": "a b"}
    assert request.settings == {"max_threads": "2"}
    assert request.database == "pulse"


def test_a_setting_whose_name_is_no_word_is_refused() -> None:
    with pytest.raises(ValueError, match="max_threads = 1, x"):
        read_request({"max_threads = 1, x": "1"}, b"SELECT 1")


def test_a_statement_that_is_not_text_is_refused() -> None:
    with pytest.raises(ValueError, match="utf-8"):
        read_request({}, b"SELECT '\xff'")


@pytest.mark.parametrize(
    "statement", ["SELECT 1", " -- why\n select 1", "/* x */ WITH a AS (SELECT 1) SELECT 2", "(select 1)"]
)
def test_statements_that_give_rows_are_known(statement: str) -> None:
    assert read_request({}, statement.encode()).answers


@pytest.mark.parametrize("statement", ["CREATE TABLE t (a Int8) ENGINE = Memory", "INSERT INTO t VALUES (1)", "", "--"])
def test_other_statements_give_none(statement: str) -> None:
    assert not read_request({}, statement.encode()).answers


@pytest.mark.parametrize(
    "statement",
    [
        "SYSTEM SHUTDOWN",
        "system -- now\n kill",
        "SET max_threads = 1",
        "/* a */ USE pulse",
        "CREATE TEMPORARY TABLE t (a Int8)",
    ],
)
def test_what_would_end_the_engine_or_need_a_session_is_refused(statement: str) -> None:
    assert read_request({}, statement.encode()).refusal


@pytest.mark.parametrize("statement", ["SYSTEM FLUSH LOGS", "CREATE TABLE t (a Int8)", "SELECT 'SYSTEM SHUTDOWN'"])
def test_everything_else_is_left_to_the_engine(statement: str) -> None:
    assert read_request({}, statement.encode()).refusal is None
