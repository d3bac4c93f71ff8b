"""A whole instance moves from 16 to 5 partitions: numbers, cases, what people did with them and erasures stay, and
nobody is told twice."""

from __future__ import annotations

import base64
import json
import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from clickhouse_connect import get_client

from schemas import topics
from services.cli.codes import Exit
from tests.e2e.instances import Instance, pulse, running
from tests.engines import in_own_loop, wait_for

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

TEAMS: Final = [f"team-{number}" for number in range(12)]
LIVE: Final = ["1h", "12h", "7d", "90d"]
SECOND: Final = {"PULSE_GENERATION": "2", "PULSE_PARTITIONS": "5"}


class Told:
    """Plays the target of the webhook: how often each message came."""

    def __init__(self, url: str) -> None:
        self.messages: Counter[str] = Counter()
        secret = base64.b64encode(b"s" * 32).decode()
        self.settings = {
            "PULSE_ALERTS_WEBHOOK_URL": url,
            "PULSE_ALERTS_WEBHOOK_SECRET": f"whsec_{secret}",
            "PULSE_ALERTS_ALLOW": '["127.0.0.1"]',
        }


@contextmanager
def told_people() -> Iterator[Told]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the name that http.server asks for
            self.rfile.read(int(self.headers["Content-Length"]))
            told.messages[self.headers["webhook-id"]] += 1
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told = Told(f"http://127.0.0.1:{server.server_address[1]}/")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def asked(
    instance: Instance, service: str, path: str, kind: str, body: Any = None, method: str = "", **more: str
) -> Any:
    """The JSON answer of a service to a request with one of the instance's keys, and `more` headers."""
    address = urlsplit(instance.ready[service])
    headers = {"Authorization": f"Bearer {instance.ready['keys'][kind]}", "Content-Type": "application/json"}
    headers |= {name.replace("_", "-"): value for name, value in more.items()}
    connection = HTTPConnection(address.netloc, timeout=60)
    try:
        raw = None if body is None else json.dumps(body).encode()
        connection.request(method or ("GET" if raw is None else "POST"), path, raw, headers)
        reply = connection.getresponse()
        answered = json.load(reply)
    finally:
        connection.close()
    assert reply.status in (200, 202), answered
    return answered


def folded(instance: Instance) -> dict[str, Any]:
    """Wait until everything in the log can be read; the position then."""
    found: dict[str, Any] = {}

    def caught_up() -> bool:
        found.update(asked(instance, "query", "/v1/position", "read"))
        return bool(found["caught_up"])

    wait_for(caught_up, 120, "everything folded and stored")
    return found


class Log:
    """What the test has sent: answers with revisions and duplicates, exclusions, erasures of two kinds, windows."""

    def __init__(self, instance: Instance) -> None:
        draw = random.Random(5)
        self.answers: list[dict[str, Any]] = []
        for number in range(400):
            answer = {
                "response_id": str(UUID(int=draw.getrandbits(128))),
                "team": draw.choice(TEAMS),
                "score": draw.choice([0, 3, 6, 7, 8, 9, 10, 10]),
                "comment": f"words {number}",
                "respondent": {"id": f"person-{draw.randrange(60)}"},
            }
            if draw.random() < 0.3:
                days = timedelta(days=draw.randrange(1, 80), minutes=draw.randrange(1_440))
                answer["answered_at"] = (datetime.now(UTC) - days).isoformat()
            self.answers.append(answer)
        self.post(instance, self.answers)
        revised = [{**answer, "revision": 1, "score": draw.randrange(11)} for answer in self.answers[::7]]
        self.post(instance, revised)
        for answer in self.answers[3::29]:
            self.command(instance, f"{self.path(answer)}/exclude", {"reason": "bot"})
        self.erased = self.answers[5::31]
        for answer in self.erased:
            asked(instance, "ingest", self.path(answer), "admin", method="DELETE")
        self.command(instance, "/v1/windows", {"windows": LIVE})
        self.command(instance, "/v1/erasures", {"respondent": {"id": "person-7"}})
        later = {**self.answers[0], "response_id": str(UUID(int=7)), "respondent": {"id": "person-7"}}
        self.post(instance, [later])  # given after the erasure: it counts
        self.post(instance, self.erased[:2])  # a late retry of an erased answer does not

    def post(self, instance: Instance, answers: list[dict[str, Any]]) -> None:
        result = asked(instance, "ingest", "/v1/responses/batch", "write", answers)
        assert result["accepted"] == len(answers), result

    def command(self, instance: Instance, path: str, body: dict[str, Any]) -> None:
        asked(instance, "ingest", path, "admin", body)

    def path(self, answer: dict[str, Any]) -> str:
        return f"/v1/teams/{answer['team']}/responses/{answer['response_id']}"


