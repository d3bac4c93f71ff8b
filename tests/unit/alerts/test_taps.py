"""One tap: only the button acts, once, and only what the link was made for."""

from __future__ import annotations

import stat
import time
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from schemas.followups import State
from services.alerts.people import Text
from services.alerts.taps import FILE, LABELS, LIFE_S, PATH, Tap, Taps, key_in
from tests.unit.alerts.builders import now_ms, raised
from tests.unit.alerts.tapping import KEY, TapDoor, tap_door

EVENT = raised(personal=True)
TEXT = Text(0, "<b>Nobody</b> called me back.", "cust-7", "Ane Holm", "ane@example.com", "+4520304050")
WHO = {"who": "Bo Lind"}


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[TapDoor]:
    async with tap_door(tmp_path, {EVENT.case.response_id: TEXT}) as opened:
        await opened.raise_case(EVENT)
        yield opened


@pytest.mark.parametrize("label", LABELS.values())
async def test_opening_a_link_shows_the_case_and_does_nothing(door: TapDoor, label: str) -> None:
    link = door.link(EVENT, label)
    for method in ("GET", "HEAD", "GET", "OPTIONS", "PUT", "DELETE"):
        status, page = await door.ask(method, link)
        assert status == (200 if method == "GET" else 405)
    status, page = await door.ask("GET", link)
    assert "3 of 10 in support" in page
    assert "&lt;b&gt;Nobody&lt;/b&gt; called me back." in page
    assert 'href="tel:+4520304050"' in page
    assert 'href="mailto:ane@example.com"' in page
    assert f"<button>{label}</button>" in page
    assert door.acts == []


@pytest.mark.parametrize(
    ("label", "kind"), [("I’ve got it", "acknowledge"), ("Contacted", "contact"), ("Snooze", "snooze")]
)
async def test_the_button_does_what_the_link_was_made_for_once(door: TapDoor, label: str, kind: str) -> None:
    link, before_ms = door.link(EVENT, label), now_ms()
    for _ in range(3):
        status, page = await door.ask("POST", link, data=WHO)
        assert (status, "is on record" in page) == (200, True)
        assert "<button>" not in page
    (act,) = door.acts
    assert (act.kind, act.case_id, act.actor) == (kind, EVENT.case.case_id, "Bo Lind")
    assert door.log.acts[0][0] == "support"
    assert act.outcome == ("reached" if kind == "contact" else None)
    if kind == "snooze":
        assert act.until_ms is not None
        assert 3_600_000 <= act.until_ms - before_ms < 3_660_000
    else:
        assert act.until_ms is None


async def test_the_name_is_remembered_by_the_browser(door: TapDoor) -> None:
    await door.ask("POST", door.link(EVENT, "I’ve got it"), data={"who": "Åse Ø."})
    await door.raise_case(raised(2))
    _, page = await door.ask("GET", door.link(raised(2), "Contacted"))
    assert 'value="Åse Ø."' in page


@pytest.mark.parametrize("who", ["", " ", "x" * 65, "a\nb", "\x00"])
async def test_without_a_name_nothing_is_done(door: TapDoor, who: str) -> None:
    status, page = await door.ask("POST", door.link(EVENT, "Contacted"), data={"who": who})
    assert (status, "Please give your name" in page) == (422, True)
    assert (await door.ask("POST", door.link(EVENT, "Contacted"), data=b"who=" + b"x" * 5_000))[0] == 422
    assert (await door.ask("POST", door.link(EVENT, "Contacted"), data=b"who=\xff%ff"))[0] in (200, 422)


async def test_no_changed_link_is_taken(door: TapDoor) -> None:
    link = door.link(EVENT, "Contacted")
    token = urlsplit(link).path.removeprefix(PATH)
    for place in range(0, len(token), 3):
        changed = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
        status, _ = await door.ask("POST", f"{door.url}{PATH}{changed}", data=WHO)
        # The last letter of base64 may hold bits that mean nothing.
        assert status == 404 or door.taps.read(changed) == door.taps.read(token)
    for other in (token[:-2], token + "AA", "x", Taps(b"another key", "").token(Tap("c", "t", "contact", "m"))):
        assert (await door.ask("POST", f"{door.url}{PATH}{other}", data=WHO))[0] == 404
    assert door.acts == []


