"""Everything a client can get wrong, with the exact status, code and field paths it is told.

Times in bodies are written `{+6m}`, `{-401d}` …: relative to when the test runs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import msgspec

from tests.unit.ingest.fakes import IMPORT, ORIGIN, READ, WIDGET, WRITE

_UNITS = {"m": "minutes", "d": "days", "s": "seconds"}


@dataclass(frozen=True)
class Bad:
    """One bad request. `paths`: those of the bad fields, sorted; none for a problem of the whole request."""

    id: str
    status: int
    code: str
    body: str | bytes
    paths: tuple[str, ...] = ()
    headers: Mapping[str, str | None] = field(default_factory=dict)
    query: str = ""

    def raw(self) -> bytes:
        """The body with its times filled in."""
        return self.body if isinstance(self.body, bytes) else dated(self.body).encode()


def dated(text: str, now: datetime | None = None) -> str:
    """`text` with `{+6m}` replaced by the time six minutes from now."""
    moment = now or datetime.now(UTC)

    def at(found: re.Match[str]) -> str:
        shifted = moment + timedelta(**{_UNITS[found[2]]: int(found[1])})
        return shifted.strftime("%Y-%m-%dT%H:%M:%SZ")

    return re.sub(r"\{([+-]\d+)([mds])\}", at, text)


def answer(**members: object) -> str:
    """A good answer with some members set to something else."""
    return msgspec.json.encode({"team": "emea", "score": 9, **members}).decode()


def _raw(members: str) -> str:
    return f'{{"team":"emea","score":9,{members}}}'


def _not_json(name: str, body: str | bytes) -> Bad:
    return Bad(name, 400, "not_json", body)


def _field(name: str, body: str | bytes, *paths: str, headers: Mapping[str, str | None] | None = None) -> Bad:
    return Bad(name, 422, "invalid", body, paths, headers or {})


_ID = "01890a5d-ac96-774b-bcce-b302099a8057"
_BEARER_IMPORT = {"Authorization": f"Bearer {IMPORT}"}
_BEARER_WIDGET = {"Authorization": f"Bearer {WIDGET}", "Origin": ORIGIN}

NOT_JSON = [
    _not_json("empty body", b""),
    _not_json("only white space", b"  \n"),
    _not_json("cut off", b'{"team":"emea","score":9'),
    _not_json("trailing comma", b'{"team":"emea","score":9,}'),
    _not_json("something after the end", b'{"team":"emea","score":9} x'),
    _not_json("two documents", b'{"team":"emea","score":9}{"team":"emea","score":9}'),
    _not_json("single quotes", b"{'team':'emea','score':9}"),
    _not_json("byte order mark", b'\xef\xbb\xbf{"team":"emea","score":9}'),
    _not_json("UTF-16", '{"team":"emea","score":9}'.encode("utf-16")),
    _not_json("not UTF-8 in a value", b'{"team":"emea","score":9,"comment":"caf\xe9"}'),
    _not_json("not UTF-8 in a name", b'{"team":"emea","score":9,"caf\xe9":1}'),
    _not_json("a surrogate in UTF-8", b'{"team":"emea","score":9,"comment":"\xed\xa0\x80"}'),
    _not_json("NaN", b'{"team":"emea","score":NaN}'),
    _not_json("Infinity", b'{"team":"emea","score":Infinity}'),
    _not_json("minus Infinity in answers", _raw('"answers":{"q":-Infinity}')),
    _not_json("leading zero", b'{"team":"emea","score":09}'),
    _not_json("plus sign", b'{"team":"emea","score":+9}'),
    _not_json("hexadecimal", b'{"team":"emea","score":0x9}'),
    _not_json("a bare line break in a text", b'{"team":"emea","score":9,"comment":"a\nb"}'),
    _not_json("a bare NUL in a text", b'{"team":"emea","score":9,"comment":"a\x00b"}'),
    _not_json("an unknown escape", rb'{"team":"emea","score":9,"comment":"\x41"}'),
    _not_json("nested arrays without end", b"[" * 30_000),
    _not_json("nested objects without end", b'{"team":' * 5_000),
    _not_json(
        "nested deep in an unknown field", b'{"team":"emea","score":9,"x":' + b"[" * 20_000 + b"]" * 20_000 + b"}"
    ),
    _not_json("a form", b"team=emea&score=9"),
]
BODIES = [
    _field("null", b"null", "$"),
    _field("a text", b'"emea"', "$"),
    _field("a number", b"9", "$"),
    _field("true", b"true", "$"),
    _field("an array", b'[{"team":"emea","score":9}]', "$"),
    _field("an empty object", b"{}", "score", "team"),
]
SCORES = [
    _field("no score", b'{"team":"emea"}', "score"),
    *(
        _field(f"score {text[:24]}", f'{{"team":"emea","score":{text}}}', "score")
        for text in (
            "null",
            "true",
            "false",
            '"9"',
            '""',
            "6.5",
            "9.0",
            "1e1",
            "-0.0",
            "11",
            "-1",
            "255",
            "[9]",
            '{"value":9}',
            "1e400",
            "99999999999999999999",
            "9" * 5_000,
        )
    ),
]
TEAMS = [
    _field("no team", b'{"score":9}', "team"),
    *(
        _field(f"team {text[:30]}", f'{{"team":{text},"score":9}}', "team")
        for text in (
            "null",
            "7",
            '""',
            '"Emea"',
            '"-emea"',
            '".emea"',
            '"em ea"',
            '"em/ea"',
            '"em|ea"',
            '"emea\\n"',
            '"\\u0000"',
            '"ümea"',
            '["emea"]',
            f'"{"a" * 65}"',
        )
    ),
]
FIELDS = [
    _field("unknown field", _raw('"nps":9'), "nps"),
    _field("a field in another case", _raw('"Comment":"x"'), "Comment"),
    _field("an unknown field with a name of two screens", _raw(f'"{"n" * 200}":1'), "n" * 64),
    _field("an unknown field with half a surrogate pair", _raw('"\\ud800":1'), "\\ud800"),
    _field("a field twice", b'{"team":"emea","score":9,"score":10}', "score"),
    _field("a field twice, once as an escape", rb'{"team":"emea","score":9,"sc\u006fre":10}', "score"),
    _field(
        "a field twice, hidden by an escaped colon", rb'{"team":"emea","score":9,"score":2,"comment":"\u003a"}', "score"
    ),
    _field("a nested field twice", _raw('"respondent":{"id":"a","id":"b"}'), "respondent.id"),
    _field("an attribute twice", _raw('"attributes":{"a":"1","a":"2"}'), "attributes.a"),
    _field("two bad fields", b'{"team":"Emea","score":11}', "score", "team"),
    _field(
        "bad fields on every level",
        _raw('"x":1,"respondent":{"email":"a","y":2},"attributes":{"k":3},"answered_at":"noon","revision":-1'),
        "answered_at",
        "attributes.k",
        "respondent.email",
        "respondent.y",
        "revision",
        "x",
    ),
    _field("comment too long", answer(comment="x" * 4_001), "comment"),
    _field("comment too long in code points", answer(comment="😀" * 4_001), "comment"),
    _field("comment is a number", answer(comment=5), "comment"),
    _field("comment holds NUL", answer(comment="a\0b"), "comment"),
    _field("comment holds half a surrogate pair", _raw(r'"comment":"\ud83d"'), "comment"),
    _field("comment holds the wrong half", _raw(r'"comment":"\ude00 x"'), "comment"),
    _field("survey too long", answer(survey="s" * 201), "survey"),
    _field("channel too long", answer(channel="c" * 201), "channel"),
    _field("locale too long", answer(locale="l" * 36), "locale"),
    _field("test is a text", answer(test="yes"), "test"),
    _field("test is a number", answer(test=1), "test"),
]
IDS = [
    *(
        _field(f"response_id {text[:50]!r}", answer(response_id=text), "response_id")
        for text in (
            "",
            "7",
            _ID.upper(),
            _ID.replace("-", ""),
            f"{{{_ID}}}",
            f"urn:uuid:{_ID}",
            f"{_ID}\n",
            f" {_ID}",
            _ID[:-1],
            _ID.replace("a", "g"),
        )
    ),
    _field("response_id is a number", answer(response_id=7), "response_id"),
    _field("revision below zero", answer(response_id=_ID, revision=-1), "revision"),
    _field("revision is a fraction", answer(response_id=_ID, revision=1.5), "revision"),
    _field("revision is a text", answer(response_id=_ID, revision="1"), "revision"),
    _field("revision is true", answer(response_id=_ID, revision=True), "revision"),
    _field("revision too great", answer(response_id=_ID, revision=1_000_001), "revision"),
    _field("revision of nothing", answer(revision=1), "response_id"),
]
TIMES = [
    *(
        _field(f"answered_at {text[:45]}", answer(answered_at=text), "answered_at")
        for text in (
            "",
            "yesterday",
            "2026-11-22",
            "2026-11-22T10:00:00",
            "2026-11-22T10:00Z",
            "2026-11-22 10:00:00Z",
            "20261122T100000Z",
            "2026-02-30T10:00:00Z",
            "2026-11-22T24:00:00Z",
            "2026-11-22T10:00:61Z",
            "2026-11-22T10:00:00+25:00",
            "1795341600",
            "{+6m}",
            "{-401d}",
            "0001-01-01T00:00:00+14:00",
            "9999-12-31T23:59:59-14:00",
            "x" * 41,
        )
    ),
    _field("answered_at is a number", answer(answered_at=1795341600), "answered_at"),
    _field("history before 1970", answer(answered_at="1969-12-31T23:59:59Z"), "answered_at", headers=_BEARER_IMPORT),
    _field("history from tomorrow", answer(answered_at="{+1d}"), "answered_at", headers=_BEARER_IMPORT),
]
RESPONDENTS = [
    _field("respondent is a text", answer(respondent="Ada"), "respondent"),
    _field("respondent is an array", answer(respondent=[]), "respondent"),
    _field("unknown field of the respondent", answer(respondent={"age": 5}), "respondent.age"),
    _field("empty id", answer(respondent={"id": ""}), "respondent.id"),
    _field("id is a number", answer(respondent={"id": 5}), "respondent.id"),
    _field("id too long", answer(respondent={"id": "i" * 201}), "respondent.id"),
    _field("name too long", answer(respondent={"name": "n" * 201}), "respondent.name"),
    _field("e-mail without @", answer(respondent={"email": "ada"}), "respondent.email"),
    _field("e-mail with a space", answer(respondent={"email": "a da@example.com"}), "respondent.email"),
    _field("e-mail with a line break", answer(respondent={"email": "ada@example.com\n"}), "respondent.email"),
    _field("e-mail too long", answer(respondent={"email": f"{'a' * 250}@b.dk"}), "respondent.email"),
    _field("phone too long", answer(respondent={"phone": "1" * 41}), "respondent.phone"),
    _field("phone is a number", answer(respondent={"phone": 33123456}), "respondent.phone"),
    _field("medium too long", answer(respondent={"medium": "m" * 41}), "respondent.medium"),
    _field("age group too long", answer(respondent={"age_group": "a" * 41}), "respondent.age_group"),
    _field(
        "callback without a zone", answer(respondent={"callback_at": "2026-11-22T10:00:00"}), "respondent.callback_at"
    ),
    _field(
        "callback before 1970", answer(respondent={"callback_at": "1960-01-01T10:00:00Z"}), "respondent.callback_at"
    ),
]
MAPS = [
    _field("attributes is an array", answer(attributes=["a"]), "attributes"),
    _field("21 attributes", answer(attributes={f"k{i}": "v" for i in range(21)}), "attributes"),
    _field("attribute without a name", answer(attributes={"": "v"}), "attributes."),
    _field("attribute name too long", answer(attributes={"k" * 65: "v"}), f"attributes.{'k' * 64}"),
    _field("attribute name holds NUL", answer(attributes={"a\0": "v"}), "attributes.a\\x00"),
    _field("attribute too long", answer(attributes={"k": "v" * 257}), "attributes.k"),
    _field("attribute is a number", answer(attributes={"k": 1}), "attributes.k"),
    _field("attribute is null", answer(attributes={"k": None}), "attributes.k"),
    _field("attribute is an object", answer(attributes={"k": {}}), "attributes.k"),
    _field("answers is a text", answer(answers="no"), "answers"),
    _field("51 answers", answer(answers={f"q{i}": 1 for i in range(51)}), "answers"),
    _field("reply too long", answer(answers={"q": "x" * 4_001}), "answers.q"),
    _field("reply is an array", answer(answers={"q": [1]}), "answers.q"),
    _field("reply is an object", answer(answers={"q": {}}), "answers.q"),
    _field("reply beyond 2^53", answer(answers={"q": 2**53}), "answers.q"),
    _field("reply of 5,000 digits", _raw(f'"answers":{{"q":{"1" * 5_000}}}'), "answers.q"),
    _field("reply beyond floating point", _raw('"answers":{"q":1e400}'), "answers.q"),
    _field("reply holds NUL", answer(answers={"q": "\0"}), "answers.q"),
]
_GOOD = answer()
HEADERS = [
    Bad("no key", 401, "unauthorized", _GOOD, headers={"Authorization": None}),
    Bad("an unknown key", 401, "unauthorized", _GOOD, headers={"Authorization": "Bearer nobody"}),
    Bad("no key after Bearer", 401, "unauthorized", _GOOD, headers={"Authorization": "Bearer "}),
    Bad("another scheme", 401, "unauthorized", _GOOD, headers={"Authorization": f"Basic {WRITE}"}),
    Bad("a key that is not ASCII", 401, "unauthorized", _GOOD, headers={"Authorization": "Bearer \xff\xfe"}),
    Bad("a read key", 403, "forbidden", _GOOD, headers={"Authorization": f"Bearer {READ}"}),
    Bad("a write key in the address", 403, "forbidden", _GOOD, headers={"Authorization": None}, query=f"key={WRITE}"),
    Bad(
        "an unknown key in the address", 401, "unauthorized", _GOOD, headers={"Authorization": None}, query="key=nobody"
    ),
    Bad("a widget key without origin", 403, "forbidden", _GOOD, headers={"Authorization": f"Bearer {WIDGET}"}),
    Bad(
        "a widget key elsewhere", 403, "forbidden", _GOOD, headers={**_BEARER_WIDGET, "Origin": "https://evil.example"}
    ),
    Bad("a widget key from a file", 403, "forbidden", _GOOD, headers={**_BEARER_WIDGET, "Origin": "null"}),
    Bad(
        "a widget key from a longer origin",
        403,
        "forbidden",
        _GOOD,
        headers={**_BEARER_WIDGET, "Origin": f"{ORIGIN}.evil"},
    ),
    _field("a test from the widget", answer(test=True), "test", headers=_BEARER_WIDGET),
    _field("a revision from the widget", answer(response_id=_ID, revision=1), "revision", headers=_BEARER_WIDGET),
    _field("last week from the widget", answer(answered_at="{-7d}"), "answered_at", headers=_BEARER_WIDGET),
    Bad("no content type", 415, "unsupported_media_type", _GOOD, headers={"Content-Type": None}),
    Bad("plain text", 415, "unsupported_media_type", _GOOD, headers={"Content-Type": "text/plain"}),
    Bad("form", 415, "unsupported_media_type", _GOOD, headers={"Content-Type": "application/x-www-form-urlencoded"}),
    Bad("other JSON", 415, "unsupported_media_type", _GOOD, headers={"Content-Type": "application/ld+json"}),
    Bad(
        "NDJSON to the single door",
        415,
        "unsupported_media_type",
        _GOOD,
        headers={"Content-Type": "application/x-ndjson"},
    ),
    Bad("Latin-1", 415, "unsupported_media_type", _GOOD, headers={"Content-Type": "application/json; charset=latin-1"}),
    Bad("gzip", 415, "unsupported_media_type", _GOOD, headers={"Content-Encoding": "gzip"}),
    Bad("too large", 413, "too_large", answer(comment="x" * 70_000)),
    Bad("one byte too large", 413, "too_large", _GOOD.ljust(64 * 1024 + 1)),
    _field("an empty Idempotency-Key", _GOOD, "Idempotency-Key", headers={"Idempotency-Key": ""}),
    _field("a long Idempotency-Key", _GOOD, "Idempotency-Key", headers={"Idempotency-Key": "k" * 256}),
    _field("an Idempotency-Key beyond ASCII", _GOOD, "Idempotency-Key", headers={"Idempotency-Key": "nøgle"}),
]
SINGLE: list[Bad] = [*NOT_JSON, *BODIES, *SCORES, *TEAMS, *FIELDS, *IDS, *TIMES, *RESPONDENTS, *MAPS, *HEADERS]