# What people do with three cases, one after the other: nobody is done with the first, the second is resolved, the third
# resolved and reopened.
ACTS: Final[list[list[tuple[str, dict[str, str], str]]]] = [
    [
        ("acknowledge", {}, "acknowledged"),
        ("note", {"note": "Rang twice, nobody there."}, "noted"),
        ("contact", {"outcome": "no_answer"}, "contact_failed"),
    ],
    [
        ("assign", {"owner": "ben"}, "assigned"),
        ("acknowledge", {}, "acknowledged"),
        ("contact", {"outcome": "reached", "medium": "phone", "note": "Wants a refund."}, "contacted"),
        ("resolve", {"cause": "late delivery", "note": "Refund is on its way."}, "resolved"),
    ],
    [("acknowledge", {}, "acknowledged"), ("resolve", {"cause": "price"}, "resolved"), ("reopen", {}, "reopened")],
]


def act(instance: Instance, case_id: str, number: int, kind: str, fields: dict[str, str]) -> Any:
    """One act through the public door, as a client that may send it again does."""
    body = {"actor": "ane", **fields}
    return asked(
        instance, "query", f"/v1/followups/{case_id}/{kind}", "read", body, Idempotency_Key=f"{case_id}/{number}"
    )


def acted(instance: Instance, cases: list[str]) -> None:
    """All of them. The same again finds them done."""
    for case_id, acts in zip(cases, ACTS, strict=True):
        for number, (kind, fields, _) in enumerate(acts):
            act(instance, case_id, number, kind, fields)
    folded(instance)  # a reply of 202 was not waited for


def histories(instance: Instance, cases: list[str]) -> list[dict[str, Any]]:
    """Each case with all that happened to it, notes included; what the clock alone changes is left out."""
    found = [asked(instance, "query", f"/v1/followups/{case_id}", "read") for case_id in cases]
    return [{name: value for name, value in case.items() if name != "overdue"} for case in found]


class Picture:
    """What a reader sees, of fixed moments. `version` and what counts records of a generation are left out."""

    def __init__(self, instance: Instance, as_of: str, known_at: str) -> None:
        self.scores = {
            (team, policy, known): self.score(instance, team, f"policy={policy}&as_of={as_of}&{known}")
            for team in TEAMS
            for policy in ("all", "latest")
            for known in ("", f"known_at={known_at}")
        }
        found = asked(instance, "query", "/v1/followups?limit=200", "read")
        self.cases = {case["case_id"]: (case["state"], case["n"], case["score"]) for case in found["items"]}
        assert found["next_cursor"] is None

    def score(self, instance: Instance, team: str, query: str) -> dict[str, Any]:
        found: dict[str, Any] = asked(instance, "query", f"/v1/teams/{team}/score?window=90d&{query}", "read")
        return {name: value for name, value in found.items() if name not in ("version", "valid_until")}


