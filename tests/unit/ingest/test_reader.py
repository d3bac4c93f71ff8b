"""What the door makes of a good answer: ids, hashes, the record of the log and the text beside it."""

from __future__ import annotations

import hashlib
import hmac
import math
from typing import Any
from uuid import UUID, uuid5

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.feedback import Answer
from schemas.people import Person
from schemas.responses import ResponseIn
from schemas.topics import partition_of
from services.common.problems import Invalid, NotJson, Problem
from services.ingest import strict
from services.ingest.access import IMPORTER, WIDGET, WRITER, Caller
from services.ingest.identity import IDEMPOTENCY_NAMESPACE, keyed_id, normalised_phone, uuid7
from services.ingest.port import Outgoing
from services.ingest.reader import Reader
from services.ingest.times import epoch_ms

NOW_MS = 1_795_341_600_123
ID = "01890a5d-ac96-774b-bcce-b302099a8057"
READER = Reader(b"secret", "DK")


def read(body: Any = None, caller: Caller = WRITER, key: str | None = None, **members: Any) -> Outgoing:
    raw = body if isinstance(body, bytes) else msgspec.json.encode({"team": "emea", "score": 9, **members})
    return READER.read(raw, caller, NOW_MS, key)


def record(**members: Any) -> Answer:
    return msgspec.json.decode(read(**members).record, type=Answer)


def text(**members: Any) -> Person | None:
    person = read(**members).person
    return None if person is None else msgspec.json.decode(person, type=Person)


def test_a_minted_id_is_a_uuid_of_version_7_that_carries_the_time() -> None:
    minted = UUID(uuid7(NOW_MS, bytes(range(10))))
    assert (minted.version, minted.variant) == (7, "specified in RFC 4122")
    assert minted.int >> 80 == NOW_MS
    assert str(minted) == uuid7(NOW_MS, bytes(range(10)))


def test_two_answers_without_an_id_are_two_answers() -> None:
    assert read().response_id != read().response_id


def test_the_clients_id_is_kept_as_it_is() -> None:
    assert read(response_id=ID).response_id == ID
    assert read(response_id=ID, key="k").response_id == ID


def test_an_idempotency_key_always_stands_for_the_same_id_of_its_team() -> None:
    assert read(key="order 7").response_id == str(uuid5(IDEMPOTENCY_NAMESPACE, "emea||order 7"))
    assert read(key="order 7").response_id == read(key="order 7", comment="edited").response_id
    assert read(key="order 7").response_id != read(key="order 7", team="apac").response_id
    assert len({keyed_id("emea", "k", None), keyed_id("emea", "k", 3), keyed_id("emea", "3|k", None)}) == 3


def test_order_of_keys_white_space_nulls_and_escapes_do_not_change_the_content() -> None:
    plain = record(comment="café", attributes={"a": "1", "b": "2"}, survey="s").content
    shuffled = b"""
      { "survey":"s", "attributes":{"b":"2", "a":"1"}, "channel": null, "score":9,
        "comment":"caf\\u00e9", "respondent": null, "team":"emea" }
    """
    assert msgspec.json.decode(read(shuffled).record, type=Answer).content == plain
    assert len(plain) == 32


def test_any_other_value_is_other_content() -> None:
    contents = {
        record(**members).content
        for members in (
            {},
            {"score": 8},
            {"comment": "x"},
            {"comment": "y"},
            {"survey": "x"},
            {"channel": "x"},
            {"respondent": {"id": "x"}},
            {"respondent": {"name": "x"}},
            {"attributes": {"x": "x"}},
            {"answers": {"x": "x"}},
            {"answers": {"x": 1}},
            {"answered_at": "2026-11-22T09:00:00Z"},
            {"test": True},
        )
    }
    assert len(contents) == 13


def test_the_content_hash_cannot_be_made_without_the_secret() -> None:
    canonical = msgspec.json.encode(ResponseIn(team="emea", score=9))
    assert record().content == hmac.digest(b"secret", b"content:" + canonical, "sha256").hex()[:32]
    assert record().content != hashlib.sha256(canonical).hexdigest()[:32]


def test_the_log_holds_no_personal_text_and_people_holds_all_of_it() -> None:
    respondent = {"id": "cust-7", "name": "Ada Lovelace", "email": "Ada@Example.com", "phone": "33 12 34 56"}
    outgoing = read(
        comment="too slow", respondent=respondent, answers={"why": "queue", "again": None, "n": 3}, response_id=ID
    )
    for secret in (b"cust-7", b"Ada", b"xample", b"33 12", b"too slow", b"queue"):
        assert secret not in outgoing.record
    assert outgoing.person_key == f"emea|{ID}".encode()
    assert outgoing.person is not None
    assert msgspec.json.decode(outgoing.person, type=Person) == Person(
        team="emea",
        response_id=ID,
        comment="too slow",
        respondent_id="cust-7",
        name="Ada Lovelace",
        email="Ada@Example.com",
        phone="33 12 34 56",
        answers={"why": "queue", "n": 3},
    )


def test_both_records_lie_in_the_partition_of_the_team() -> None:
    outgoing = read(comment="x", team="apac")
    assert (outgoing.team, outgoing.partition) == (b"apac", partition_of(b"apac"))


