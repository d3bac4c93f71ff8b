"""HTTP for the commands: one session to one service; every failure becomes a `Fail` with what to do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import msgspec

from services.cli.codes import Exit, Fail
from services.cli.instance import Door

TIMEOUT_S: Final = 30.0
SILENCE_S: Final = 60.0  # a live stream says something every 15 s


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One server-sent event, its data decoded."""

    name: str
    id: str | None
    data: Any


class Client:
    """A session with one service: `async with Client(door) as client`."""

    def __init__(self, door: Door, *, connections: int = 4) -> None:
        self.door = door
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {self.door.key}", "User-Agent": "pulse-cli"},
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S, sock_connect=5),
            connector=aiohttp.TCPConnector(limit=self._connections),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """The open session."""
        if self._session is None:
            raise RuntimeError("the client is not open")
        return self._session

    async def get(self, path: str, params: Mapping[str, str] | Sequence[tuple[str, str]] | None = None) -> Any:
        """The JSON body of a 200. Raises Fail for anything else."""
        return await self._ask("GET", path, params=params or {})

    async def send(self, method: str, path: str, document: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        """The JSON body of a 200, 201 or 202 to a request with a JSON body, if any. Raises Fail for anything else."""
        if document is None:
            return await self._ask(method, path)
        more = {"Content-Type": "application/json", **(headers or {})}
        return await self._ask(method, path, data=msgspec.json.encode(document), headers=more)

    async def _ask(self, method: str, path: str, **more: Any) -> Any:
        try:
            async with self.session.request(method, self.door.url + path, **more) as response:
                body = await response.read()
                if response.status not in (200, 201, 202):
                    raise refused(self.door.url, response.status, body)
                return msgspec.json.decode(body)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise unreachable(self.door, error) from None
        except msgspec.DecodeError:
            raise Fail(
                Exit.UNREACHABLE, f"{self.door.url}{path} is not a Pulse service: its answer is not JSON"
            ) from None

    async def reach(self) -> None:
        """Return when the service answers at all, whatever it says. Raises Fail."""
        try:
            async with self.session.get(f"{self.door.url}/livez") as response:
                await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise unreachable(self.door, error) from None

    async def events(
        self, path: str, params: Mapping[str, str] | None = None, last_id: str | None = None
    ) -> AsyncIterator[ServerEvent]:
        """A server-sent event stream, until the server ends it; `last_id` goes on where an earlier one broke off."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=SILENCE_S)
        headers = {} if last_id is None else {"Last-Event-ID": last_id}
        try:
            async with self.session.get(
                self.door.url + path, params=params or {}, headers=headers, timeout=timeout
            ) as response:
                if response.status != 200:
                    raise refused(self.door.url, response.status, await response.read())
                name, event_id, data = "message", None, list[str]()
                async for raw in response.content:
                    line = raw.decode().rstrip("\r\n")
                    field, _, value = line.partition(":")
                    value = value.removeprefix(" ")
                    if field == "event":
                        name = value
                    elif field == "id":
                        event_id = value
                    elif field == "data":
                        data.append(value)
                    elif not line:
                        if data:
                            yield ServerEvent(name, event_id, msgspec.json.decode("\n".join(data)))
                        name, event_id, data = "message", None, []
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise unreachable(self.door, error) from None


def unreachable(door: Door, error: BaseException) -> Fail:
    """The failure for a service that did not answer."""
    if isinstance(error, TimeoutError):
        return Fail(Exit.NOT_READY, f"{door.url} did not answer in time; `pulse doctor` says what is wrong")
    if door.data is None:
        return Fail(Exit.UNREACHABLE, f"{door.url} does not answer ({type(error).__name__}); is the address right?")
    return Fail(
        Exit.UNREACHABLE,
        f"the instance in {door.data} does not answer at {door.url}; `pulse up --data {door.data}` starts it, "
        f"`pulse doctor --data {door.data}` says what is wrong",
    )


def refused(url: str, status: int, body: bytes) -> Fail:
    """The failure for an answer that is no success; its problem body says why."""
    detail = problem_text(body)
    if status in (401, 403):
        return Fail(Exit.USAGE, f"{url} refused the key ({detail}); give another with --key")
    if status == 404:
        return Fail(Exit.NOT_FOUND, detail)
    if status in (429, 503):
        return Fail(Exit.NOT_READY, f"{url} cannot do that right now: {detail}")
    if 400 <= status < 500:
        return Fail(Exit.USAGE, detail)
    return Fail(Exit.FAILED, f"{url} answered {status}: {detail}")


class _Problem(msgspec.Struct):
    title: str = ""
    detail: str = ""
    errors: list[dict[str, str]] = []


def problem_text(body: bytes) -> str:
    """The readable part of a problem body, one line; the body's beginning when it is none."""
    try:
        problem = msgspec.json.decode(body, type=_Problem)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return body[:200].decode(errors="replace").strip().replace("\n", " ") or "no reason given"
    fields = "; ".join(f"{error.get('path', '?')}: {error.get('message', '?')}" for error in problem.errors)
    return fields or problem.detail or problem.title or "no reason given"
