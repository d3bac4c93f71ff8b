"""Answers and follow-ups out of the real ClickHouse: newest state, text at the last moment, pages without gaps."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

from services.query.app import build_app
from tests.engines import Engines
from tests.unit.query.samples import (
    NOON_MS,
    Api,
    State,
    Tables,
    answer_rows,
    case_row,
    clock,
    filled,
    iso,
    person_row,
    served,
    settings,
    uid,
)

pytestmark = [pytest.mark.real, pytest.mark.asyncio(loop_scope="module")]

HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def tables(engines: Engines) -> Iterator[Tables]:
    with filled(engines.database()) as written:
        yield written


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tables: Tables) -> AsyncIterator[Api]:
    async with served(build_app(settings(tables.url), now_ms=clock(NOON_MS))) as running:
        yield running


async def all_pages(api: Api, path: str, **params: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = await api.ok(path, **params, **cursor)
        items += page["items"]
        if page["next_cursor"] is None:
            return items
        assert len(page["items"]) == params["limit"]
        cursor = {"cursor": page["next_cursor"]}


async def test_an_answer_is_shown_as_it_stands_with_its_text(tables: Tables, api: Api) -> None:
    first = State("shown", uid(1), 1, NOON_MS - HOUR_MS, NOON_MS - HOUR_MS, 1, 3, "r", case_id=uid(9))
    tables.states([first, first.edited(2, NOON_MS, score=9, revision=1, reasons=("test",))])
    replies = '{"why":"slow","times":2}'
    tables.insert(
        "people",
        [person_row("shown", uid(1), "Naïve <b>café</b> 'quote'", name="Åse", phone="+4512345678", answers=replies)],
    )
    [found] = (await api.ok("/v1/responses", team="shown"))["items"]
    assert (found["score"], found["band"], found["revision"], found["version"]) == (9, "promoter", 1, 2)
    assert (found["counted"], found["reasons"], found["case_id"]) == (False, ["test"], uid(9))
    assert (found["event_at"], found["known_at"]) == (iso(NOON_MS - HOUR_MS), iso(NOON_MS))
    assert found["comment"] == "Naïve <b>café</b> 'quote'"
    assert found["contact"] == {"respondent_id": None, "name": "Åse", "email": None, "phone": "+4512345678"}
    assert found["answers"] == {"why": "slow", "times": 2}
    assert (found["survey"], found["callback_at"], found["attributes"]) == (None, None, {})


async def test_an_answer_says_what_it_was_asked_again_about(tables: Tables, api: Api) -> None:
    first = State("again", uid(2), 1, NOON_MS - HOUR_MS, NOON_MS - HOUR_MS, 1, 9)
    tables.insert("answers", [row | {"reask_of": uid(8)} for row in answer_rows([first])])
    [found] = (await api.ok("/v1/responses", team="again"))["items"]
    assert (found["reask_of"], found["case_id"]) == (uid(8), None)


def asked(number: int, score: int, now: int | None = None, **more: Any) -> dict[str, Any]:
    """A resolved case whose customer was asked again an hour after noon, by policy; `now`: what they answered."""
    pair = (
        {}
        if now is None
        else {"reask_response_id": uid(number + 5), "reask_score": now, "reask_answered_at": AT_ONE + 60}
    )
    due = {"reask_due_at": AT_ONE, "changed_at": AT_ONE, "state": "resolved", "resolved_at": NOON_MS / 1000}
    return case_row("won", number, NOON_MS, score=score) | due | pair | more


AT_ONE = NOON_MS / 1000 + 3_600


async def test_a_recovery_counts_each_customer_who_was_asked_again_once(tables: Tables, api: Api) -> None:
    nobody = await api.ok("/v1/teams/nobody/recovery")
    assert (nobody["asked"], nobody["rate"], nobody["mean_before"], nobody["pairs"]) == (0, None, None, [])
    before = asked(9_000, 3)
    tables.insert(
        "followups",
        [
            before,
            before | {"reask_response_id": uid(1), "reask_score": 9, "reask_answered_at": AT_ONE + 7_200, "version": 2},
            asked(9_001, 3, 9),
            asked(9_002, 0, 7),
            asked(9_003, 6, 6),
            asked(9_004, 5),
            asked(9_005, 5, reask_due_at=AT_ONE + 86_400),  # is to be asked: has not been
            asked(9_006, 4, 10, reask_due_at=None, reask_answered_at=AT_ONE - 7_200),  # by a tool of its own accord
            asked(9_007, 2, reask_due_at=None),
            asked(9_008, 2, 8) | {"team": "others"},
        ],
    )
    found = await api.ok("/v1/teams/won/recovery")
    assert (found["asked"], found["answered"], found["recovered"], found["rate"]) == (6, 5, 4, 80.0)
    assert (found["detractors"], found["passives"], found["promoters"]) == (1, 1, 3)
    assert (found["mean_before"], found["mean_after"]) == (3.2, 8.2)
    assert [(pair["before"], pair["after"], pair["cases"]) for pair in found["pairs"]] == [
        *((0, 7, 1), (3, 9, 2), (4, 10, 1), (6, 6, 1))
    ]
    # The time is that of the asking: after `from`, up to and with `to`.
    for since, until, count in ((-1, 0, 5), (0, 9_000, 0), (-7_201, -7_200, 1)):
        part = await api.ok("/v1/teams/won/recovery", from_=iso(ms_of(since)), to=iso(ms_of(until)))
        assert part["asked"] == count
        assert part["from"] == iso(ms_of(since))
    status, problem, _ = await api.get("/v1/teams/won/recovery", from_=iso(NOON_MS), to=iso(NOON_MS - 1_000))
    assert (status, problem["errors"][0]["path"]) == (422, "from")


def ms_of(seconds: int) -> int:
    return int(AT_ONE + seconds) * 1000


async def test_a_case_shows_its_pair_and_when_the_customer_was_asked(tables: Tables, api: Api) -> None:
    tables.insert("followups", [asked(9_100, 3, 9, team="pair", reask_of=uid(77))])
    [found] = (await api.ok("/v1/followups", team="pair"))["items"]
    one = await api.ok(f"/v1/followups/{uid(9_100)}")
    for case in (found, one):
        assert case["reask_due_at"] == iso(NOON_MS + HOUR_MS)
        at = iso(NOON_MS + HOUR_MS + 60_000)
        assert case["reask"] == {"response_id": uid(9_105), "score": 9, "band": "promoter", "answered_at": at}
        assert case["reask_of"] == uid(77)
    tables.insert("followups", [case_row("pair", 9_101, NOON_MS)])
    plain = (await api.ok("/v1/followups", team="pair", state="open"))["items"][0]
    assert (plain["reask_due_at"], plain["reask"], plain["reask_of"]) == (None, None, None)


async def test_erased_text_is_gone_and_the_newest_text_is_shown(tables: Tables, api: Api) -> None:
    tables.states(State("text", uid(20 + k), k + 1, NOON_MS - k, NOON_MS, k, 5) for k in range(2))
    tables.insert("people", [person_row("text", uid(20), "old"), person_row("text", uid(21), "secret", name="Jane")])
    tables.insert("people", [person_row("text", uid(20), "new", version=2)])
    tables.insert("people", [person_row("text", uid(21), version=9, deleted=1)])
    newer, erased = (await api.ok("/v1/responses", team="text"))["items"]
    assert newer["comment"] == "new"
    assert (erased["comment"], erased["contact"]) == (None, None)
    assert (await api.ok("/v1/responses", team="text", q="secret"))["items"] == []
    assert (await api.ok("/v1/responses", team="text", q="old"))["items"] == []


async def test_answers_are_filtered_by_their_newest_state(tables: Tables, api: Api) -> None:
    states = [
        State("sieve", uid(30 + k), k + 1, NOON_MS - k * HOUR_MS, NOON_MS, k, score)
        for k, score in enumerate([0, 6, 7, 8, 9, 10])
    ]
    tables.states([*states, states[0].edited(99, NOON_MS, score=10)])
    tables.insert(
        "people", [person_row("sieve", uid(32), "ÆRGERLIGT 100% _slow_"), person_row("other", uid(33), "slow")]
    )

    async def ids(**params: Any) -> list[str]:
        return [item["response_id"] for item in (await api.ok("/v1/responses", team="sieve", **params))["items"]]

    assert await ids() == [uid(30 + k) for k in range(6)]
    assert await ids(band="detractor") == [uid(31)]
    assert await ids(band="passive") == [uid(32), uid(33)]
    assert await ids(band="promoter") == [uid(30), uid(34), uid(35)]
    assert await ids(q="ærgerligt") == [uid(32)]
    assert await ids(q="100% _SLOW_") == [uid(32)]
    assert await ids(q="100%%") == []
    assert await ids(q="' OR 1=1 --") == []
    assert await ids(q="slow", band="promoter") == []
    # As in windows: after `from`, up to and with `to`.
    assert await ids(from_=iso(NOON_MS - 3 * HOUR_MS), to=iso(NOON_MS - HOUR_MS)) == [uid(31), uid(32)]


async def test_pages_of_answers_leave_nothing_out_and_repeat_nothing(tables: Tables, api: Api) -> None:
    # Ties in time over teams and ids; every third was edited.
    states = [
        State(f"page-{k % 3}", uid(100 + k // 2), k + 1, NOON_MS - (k // 6) * 1000, NOON_MS, k, k % 11)
        for k in range(60)
    ]
    edits = [state.edited(1_000 + n, NOON_MS + 1, score=1) for n, state in enumerate(states[::3])]
    tables.states([*states, *edits])
    expected = sorted({(s.event_ms, s.response_id, s.team) for s in states}, reverse=True)
    for limit in (1, 7, 60, 200):
        found = [one for one in await all_pages(api, "/v1/responses", limit=limit) if one["team"].startswith("page-")]
        assert [(one["event_at"], one["response_id"], one["team"]) for one in found] == [
            (iso(event_ms) if event_ms % 1000 == 0 else one["event_at"], response_id, team)
            for (event_ms, response_id, team), one in zip(expected, found, strict=True)
        ]
    one_team = await all_pages(api, "/v1/responses", limit=4, team="page-1")
    assert len(one_team) == sum(1 for state in states if state.team == "page-1")


async def test_the_text_of_a_long_page_is_looked_up_whole(tables: Tables, api: Api) -> None:
    tables.states(State("long", uid(500 + k), k + 1, NOON_MS - k, NOON_MS, k, 1) for k in range(200))
    tables.insert("people", [person_row("long", uid(500 + k), f"comment {k}") for k in range(200)])
    found = (await api.ok("/v1/responses", team="long", limit=200))["items"]
    assert [item["comment"] for item in found] == [f"comment {k}" for k in range(200)]


@pytest.fixture(scope="module")
def cases(tables: Tables) -> None:
    """Cases of a team in every state, with clocks before and behind us; `n` says which."""
    now = NOON_MS
    rows = [
        case_row("care", 1, now - HOUR_MS, owner="mette", medium="phone"),
        case_row("care", 2, now - 11 * HOUR_MS),
        case_row("care", 3, now - 80 * HOUR_MS, state="acknowledged", owner="mette"),
        case_row("care", 4, now - 2 * HOUR_MS, state="contacted"),
        case_row("care", 5, now - 90 * HOUR_MS, state="contacted", owner="olsen"),
        case_row("care", 6, now - 95 * HOUR_MS, state="resolved"),
        case_row("care", 7, now - 96 * HOUR_MS, state="rescored"),
        case_row("spare", 8, now - 3 * HOUR_MS),
    ]
    tables.insert("followups", rows)
    tables.insert("followups", [rows[1] | {"version": 2, "n": 2, "state": "acknowledged"}])
    tables.insert("followups", [rows[1]])  # written again, later: the version decides
    tables.insert(
        "people",
        [
            person_row("care", uid(1_000_001), "Nobody called", name="Jane", phone="+4512345678"),
            person_row("care", uid(1_000_002), "Still waiting"),
        ],
    )


@pytest.mark.usefixtures("cases")
async def test_cases_come_newest_first_with_their_clocks_and_text(api: Api) -> None:
    found = (await api.ok("/v1/followups", team="care"))["items"]
    assert [item["case_id"] for item in found] == [uid(n) for n in (1, 4, 2, 3, 5, 6, 7)]
    by_id = {item["case_id"]: item for item in found}
    first = by_id[uid(1)]
    assert (first["comment"], first["owner"], first["medium"]) == ("Nobody called", "mette", "phone")
    assert first["contact"]["phone"] == "+4512345678"
    assert (first["due_at"], first["overdue"]) == (iso(NOON_MS + 9 * HOUR_MS), {"contact": False, "resolve": False})
    assert (by_id[uid(2)]["state"], by_id[uid(2)]["n"], by_id[uid(2)]["owner"]) == ("acknowledged", 2, None)
    assert by_id[uid(2)]["overdue"] == {"contact": True, "resolve": False}
    assert by_id[uid(3)]["overdue"] == {"contact": True, "resolve": True}
    assert by_id[uid(4)]["due_at"] == iso(NOON_MS + 70 * HOUR_MS)
    assert by_id[uid(5)]["overdue"] == {"contact": False, "resolve": True}
    assert (by_id[uid(6)]["due_at"], by_id[uid(6)]["overdue"]) == (None, {"contact": False, "resolve": False})


@pytest.mark.usefixtures("cases")
@pytest.mark.parametrize(
    ("params", "numbers"),
    [
        ({"team": "care", "state": ["open", "contacted"]}, [1, 4, 5]),
        ({"team": "care", "owner": "mette"}, [1, 3]),
        ({"team": "care", "owner": ""}, [4, 2, 6, 7]),
        ({"team": "care", "due_before": iso(NOON_MS)}, [2, 3, 5]),
        ({"team": "care", "due_before": iso(NOON_MS + 9 * HOUR_MS + 1)}, [1, 2, 3, 5]),
        ({"team": "care", "due_before": iso(NOON_MS), "owner": "olsen", "state": "contacted"}, [5]),
        ({"team": "spare"}, [8]),
        ({"owner": "mette"}, [1, 3]),
        ({"team": "nobody"}, []),
    ],
)
async def test_cases_are_filtered(api: Api, params: dict[str, Any], numbers: list[int]) -> None:
    found = await api.ok("/v1/followups", **params)
    assert [item["case_id"] for item in found["items"]] == [uid(n) for n in numbers]


@pytest.mark.usefixtures("cases")
async def test_the_most_urgent_come_first_by_the_clock_that_runs(api: Api) -> None:
    newest = await api.ok("/v1/followups", team="care")
    due = {item["case_id"]: item["due_at"] for item in newest["items"] if item["due_at"] is not None}
    expected = sorted(due, key=lambda case_id: (due[case_id], case_id))
    for limit in (1, 2, 50):
        found = await all_pages(api, "/v1/followups", limit=limit, team="care", order="due")
        assert [item["case_id"] for item in found] == expected
    soon = await api.ok("/v1/followups", team="care", order="due", due_before=iso(NOON_MS))
    assert [item["case_id"] for item in soon["items"]] == [
        case_id for case_id in expected if due[case_id] < iso(NOON_MS)
    ]


async def test_what_changed_last_comes_first_whenever_it_was_raised(tables: Tables, api: Api) -> None:
    rows = [case_row("moving", 300 + k, NOON_MS - k * 1000, state="resolved") for k in range(6)]
    changed = [row | {"changed_at": NOON_MS / 1000 + k // 2} for k, row in enumerate(rows)]  # the oldest two at last
    tables.insert("followups", [*changed, case_row("moving", 310, NOON_MS)])
    for limit in (1, 4, 50):
        found = await all_pages(api, "/v1/followups", limit=limit, team="moving", order="changed", state="resolved")
        assert [item["case_id"] for item in found] == [uid(300 + k) for k in (5, 4, 3, 2, 1, 0)]


@pytest.mark.usefixtures("cases")
async def test_pages_of_cases_leave_nothing_out_and_repeat_nothing(tables: Tables, api: Api) -> None:
    tables.insert("followups", [case_row("many", 200 + k, NOON_MS - (k // 4) * 1000) for k in range(30)])
    expected = [uid(200 + k) for k in sorted(range(30), key=lambda k: (k // 4, -k))]
    for limit in (1, 4, 7, 30, 31):
        found = await all_pages(api, "/v1/followups", limit=limit, team="many")
        assert [item["case_id"] for item in found] == expected


async def test_a_case_is_shown_with_its_answers_and_its_history(tables: Tables, api: Api) -> None:
    answers = [State("detail", uid(701 + k), k + 1, NOON_MS - HOUR_MS + k, NOON_MS, k, 2 + k, "r") for k in range(2)]
    tables.states([*answers, answers[1].edited(9, NOON_MS, score=5)])
    ids = [uid(701), uid(702), uid(703)]
    tables.insert("followups", [case_row("detail", 700, NOON_MS - HOUR_MS, response_id=uid(701), answers=ids, n=2)])
    event = {"case_id": uid(700), "team": "detail", "version": 1, "state": "open", "score": 2}
    events = [
        event | {"n": n, "event_id": uid(7_000 + n), "kind": kind, "at": NOON_MS / 1000, "response_id": uid(700 + n)}
        for n, kind in ((1, "followup.raised"), (2, "followup.answer_joined"))
    ]
    before = event | {"n": 1, "event_id": uid(6_001), "kind": "followup.raised", "at": 1, "response_id": uid(701)}
    lives = [*({"raised_at": NOON_MS / 1000} | one for one in [*events[::-1], events[0]]), {"raised_at": 1} | before]
    tables.insert("followup_events", lives)
    tables.insert(
        "people",
        [person_row("detail", uid(701), "first words"), person_row("detail", uid(702), "", email="j@example.org")],
    )
    tables.insert(
        "followups",
        [
            case_row("detail", 700, NOON_MS - HOUR_MS, response_id=uid(701), answers=ids, n=5, version=2, owner="lee")
            | {"state": "snoozed", "snoozed_from": "contacted", "snoozed_until": NOON_MS / 1000 + 60, "attempts": 3}
            | {"contacts": 2, "contacted_at": NOON_MS / 1000 - 60, "agreed_at": NOON_MS / 1000 - 1, "notes": [uid(709)]}
        ],
    )
    told = event | {"at": NOON_MS / 1000, "raised_at": NOON_MS / 1000}
    reminder = told | {"n": 3, "event_id": uid(7_003), "kind": "followup.reminder", "clock": "contact"}
    escalated = told | {"n": 4, "event_id": uid(7_004), "kind": "followup.escalated", "clock": "resolve", "level": 2}
    tables.insert("followup_events", [reminder, escalated])
    tables.insert(
        "followup_events",
        [
            event
            | {"n": 5, "event_id": uid(7_005), "kind": "followup.contacted", "at": NOON_MS / 1000, "actor": "kim"}
            | {"medium": "phone", "outcome": "replied", "note": uid(709), "owner": "lee", "raised_at": NOON_MS / 1000}
        ],
    )
    tables.insert("people", [person_row("detail", uid(709), "Wants her money back.")])
    found = await api.ok(f"/v1/followups/{uid(700)}")
    assert (found["state"], found["owner"], found["attempts"], found["contacts"]) == ("snoozed", "lee", 3, 2)
    assert (found["due_at"], found["overdue"]) == (found["agreed_at"], {"contact": True, "resolve": False})
    assert found["allowed"][0] == "acknowledge"
    done = found["history"].pop()
    assert (done["actor"], done["medium"], done["outcome"]) == ("kim", "phone", "replied")
    assert (done["note"], done["until"], done["cause"]) == ("Wants her money back.", None, None)
    assert (done["clock"], done["level"]) == (None, None)
    *_, reminded, escalation = found["history"]
    assert (reminded["clock"], reminded["level"]) == ("contact", None)
    assert (escalation["clock"], escalation["level"]) == ("resolve", 2)
    assert [(answer["response_id"], answer["score"]) for answer in found["answers"]] == [
        (uid(701), 2),
        (uid(702), 5),
        (uid(703), None),  # its row is still on the way
    ]
    assert (found["comment"], found["contact"]["email"]) == ("first words", "j@example.org")
    assert [(one["n"], one["kind"], one["event_id"]) for one in found["history"]] == [
        (1, "followup.raised", uid(6_001)),  # 400 days and more ago
        (1, "followup.raised", uid(7_001)),
        (2, "followup.answer_joined", uid(7_002)),
        (3, "followup.reminder", uid(7_003)),
        (4, "followup.escalated", uid(7_004)),
    ]
    status, body, _ = await api.get(f"/v1/followups/{uid(999)}")
    assert (status, body["code"]) == (404, "not_found")
    assert (await api.get(f"/v1/followups/{uid(700).upper()}"))[0] == 200