async def test_a_link_ends_after_seven_days(door: TapDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    link = door.link(EVENT, "Contacted")
    ahead_s = 0
    monkeypatch.setattr("itsdangerous.timed.TimestampSigner.get_timestamp", lambda _: int(time.time()) + ahead_s)
    ahead_s = LIFE_S - 60
    assert (await door.ask("GET", link))[0] == 200
    ahead_s = LIFE_S + 60
    assert (await door.ask("GET", link))[0] == 410
    assert (await door.ask("POST", link, data=WHO))[0] == 410
    assert door.acts == []


@pytest.mark.parametrize("state", ["resolved", "rescored", "withdrawn", "joined"])
async def test_a_closed_case_has_no_button_and_takes_nothing(door: TapDoor, state: State) -> None:
    await door.raise_case(raised(kind="followup.rescored", n=2, state=state))
    link = door.link(EVENT, "Contacted")
    status, page = await door.ask("GET", link)
    assert (status, f"the case is {state}" in page, "<button>" in page) == (200, True, False)
    assert (await door.ask("POST", link, data=WHO))[0] == 409
    assert door.acts == []


async def test_a_log_that_takes_nothing_is_said_and_the_button_stays(door: TapDoor) -> None:
    door.log.down = True
    status, page = await door.ask("POST", door.link(EVENT, "Contacted"), data=WHO)
    assert (status, "press the button again" in page, "<button>Contacted" in page) == (503, True, True)


async def test_a_fold_that_takes_its_time_is_said(door: TapDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.alerts.routes_taps.WAIT_S", 0.05)
    door.log.slow = True
    status, page = await door.ask("POST", door.link(EVENT, "Contacted"), data=WHO)
    assert (status, "Passed on" in page) == (200, True)


async def test_a_case_that_is_not_known_here_can_still_be_taken(door: TapDoor) -> None:
    unknown = raised(99)
    status, page = await door.ask("GET", door.link(unknown, "I’ve got it"))
    assert (status, "A case of support" in page, "<button>" in page) == (200, True, True)


async def test_the_page_keeps_to_itself(door: TapDoor) -> None:
    async with door.session.get(door.link(EVENT, "Contacted")) as answer:
        headers = answer.headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'sha256-")
    assert headers["X-Robots-Tag"] == "noindex"


def test_all_channels_tell_one_link_and_one_told_later_ends_later(monkeypatch: pytest.MonkeyPatch) -> None:
    taps, now_ms = Taps(KEY, "https://alerts.example.com/"), 1_790_000_040_000
    monkeypatch.setattr("services.alerts.taps.wall_clock_ms", lambda: now_ms)
    monkeypatch.setattr("itsdangerous.timed.TimestampSigner.get_timestamp", lambda _: now_ms // 1_000)
    first = taps.links(EVENT)
    now_ms += 59_999
    assert taps.links(EVENT) == first
    assert taps.links(raised(2)) != first
    now_ms += 1
    assert not set(taps.links(EVENT)) & set(first)


def test_a_link_is_made_only_for_what_may_be_done_and_only_with_an_address() -> None:
    taps = Taps(KEY, "https://alerts.example.com/")
    assert [link.label for link in taps.links(EVENT)] == list(LABELS.values())
    assert all(link.url.startswith("https://alerts.example.com/t/") for link in taps.links(EVENT))
    assert taps.links(raised(kind="followup.rescored", n=2, state="rescored")) == ()
    assert Taps(KEY, "").links(EVENT) == ()


def test_the_key_is_minted_once_and_for_this_user_only(tmp_path: Path) -> None:
    key = key_in(tmp_path)
    assert key_in(tmp_path) == key
    assert len(key) == 64
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
