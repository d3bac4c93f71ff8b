"""What people do where they are told reaches the case: a link of a message, PagerDuty's webhook, and both in an outage.

The whole line: an answer goes in at the door, a message arrives at a receiver, what its reader does goes to the log,
and the case changes where everybody looks.
"""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from deploy.local.ports import free_base, ports_of
from schemas.topics import FEEDBACK, PARTITIONS
from tests.e2e.instances import Instance, running
from tests.engines import in_own_loop, wait_for
from tests.unit.alerts.pagerduty_in import acknowledged, signature

pytestmark = [pytest.mark.real, pytest.mark.timeout(400)]

SECRET = "what PagerDuty signs with"
TEAM = "front-desk"  # one team, so one partition: what came earlier in the log is done when what came later is
WITHIN_S = 30.0
CONFIG = """
[targets.chat]
kind = "slack"
url = "{url}/slack"
group_interval = "0s"

[targets.pager]
kind = "pagerduty"
routing_key = "0123456789abcdef0123456789abcdef"
webhook_secret = "{secret}"
url = "{url}/pagerduty"
group_interval = "0s"
"""


@dataclass(slots=True)
class Receiver:
    """The other end of both targets, as far as they are taken: what came, by path."""

    url: str = ""
    came: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {"/slack": [], "/pagerduty": []})

    def links(self, case_id: str) -> dict[str, str]:
        """The buttons of the message about a case: label → address. Empty until it is here."""
        for message in self.came["/slack"]:
            if case_id in json.dumps(message):
                buttons = [one for block in message["blocks"] for one in block.get("elements", []) if "url" in one]
                return {button["text"]["text"]: button["url"] for button in buttons}
        return {}

    def key(self, case_id: str) -> str:
        """The dedup_key of the incident of a case; empty until it was triggered."""
        triggers = [event for event in self.came["/pagerduty"] if event["event_action"] == "trigger"]
        return next((str(one["dedup_key"]) for one in triggers if case_id in json.dumps(one["payload"])), "")


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver on a free port for the length of the block."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.came[self.path].append(json.loads(body))
            self.send_response(202 if self.path == "/pagerduty" else 200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing: the tests say what came."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver.url = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()


@dataclass(frozen=True, slots=True)
class Line:
    """An instance and who is told by it."""

    instance: Instance
    receiver: Receiver

    def ask(
        self, method: str, url: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, str, dict[str, str]]:
        """Status, text and headers of an answer."""
        address = urlsplit(url)
        connection = HTTPConnection(address.netloc, timeout=20)
        try:
            connection.request(method, url.removeprefix(f"http://{address.netloc}"), body, headers or {})
            reply = connection.getresponse()
            return reply.status, reply.read().decode(), {name.lower(): text for name, text in reply.getheaders()}
        finally:
            connection.close()

    def api(
        self, service: str, path: str, kind: str, body: Any = None, **headers: str
    ) -> tuple[int, dict[str, Any], dict[str, str]]:
        """Status, document and headers of a service's answer to the holder of a key."""
        headers |= {"Authorization": f"Bearer {self.instance.ready['keys'][kind]}", "Content-Type": "application/json"}
        raw = None if body is None else json.dumps(body).encode()
        status, text, more = self.ask("POST" if raw else "GET", self.instance.ready[service] + path, raw, headers)
        return status, json.loads(text), more

    def detractor(self) -> str:
        """Post an answer that nobody is happy with; its case's id, once its messages are at the receiver."""
        answer = {"team": TEAM, "score": 2, "comment": "Nobody called me back."}
        status, told, _ = self.api("ingest", "/v1/responses", "write", answer)
        assert status == 202

        def of() -> str:
            _, found, _ = self.api("query", f"/v1/followups?team={TEAM}&limit=100", "read")
            return next((one["case_id"] for one in found["items"] if told["response_id"] in json.dumps(one)), "")

        wait_for(lambda: bool(of()), WITHIN_S, "the case")
        case_id = of()
        wait_for(lambda: bool(self.receiver.links(case_id) and self.receiver.key(case_id)), WITHIN_S, "the messages")
        return case_id

    def case(self, case_id: str) -> dict[str, Any]:
        status, found, _ = self.api("query", f"/v1/followups/{case_id}", "read")
        assert status == 200
        return found

    def is_in(self, case_id: str, state: str) -> None:
        """Wait until the query API says that a case is in a state."""
        wait_for(lambda: bool(self.case(case_id)["state"] == state), WITHIN_S, f"{state} on the query API")

    def act(self, case_id: str, kind: str, key: str = "", **fields: str) -> tuple[int, dict[str, str]]:
        """Do something over the API; status and headers."""
        headers = {"Idempotency-Key": key} if key else {}
        path = f"/v1/followups/{case_id}/{kind}"
        status, _, more = self.api("query", path, "read", {"actor": "kim"} | fields, **headers)
        return status, more

    def press(self, link: str, who: str = "Bo Lind") -> tuple[int, str, dict[str, str]]:
        """The button of a link's page."""
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return self.ask("POST", link, urlencode({"who": who}).encode(), headers)

    def pagerduty(self, raw: bytes, header: str | None = None) -> tuple[int, dict[str, str]]:
        """Deliver a webhook, signed as PagerDuty does unless a header is given; status and headers."""
        headers = {"X-PagerDuty-Signature": signature(raw, SECRET) if header is None else header}
        status, _, more = self.ask("POST", self.instance.ready["alerts"] + "/v1/pagerduty/pager", raw, headers)
        return status, more

    def acts(self) -> Counter[tuple[str, str]]:
        """(case, kind) → how many records of the log ask for it."""
        return in_own_loop(_acts(self.instance.ready["kafka"]))


async def _acts(kafka: str) -> Counter[tuple[str, str]]:
    partitions = [TopicPartition(FEEDBACK, number) for number in range(PARTITIONS)]
    found: Counter[tuple[str, str]] = Counter()
    async with _reading(kafka, partitions) as consumer:
        ends = await consumer.end_offsets(partitions)
        while any([await consumer.position(partition) < end for partition, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                known = [json.loads(record.value) for record in records]
                found.update((one["case_id"], one["kind"]) for one in known if one["type"] == "act")
    return found


@asynccontextmanager
async def _reading(kafka: str, partitions: list[TopicPartition]) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False, auto_offset_reset="earliest")
    await consumer.start()
    consumer.assign(partitions)
    await consumer.seek_to_beginning()
    try:
        yield consumer
    finally:
        await consumer.stop()


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    folder = tmp_path_factory.mktemp("coming-back")
    base = free_base()
    with receiving() as receiver:
        config = folder / "targets.toml"
        config.write_text(CONFIG.format(url=receiver.url, secret=SECRET))
        variables = {
            "PULSE_ALERTS_CONFIG": str(config),
            "PULSE_ALERTS_ALLOW": '["127.0.0.1"]',
            "PULSE_ALERTS_PUBLIC_URL": f"http://127.0.0.1:{ports_of(base, 1)['alerts']}",
        }
        with running(folder / "data", base, **variables) as instance:
            yield Line(instance, receiver)


def test_a_link_that_is_opened_changes_nothing_and_its_button_takes_the_case_once(line: Line) -> None:
    looked_at, taken = line.detractor(), line.detractor()
    link = line.receiver.links(looked_at)["I’ve got it"]
    for method in ("GET", "HEAD", "GET"):  # a scanner, a preview, a person
        status, page, _ = line.ask(method, link)
        assert status == (405 if method == "HEAD" else 200)
        assert method == "HEAD" or "Nobody called me back." in page
    status, page, _ = line.press(line.receiver.links(taken)["I’ve got it"])
    assert (status, "is on record" in page) == (200, True)
    line.is_in(taken, "acknowledged")
    assert line.case(taken)["owner"] == "Bo Lind"
    assert (line.case(looked_at)["state"], line.case(looked_at)["n"]) == ("open", 1)

    token = urlsplit(link).path.removeprefix("/t/")
    swapped = link.replace(token, token[:10] + ("A" if token[10] != "A" else "B") + token[11:])
    for forged in (swapped, link[:-1], link + "A"):
        assert line.ask("GET", forged)[0] == 404
        assert line.press(forged)[0] == 404
    assert line.press(link)[0] == 200
    line.is_in(looked_at, "acknowledged")

    # Opened again by somebody else: the old message says nothing about that.
    assert line.act(looked_at, "reopen")[0] == 409  # it is not closed
    assert line.act(looked_at, "resolve", cause="price")[0] == 200
    assert line.act(looked_at, "reopen")[0] == 200
    assert line.press(link)[0] == 200  # it was done, and is said to be
    assert line.acts()[looked_at, "acknowledge"] == 1
    line.is_in(looked_at, "open")


def test_an_incident_acknowledged_in_pagerduty_is_a_case_acknowledged_here_and_no_forgery_is(line: Line) -> None:
    case_id = line.detractor()
    key = line.receiver.key(case_id)
    genuine = acknowledged(key, "01GENUINE")
    forgeries = [
        (acknowledged(key, "01FORGED"), signature(b"another body", SECRET), 401),
        (acknowledged(key, "01FORGED"), signature(acknowledged(key, "01FORGED"), "another secret"), 401),
        (acknowledged(key, "01FORGED"), "", 401),
        (acknowledged(key, "01OLD", timedelta(hours=49)), None, 202),
        (acknowledged(key, "01AHEAD", -timedelta(hours=1)), None, 202),
        (acknowledged(key, "01OTHER", event_type="incident.escalated"), None, 202),
    ]
    for raw, header, status in forgeries:
        assert line.pagerduty(raw, header)[0] == status
    assert line.acts()[case_id, "acknowledge"] == 0
    assert line.case(case_id)["state"] == "open"

    assert line.pagerduty(genuine)[0] == 202
    line.is_in(case_id, "acknowledged")
    assert line.case(case_id)["owner"] == "Bo Lind"

    assert line.act(case_id, "resolve", cause="price")[0] == 200
    assert line.act(case_id, "reopen")[0] == 200
    line.is_in(case_id, "open")
    assert line.pagerduty(genuine)[0] == 202  # a replay
    assert line.acts()[case_id, "acknowledge"] == 1
    assert line.case(case_id)["state"] == "open"


def test_what_is_done_while_the_log_is_away_is_refused_and_counts_once_when_it_is_done_again(line: Line) -> None:
    over_api, by_link, in_pagerduty = (line.detractor() for _ in range(3))
    link = line.receiver.links(by_link)["I’ve got it"]
    webhook = acknowledged(line.receiver.key(in_pagerduty), "01OUTAGE")

    def everybody() -> list[tuple[int, dict[str, str]]]:
        with ThreadPoolExecutor(3) as people:
            first = people.submit(line.act, over_api, "acknowledge", "key-of-mine")
            second = people.submit(line.press, link)
            third = people.submit(line.pagerduty, webhook)
            status, _, headers = second.result()
            return [first.result(), (status, headers), third.result()]

    kafka = json.loads((line.instance.data / "client.json").read_text())["pids"]["kafka"]
    os.kill(kafka, signal.SIGSTOP)
    try:
        refused = everybody()
    finally:
        os.kill(kafka, signal.SIGCONT)
    assert [status for status, _ in refused] == [503, 503, 503]
    assert all(int(headers["retry-after"]) >= 1 for _, headers in refused)

    done = everybody()
    assert [status for status, _ in done] == [200, 200, 202]
    for case_id in (over_api, by_link, in_pagerduty):
        line.is_in(case_id, "acknowledged")
        # Whatever reached the log of the first attempt, the case was acknowledged once.
        assert 1 <= line.acts()[case_id, "acknowledge"] <= 2
        kinds = [event["kind"] for event in line.case(case_id)["history"]]
        assert kinds.count("followup.acknowledged") == 1
        assert line.case(case_id)["n"] == 2
