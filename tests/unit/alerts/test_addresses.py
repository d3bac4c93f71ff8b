"""Which addresses an alert may go to: a table of hostile targets, none of which is reached."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from typing import Any, Final

import pytest

from services.alerts.targets.addresses import Allowed, carried, is_public
from services.alerts.targets.guard import AddressRefused, Guard
from services.alerts.targets.posting import post

HOSTILE: Final = [
    "0.0.0.0",  # noqa: S104 # nobody listens here
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.0.1",
    "169.254.169.254",
    "169.254.170.2",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "192.168.255.255",
    "198.18.0.1",
    "198.51.100.7",
    "203.0.113.9",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:10.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:a9fe:a9fe::",
    "2620:0:0:1::5efe:127.0.0.1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::5efe:10.0.0.1",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
]
PUBLIC: Final = ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2620:fe::fe"]
# Spellings of 127.0.0.1 that some resolver or URL parser takes, beside names.
SPELLINGS: Final = [
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "0177.0.0.1",
    "017700000001",
    "127.0.0.1.",
    "①②⑦.0.0.1",
    "127。0。0。1",
    "0",
    "localhost",
    "localhost.",
    "LOCALHOST",
    "user:word@127.0.0.1",
    "example.com@127.0.0.1",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "[::1%25lo]",
]


def test_the_table_of_hostile_addresses_has_at_least_forty() -> None:
    assert len(set(HOSTILE)) == len(HOSTILE) >= 40


@pytest.mark.parametrize("address", HOSTILE)
def test_an_address_that_is_not_public_gets_no_socket(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with pytest.raises(AddressRefused):
        Guard("evil.example", Allowed()).opened((family, socket.SOCK_STREAM, 6, "", (address, 80)))


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_fine(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))
    assert Allowed().has("example.com", address)


class _Reached:
    """A listener on every address of this machine; counts who comes."""

    def __init__(self) -> None:
        self.count = 0

    async def __aenter__(self) -> int:
        def came(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.count += 1
            writer.close()

        self._servers = [await asyncio.start_server(came, "127.0.0.1", 0)]
        port: int = self._servers[0].sockets[0].getsockname()[1]
        if socket.has_dualstack_ipv6():
            self._servers.append(await asyncio.start_server(came, "::1", port))
        return port

    async def __aexit__(self, *_: object) -> None:
        for server in self._servers:
            server.close()


async def test_no_spelling_of_a_local_address_is_reached() -> None:
    reached = _Reached()
    async with reached as port:
        for host in SPELLINGS:
            async with Guard(host, Allowed()).session() as session:
                try:
                    outcome = await post(session, f"http://{host}:{port}/hook", b"{}", {})
                except ValueError:
                    continue  # not even an address
            assert outcome.verdict in ("refused", "retry")
    assert reached.count == 0


@pytest.mark.parametrize("answer", ["127.0.0.1", "169.254.169.254", "::1", "10.0.0.1"])
async def test_a_name_that_leads_inside_is_not_reached_and_is_resolved_once(
    answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    real = asyncio.get_running_loop().getaddrinfo

    async def resolve(host: str, port: int, **more: Any) -> Any:
        asked.append(host)
        return await real(answer if len(asked) == 1 else "93.184.215.14", port, **more)

    reached = _Reached()
    async with reached as port:
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "getaddrinfo", resolve)
        async with Guard("rebound.example", Allowed()).session() as session:
            outcome = await post(session, f"http://rebound.example:{port}/", b"{}", {})
        assert (outcome.verdict, outcome.status) == ("refused", "address_not_allowed")
        assert asked == ["rebound.example"]
        asked.clear()
        with pytest.raises(AddressRefused):
            await Guard("rebound.example", Allowed()).connected(port)
        assert asked == ["rebound.example"]
    assert reached.count == 0


@pytest.mark.parametrize(
    ("entry", "host", "address", "allowed"),
    [
        ("10.1.0.0/16", "x", "10.1.2.3", True),
        ("10.1.0.0/16", "x", "10.2.0.1", False),
        ("10.1.0.0/16", "x", "::ffff:10.1.2.3", True),
        ("10.1.0.0/16", "x", "::ffff:10.2.0.1", False),
        ("127.0.0.1", "x", "127.0.0.1", True),
        ("127.0.0.1", "x", "127.0.0.2", False),
        ("fd00::/8", "x", "fd12::1", True),
        ("::1", "x", "::1", True),
        ("Mail.Internal.", "mail.internal", "10.9.9.9", True),
        ("mail.internal", "mail.internal.evil.example", "10.9.9.9", False),
        ("mail.internal", "x", "no address", False),
    ],
)
def test_what_the_operator_lists_is_allowed_and_nothing_beside_it(
    entry: str, host: str, address: str, allowed: bool
) -> None:
    assert Allowed.of([entry]).has(host, address) is allowed


@pytest.mark.parametrize("entry", ["", "10.1.0.0/33", "10.1.2.3/16", "999.1.1.1", "http://x", "x:80", "a/b"])
def test_an_entry_that_makes_no_sense_is_named(entry: str) -> None:
    with pytest.raises(ValueError, match="no address, network"):
        Allowed.of([entry])


def test_what_an_address_carries() -> None:
    assert carried(ipaddress.ip_address("2002:a9fe:a9fe::")) == ipaddress.ip_address("169.254.169.254")
    assert carried(ipaddress.ip_address("2606:4700::1111")) is None
    assert carried(ipaddress.ip_address("10.0.0.1")) is None
