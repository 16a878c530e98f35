"""The emulator's page at `/`: it shows the state, its commands work, and it is safe and accessible."""

import datetime as dt
import re
import shlex
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from html import unescape
from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest

from wx_datacube.catalog.endpoints import BY_NAME, ENDPOINTS
from wx_datacube.catalog.model import HISTORY_START, Family
from wx_datacube.emulator.account import EmulatedAccount
from wx_datacube.emulator.options import Options
from wx_datacube.emulator.page import STYLE
from wx_datacube.emulator.server import serving
from wx_datacube_tests.emulator_caller import Caller, Emulators, Started

YESTERDAY = dt.date(2026, 11, 23)
EMPTY = {"meta", "link", "input", "br"}


class Page(HTMLParser):
    """A page as a browser parses it: its elements in order, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text, self.open = "", list[str]()
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record the start of an element."""
        self.elements.append((tag, dict(attrs)))
        self.open += [] if tag in EMPTY else [tag]

    def handle_endtag(self, tag: str) -> None:
        """Check that the element that ends is the one opened last."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Record text."""
        self.text += "" if "style" in self.open else data

    def values(self, attribute: str) -> list[str | None]:
        """Return all values of an attribute."""
        return [attrs[attribute] for _, attrs in self.elements if attribute in attrs]


@pytest.fixture
def start(emulators: Emulators) -> Iterator[Started]:
    """Starts emulators whose clock is frozen at noon."""
    with ExitStack() as used:
        yield lambda **options: emulators.start(used, **{"clock": "2026-11-24T12:00", "frozen": True, **options})


def page_of(caller: Caller, **headers: str) -> Page:
    """Return the current page."""
    answer = caller.session.get(caller.emulated.api_url + "/", headers=headers, timeout=30)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    found = Page(answer.content.decode())
    assert found.open == []
    return found


def test_the_page_shows_credentials_clock_quota_and_the_last_calls(start: Started) -> None:
    """The page shows credentials, clock, quota and the last calls, newest first, but no token."""
    caller = start(endpoint_quota={"getupstreammsghour": 1}, faults=["getupstreammsgdist#1=502"])
    assert "None yet." in page_of(caller).text
    caller.rows("getupstreammsg", "2026-11-20", YESTERDAY)
    for _ in range(2):
        caller.call("getupstreammsghour", YESTERDAY)
    caller.call("getupstreammsgdist", YESTERDAY)
    text = re.sub(r"\s+", " ", page_of(caller).text)
    emulated = caller.emulated
    for told in (emulated.api_url, emulated.appid, emulated.secret, "2026-11-24 12:00:00, frozen"):
        assert told in text
    assert "of 5." in text
    for told in ("errcode 45009", "status 502", "getupstreammsgdist#1=502", "2026-11-20 to 2026-11-23"):
        assert told in text
    assert text.index("status 502") < text.index("errcode 45009") < text.index("2026-11-20 to 2026-11-23")
    assert caller.token not in text


def test_refused_calls_and_exhausted_quotas_are_highlighted(start: Started) -> None:
    """Calls that weren't answered with rows, and exhausted quotas, are highlighted."""
    caller = start(quota=1)
    assert "wrong" not in page_of(caller).values("class")
    caller.rows("getupstreammsg", YESTERDAY)
    assert page_of(caller).values("class").count("wrong") == 1
    caller.call("getupstreammsg", YESTERDAY)
    assert page_of(caller).values("class").count("wrong") == 2


@pytest.mark.parametrize("moment", ["2026-11-24T07:00", "2026-11-24T08:00", "2026-12-01T00:00", "2024-03-01T09:00"])
def test_the_commands_on_the_page_work(start: Started, moment: str) -> None:
    """The page's commands fetch a token and rows of every endpoint at any time of day, with correct shell quoting.

    Only articles may have no rows: none before November 2025, and nothing is published on some days.
    """
    caller = start(clock=moment, silent_share=0)
    url, token = caller.emulated.api_url, ""
    lines = re.findall(
        r"<pre><code>(.*?)</code></pre>", caller.session.get(url + "/", timeout=30).text, flags=re.DOTALL
    )
    asked = []
    for line in map(unescape, lines):
        command = re.sub(r"^TOKEN=\$\((.*) \| sed .*\)$", r"\1", line)
        program, silent, address, data, body = shlex.split(command.replace("$TOKEN", token))
        assert (program, silent, data) == ("curl", "-s", "-d")
        answer = caller.session.post(address, data=body, timeout=30).json()
        token = token or answer["access_token"]
        if "/datacube/" in address:
            asked.append(address.removeprefix(url).partition("?")[0])
            family = BY_NAME[asked[-1].rpartition("/")[2]].family
            assert answer["list"] or (family is Family.ARTICLES and answer["is_delay"] is False), line
    assert asked == [endpoint.path for endpoint in ENDPOINTS]


