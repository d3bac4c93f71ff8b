"""Reading a request's body: its type, its size while it arrives, and in time."""

from __future__ import annotations

import asyncio
from collections.abc import Container
from typing import Any, Final

from services.common.problems import TooLarge, TooSlow, UnsupportedMedia
from services.ingest.access import Headers

JSON: Final = b"application/json"
NDJSON: Final = b"application/x-ndjson"
SINGLE_LIMIT: Final = 64 * 1024
BATCH_LIMIT: Final = 1024 * 1024
SLOW_S: Final = 20.0


class Gone(Exception):
    """The client went away before its body was complete: there is nobody to answer."""


def media_type(headers: Headers, understood: Container[bytes]) -> bytes:
    """The body's type, one of `understood`.

    Raises:  UnsupportedMedia for another type, another character set than UTF-8, or any content encoding: bodies
             are small, and an unpacked one could be a thousand times its size.
    """
    content_type = headers.get(b"content-type", b"")
    if content_type != JSON:
        essence, *parameters = [part.strip().lower() for part in content_type.split(b";")]
        charset = next((value for name, _, value in (p.partition(b"=") for p in parameters) if name == b"charset"), b"")
        if essence not in understood:
            raise UnsupportedMedia("send Content-Type: application/json, or application/x-ndjson for a batch")
        if charset.strip(b'" ') not in (b"", b"utf-8", b"utf8"):
            raise UnsupportedMedia("only UTF-8 is understood")
        content_type = essence
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise UnsupportedMedia("send the body without Content-Encoding")
    return content_type


async def read_body(receive: Any, headers: Headers, limit: int) -> bytes:
    """The whole body. `receive` is ASGI's.

    Raises:  TooLarge past `limit` bytes, whatever the headers say, with the rest unread (the server throws it away);
             TooSlow when it does not arrive in time; Gone.
    """
    announced = headers.get(b"content-length", b"")
    if announced.isdigit() and (len(announced) > 18 or int(announced) > limit):
        raise _too_large(limit)
    try:
        async with asyncio.timeout(SLOW_S):
            message = await receive()
            body: bytes = message.get("body", b"")
            while message.get("more_body", False) and len(body) <= limit:
                message = await receive()
                body += message.get("body", b"")
    except TimeoutError:
        raise TooSlow(f"a body must arrive within {SLOW_S:.0f} seconds") from None
    if message["type"] == "http.disconnect":
        raise Gone
    if len(body) > limit:
        raise _too_large(limit)
    return body


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"a body may have at most {limit} bytes")
