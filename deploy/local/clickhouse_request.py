"""What an HTTP request asks of ClickHouse: the statement, the data after it, parameters and settings. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

DEFAULT_FORMAT: Final = "TabSeparated"
MAX_HEAD: Final = 262_144  # ClickHouse's own limit of a statement, data not counted

# What the HTTP protocol itself uses. Everything else in the URL is a setting of the query.
_PROTOCOL: Final = frozenset(
    {
        *("query", "database", "default_format", "query_id", "user", "password", "quota_key", "role"),
        *("session_id", "session_timeout", "session_check", "compress", "decompress", "buffer_size", "stacktrace"),
        *("wait_end_of_query", "client_protocol_version", "send_progress_in_http_headers"),
        *("http_headers_progress_interval_ms", "enable_http_compression"),
    }
)
_SPACE: Final = r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/)*"
_WORDS: Final = re.compile(rf"{_SPACE}\(?{_SPACE}(\w+)(?:{_SPACE}(\w+))?", re.DOTALL)
_QUOTED: Final = rb"""'(?:[^'\\]|\\.|'')*'|`(?:[^`\\]|\\.)*`|"(?:[^"\\]|\\.)*\""""
# An INSERT whose data follows: names, columns, settings, and FORMAT as the last word before the data.
_INSERT_HEAD: Final = re.compile(
    rb"\s*INSERT\s+INTO\b(?:" + _QUOTED + rb"|(?!\b(?:VALUES|SELECT|WITH)\b|\bFORMAT\s+\w)[^'`\"])*\bFORMAT\s+(\w+)",
    re.IGNORECASE | re.DOTALL,
)
_FORMAT_TAIL: Final = re.compile(r"\bFORMAT\s+(\w+)\s*(?:SETTINGS\b[^()]*)?;?\s*$", re.IGNORECASE)
_ANSWERS: Final = frozenset(
    {"SELECT", "WITH", "SHOW", "DESCRIBE", "DESC", "EXISTS", "EXPLAIN", "CHECK", "VALUES", "FROM"}
)


@dataclass(frozen=True, slots=True)
class Request:
    """One query. `data` is None unless the statement is an INSERT that is followed by data in `format`."""

    sql: str
    data: bytes | None = None
    format: str = DEFAULT_FORMAT
    database: str = "default"
    params: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def answers(self) -> bool:
        """The statement gives rows, perhaps none; others give nothing."""
        return _leading_words(self.sql)[0] in _ANSWERS

    @property
    def refusal(self) -> str | None:
        """Why this front does not run the statement; None when it does."""
        first, second = _leading_words(self.sql)
        if first == "SYSTEM" and second in ("SHUTDOWN", "KILL"):
            return "this engine is stopped by its supervisor"
        if first in ("SET", "USE") or (first == "CREATE" and second == "TEMPORARY"):
            return f"{first} needs a session, and none is kept here: send settings and database in the URL"
        return None


def read_request(url: Mapping[str, str], body: bytes) -> Request:
    """The query of one HTTP request, its body unpacked. The statement may be in the URL, in the body, or both.

    Raises: ValueError when the statement is not UTF-8 text or a setting's name is not a word.
    """
    head = url.get("query", "").rstrip()
    whole = f"{head}\n".encode() + body if head else body
    sql, data, form = _split(whole)
    settings = {name: value for name, value in url.items() if not name.startswith("param_") and name not in _PROTOCOL}
    for name in settings:
        if not re.fullmatch(r"\w+", name):
            raise ValueError(f"{name!r} is not the name of a setting")
    return Request(
        sql=sql,
        data=data,
        format=form or url.get("default_format") or DEFAULT_FORMAT,
        database=url.get("database") or "default",
        params={name.removeprefix("param_"): value for name, value in url.items() if name.startswith("param_")},
        settings=settings,
    )


def _split(whole: bytes) -> tuple[str, bytes | None, str | None]:
    """Statement, data and format named at its end. One line break between statement and data belongs to neither."""
    match = _INSERT_HEAD.match(whole, 0, MAX_HEAD)
    if match is None:
        sql = whole.decode()
        tail = _FORMAT_TAIL.search(sql)
        return sql, None, tail[1] if tail else None
    sql = whole[: match.start(1)].decode()
    rest = whole[match.end(1) :].lstrip(b" \t;")
    for line_break in (b"\r\n", b"\n"):
        if rest.startswith(line_break):
            rest = rest[len(line_break) :]
            break
    return re.sub(r"\bFORMAT\s+$", "", sql, flags=re.IGNORECASE).rstrip(), rest, match[1].decode()


def _leading_words(sql: str) -> tuple[str, str]:
    match = _WORDS.match(sql)
    return (match[1].upper(), (match[2] or "").upper()) if match else ("", "")
