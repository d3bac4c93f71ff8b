"""One contract for every channel, each against a server that checks what its vendor documents."""

from __future__ import annotations

import pytest

from schemas.followups import Kind
from services.alerts.channels import Channel, Message, Told
from services.alerts.people import Absence, Text
from services.alerts.targets.addresses import Allowed
from services.alerts.targets.kinds import KINDS
from services.alerts.targets.logged import Logged
from tests.unit.alerts.builders import raised
from tests.unit.alerts.vendors import Mood, vendor_of

SENT = ["webhook", "slack", "pagerduty", "email", "alertmanager"]
GROUPED = ["slack", "pagerduty", "email"]
TEXT = Text(2, "Nobody called me back.", "cust-7", "Ane Holm", "ane@example.com", "+4520304050")
NASTY = (
    "<!channel> <!here> @everyone & <@U123> <https://evil.example|click> &lt;\r\nBcc: all@example.com\r\n\r\n.\r\n"
    "<script>alert(1)</script><img src=x onerror=alert(1)> *bold* `code` \x00\x0b\u2028 \ud7ff 😀"
)


def test_every_kind_is_held_to_this_contract() -> None:
    assert {*SENT, "log"} == set(KINDS)


@pytest.mark.parametrize("kind", SENT)
async def test_a_case_is_told_as_the_vendor_documents_it_with_its_text(kind: str) -> None:
    async with vendor_of(kind) as vendor:
        outcome = await vendor.channel.send(Message(raised(personal=True), TEXT))
        assert outcome.verdict == "delivered"
        assert "Nobody called me back." in vendor.said
        assert vendor.wrong == []


@pytest.mark.parametrize("kind", SENT)
async def test_a_repeated_message_has_the_same_id_and_another_case_another(kind: str) -> None:
    async with vendor_of(kind) as vendor:
        for event in (raised(1), raised(1), raised(2)):
            await vendor.channel.send(Message(event))
        first, again, other = vendor.ids
    assert first == again != other


@pytest.mark.parametrize("kind", SENT)
@pytest.mark.parametrize("text", [NASTY, "\x01" * 4_000, "&" * 4_000, "😀" * 4_000, "x" * 4_000, "\n" * 4_000])
async def test_no_text_breaks_a_message_or_rings_a_channel(kind: str, text: str) -> None:
    who = Text(0, text, text[:200], text[:200], text[:254], text[:40])
    async with vendor_of(kind) as vendor:
        outcome = await vendor.channel.send(Message(raised(personal=True, team="t" * 64), who))
        assert (outcome.verdict, vendor.wrong) == ("delivered", [])
        assert vendor.said
        assert vendor.wrong == []


@pytest.mark.parametrize("kind", ["slack", "pagerduty", "email", "alertmanager"])
async def test_text_that_should_be_there_and_is_not_is_said_to_be_missing(kind: str) -> None:
    async with vendor_of(kind) as vendor:
        await vendor.channel.send(Message(raised(personal=True), None, Absence.NOT_FOUND))
        assert "could not be found" in vendor.said


@pytest.mark.parametrize("kind", GROUPED)
async def test_a_group_says_how_many_and_shows_the_first(kind: str) -> None:
    events = [raised(number, personal=True) for number in range(10)]
    first, *more = [Told(event, Text(0, f"comment-{number}")) for number, event in enumerate(events)]
    message = Message(first.event, first.text, None, tuple(more), 240, "group-1", "group-1")
    async with vendor_of(kind) as vendor:
        outcome = await vendor.channel.send(message)
        assert (outcome.verdict, vendor.wrong) == ("delivered", [])
        assert "240 unhappy answers in support" in vendor.said
        if kind != "pagerduty":
            assert "and 230 more" in vendor.said
        assert all(f"comment-{number}" in vendor.said for number in range(10))
        assert "group-1" in vendor.ids[0]


@pytest.mark.parametrize("kind", GROUPED)
async def test_a_group_of_the_longest_texts_still_fits(kind: str) -> None:
    told = [Told(raised(number, personal=True), Text(0, "&<>\x01" * 1_000)) for number in range(10)]
    message = Message(told[0].event, told[0].text, None, tuple(told[1:]), 10_000, "group-1")
    async with vendor_of(kind) as vendor:
        outcome = await vendor.channel.send(message)
        assert (outcome.verdict, vendor.wrong) == ("delivered", [])


@pytest.mark.parametrize("kind", SENT)
@pytest.mark.parametrize(
    ("mood", "verdict"), [("busy", "retry"), ("broken", "retry"), ("refusing", "refused"), ("silent", "retry")]
)
async def test_whatever_the_target_does_is_an_outcome_and_the_next_message_goes_through(
    kind: str, mood: Mood, verdict: str
) -> None:
    async with vendor_of(kind, timeout_s=0.2 if mood == "silent" else 5.0) as vendor:
        vendor.mood = mood
        outcome = await vendor.channel.send(Message(raised(1)))
        assert outcome.verdict == verdict
        assert vendor.ids == []
        if mood == "busy" and kind != "email":
            assert min(outcome.wait_ms, outcome.pause_ms) >= 7_000
        vendor.mood = "well"
        assert (await vendor.channel.send(Message(raised(2)))).verdict == "delivered"
        assert len(vendor.ids) == 1


@pytest.mark.parametrize("kind", SENT)
async def test_a_target_that_is_not_there_is_an_outcome(kind: str) -> None:
    async with vendor_of(kind) as vendor:
        await vendor.away()
        outcome = await vendor.channel.send(Message(raised()))
    assert (outcome.verdict, outcome.status) == ("retry", "connection")


@pytest.mark.parametrize("kind", SENT)
async def test_a_target_inside_is_not_reached_unless_it_is_allowed(kind: str) -> None:
    async with vendor_of(kind, allowed=Allowed()) as vendor:
        outcome = await vendor.channel.send(Message(raised()))
        assert (outcome.verdict, outcome.status) == ("refused", "address_not_allowed")
        assert outcome.wait_ms >= 300_000
        assert vendor.reached == 0


async def test_the_log_tells_the_case_and_nothing_of_the_person(capfd: pytest.CaptureFixture[str]) -> None:
    event = raised(personal=True)
    channel: Channel = Logged(name="log")
    assert (await channel.send(Message(event, TEXT))).verdict == "delivered"
    written = "".join(capfd.readouterr())
    assert event.case.case_id in written
    assert not [word for word in ("Nobody called", "Ane", "ane@", "cust-7", "20304050") if word in written]


@pytest.mark.parametrize("kind", SENT)
@pytest.mark.parametrize("event", ["followup.answer_edited", "followup.answer_erased"])
async def test_what_only_changes_an_answer_is_not_told(kind: str, event: Kind) -> None:
    async with vendor_of(kind) as vendor:
        assert vendor.channel.wants(raised())
        assert not vendor.channel.wants(raised(kind=event))
