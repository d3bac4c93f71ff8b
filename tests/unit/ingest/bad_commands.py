"""Everything that can be wrong with a command, with the exact status, code and field paths it is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

_ID = "01890a5d-ac96-774b-bcce-b302099a8057"
_MARK = f"/v1/teams/emea/responses/{_ID}/exclude"
_INCLUDE = f"/v1/teams/emea/responses/{_ID}/include"
_BOT = '{"reason":"bot"}'
_ERASURES = "/v1/erasures"
_KEYS = "/v1/respondent-keys"
_WINDOWS = "/v1/windows"
_POLICY = "/v1/teams/emea/policy"
_OFFICE = '{"calendar":{"hours":{"mon":"09:00-17:00"},%s}}'
_PERSON = '{"respondent":{"email":"zaphod@example.com"}}'


@dataclass(frozen=True)
class BadCommand:
    """One bad command. `paths`: those of the bad fields, sorted; none for a problem of the whole request."""

    id: str
    status: int
    code: str
    path: str
    body: str | bytes = b""
    paths: tuple[str, ...] = ()
    method: str = "POST"
    headers: Mapping[str, str | None] = field(default_factory=dict)

    def raw(self) -> bytes:
        """The body."""
        return self.body if isinstance(self.body, bytes) else self.body.encode()


def _field(name: str, path: str, body: str, *paths: str, method: str = "POST") -> BadCommand:
    return BadCommand(name, 422, "invalid", path, body, paths, method)


MARKS = [
    _field("no reason", _MARK, "{}", "reason"),
    _field("a reason of null", _MARK, '{"reason":null}', "reason"),
    _field("an unknown reason", _MARK, '{"reason":"zaphod"}', "reason"),
    _field("a reason in capitals", _INCLUDE, '{"reason":"BOT"}', "reason"),
    _field("a reason that is a number", _INCLUDE, '{"reason":1}', "reason"),
    _field("a reason that is an array", _MARK, '{"reason":["bot"]}', "reason"),
    _field("a reason that stands twice", _MARK, '{"reason":"bot","reason":"test"}', "reason"),
    _field("an unknown field", _MARK, '{"reason":"bot","zaphod":1}'.replace("zaphod", "note"), "note"),
    _field("an array", _MARK, '["bot"]', "$"),
    _field("null", _INCLUDE, "null", "$"),
]
ADDRESSES = [
    _field("a team in capitals", f"/v1/teams/Emea/responses/{_ID}/exclude", _BOT, "team"),
    _field("a team that is too long", f"/v1/teams/{'a' * 65}/responses/{_ID}", "", "team", method="DELETE"),
    _field("a team with a line break", f"/v1/teams/emea\n/responses/{_ID}", "", "team", method="DELETE"),
    _field("an id that is none", "/v1/teams/emea/responses/7/include", _BOT, "response_id"),
    _field("an id in capitals", f"/v1/teams/emea/responses/{_ID.upper()}", "", "response_id", method="DELETE"),
    _field("neither", "/v1/teams/-/responses/-", "", "response_id", "team", method="DELETE"),
    BadCommand("no such command", 404, "not_found", f"/v1/teams/emea/responses/{_ID}/forget", _BOT),
    BadCommand("a read of the address", 405, "method_not_allowed", _MARK, method="GET"),
    BadCommand("a post to what is deleted", 405, "method_not_allowed", f"/v1/teams/emea/responses/{_ID}", _BOT),
    BadCommand("a deletion of all", 405, "method_not_allowed", _ERASURES, _PERSON, method="DELETE"),
]
PEOPLE = [
    _field(name, path, body, *paths)
    for path in (_ERASURES, _KEYS)
    for name, body, paths in (
        (f"nobody, {path}", "{}", ("respondent",)),
        (f"null, {path}", '{"respondent":null}', ("respondent",)),
        (f"a text, {path}", '{"respondent":"zaphod"}', ("respondent",)),
        (f"nothing of them, {path}", '{"respondent":{}}', ("respondent",)),
        (f"nulls, {path}", '{"respondent":{"email":null,"id":null}}', ("respondent",)),
        (f"two ways, {path}", '{"respondent":{"email":"zaphod@x.dk","id":"zaphod"}}', ("respondent",)),
        (f"a name, {path}", '{"respondent":{"name":"zaphod"}}', ("respondent", "respondent.name")),
        (f"no e-mail address, {path}", '{"respondent":{"email":"zaphod"}}', ("respondent.email",)),
        (f"an empty id, {path}", '{"respondent":{"id":""}}', ("respondent.id",)),
        (f"an id that is a number, {path}", '{"respondent":{"id":5}}', ("respondent.id",)),
        (f"no phone number, {path}", '{"respondent":{"phone":"ask zaphod"}}', ("respondent.phone",)),
        (f"a long phone number, {path}", f'{{"respondent":{{"phone":"{"1" * 41}"}}}}', ("respondent.phone",)),
        (f"an array, {path}", "[]", ("$",)),
        (f"an unknown field, {path}", '{"respondent":{"id":"a"},"team":"emea"}', ("team",)),
    )
]
ERASURES = [
    _field(
        "a person and a key", _ERASURES, f'{{"respondent":{{"id":"a"}},"respondent_key":"{"0" * 32}"}}', "respondent"
    ),
    *(
        _field(f"the key {key[:33]}", _ERASURES, f'{{"respondent_key":"{key}"}}', "respondent_key")
        for key in ("", "0" * 31, "0" * 33, "A" * 32, "g" * 32, "0" * 32 + "\\n")
    ),
    _field("a key that is a number", _ERASURES, '{"respondent_key":0}', "respondent_key"),
    _field(
        "a key where people are asked for", _KEYS, f'{{"respondent_key":"{"0" * 32}"}}', "respondent", "respondent_key"
    ),
]
WINDOWS = [
    _field(f"windows: {name}", _WINDOWS, f'{{"windows":{listed}}}', path)
    for name, listed, path in (
        ("none", "[]", "windows"),
        ("a text", '"1h"', "windows"),
        ("too many", "[" + ",".join(f'"{n}m"' for n in range(1, 22)) + "]", "windows"),
        ("descending", '["24h","1h"]', "windows"),
        ("twice in other words", '["60m","1h"]', "windows"),
        ("too long", '["367d"]', "windows"),
        ("longer than time", '["99999999d"]', "windows"),
        ("all", '["all"]', "windows[0]"),
        ("nothing", '["0h"]', "windows[0]"),
        ("a number", "[60]", "windows[0]"),
    )
]
POLICIES = [
    _field(f"a policy: {name}", _POLICY, body, *paths, method="PUT")
    for name, body, paths in (
        ("an array", "[]", ("$",)),
        ("null", "null", ("$",)),
        ("an unknown field", '{"team":"emea"}', ("team",)),
        ("no zone", '{"timezone":"zaphod"}', ("timezone",)),
        ("a number for a name", '{"name":7}', ("name",)),
        ("lengths", '{"clocks":{"contact":"10","resolve":5}}', ("clocks.contact", "clocks.resolve")),
        ("a calendar without hours", '{"calendar":{"holidays":["DK"]}}', ("calendar",)),
        (
            "bad hours",
            '{"calendar":{"hours":{"mon":"9-17","x":"09:00-17:00"}}}',
            ("calendar.hours.mon", "calendar.hours.x"),
        ),
        ("no country", _OFFICE % '"holidays":["XX"]', ("calendar.holidays[0]",)),
        ("a route to nobody", '{"routes":[{"to":["a"]},{"to":[]}]}', ("routes[1].to",)),
        (
            "a date that is a number",
            '{"calendar":{"hours":{"mon":"09:00-17:00"},"closed":[1]}}',
            ("calendar.closed[0]",),
        ),
        ("a score that is a fraction", '{"routes":[{"scores":[1.5],"to":["a"]}]}', ("routes[0].scores[0]",)),
        (
            "a field that stands twice",
            '{"name":"a","name":"b","clocks":{"contact":"1h","contact":"1h"}}',
            ("clocks.contact", "name"),
        ),
        (
            "too little work",
            '{"calendar":{"hours":{"mon":"00:00-00:01"},"closed":["2020-01-01..2099-12-31"]}}',
            ("calendar",),
        ),
        (
            "too many pieces",
            '{"calendar":{"hours":{"mon-sun":["06:00-09:00","10:00-12:00","13:00-20:00"]}}}',
            ("calendar",),
        ),
        ("nested deep", '{"name":' + "[" * 400 + "]" * 400 + "}", ("name",)),
    )
]
POLICIES.append(_field("a policy of no team", "/v1/teams/Emea/policy", "{}", "team", method="PUT"))
POLICIES.append(BadCommand("a policy posted", 405, "method_not_allowed", _POLICY, "{}"))
BODIES = [
    bad
    for path, good in ((_MARK, _BOT), (_ERASURES, _PERSON), (_KEYS, _PERSON))
    for bad in (
        BadCommand(f"no body, {path}", 400, "not_json", path),
        BadCommand(f"cut off, {path}", 400, "not_json", path, good[:-1]),
        BadCommand(f"not UTF-8, {path}", 400, "not_json", path, b'{"reason":"\xff"}'),
        BadCommand(f"nested too deep, {path}", 400, "not_json", path, b"[" * 50_000),
        BadCommand(f"too large, {path}", 413, "too_large", path, good.ljust(64 * 1024 + 1)),
        BadCommand(f"text, {path}", 415, "unsupported_media_type", path, good, headers={"Content-Type": "text/plain"}),
        BadCommand(f"no type, {path}", 415, "unsupported_media_type", path, good, headers={"Content-Type": None}),
        BadCommand(f"gzip, {path}", 415, "unsupported_media_type", path, good, headers={"Content-Encoding": "gzip"}),
        BadCommand(
            f"Latin-1, {path}",
            415,
            "unsupported_media_type",
            path,
            good,
            headers={"Content-Type": "application/json; charset=latin-1"},
        ),
    )
]
ALL: list[BadCommand] = [*MARKS, *ADDRESSES, *PEOPLE, *ERASURES, *WINDOWS, *POLICIES, *BODIES]
