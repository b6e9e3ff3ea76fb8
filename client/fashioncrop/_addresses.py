"""Which network addresses a photo may be fetched from: public ones, and nothing that leads elsewhere by a detour."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host name and port to the addresses behind it, as text."""

AddressCheck = Callable[[str], str | None]
"""An address as text to the reason why it is refused; None where it may be used."""

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# `is_global` follows IANA's special-purpose registries, but only as they were when that Python was released: 3.11.7
# still takes 6to4 for global. These hold for every Python.
_REFUSED: tuple[tuple[_Network, str], ...] = (
    (ipaddress.ip_network("192.0.0.0/24"), "a protocol assignment, not a web server (RFC 6890)"),
    (ipaddress.ip_network("192.88.99.0/24"), "a 6to4 relay (RFC 7526)"),
    # Reachable from inside Azure only, where it hands out the machine's own settings.
    (ipaddress.ip_network("168.63.129.16/32"), "the platform address of a cloud"),
    (ipaddress.ip_network("2001::/23"), "a protocol assignment such as Teredo, not a web server (RFC 2928)"),
    (ipaddress.ip_network("2001:db8::/32"), "kept for documentation (RFC 3849)"),
    (ipaddress.ip_network("2002::/16"), "an IPv4 address in a 6to4 envelope (RFC 3056)"),
    (ipaddress.ip_network("3fff::/20"), "kept for documentation (RFC 9637)"),
)
# The only block from which public IPv6 addresses are given out (RFC 4291, section 2.4).
_UNICAST = ipaddress.IPv6Network("2000::/3")
# What a network without IPv4 shows for every IPv4 server; the last 32 bits are that server (RFC 6052). A network may
# use a prefix of its own as well, which nobody outside can know.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def why_not_public(address: str) -> str | None:
    """Say why `address` is not a public address of one machine; None where it is one.

    The words complete "the address is ...".
    """
    if "%" in address:
        return "bound to a network interface of this machine"
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "not an IP address"
    if isinstance(parsed, ipaddress.IPv6Address) and parsed in _NAT64:
        return why_not_public(str(ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)))
    return _special(parsed)


def _special(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str | None:
    kinds = (
        (address.is_loopback, "this machine's own"),
        (address.is_multicast, "a multicast group"),
        (address.is_link_local, "link-local, where clouds keep their credentials"),
        (getattr(address, "ipv4_mapped", None) is not None, "an IPv4 address in an IPv6 envelope"),
        *((address in network, reason) for network, reason in _REFUSED),
        (not address.is_global, "of a private or reserved network"),
        (
            isinstance(address, ipaddress.IPv6Address) and address not in _UNICAST,
            "outside the block of public IPv6 addresses",
        ),
    )
    return next((reason for refused, reason in kinds if refused), None)


async def resolve_by_system(host: str, port: int) -> Sequence[str]:
    """Ask the system's resolver once.

    Raises:
        OSError: the name is unknown or nobody answers.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    # Each address comes once per protocol on some systems; order is the resolver's preference.
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))
