"""Whom to tell: routes, words, languages, escalation and quiet hours, each as a table."""

from __future__ import annotations

from datetime import timedelta

import pytest

from services.teams.routing import Facts, Told, at_night, fits, quiet_until, says, speaks, targets_for
from tests.unit.teams.configs import ms, team

ROUTED = team(
    """
timezone = "Europe/Copenhagen"
targets = ["everybody"]
[[teams.t.routes]]
words = ["lawyer", "cancel*"]
to = ["on-call", "head"]
[[teams.t.routes]]
scores = [0, 1]
segment = { attributes = { tier = ["gold", "platinum"] } }
to = ["gold", "head"]
continue = true
[[teams.t.routes]]
languages = ["de"]
to = ["german", "head"]
[[teams.t.routes]]
bands = ["promoter"]
to = ["advocates"]
[[teams.t.routes]]
segment = { survey = ["onboarding"], channel = ["email", "sms"] }
to = ["onboarding"]
[[teams.t.escalation]]
after = "0m"
to = ["lead", "on-call"]
[[teams.t.escalation]]
after = "2h"
to = ["director"]
[teams.t.on_call]
start = 2026-11-02
people = ["ada", "ben"]
"""
)
AT = ms("2026-11-04T12:00")  # a Wednesday in ada's week


@pytest.mark.parametrize(
    ("facts", "names"),
    [
        pytest.param(Facts(3), ("everybody",), id="no-route-fits"),
        pytest.param(Facts(3, comment="My LAWYER will call."), ("ada", "head"), id="a-word-in-any-case"),
        pytest.param(Facts(3, comment="I cancelled"), ("ada", "head"), id="the-beginning-of-a-word"),
        pytest.param(Facts(3, locale="de-AT"), ("german", "head"), id="a-language"),
        pytest.param(Facts(1, attributes={"tier": "gold"}), ("gold", "head"), id="continue-with-nothing-after-it"),
        pytest.param(
            Facts(1, locale="de", attributes={"tier": "platinum"}), ("gold", "head", "german"), id="continue-none-twice"
        ),
        pytest.param(Facts(2, attributes={"tier": "gold"}), ("everybody",), id="all-conditions-must-hold"),
        pytest.param(Facts(1, attributes={"tier": "tin"}), ("everybody",), id="another-value"),
        pytest.param(Facts(1), ("everybody",), id="no-attribute"),
        pytest.param(Facts(10), ("advocates",), id="a-band"),
        pytest.param(Facts(4, survey="onboarding", channel="sms"), ("onboarding",), id="a-segment"),
        pytest.param(Facts(4, survey="onboarding", channel="web"), ("everybody",), id="a-part-of-a-segment"),
        pytest.param(Facts(4, survey="onboarding"), ("everybody",), id="no-channel"),
        pytest.param(Facts(3, level=1, comment="lawyer"), ("lead", "ada"), id="an-escalation-goes-to-its-level"),
        pytest.param(Facts(3, level=2), ("director",), id="second-level"),
        pytest.param(Facts(3, level=9), ("director",), id="beyond-the-last-level"),
    ],
)
def test_who_is_told(facts: Facts, names: tuple[str, ...]) -> None:
    assert targets_for(ROUTED, facts, AT) == Told(names)


def test_a_team_that_names_no_targets_tells_nobody_of_its_own() -> None:
    assert targets_for(team(""), Facts(0), AT) == Told()
    assert targets_for(team(""), Facts(0, level=1), AT) == Told()


def test_an_escalation_without_levels_goes_to_the_targets() -> None:
    assert targets_for(team('targets = ["x"]'), Facts(0, level=1), AT) == Told(("x",))


def test_a_route_without_conditions_fits_everything() -> None:
    (route,) = team('[[teams.t.routes]]\nto = ["x"]').routes
    assert all(fits(route, Facts(score)) for score in range(11))


@pytest.mark.parametrize(
    ("locale", "languages", "yes"),
    [
        ("da", ["da"], True),
        ("da-DK", ["da"], True),
        ("DA_dk", ["da"], True),
        ("dav", ["da"], False),
        ("pt", ["pt-BR"], False),
        ("pt-BR", ["pt_br"], True),
        ("zh-Hant-TW", ["en", "zh-Hant"], True),
        (None, ["da"], False),
    ],
)
def test_a_locale_is_of_a_language(locale: str | None, languages: list[str], yes: bool) -> None:
    assert speaks(locale, languages) is yes


