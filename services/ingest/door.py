"""The two hot addresses, as bare ASGI in front of the FastAPI app.

A request passes, in this order: its key, the room left (429), its type and size, its fields, the log. Whatever a
client sent ends in a named problem; a 2xx is sent only for what the log holds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, Final

import msgspec
import structlog

from schemas.responses import Accepted, BatchItem, BatchResult, FieldError
from services.common.clock import wall_clock_ms
from services.common.http import PROBLEM_JSON
from services.common.problems import (
    Forbidden,
    Invalid,
    NotJson,
    Problem,
    TooLarge,
    TooMany,
    Unavailable,
    WrongMethod,
)
from services.ingest import metrics, strict
from services.ingest.access import Access, Caller, Headers, Pairs
from services.ingest.body import BATCH_LIMIT, JSON, NDJSON, SINGLE_LIMIT, Gone, media_type, read_body
from services.ingest.port import NotHeld, Outgoing, Publisher
from services.ingest.reader import Reader

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Reply = tuple[int, bytes]

SINGLE_PATH: Final = "/v1/responses"
BATCH_PATH: Final = "/v1/responses/batch"
BATCH_ITEMS: Final = 1_000
MAX_KEY_LENGTH: Final = 255
RETRY_AFTER_S: Final = 1
NO_CONTENT: Final = 204
_TURN: Final = 64  # items of a batch that are read before other requests get their turn

log = structlog.get_logger()
_encode = msgspec.json.Encoder().encode
_split = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Door:
    """The ASGI app of the service: answers the hot addresses, and hands everything else to `pages`."""

    def __init__(
        self,
        pages: App,
        publisher: Publisher,
        reader: Reader,
        access: Access,
        max_in_flight: int,
        now_ms: Callable[[], int] = wall_clock_ms,
    ) -> None:
        self._pages = pages
        self._publisher = publisher
        self._reader = reader
        self._access = access
        self._max_in_flight = max_in_flight
        self._now_ms = now_ms
        self._in_flight = 0
        metrics.IN_FLIGHT.set_function(lambda: self._in_flight)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] not in (SINGLE_PATH, BATCH_PATH):
            await self._pages(scope, receive, send)
            return
        headers: Headers = dict(scope["headers"])
        status, body, more = await self._outcome(scope, headers, receive)
        if status == 0:
            return
        if b"origin" in headers:
            more += self._access.cors(headers)
        if status != NO_CONTENT:
            more.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": status, "headers": more})
        await send({"type": "http.response.body", "body": body})

    async def _outcome(self, scope: Scope, headers: Headers, receive: Receive) -> tuple[int, bytes, Pairs]:
        """Status, body and headers of the response; status 0 when the client is gone."""
        single = scope["path"] == SINGLE_PATH
        try:
            if scope["method"] != "POST":
                return self._other_method(scope["method"], headers, single=single)
            client = scope["client"][0] if scope.get("client") else ""
            caller = self._access.caller(headers, scope["query_string"], client)
            if self._in_flight >= self._max_in_flight:
                raise TooMany("too many answers are waiting for the log", retry_after_s=RETRY_AFTER_S)
            handle = self._single if single else self._batch
            status, body = await handle(headers, receive, caller)
        except Problem as problem:
            metrics.PROBLEMS.labels(problem.code).inc()
            return _problem(problem)
        except Gone:
            return 0, b"", []
        except Exception as error:
            log.exception("unexpected_error", error=type(error).__name__)
            return _problem(Problem("an error of ours; it has been logged"))
        return status, body, [(b"content-type", JSON)]

    async def _single(self, headers: Headers, receive: Receive, caller: Caller) -> Reply:
        media_type(headers, (JSON,))
        raw = await read_body(receive, headers, SINGLE_LIMIT)
        try:
            outgoing = self._reader.read(raw, caller, self._now_ms(), _idempotency_key(headers))
        except Invalid:
            metrics.REJECTED.inc()
            raise
        refusal = self._publisher.refusal()
        if refusal is not None:
            raise _send_again(refusal, outgoing)
        self._in_flight += 1
        began = time.perf_counter()
        try:
            receipt = await self._publisher.publish(outgoing)
        except NotHeld as not_held:
            raise _send_again(not_held.reason, outgoing) from None
        finally:
            self._in_flight -= 1
        metrics.PUBLISH_SECONDS.observe(time.perf_counter() - began)
        metrics.ACCEPTED.inc()
        return 202, _encode(Accepted(outgoing.response_id, receipt))

    async def _batch(self, headers: Headers, receive: Receive, caller: Caller) -> Reply:
        if caller.widget:
            raise Forbidden("a widget key may post single answers only")
        kind = media_type(headers, (JSON, NDJSON))
        raw = await read_body(receive, headers, BATCH_LIMIT)
        lines: Sequence[bytes | msgspec.Raw] = _lines(raw) if kind == NDJSON else _elements(raw)
        if len(lines) > BATCH_ITEMS:
            raise TooLarge(f"a batch may have at most {BATCH_ITEMS} items, it has {len(lines)}")
        items: list[BatchItem] = []
        good: list[tuple[int, Outgoing]] = []
        key, now_ms = _idempotency_key(headers), self._now_ms()
        for index, line in enumerate(lines):
            if index % _TURN == _TURN - 1:
                await asyncio.sleep(0)
            try:
                if len(line) > SINGLE_LIMIT:
                    raise _item_too_large()
                outgoing = self._reader.read(bytes(line), caller, now_ms, key, index)
            except (Invalid, NotJson) as problem:
                items.append(BatchItem(index, "rejected", errors=_under(index, problem)))
            else:
                items.append(BatchItem(index, "retry", outgoing.response_id))
                good.append((index, outgoing))
        refusal = self._publisher.refusal()
        if good and refusal is None:
            await self._publish_all(good, items)
        result = BatchResult(items, *(sum(item.status == status for item in items) for status in _STATUSES))
        metrics.ACCEPTED.inc(result.accepted)
        metrics.REJECTED.inc(result.rejected)
        metrics.RETRY.inc(result.retry)
        if good and not result.accepted:
            raise Unavailable(
                refusal or "the log did not acknowledge any of the valid items; send them again with these ids",
                retry_after_s=RETRY_AFTER_S,
                items=items,
            )
        return 200, _encode(result)

    async def _publish_all(self, good: list[tuple[int, Outgoing]], items: list[BatchItem]) -> None:
        """Write the good ones, and note in `items` which are held."""
        self._in_flight += len(good)
        try:
            outcomes = await self._publisher.publish_all([outgoing for _, outgoing in good])
        finally:
            self._in_flight -= len(good)
        for (index, outgoing), outcome in zip(good, outcomes, strict=True):
            if not isinstance(outcome, NotHeld):
                items[index] = BatchItem(index, "accepted", outgoing.response_id, outcome)

    def _other_method(self, method: str, headers: Headers, *, single: bool) -> tuple[int, bytes, Pairs]:
        if method == "OPTIONS" and single and b"access-control-request-method" in headers:
            return NO_CONTENT, b"", self._access.preflight(headers)
        status, body, more = _problem(WrongMethod("answers are sent with POST"))
        return status, body, [*more, (b"allow", b"POST")]


_STATUSES: Final = ("accepted", "rejected", "retry")


def _problem(problem: Problem) -> tuple[int, bytes, Pairs]:
    more = [(name.lower().encode(), value.encode()) for name, value in problem.headers().items()]
    return problem.status, problem.body(), [(b"content-type", PROBLEM_JSON.encode()), *more]


def _send_again(reason: str, outgoing: Outgoing) -> Unavailable:
    metrics.RETRY.inc()
    return Unavailable(
        f"{reason}; send the answer again with this response_id",
        retry_after_s=RETRY_AFTER_S,
        response_id=outgoing.response_id,
    )


def _idempotency_key(headers: Headers) -> str | None:
    """The `Idempotency-Key`. Raises Invalid for one that is empty, too long or not visible ASCII."""
    key = headers.get(b"idempotency-key")
    if key is None:
        return None
    if not 1 <= len(key) <= MAX_KEY_LENGTH or not all(32 <= byte < 127 for byte in key):
        message = f"must be 1 to {MAX_KEY_LENGTH} ASCII characters"
        raise Invalid("the header is not valid", errors=[{"path": "Idempotency-Key", "message": message}])
    return key.decode("ascii")


def _lines(raw: bytes) -> list[bytes]:
    return [line for line in raw.split(b"\n") if line.strip()]


def _elements(raw: bytes) -> Sequence[bytes | msgspec.Raw]:
    """The elements of a JSON array, unread. Raises NotJson, or Invalid for anything but an array."""
    try:
        return _split(raw)
    except (ValueError, RecursionError):
        # Not an array, not JSON, or one element is written in a way that msgspec cannot even skip.
        found = strict.elements(raw)
    if found is None:
        message = "must be an array of answers; send newline-separated ones as application/x-ndjson"
        raise Invalid("not a batch", errors=[{"path": "$", "message": message}])
    return found


def _item_too_large() -> Invalid:
    return Invalid("", errors=[{"path": "$", "message": f"an answer may have at most {SINGLE_LIMIT} bytes"}])


def _under(index: int, problem: Problem) -> list[FieldError]:
    """An item's errors with the paths they have in the batch."""
    place = f"[{index}]"
    if problem.errors is None:
        return [FieldError(place, f"is not JSON: {problem.detail}")]
    return [
        FieldError(place if error["path"] == "$" else f"{place}.{error['path']}", error["message"])
        for error in problem.errors
    ]
