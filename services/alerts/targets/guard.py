"""The guard of every outgoing connection: the check stands where the socket is made.

aiohttp and the mail channel both ask `Guard.opened` for the socket of the very address they connect to next. So no
spelling of an address, no answer of a name server that changes between check and use, and no redirect gets around it.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import Any, Final

import aiohttp

from services.alerts.targets.addresses import Allowed

AddressInfo = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[Any, ...]]

_CONNECT_S: Final = 10.0


class AddressRefused(OSError):
    """The target is on an address that alerts may not go to."""

    def __init__(self) -> None:
        super().__init__(errno.EPERM, "address not allowed")


def refused(error: BaseException | None) -> bool:
    """Whether a failed connection failed because of the guard, for at least one of the target's addresses."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        inner = getattr(error, "os_error", None)
        if any(isinstance(one, AddressRefused) or "address not allowed" in str(one) for one in (error, inner)):
            return True
        error = error.__cause__ or error.__context__
    return False


class Guard:
    """The guard of one target on `host`."""

    def __init__(self, host: str, allowed: Allowed) -> None:
        self._host = host
        self._allowed = allowed

    def opened(self, info: AddressInfo) -> socket.socket:
        """A socket for exactly this address. Raises AddressRefused."""
        family, kind, protocol, _, address = info
        if not self._allowed.has(self._host, str(address[0])):
            raise AddressRefused
        return socket.socket(family=family, type=kind, proto=protocol)

    def session(self) -> aiohttp.ClientSession:
        """A session whose connections all pass the guard; the caller closes it. No proxy, no cookies."""
        return aiohttp.ClientSession(
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            connector=aiohttp.TCPConnector(limit=0, socket_factory=self.opened),
            trust_env=False,
        )

    async def connected(self, port: int) -> socket.socket:
        """A connected socket, non-blocking: the name is resolved once, the first address that answers is taken.

        Raises AddressRefused if no address is allowed; socket.gaierror, OSError, TimeoutError.
        """
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(self._host, port, type=socket.SOCK_STREAM)
        failure: OSError = AddressRefused()
        for family, kind, protocol, name, address in found:
            try:
                made = self.opened((family, kind, protocol, name, address))
            except AddressRefused:
                continue
            made.setblocking(False)
            try:
                async with asyncio.timeout(_CONNECT_S):
                    await loop.sock_connect(made, address)
            except OSError as error:  # TimeoutError is one
                made.close()
                failure = error
            except BaseException:
                made.close()
                raise
            else:
                return made
        raise failure