HOSTILE = [
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "&lt;b&gt;",
    "\ud800",
    "</table>\x00",
    "é" * 500,
]


@pytest.mark.parametrize("text", HOSTILE)
def test_input_from_callers_is_shown_as_text(start: Started, text: str) -> None:
    """Dates in a body, texts of a fault and host names never become HTML elements."""
    caller = start(quota=10**6)
    usual = [tag for tag, _ in page_of(caller).elements]
    caller.rows("getupstreammsg", YESTERDAY)
    with_a_call = {tag for tag, _ in page_of(caller).elements}
    caller.post(caller.path("getupstreammsg"), json={"begin_date": text, "end_date": text})
    if text != "\ud800":  # a fault's body can't contain this surrogate
        caller.emulated.control.script("getupstreammsg", f"200:{text}")
    caller.call("getupstreammsg", YESTERDAY)
    found = page_of(caller, Host=text.encode("latin-1", "replace").decode("latin-1").replace("\x00", ""))
    assert {tag for tag, _ in found.elements} == with_a_call >= set(usual)
    assert not [name for _, attrs in found.elements for name in attrs if name.startswith("on")]
    assert not found.values("src")
    if text.isprintable():
        assert text[:40] in found.text


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_page_shows_the_sockets_address_without_a_host_name(host: str) -> None:
    """Without a host name, as in HTTP/1.0, or with a malformed one, the page shows the socket's address."""
    if host == "::1" and not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    with serving(EmulatedAccount(Options()), host) as url:
        for named in (b"", b"Host: <b>\r\n"):
            with socket.create_connection((host, urlsplit(url).port), timeout=20) as connection:
                connection.sendall(b"GET / HTTP/1.0\r\n" + named + b"\r\n")
                answer = b"".join(iter(lambda it=connection: it.recv(65_536), b""))
            assert f"<dt>API</dt><dd><code>{url}</code></dd>".encode() in answer


def test_the_page_loads_no_other_resource(start: Started) -> None:
    """The page loads no script, font, image or style sheet, and its headers forbid the browser to."""
    caller = start()
    found = page_of(caller)
    assert not {tag for tag, _ in found.elements} & {"script", "img", "iframe", "form", "object"}
    assert {*found.values("href")} == {"data:,", "/_emulator/state", "/_emulator/options", "/_emulator/journal"}
    assert "url(" not in STYLE
    assert "@import" not in STYLE
    answer = caller.session.get(caller.emulated.api_url + "/", timeout=30)
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; ")


def test_the_page_is_accessible_and_fits_a_phone(start: Started) -> None:
    """The page has a language, a viewport, one main heading, labelled sections, and tables with headers."""
    caller = start()
    caller.rows("getupstreammsg", YESTERDAY)
    found = page_of(caller)
    tags = [tag for tag, _ in found.elements]
    assert ("html", {"lang": "en"}) in found.elements
    assert "width=device-width, initial-scale=1" in found.values("content")
    assert [tags.count(tag) for tag in ("title", "main", "h1")] == [1, 1, 1]
    ids = found.values("id")
    assert len(ids) == len(set(ids))
    assert {*found.values("aria-labelledby")} == set(ids)
    assert {attrs.get("scope") for tag, attrs in found.elements if tag == "th"} == {"col", "row"}
    assert tags.count("caption") == tags.count("table") == 2


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours by the formula of the Web Content Accessibility Guidelines."""

    def light(colour: str) -> float:
        digits = colour if len(colour) == 6 else "".join(2 * digit for digit in colour)
        parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted((light(one), light(other)))
    return (high + 0.05) / (low + 0.05)


def test_text_has_enough_contrast_in_light_and_dark() -> None:
    """Every text colour has a contrast of at least 4.5 to 1 on both backgrounds."""
    schemes = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
    assert len(schemes) == 2
    for scheme in schemes:
        colours = dict(re.findall(r"--(\w+): #(\w+)", scheme))
        for ink in ("ink", "soft", "green", "wrong"):
            for ground in ("sheet", "ground"):
                assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)


def test_loading_the_page_costs_no_quota_and_is_not_in_the_journal(start: Started) -> None:
    """Loading the page costs no quota and isn't in the journal; it also works on the first day of history."""
    caller = start(clock=dt.datetime.combine(HISTORY_START, dt.time()))
    page_of(caller)
    assert caller.emulated.control.calls() == []
    assert {caller.emulated.control.used(name) for name in BY_NAME} == {0}
