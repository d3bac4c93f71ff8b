"""Who is told of alarms and promoters: a team's routes for them, its targets, or whatever is for the team."""

from __future__ import annotations

import tomllib
import uuid
from typing import Any

import msgspec
import pytest

from schemas.feedback import Policy
from schemas.policies import TeamPolicy
from services.alerts.advocacy.asks import Change
from services.alerts.alarms.records import Note, NoteKind
from services.alerts.alarms.whom import Whom
from services.alerts.channels import Message
from services.alerts.outlets import Outlet
from services.alerts.people import Cache, People, Text
from services.alerts.promises import Book
from services.alerts.retries import Outcome
from services.teams.reading import team_of
from services.teams.routing import facts_of, targets_for
from tests.unit.alerts.builders import FakeTable, raised
from tests.unit.teams.configs import ms

TEAM = "support"
NOON_MS = ms("2026-11-04T12:00+01:00")  # ada's week
NIGHT_MS = ms("2026-11-08T23:00+01:00")
MORNING_MS = ms("2026-11-09T08:00+01:00")  # an hour later it is ben's
TOML = """
timezone = "Europe/Copenhagen"
targets = ["mail", "on-call"]
[on_call]
start = 2026-11-02
people = ["ada", "ben"]
[quiet]
hours = { mon-sun = "20:00-08:00" }
let_through = { targets = ["mail"] }
"""
ROUTES = """
[[routes]]
to = ["lead"]
[[routes]]
kinds = ["alarm"]
to = ["pager", "on-call"]
[[routes]]
kinds = ["promoter"]
words = ["love*"]
to = ["marketing"]
continue = true
[[routes]]
bands = ["promoter"]
segment = { attributes = { tier = ["gold"] } }
to = ["lead", "pager"]
"""


class Saying:
    """A channel by name; `pager` says no promoters."""

    def __init__(self, name: str) -> None:
        self.name = name

    def wants(self, event: Any) -> bool:
        return True

    async def send(self, message: Message) -> Outcome:
        return Outcome("delivered", "200")

    def says(self, kind: NoteKind) -> bool:
        return self.name != "pager" or kind.startswith("alarm.")

    async def say(self, note: Note) -> Outcome:
        return Outcome("delivered", "200")


def answer(number: int = 1, **fields: Any) -> Change:
    usual: dict[str, Any] = {"version": 1, "known_ms": NOON_MS, "score": 10, "personal": True}
    return Change(str(uuid.UUID(int=number)), **(usual | fields))


def whom(text: str | None, comments: dict[int, str] | None = None) -> Whom:
    book = Book()
    if text is not None:
        config = msgspec.to_builtins(tomllib.loads(text))
        book.take(msgspec.json.encode(TeamPolicy(TEAM, 1, 0, Policy("rev", config=config))))
    book.read.set()
    texts = {str(uuid.UUID(int=number)): Text(comment=comment) for number, comment in (comments or {}).items()}
    names = ("mail", "ada", "ben", "lead", "pager", "marketing")
    outlets = [Outlet(Saying(name)) for name in names] + [Outlet(Saying("elsewhere"), frozenset({"sales"}))]
    return Whom(book, People(Cache(), FakeTable(texts), wait_s=0), outlets)


EVERYBODY = dict.fromkeys(("mail", "ada", "ben", "lead", "pager", "marketing"), 0)


@pytest.mark.parametrize(
    ("text", "due"),
    [
        pytest.param(None, EVERYBODY, id="no-policy"),
        pytest.param('timezone = "UTC"', EVERYBODY, id="names-nobody"),
        pytest.param('[[routes]]\nto = ["lead"]', EVERYBODY, id="routes-of-follow-ups-are-none-of-alarms"),
        pytest.param('targets = ["unknown"]', EVERYBODY, id="better-everybody-than-nobody"),
        pytest.param(TOML, {"mail": 0, "ada": 0}, id="the-team-s-targets"),
        pytest.param(TOML + ROUTES, {"pager": 0, "ada": 0}, id="the-route-for-alarms"),
    ],
)
def test_who_is_told_of_an_alarm(text: str | None, due: dict[str, int]) -> None:
    assert whom(text).of_alarm(TEAM, NOON_MS) == due


def test_an_alarm_waits_for_the_end_of_quiet_hours_but_for_targets_let_through_and_so_does_its_end() -> None:
    asked = whom(TOML)
    assert asked.of_alarm(TEAM, NIGHT_MS) == {"mail": 0, "ada": MORNING_MS}
    assert [asked.when(TEAM, name, NIGHT_MS) for name in ("mail", "ada")] == [0, MORNING_MS]
    assert asked.when(TEAM, "ada", NOON_MS) == asked.when("sales", "ada", NIGHT_MS) == 0


@pytest.mark.parametrize(
    ("text", "given", "due"),
    [
        pytest.param(None, answer(), {name: 0 for name in EVERYBODY if name != "pager"}, id="no-policy"),
        pytest.param(TOML, answer(), {"mail": 0, "ada": 0}, id="no-route-asks-so-the-team-s-targets"),
        pytest.param(TOML, answer(known_ms=NIGHT_MS), {"mail": 0, "ada": MORNING_MS}, id="quiet-hours"),
        pytest.param('targets = ["pager"]', answer(), {}, id="nobody-who-says-such-notes"),
        pytest.param(TOML + ROUTES, answer(), {}, id="routes-ask-and-none-fits"),
        pytest.param(TOML + ROUTES, answer(2), {"marketing": 0}, id="a-word"),
        pytest.param(TOML + ROUTES, answer(attributes={"tier": "gold"}), {"lead": 0}, id="a-route-that-names-the-band"),
        pytest.param(
            TOML + ROUTES, answer(2, attributes={"tier": "gold"}), {"marketing": 0, "lead": 0}, id="both-in-turn"
        ),
    ],
)
async def test_who_is_told_of_a_promoter(text: str | None, given: Change, due: dict[str, int]) -> None:
    assert await whom(text, {2: "I loved it"}).of_promoters([(TEAM, given)]) == [due]


async def test_routes_for_alarms_and_promoters_are_none_of_follow_ups() -> None:
    team = team_of(msgspec.to_builtins(tomllib.loads('[[routes]]\nkinds = ["alarm", "promoter"]\nto = ["x"]')))
    assert not isinstance(team, list)
    assert targets_for(team, facts_of(raised().case), NOON_MS).now == ()
