"""Who may write: keys, the public widget key with its origins and rate, and what browsers ask before they post."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Iterable
from typing import Final
from urllib.parse import parse_qs, urlsplit

import limits
import msgspec
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from services.common.keys import Keyring
from services.common.problems import Forbidden, TooMany, Unauthorized

Headers = dict[bytes, bytes]  # names in lower case; the last of a repeated header
Pairs = list[tuple[bytes, bytes]]


class Caller(msgspec.Struct, frozen=True, gc=False):
    """What a key's holder may do. `history`: answers older than the horizon. `widget`: a public key in a browser."""

    history: bool = False
    widget: bool = False


WRITER: Final = Caller()
IMPORTER: Final = Caller(history=True)
WIDGET: Final = Caller(widget=True)


class Access:
    """Decides on a request by its headers alone, before its body is read.

    `origins` may post with the widget key; a page of this very server always may. `rate` is what one client address
    may post with it, such as `60/minute`.
    """

    def __init__(self, keys: Keyring, origins: Iterable[str], rate: str) -> None:
        self._keys = keys
        self._origins = frozenset(origin.rstrip("/").lower().encode() for origin in origins)
        self._rate = limits.parse(rate)
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def caller(self, headers: Headers, query: bytes, client: str) -> Caller:
        """Who asks.

        Raises:  Unauthorized without one of our keys; Forbidden when it may not write, or not from this origin;
                 TooMany when this address has used up the widget's rate.
        """
        authorization = headers.get(b"authorization")
        in_address = None
        if authorization is None and query:
            in_address = parse_qs(query).get(b"key", [None])[0]
            authorization = None if in_address is None else b"Bearer " + in_address
        rights = self._keys.rights(authorization)
        if rights is None:
            raise Unauthorized("send Authorization: Bearer and a write key")
        if "widget" in rights:
            self._widget(headers, client)
            return WIDGET
        if in_address is not None:
            raise Forbidden("only a widget key may stand in an address; send this one as Authorization: Bearer")
        if "write" not in rights:
            raise Forbidden("this key may not write answers")
        return IMPORTER if "import" in rights else WRITER

    def _widget(self, headers: Headers, client: str) -> None:
        if self.allowed_origin(headers) is None:
            raise Forbidden("the widget key may be used from the web origins it was made for, and this is none of them")
        address = network(client)
        if not self._limiter.hit(self._rate, "widget", address):
            resets_at = self._limiter.get_window_stats(self._rate, "widget", address).reset_time
            raise TooMany("too many answers from this address", retry_after_s=max(1, round(resets_at - time.time())))

    def allowed_origin(self, headers: Headers) -> bytes | None:
        """The request's `Origin` if a widget may run there; None without one or for any other."""
        origin = headers.get(b"origin")
        if origin is None:
            return None
        if origin.lower() in self._origins:
            return origin
        own = urlsplit(origin).netloc
        return origin if own and own.lower() == headers.get(b"host", b"").lower() else None

    def cors(self, headers: Headers) -> Pairs:
        """What lets a page of an allowed origin read the response; nothing for anyone else."""
        origin = self.allowed_origin(headers)
        if origin is None:
            return []
        return [
            (b"access-control-allow-origin", origin),
            (b"access-control-expose-headers", b"retry-after"),
            (b"vary", b"origin"),
        ]

    def preflight(self, headers: Headers) -> Pairs:
        """What a browser is told before it posts, beside `cors`. Raises Forbidden for an origin that may not post."""
        if self.allowed_origin(headers) is None:
            raise Forbidden("answers may not be posted from this web origin")
        return [
            (b"access-control-allow-methods", b"POST"),
            (b"access-control-allow-headers", b"authorization, content-type, idempotency-key"),
            (b"access-control-max-age", b"600"),
        ]


def network(client: str) -> str:
    """What counts as one client: an IPv4 address, or the /64 an IPv6 address lies in, which one host has to itself."""
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return client
    if address.version == 4:
        return client
    return str(ipaddress.ip_network((address, 64), strict=False))
