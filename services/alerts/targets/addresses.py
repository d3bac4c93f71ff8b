"""Which addresses an alert may go to. Pure: an address in, a verdict out.

A target's host may be anybody's choice, and a request from inside a network reaches what the outside cannot. So only
addresses of the public Internet are allowed, and what the operator lists. An IPv6 address that carries an IPv4
address is judged by what it carries, because a gateway on the way may unwrap it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# Not public, whatever the tables of the standard library say of them in one version or another.
_CLOSED: Final[tuple[Network, ...]] = tuple(
    ipaddress.ip_network(net)
    for net in (
        "0.0.0.0/8",  # this network; the system takes 0.0.0.0 for itself
        "100.64.0.0/10",  # carrier-grade NAT; Alibaba's metadata service stands here
        "168.63.129.16/32",  # Azure's platform service, on a public number
        "192.0.0.0/24",  # protocol assignments; Oracle's metadata service stands here
        "192.88.99.0/24",  # the former 6to4 relay
        "240.0.0.0/4",  # reserved, and broadcast
        "64:ff9b:1::/48",  # NAT64 for local use
        "100::/64",  # discard
        "2001::/23",  # protocol assignments, Teredo among them
        "fec0::/10",  # site-local
    )
)
_COMPATIBLE: Final = IPv6Network("::/96")
_NAT64: Final = IPv6Network("64:ff9b::/96")
_ISATAP: Final = frozenset({0x0000_5EFE, 0x0200_5EFE})


def carried(address: Address) -> IPv4Address | None:
    """The IPv4 address an IPv6 one carries: mapped, compatible, NAT64, 6to4 or ISATAP; None: it carries none."""
    if isinstance(address, IPv4Address):
        return None
    low = IPv4Address(int(address) & 0xFFFF_FFFF)
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
        return low
    return low if int(address) >> 32 & 0xFFFF_FFFF in _ISATAP else None


def is_public(address: Address) -> bool:
    """Whether an address is one of the public Internet, and what it carries too."""
    inner = carried(address)
    if inner is not None and not is_public(inner):
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return True  # the connection goes to what it carries
    if isinstance(address, IPv6Address) and address in _NAT64:
        return True  # how a network without IPv4 reaches a public address
    if address.is_multicast or any(address.version == net.version and address in net for net in _CLOSED):
        return False
    return address.is_global


@dataclass(frozen=True, slots=True)
class Allowed:
    """What the operator wants reached beside the public Internet: networks, and host names whatever they resolve to."""

    networks: tuple[Network, ...] = ()
    hosts: frozenset[str] = frozenset()

    @classmethod
    def of(cls, entries: Iterable[str]) -> Allowed:
        """From addresses, CIDR networks and host names. Raises ValueError, which names the entry."""
        networks: list[Network] = []
        hosts: set[str] = set()
        for entry in entries:
            text = entry.strip().rstrip(".").lower()
            try:
                networks.append(ipaddress.ip_network(text.strip("[]")))
            except ValueError:
                if not text or "/" in text or ":" in text or text.replace(".", "").isdigit():
                    raise ValueError(f"{entry!r} is no address, network in CIDR form or host name") from None
                hosts.add(text)
        return cls(tuple(networks), frozenset(hosts))

    def __or__(self, other: Allowed) -> Allowed:
        return Allowed((*self.networks, *other.networks), self.hosts | other.hosts)

    def has(self, host: str, address: str) -> bool:
        """Whether a connection to `address`, for a target on `host`, is allowed. False for what is no address."""
        if host.rstrip(".").lower() in self.hosts:
            return True
        try:
            found = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        inner = carried(found)
        meant: Address = inner if inner is not None and isinstance(found, IPv6Address) and found.ipv4_mapped else found
        return is_public(found) or any(meant.version == net.version and meant in net for net in self.networks)
