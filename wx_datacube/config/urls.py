"""URLs: which URLs a setting may hold, and which hosts are private.

Add a rule here if it applies to the URLs of all variables. Nothing here does I/O: no name is resolved.
"""

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

_INVALID_IN_URL = re.compile(r"[^\x21-\x7e]|[\\<>\"{}|^`]")
_PRIVATE = tuple(
    ipaddress.ip_network(block)
    for block in ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7")
)


def split_url(url: str) -> SplitResult | None:
    """Return the parts of an http(s) URL with a host.

    None for anything else, and for a URL that can be read in two ways.
    """
    if _INVALID_IN_URL.search(url):
        return None
    try:
        parts = urlsplit(url)
        is_valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        return None
    return parts if is_valid else None


def is_private(host: str | None) -> bool:
    """Return whether a host is this machine or a literal address of a private network."""
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host or "")
    except ValueError:
        return False
    return any(address in block for block in _PRIVATE)


def is_loopback(host: str | None) -> bool:
    """Return whether a host is this machine."""
    return is_private(host) and (host == "localhost" or ipaddress.ip_address(host or "").is_loopback)
