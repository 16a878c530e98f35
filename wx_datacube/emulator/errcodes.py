"""Errcodes: the business errors that the emulator returns, with WeChat's messages and a new `rid` each time.

Add an errcode to `MESSAGES`. Other modules decide when each one is returned. WeChat has changed the messages over the
years, so clients must not match on them.
"""

import datetime as dt
from collections.abc import Callable, Iterator
from hashlib import blake2b
from itertools import count

from wx_datacube.catalog.periods import BEIJING

MESSAGES = {
    -1: "system error",
    40001: "invalid credential, access_token is invalid or not latest, could get access_token by getStableAccessToken",
    40002: "invalid grant_type",
    40013: "invalid appid",
    40014: "invalid access_token",
    40125: "invalid appsecret",
    40164: "invalid ip {ip} ipv6 ::ffff:{ip}, not in whitelist",
    40243: "invalid appsecret, appsecret has been frozen",
    41001: "access_token missing",
    41002: "appid missing",
    41004: "appsecret missing",
    42001: "access_token expired",
    43002: "require POST method",
    44002: "empty post data",
    45009: "reach max api daily quota limit",
    45011: "api minute-quota reach limit, must slower, retry next minute",
    47001: "data format error",
    47009: "this api is offline, please use the new api",
    48001: "api unauthorized",
    61007: "api is not authorized to the component",
    61500: "date format error",
    61501: "date range error",
    61503: "data not ready, please try later",
    76021: "cgi_path not found, please check",
}


class Refusal(Exception):
    """A reply with an errcode instead of data."""

    def __init__(self, errcode: int, ip: str = "") -> None:
        self.errcode = errcode
        self.errmsg = MESSAGES.get(errcode, "error").format(ip=ip)
        super().__init__(f"{errcode} {self.errmsg}")


def rids(seed: int, clock: Callable[[], dt.datetime]) -> Iterator[str]:
    """Yield request IDs in WeChat's format: the time in hexadecimal seconds, then two groups that look random."""
    for number in count(1):
        noise = blake2b(f"{seed}|rid|{number}".encode(), digest_size=8).hexdigest()
        second = int(clock().replace(tzinfo=BEIJING).timestamp())
        yield f"{second & 0xFFFFFFFF:08x}-{noise[:8]}-{noise[8:]}"
