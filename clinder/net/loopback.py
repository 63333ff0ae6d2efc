"""Whether a URL leads to this machine, and whether others can read what goes there."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def is_loopback(host: str | None) -> bool:
    """Whether a host can only be this machine: `localhost`, 127.0.0.0/8 or ::1 (RFC 6761, RFC 6890)."""
    if not host:
        return False
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def leads_to_loopback(url: str) -> bool:
    """Whether a URL can only lead to this machine; one that cannot be read does not."""
    try:
        return is_loopback(urlsplit(url).hostname)
    except ValueError:
        return False


def exposure(url: str) -> str:
    """Say what is to be feared where a URL is not encrypted and leads beyond this machine; else nothing."""
    if not url.lower().startswith("http:") or leads_to_loopback(url):
        return ""
    return f"{url} is not encrypted: others on the network can read the session's token, and change what is said"
