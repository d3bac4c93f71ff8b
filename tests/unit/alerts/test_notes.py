"""Notes through every kind of channel, each against a server that checks what its vendor documents."""

from __future__ import annotations

import msgspec
import pytest

from services.alerts.alarms.records import DAY_MS, Alarm, Note, Speaker, alarm_id
from services.alerts.alarms.wording import note_of
from services.alerts.people import Text
from services.alerts.targets.logged import Logged
from stream.domain.scores import Tally
from tests.unit.alerts.test_channels import NASTY, SENT
from tests.unit.alerts.vendors import HttpVendor, Mood, vendor_of

BEFORE, AFTER = Tally(360, 540, 900), Tally(60, 20, 20)
RAISED = Alarm(
    alarm_id("support", 20_000), "support", 1, 20_000, 19_999, 20_001, BEFORE, AFTER, AFTER, 17.0, 3, 20_010 * DAY_MS
)
ENDED = msgspec.structs.replace(RAISED, n=2, ended_ms=20_030 * DAY_MS, ending="recovered")
ASK = Note(
    note_id="0b9f3b86-6f0e-5c1c-a8b6-1f4a4b0c7a52",
    kind="advocacy.raised",
    at_ms=20_000 * DAY_MS,
    team="support",
    headline="A promoter of support may be asked for a testimonial",
    lines=("Answer 1: 10 of 10",),
    incident="4f0d7c50-0a55-5c6a-8a3e-5b0f6f0c9d11",
    over=False,
    began_ms=20_000 * DAY_MS,
    data={"team": "support"},
    personal=True,
)
TO_PEOPLE = ["webhook", "slack", "email"]


@pytest.mark.parametrize("kind", SENT)
async def test_an_alarm_is_told_as_the_vendor_documents_it_when_it_is_raised_and_when_it_ends(kind: str) -> None:
    async with vendor_of(kind) as vendor:
        channel = vendor.channel
        assert isinstance(channel, Speaker)
        assert channel.says("alarm.raised")
        assert (await channel.say(note_of(RAISED))).verdict == "delivered"
        assert "support" in vendor.said
        if kind != "webhook":
            assert "NPS of support fell from 30 to -40" in vendor.said
            assert "180 days before: NPS 30 of 1800 answers" in vendor.said
        again, ended = await channel.say(note_of(RAISED)), await channel.say(note_of(ENDED))
        assert (again.verdict, ended.verdict, vendor.wrong) == ("delivered", "delivered", [])
        first, second, third = vendor.ids
        assert first == second
        assert (third == first) == (kind in ("pagerduty", "alertmanager"))  # which end what they opened


async def test_the_end_of_an_alarm_resolves_the_incident_and_the_alert() -> None:
    async with vendor_of("pagerduty") as vendor:
        assert isinstance(vendor, HttpVendor)
        assert isinstance(vendor.channel, Speaker)
        for alarm in (RAISED, ENDED):
            await vendor.channel.say(note_of(alarm))
        assert [msgspec.json.decode(body)["event_action"] for body in vendor.bodies] == ["trigger", "resolve"]
    async with vendor_of("alertmanager") as vendor:
        assert isinstance(vendor, HttpVendor)
        assert isinstance(vendor.channel, Speaker)
        for alarm in (RAISED, ENDED):
            await vendor.channel.say(note_of(alarm))
        (fires,), (over,) = (msgspec.json.decode(body) for body in vendor.bodies)
        assert (fires["labels"], fires["startsAt"]) == (over["labels"], over["startsAt"])
        assert over["endsAt"] == "2024-11-03T00:00:00.000Z" < fires["endsAt"]


@pytest.mark.parametrize("kind", SENT)
async def test_promoters_are_told_to_people_and_page_nobody(kind: str) -> None:
    async with vendor_of(kind) as vendor:
        assert isinstance(vendor.channel, Speaker)
        assert vendor.channel.says("advocacy.raised") == (kind in TO_PEOPLE)


@pytest.mark.parametrize("kind", TO_PEOPLE)
@pytest.mark.parametrize("text", [NASTY, "\x01" * 4_000, "&" * 4_000, "😀" * 4_000, "\n" * 4_000])
async def test_no_text_breaks_a_note_or_rings_a_channel(kind: str, text: str) -> None:
    note = ASK.with_text(Text(0, text, text[:200], text[:200], text[:254], text[:40]))
    async with vendor_of(kind) as vendor:
        assert isinstance(vendor.channel, Speaker)
        outcome = await vendor.channel.say(note)
        assert (outcome.verdict, vendor.wrong) == ("delivered", [])
        assert vendor.said
        assert vendor.wrong == []


@pytest.mark.parametrize("kind", SENT)
@pytest.mark.parametrize(("mood", "verdict"), [("busy", "retry"), ("broken", "retry"), ("refusing", "refused")])
async def test_whatever_the_target_does_is_an_outcome(kind: str, mood: Mood, verdict: str) -> None:
    async with vendor_of(kind) as vendor:
        assert isinstance(vendor.channel, Speaker)
        vendor.mood = mood
        assert (await vendor.channel.say(note_of(RAISED))).verdict == verdict


async def test_the_log_tells_the_note_and_nothing_of_the_person(capfd: pytest.CaptureFixture[str]) -> None:
    channel: Speaker = Logged(name="log")
    assert channel.says("advocacy.raised")
    assert (
        await channel.say(ASK.with_text(Text(0, "Nobody called me back.", "cust-7", "Ane Holm")))
    ).verdict == "delivered"
    written = "".join(capfd.readouterr())
    assert "may be asked" in written
    assert not [word for word in ("Nobody called", "Ane", "cust-7") if word in written]