def moment(ahead_s: float = 0) -> str:
    return (datetime.now(UTC) + timedelta(seconds=ahead_s)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def test_a_log_of_16_partitions_goes_on_as_one_of_5(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with told_people() as told:
        with running(data, **told.settings) as instance:
            log = Log(instance)
            assert len(folded(instance)["partitions"]) == 16
            known_at, as_of = moment(), moment(ahead_s=90)
            before = Picture(instance, as_of, known_at)
            assert sum(score["n"] for score in before.scores.values()) > 400
            assert sum(score["excluded"].get("erased", 0) for score in before.scores.values()) > 10
            raised = set(before.cases)
            assert len(raised) > 20
            touched = [case_id for case_id, (state, _, _) in sorted(before.cases.items()) if state == "open"][:3]
            acted(instance, touched)
            before, history = Picture(instance, as_of, known_at), histories(instance, touched)
            assert [case["state"] for case in history] == ["acknowledged", "resolved", "open"]
            kinds = [[event["kind"] for event in case["history"] if event["actor"] == "ane"] for case in history]
            assert kinds == [[f"followup.{event}" for _, _, event in acts] for acts in ACTS]
            assert history[0]["history"][-2]["note"] == "Rang twice, nobody there."
            wait_for(lambda: not deliveries(instance, "pending"), 60, "every alert to be delivered")
            messages = dict(told.messages)
            assert messages
            stored = corrected(instance)
            assert stored[0] > 20

        refused = pulse("repartition", "--partitions", "5", "--generation", "1", "--data", str(data))
        assert refused.returncode == Exit.USAGE
        done = pulse("repartition", "--partitions", "5", "--data", str(data), "--json", timeout_s=240)
        assert done.returncode == 0, done.stderr + done.stdout
        said = json.loads(done.stdout)
        assert said["ok"]
        assert said["settings"] == SECOND
        assert said["answers"]["old"] == said["answers"]["new"] > 300
        assert said["copied"]["commands"] == 2
        assert {team["team"] for team in said["teams"]} == set(TEAMS)
        again = pulse("repartition", "--partitions", "5", "--data", str(data))
        assert again.returncode == Exit.USAGE
        assert "whole already" in again.stderr
        assert pulse("repartition", "--undo", "--data", str(data)).returncode == Exit.USAGE

        left_behind = pulse("up", "--data", str(data), "--port-base", "0")
        assert left_behind.returncode == 1
        assert "PULSE_GENERATION=2" in left_behind.stderr

        with running(data, **told.settings, **SECOND) as instance:
            position = folded(instance)
            assert (position["generation"], len(position["partitions"])) == (2, 5)
            after = Picture(instance, as_of, known_at)
            assert after.scores == before.scores
            assert after.cases == before.cases
            assert histories(instance, touched) == history
            acted(instance, touched)  # clients that had no reply send it all again
            assert histories(instance, touched) == history
            assert corrected(instance) == stored
            assert asked(instance, "query", "/v1/windows", "read")["windows"] == LIVE
            # Everything that was told before has come by again, and nobody was told again.
            wait_for(lambda: in_own_loop(heard_all(instance)), 60, "alerts to have heard everything")
            wait_for(lambda: not deliveries(instance, "pending"), 60, "every alert to be looked at")
            assert dict(told.messages) == messages

            new = {"team": TEAMS[0], "score": 1, "response_id": str(UUID(int=9)), "respondent": {"id": "somebody new"}}
            n = total(instance)
            log.post(instance, [*log.erased, *log.answers[1:3], new])
            folded(instance)
            assert total(instance) == n + 1
            wait_for(lambda: len(told.messages) == len(messages) + 1, 60, "the new case to be told")
            assert set(told.messages.values()) == {1}
            now = {name: value for name, value in Picture(instance, as_of, known_at).cases.items() if name in raised}
            assert now == before.cases
            # A case that somebody began to work on before goes on after, from where it was.
            open_one = history[0]
            act(instance, open_one["case_id"], 9, "resolve", {"cause": "nobody called back"})
            folded(instance)
            (ended,) = histories(instance, touched[:1])
            assert (ended["state"], ended["n"], ended["cause"]) == ("resolved", open_one["n"] + 1, "nobody called back")
            assert ended["history"][:-1] == open_one["history"]
        stayed = pulse("replay", "--verify", "--data", str(data), more=SECOND)
        assert stayed.returncode == 0, stayed.stderr + stayed.stdout
        dropped = pulse("repartition", "--drop-old", "--data", str(data), "--json", more=SECOND)
        assert len(json.loads(dropped.stdout)["deleted"]) == len(topics.TOPICS), dropped.stderr


async def heard_all(instance: Instance) -> bool:
    """Whether alerts have stored every event of the second generation, of which there must be some."""
    tps = [TopicPartition("followups.v1.g2", number) for number in range(5)]
    consumer = AIOKafkaConsumer(
        bootstrap_servers=instance.ready["kafka"], group_id="pulse-alerts.g2", enable_auto_commit=False
    )
    await consumer.start()
    try:
        ends = await consumer.end_offsets(tps)
        return sum(ends.values()) > 0 and all([(await consumer.committed(tp) or 0) >= ends[tp] for tp in tps])
    finally:
        await consumer.stop()


def corrected(instance: Instance) -> tuple[int, int]:
    """How many corrections and rejects the tables hold."""
    client = get_client(dsn=instance.ready["clickhouse"], autogenerate_session_id=False)
    try:
        counts = [client.query(f"SELECT count() FROM {name} FINAL").result_rows for name in ("corrections", "rejects")]
    finally:
        client.close()
    return counts[0][0][0], counts[1][0][0]


def deliveries(instance: Instance, state: str) -> list[Any]:
    found: list[Any] = asked(instance, "alerts", f"/v1/deliveries?state={state}", "read")["deliveries"]
    return found


def total(instance: Instance) -> int:
    return int(asked(instance, "query", "/v1/score?window=90d", "read")["n"])
