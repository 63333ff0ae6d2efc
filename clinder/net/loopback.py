"""Where a URL leads: to this machine, to a private network or to the internet, and whether others can read along.

A hub chooses the URL of a session, and a server the target of a redirect. As in browsers ("Private Network Access",
WICG), neither may lead nearer to this machine than the server that chose it.
"""

from __future__ import annotations

import ipaddress
import socket
from enum import StrEnum
from typing import TypeAlias
from urllib.parse import urlsplit

_Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
_WITH_IPV4 = (ipaddress.IPv6Network("::/96"), ipaddress.IPv6Network("64:ff9b::/96"))
"""IPv6 networks whose addresses end in an IPv4 address, besides `::ffff:0:0/96` (RFC 4291, RFC 6052)."""
_THIS_NETWORK = ipaddress.IPv4Network("0.0.0.0/8")


class AddressSpace(StrEnum):
    """Where an address lies, as seen from this machine."""

    LOOPBACK = "this machine"
    LINK_LOCAL = "a link-local address"
    PRIVATE = "a private network"
    PUBLIC = "the internet"


REACHABLE: dict[AddressSpace, frozenset[AddressSpace]] = {
    AddressSpace.LOOPBACK: frozenset({AddressSpace.LOOPBACK, AddressSpace.PRIVATE, AddressSpace.PUBLIC}),
    AddressSpace.LINK_LOCAL: frozenset({AddressSpace.LINK_LOCAL, AddressSpace.PRIVATE, AddressSpace.PUBLIC}),
    AddressSpace.PRIVATE: frozenset({AddressSpace.PRIVATE, AddressSpace.PUBLIC}),
    AddressSpace.PUBLIC: frozenset({AddressSpace.PUBLIC}),
}
"""For the address space of a server, the spaces that it may send clinder to. Only link-local servers may name
link-local addresses: the metadata services of clouds are there."""


def read_address(host: str) -> _Address | None:
    """Read an IP address in any form that the system's resolver takes, such as `127.1` or `0x7f000001`.

    Returns:
        The address, `None` for a name.
    """
    bare = host.rstrip(".").partition("%")[0]  # an IPv6 address may name its interface
    try:
        return ipaddress.ip_address(bare)
    except ValueError:
        try:
            return ipaddress.IPv4Address(socket.inet_aton(bare))
        except (OSError, ValueError):
            return None


def space_of_address(address: _Address) -> AddressSpace:
    """Get the address space of an IP address; an IPv6 address that stands for an IPv4 address counts as that one."""
    if isinstance(address, ipaddress.IPv6Address):
        address = _ipv4_within(address) or address
    if address.is_loopback or address.is_unspecified or address in _THIS_NETWORK:
        return AddressSpace.LOOPBACK
    if address.is_link_local:
        return AddressSpace.LINK_LOCAL
    return AddressSpace.PUBLIC if address.is_global else AddressSpace.PRIVATE


def _ipv4_within(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if found := address.ipv4_mapped or address.sixtofour:
        return found
    last = int(address) & 0xFFFFFFFF
    is_embedded = last > 1 and any(address in network for network in _WITH_IPV4)  # `::` and `::1` are themselves
    return ipaddress.IPv4Address(last) if is_embedded else None


def space_of_host(host: str) -> AddressSpace | None:
    """Get the address space of a host without a lookup; `None` for a name that has to be looked up."""
    if _is_localhost(host):
        return AddressSpace.LOOPBACK
    address = read_address(host)
    return space_of_address(address) if address else None


def _is_localhost(host: str) -> bool:
    name = host.lower().rstrip(".")
    return name in ("localhost", "localhost.localdomain") or name.endswith(".localhost")  # RFC 6761


def host_of(url: str) -> str:
    """Get the host of a URL; empty where there is none, or where the URL cannot be read."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def leads_to_loopback(url: str) -> bool:
    """Whether a URL certainly leads to the loopback interface, so that requests stay on this machine (RFC 6890)."""
    host = host_of(url)
    address = read_address(host)
    if isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped or address
    return address.is_loopback if address else _is_localhost(host)


def exposure(url: str) -> str:
    """Say what is to be feared where a URL is not encrypted and leads beyond this machine; else nothing."""
    if not url.lower().startswith("http:") or leads_to_loopback(url):
        return ""
    return f"{url} is not encrypted: others on the network can read the session's token, and change what is said"
