"""Only public addresses pass, however they are written."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fashioncrop._addresses import resolve_by_system, why_not_public

PUBLIC_IPV4 = ipaddress.IPv4Address("93.184.215.14")

REFUSED = [
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "224.0.1.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:7f00:1",
    "::ffff:93.184.215.14",
    "64:ff9b::10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a00:1::",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "2606:4700::1111%eth0",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "localhost",
    "",
]


@pytest.mark.parametrize("address", REFUSED)
def test_what_is_not_public_is_refused(address: str) -> None:
    assert why_not_public(address)


@pytest.mark.parametrize("address", ["93.184.215.14", "1.1.1.1", "2606:4700::1111", "2a00:1450:4001:81c::200e"])
def test_public_addresses_pass(address: str) -> None:
    assert why_not_public(address) is None


def test_public_ipv4_address_behind_nat64_passes() -> None:
    assert why_not_public("64:ff9b::93.184.215.14") is None


@given(st.ip_addresses())
@example(ipaddress.ip_address("192.168.0.1"))
def test_whatever_python_calls_not_global_is_refused(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if not address.is_global or address.is_multicast or address.is_private:
        assert why_not_public(str(address))
        if isinstance(address, ipaddress.IPv6Address):
            assert why_not_public(address.exploded.upper())


@given(st.ip_addresses(v=4))
@example(PUBLIC_IPV4)
@example(ipaddress.ip_address("127.0.0.1"))
@example(ipaddress.ip_address("169.254.169.254"))
def test_an_ipv4_address_inside_an_ipv6_one_never_says_more_than_by_itself(address: ipaddress.IPv4Address) -> None:
    number = int(address)
    envelopes = {
        "mapped": ipaddress.IPv6Address((0xFFFF << 32) | number),
        "compatible": ipaddress.IPv6Address(number),
        "6to4": ipaddress.IPv6Address((0x2002 << 112) | (number << 80)),
        "teredo server": ipaddress.IPv6Address((0x20010000 << 96) | (number << 64)),
        "teredo client": ipaddress.IPv6Address((0x20010000 << 96) | (number ^ 0xFFFFFFFF)),
    }
    for name, envelope in envelopes.items():
        assert why_not_public(str(envelope)), name
    nat64 = ipaddress.IPv6Address((0x0064FF9B << 96) | number)
    assert (why_not_public(str(nat64)) is None) == (why_not_public(str(address)) is None)


async def test_the_system_resolver_answers_with_addresses() -> None:
    addresses = await resolve_by_system("localhost", 443)
    assert addresses
    assert all(ipaddress.ip_address(address).is_loopback for address in addresses)