@pytest.mark.parametrize(
    ("comment", "word", "yes"),
    [
        ("They refund nothing", "refund", True),
        ("They refunded it", "refund", False),
        ("They refunded it", "refund*", True),
        ("A prerefund", "refund*", False),
        ("A prerefund", "*refund", True),
        ("unrefundable", "*refund*", True),
        ("REFUND!", "refund", True),
        ("never\n  again", "never again", True),
        ("never, again", "never again", False),
        ("Straße", "STRASSE", True),
        ("请退款吧", "*退款*", True),
        ("c++ is used", "c++", True),
        ("a.c", "abc", False),
        ("abc", "a.c", False),
        ("", "refund", False),
        (None, "refund", False),
    ],
)
def test_a_comment_says_a_word(comment: str | None, word: str, yes: bool) -> None:
    assert says(comment, (word,)) is yes


QUIET = team(
    """
timezone = "Europe/Copenhagen"
targets = ["mail", "on-call"]
[[teams.t.escalation]]
after = "0m"
to = ["lead"]
[teams.t.on_call]
start = 2026-11-02
people = ["ada", "ben"]
[teams.t.quiet]
hours = { mon-fri = "20:00-08:00", sat-sun = "00:00-24:00" }
let_through = { scores = [0], words = ["lawyer"], targets = ["mail"] }
"""
)


@pytest.mark.parametrize(
    ("at", "ends"),
    [
        pytest.param("2026-11-04T19:59", None, id="before"),
        pytest.param("2026-11-04T20:00", "2026-11-05T08:00", id="begins"),
        pytest.param("2026-11-05T07:59", "2026-11-05T08:00", id="past-midnight"),
        pytest.param("2026-11-05T08:00", None, id="over"),
        pytest.param("2026-11-06T20:00", "2026-11-09T00:00", id="a-weekend-follows"),
        pytest.param("2026-11-09T00:00", None, id="sunday-ends-at-midnight"),
        pytest.param("2026-10-25T12:00", "2026-10-26T00:00", id="a-day-of-25-hours"),
    ],
)
def test_quiet_hours_hold_until(at: str, ends: str | None) -> None:
    def local(text: str) -> int:
        return ms(text + ("+02:00" if text < "2026-10-25T03" else "+01:00"))

    assert quiet_until(QUIET, local(at)) == (None if ends is None else local(ends))


NIGHT = ms("2026-11-06T23:00+01:00")
MORNING = ms("2026-11-09T00:00+01:00")


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        pytest.param(Facts(3), Told(("mail",), ("ada",), MORNING), id="waits-but-for-a-target-let-through"),
        pytest.param(Facts(0), Told(("mail", "ada")), id="a-score-let-through"),
        pytest.param(Facts(3, comment="Lawyer!"), Told(("mail", "ada")), id="a-word-let-through"),
        pytest.param(Facts(3, level=1), Told(("lead",)), id="escalations-are-let-through"),
    ],
)
def test_in_quiet_hours(facts: Facts, told: Told) -> None:
    assert targets_for(QUIET, facts, NIGHT) == told


def test_escalations_wait_too_where_they_are_not_let_through() -> None:
    quiet = team(
        """
escalation = [{ after = "0m", to = ["lead"] }]
quiet = { hours = { fri = "20:00-08:00" }, let_through = { escalations = false } }
"""
    )
    held = targets_for(quiet, Facts(3, level=1), ms("2026-11-06T22:00"))
    assert held == Told((), ("lead",), ms("2026-11-07T08:00"))


def test_what_waits_goes_to_whoever_is_on_call_then() -> None:
    night = team(
        """
targets = ["on-call"]
on_call = { start = 2026-11-02, hand_over = "mon 06:00", people = ["ada", "ben"] }
quiet = { hours = { sun = "20:00-08:00" } }
"""
    )
    held = targets_for(night, Facts(3), ms("2026-11-08T23:00"))
    assert held == Told((), ("ben",), ms("2026-11-09T08:00"))


@pytest.mark.parametrize(
    ("at", "yes"), [("21:59", False), ("22:00", True), ("00:00", True), ("06:59", True), ("07:00", False)]
)
def test_the_night_is_from_ten_to_seven_local(at: str, yes: bool) -> None:
    assert at_night("Asia/Tokyo", ms(f"2026-11-04T{at}+09:00")) is yes


def test_quiet_hours_always_end() -> None:
    nearly = team('quiet = { hours = { mon-sat = "00:00-24:00", sun = "00:00-23:59" } }')
    begins = ms("2026-11-02")
    ends = quiet_until(nearly, begins)
    assert ends is not None
    assert ends - begins == (timedelta(days=7) - timedelta(minutes=1)) / timedelta(milliseconds=1)