def test_what_is_not_personal_stands_in_the_log() -> None:
    answer = record(
        response_id=ID,
        score=3,
        revision=2,
        survey="s",
        channel="c",
        locale="da",
        attributes={"plan": "pro"},
        answered_at="2026-11-22T09:00:00.5+01:00",
        respondent={"medium": "phone", "callback_at": "2026-11-24T08:00:00Z", "age_group": "30-39"},
        test=True,
    )
    assert answer == Answer(
        response_id=ID,
        score=3,
        content=answer.content,
        answered_ms=epoch_ms("2026-11-22T08:00:00.5Z"),
        revision=2,
        test=True,
        survey="s",
        channel="c",
        locale="da",
        medium="phone",
        callback_ms=epoch_ms("2026-11-24T08:00:00Z"),
        age_group="30-39",
        attributes={"plan": "pro"},
    )


def test_without_text_nothing_goes_to_people_and_the_record_says_so() -> None:
    for members in (
        {},
        {"comment": ""},
        {"comment": None},
        {"answers": {"q": None, "r": ""}},
        {"respondent": {"medium": "x"}},
    ):
        assert text(**members) is None
        assert record(**members).personal is False
    assert record(comment="x").personal is True


def test_a_revision_without_text_replaces_the_old_text_by_none() -> None:
    assert text(response_id=ID, revision=1) == Person(team="emea", response_id=ID, revision=1)
    assert record(response_id=ID, revision=1).personal is False


@pytest.mark.parametrize(
    ("respondent", "name"),
    [
        pytest.param({"id": "A", "email": "a@b.dk", "phone": "33123456"}, "id:A", id="id first"),
        pytest.param({"email": "Ada@Example.COM", "phone": "33123456"}, "email:ada@example.com", id="then e-mail"),
        pytest.param({"phone": "33 12 34 56"}, "phone:+4533123456", id="then phone, of the region"),
        pytest.param({"phone": "+1 (212) 555-0123"}, "phone:+12125550123", id="phone with its country"),
        pytest.param({"phone": "call reception"}, None, id="a phone that is none"),
        pytest.param({"phone": "1"}, None, id="a phone that is too short"),
        pytest.param({"name": "Ada"}, None, id="a name is no key"),
    ],
)
def test_the_respondent_key_is_a_keyed_hash_of_the_best_identifier(
    respondent: dict[str, str], name: str | None
) -> None:
    wanted = None if name is None else hmac.digest(b"secret", name.encode(), "sha256").hex()[:32]
    assert record(respondent=respondent).respondent == wanted
    assert text(respondent=respondent) is not None


def test_without_a_region_a_number_without_country_is_kept_but_is_no_key() -> None:
    assert normalised_phone("33123456", "") is None
    assert normalised_phone("+4533123456", "") == "+4533123456"


@pytest.mark.parametrize(
    ("written", "ms"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.001999Z", 1),
        ("2026-03-29T03:30:00+02:00", 1_774_747_800_000),
        ("2000-02-29T23:59:59.999-00:00", 951_868_799_999),
    ],
)
def test_times_are_read_to_the_millisecond(written: str, ms: int) -> None:
    assert epoch_ms(written) == ms


def test_answers_older_than_the_horizon_need_an_import_key() -> None:
    with pytest.raises(Invalid):
        read(answered_at="2020-01-01T00:00:00Z")
    assert read(answered_at="2020-01-01T00:00:00Z", caller=IMPORTER).record


def test_a_widget_may_name_a_respondent_but_neither_test_nor_revise_nor_say_what_it_was_asked_again_about() -> None:
    assert read(caller=WIDGET, respondent={"email": "a@b.dk"}).person is not None
    for members in (
        {"test": True},
        {"test": False},
        {"revision": 0},
        {"answered_at": "2026-11-20T00:00:00Z"},
        {"reask_of": ID},
    ):
        with pytest.raises(Invalid):
            read(caller=WIDGET, **members)


def test_the_case_that_a_customer_was_asked_again_about_goes_to_the_log_as_it_is() -> None:
    assert record(reask_of=ID).reask_of == ID
    assert record().reask_of is None
    assert record(reask_of=ID).content != record().content
    for wrong in (ID.upper(), "case-1", "", 7):
        with pytest.raises(Invalid) as refused:
            read(reask_of=wrong)
        assert [error["path"] for error in refused.value.errors or []] == ["reask_of"]


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
fields = st.sampled_from([*ResponseIn.__struct_fields__, "other"])
shapes = st.dictionaries(fields, values, max_size=6)


def _slow_finds(raw: bytes) -> bool:
    try:
        return any(strict.walk(strict.load(raw), msgspec.inspect.type_info(ResponseIn)))
    except NotJson:
        return True


def _infinite(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_infinite, value.values()))
    if isinstance(value, list):
        return any(map(_infinite, value))
    return isinstance(value, float) and not math.isfinite(value)


@given(shapes.filter(lambda shape: not _infinite(shape)), st.booleans())
def test_the_fast_and_the_slow_reading_agree_on_what_is_good(shape: dict[str, Any], sound: bool) -> None:
    document = {"team": "emea", "score": 9, **shape} if sound else shape
    raw = msgspec.json.encode(document)
    try:
        msgspec.json.decode(raw, type=ResponseIn)
    except msgspec.ValidationError:
        assert _slow_finds(raw)
    else:
        assert not _slow_finds(raw) or b"\\u0000" in raw


@given(st.binary(max_size=60) | shapes.map(msgspec.json.encode) | st.text(max_size=60).map(str.encode))
def test_whatever_comes_is_read_or_refused_by_name(raw: bytes) -> None:
    refused: Problem | None = None
    try:
        assert READER.read(raw, WRITER, NOW_MS).record
    except Problem as problem:
        refused = problem
    if refused is not None:
        assert refused.status in (400, 422)
        assert refused.body()
        assert refused.status == 400 or refused.errors
