"""A query service of fixed answers, and a way to run commands against it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from aiokafka.consumer import fetcher
from typer.main import get_command
from typer.testing import CliRunner, Result

from services.cli import app

COMMAND = get_command(app)  # made once: typer makes it anew for every run
Answer = tuple[int, bytes]


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Commands that read the log change how this process reads (`stream.fetched`): the next test finds it whole."""
    before = fetcher.PartitionRecords
    yield
    fetcher.PartitionRecords = before


@dataclass
class FakeService:
    """Answers by path, `POST /path` where it is no GET; `asked` is every GET as (path, query, Authorization).

    `sent` is every other request as (method and path, Authorization, body).
    """

    url: str = ""
    answers: dict[str, Callable[[dict[str, str]], Answer]] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str], str | None]] = field(default_factory=list)
    sent: list[tuple[str, str | None, Any]] = field(default_factory=list)

    def answer(self, path: str, query: dict[str, str]) -> Answer:
        return self.answers[path](query) if path in self.answers else (404, b'{"detail": "there is no such thing"}')

    def says(self, path: str, document: Any, status: int = 200) -> None:
        self.answers[path] = lambda _: (status, json.dumps(document).encode())


@pytest.fixture
def service() -> Iterator[FakeService]:
    fake = FakeService()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            fake.asked.append((parts.path, query, self.headers.get("Authorization")))
            self.reply(*fake.answer(parts.path, query))

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            what = f"{self.command} {self.path}"
            fake.sent.append((what, self.headers.get("Authorization"), json.loads(raw) if raw else None))
            self.reply(*fake.answer(what, {}))

        def do_DELETE(self) -> None:
            self.do_POST()

        def do_PUT(self) -> None:
            self.do_POST()

        def reply(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Silence."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    fake.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield fake
    server.shutdown()
    thread.join()
    server.server_close()


Pulse = Callable[..., Result]


@pytest.fixture
def pulse(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Pulse:
    """Run `pulse` with arguments, in an empty folder and with no variable of ours set; `env` adds some.

    `input`: what is typed.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("typer.testing._get_command", lambda _: COMMAND)

    def run(*arguments: str, env: dict[str, str] | None = None, input: str | None = None) -> Result:
        result = CliRunner().invoke(app, [*arguments], env=env, input=input)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture
def data(tmp_path: Path, service: FakeService) -> Path:
    """The data folder of an instance all of whose doors are the fake service."""
    doors = dict.fromkeys(("ingest", "query", "alerts", "clickhouse"), service.url)
    keys = {kind: f"{kind}-key" for kind in ("write", "read", "import", "admin", "widget")}
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "client.json").write_text(
        json.dumps({**doors, "kafka": "127.0.0.1:1", "keys": keys, "pid": None, "pids": {}})
    )
    (folder / "client.json").chmod(0o600)
    return folder
