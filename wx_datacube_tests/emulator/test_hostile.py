"""Odd requests: the emulator answers any request, and never with status 500, which would be its own failure.

Add a request here if it made the emulator fail.
"""

import datetime as dt
import http.client
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wx_datacube.catalog.endpoints import BY_NAME
from wx_datacube.emulator.app import CALLS
from wx_datacube.emulator.control import ACTS
from wx_datacube.emulator.faults import KINDS
from wx_datacube.emulator.options import Options
from wx_datacube.emulator.testing import wechat
from wx_datacube_tests.emulator_caller import Caller

YESTERDAY = dt.date(2026, 11, 23)
CLOCK = "2026-11-24T12:00"
ALLOWED = {200, 400, 404, 405}
ANSWERS = (["list"], ["list", "is_delay"], ["errcode", "errmsg"], ["access_token", "expires_in"])
METHODS = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "NONSENSE"]
ENDPOINT_PATHS = [f"/datacube/{name}" for name in (*BY_NAME, "getarticlesummary", "nothing")]
CONTROL_PATHS = [f"/_emulator/{name}" for _, name in ACTS]

many = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
numbers = st.integers() | st.floats() | st.sampled_from([1e300, -(10**30), 2**63])
dates = st.dates().map(str) | st.sampled_from(["0001-01-01", "9999-12-31", "2026-11-23", "2014-11-30", "-1", "\ud800"])
json_values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=20) | dates,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
windows = st.fixed_dictionaries({}, optional={"begin_date": json_values | dates, "end_date": json_values | dates})
deep = st.sampled_from([b"[" * 100_000, b'{"begin_date":' + b"[" * 900 + b"]" * 900 + b"}", b'{"a":' * 5_000])
bodies = windows.map(json.dumps).map(str.encode) | json_values.map(json.dumps).map(str.encode) | st.binary() | deep


@pytest.fixture(scope="module")
def caller() -> Iterator[Caller]:
    """One emulator for all tests of this file."""
    with wechat(clock=CLOCK, messages_per_day=20, quota=10**9, dirty_rows=True) as emulated, Caller(emulated) as caller:
        yield caller


def asked(caller: Caller, method: str, target: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
    """Return status and body of an answer, over a new connection that allows any target."""
    connection = http.client.HTTPConnection(urlsplit(caller.emulated.api_url).netloc, timeout=20)
    try:
        connection.request(method, target, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def is_well(caller: Caller) -> None:
    """Assert that the emulator still answers and that no call is in flight."""
    assert caller.rows("getupstreammsg", "2026-11-17", YESTERDAY)
    caller.emulated.control.wait_until_idle()


@many
@given(st.sampled_from(METHODS), st.sampled_from([*ENDPOINT_PATHS, *CALLS, "/"]), bodies, st.booleans())
def test_any_body_by_any_method_is_answered(
    caller: Caller, method: str, path: str, body: bytes, with_token: bool
) -> None:
    """Any body with any method gets rows or an error in WeChat's format, never status 500."""
    status, answer = asked(caller, method, f"{path}?access_token={caller.token}" if with_token else path, body)
    assert status in ALLOWED
    if status == 200 and path != "/" and method != "HEAD":
        found = json.loads(answer)
        assert list(found)[:2] in ANSWERS


@many
@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc", "Zs"]), max_size=60), st.binary(max_size=30))
def test_any_path_and_query_is_answered(caller: Caller, path: str, body: bytes) -> None:
    """Unexpected percent signs, slashes, dots, question marks and hashes in paths and queries get an answer."""
    for prefix in ("/", "/datacube/", "/datacube/getupstreammsg?access_token=", "/_emulator/", "/cgi-bin/token?appid="):
        status, _ = asked(caller, "POST", prefix + path, body)
        assert status in ALLOWED


@many
@given(windows, st.sampled_from(list(BY_NAME)), st.booleans(), st.booleans())
def test_any_window_is_answered_with_every_option_on(
    caller: Caller, window: dict[str, Any], name: str, stray: bool, strict: bool
) -> None:
    """Windows from year 1 to 9999 get an answer, also with dirty rows, stray rows and the strict rules."""
    caller.emulated.account.configure({"stray_rows": stray, "one_label": strict, "refuse_unpublished": strict})
    answer = caller.post(caller.path(name), data=json.dumps(window))
    assert answer.status_code == 200
    assert answer.json().get("errcode") in (None, 61500, 61501, 61503)


controls = st.dictionaries(
    st.sampled_from(["day", "factor", "delta", "seconds", "endpoint", "calls", "faults", "sticky", "since"]),
    json_values | dates | st.sampled_from([*BY_NAME, "token", ["*=-1"], ["all=204:x"]]),
    max_size=4,
)
options = st.dictionaries(st.sampled_from(list(Options.__slots__)), json_values | dates, max_size=3)


@many
@given(st.sampled_from(list(ACTS)), controls | options | json_values, st.booleans())
def test_any_control_is_answered_and_a_refused_one_changes_nothing(
    caller: Caller, act: tuple[str, str], values: Any, deeply: bool
) -> None:
    """A control call gets 200 or 400, and a refused one leaves the options unchanged."""
    method, name = act
    body = b'{"faults":' + b"[" * 50_000 if deeply else json.dumps(values).encode()
    before = caller.emulated.account.options
    status, answer = asked(caller, method, f"/_emulator/{name}", body)
    assert status in (200, 400)
    json.loads(answer)
    if status == 400:
        assert caller.emulated.account.options == before
    elif (method, name) != ("POST", "reset"):
        assert caller.session.get(caller.emulated.api_url + "/", timeout=20).status_code == 200
        assert asked(caller, "GET", "/_emulator/state")[0] == 200
    caller.reset()


@many
@given(st.sampled_from(sorted(KINDS)), st.text(max_size=20) | st.integers(0, 10**6).map(str), st.text(max_size=10))
def test_any_fault_is_refused_or_reaches_the_caller(caller: Caller, kind: str, value: str, body: str) -> None:
    """Any fault is refused, or has its effect: an answer or a closed connection."""
    control = caller.emulated.control
    slow = kind in ("delay", "drip")
    answers = (f"{kind}:{'0.001' if slow else value}", f"{value}:{body}", f"{200 + len(value)}:{body}", "204:x", "304")
    for answer in answers:
        try:
            control.script("getupstreammsg", answer)
        except ValueError:
            continue
        try:
            status, _ = asked(caller, "POST", caller.path("getupstreammsg"), b"{}")
            assert status != 500 or answer.startswith("500")
        except (http.client.HTTPException, ConnectionError):
            assert answer.startswith(("drop", "cut"))
    caller.reset()
    is_well(caller)


def test_the_emulator_survives_invalid_bytes_on_the_socket(caller: Caller) -> None:
    """The emulator survives bytes that aren't HTTP, half a request, a missing body, and a connection closed at once."""
    url = urlsplit(caller.emulated.api_url)
    half = b"POST /datacube/getupstreammsg HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{"
    for sent in (b"", b"\x00\xff\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET /", half, b"\r\n" * 1000, b"A" * 200_000):
        with socket.create_connection((url.hostname, url.port), timeout=20) as connection:
            connection.sendall(sent)
        is_well(caller)


def test_odd_headers_are_answered(caller: Caller) -> None:
    """Meaningless hosts, content types, encodings and upgrades get an answer."""
    for headers in (
        {"Host": "\xff\xfe"},
        {"Host": "'; rm -rf ~ #"},
        {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": "x", "Sec-WebSocket-Version": "13"},
        {"Content-Type": "application/json; charset=nonsense"},
        {"Content-Encoding": "gzip"},
        {"X-Long": "a" * 10_000},
    ):
        for path in ("/", caller.path("getupstreammsg"), "/_emulator/state"):
            assert asked(caller, "GET", path, **headers)[0] in {*ALLOWED, 403}
    is_well(caller)


def test_hundreds_of_calls_at_once_are_all_answered(caller: Caller) -> None:
    """Sixteen threads get the same rows as single calls do, and every call is counted."""
    token, days = caller.token, [YESTERDAY - dt.timedelta(days=n) for n in range(60)]
    expected = [caller.rows("getupstreammsghour", day) for day in days]
    caller.emulated.control.clear_calls()

    def ask(number: int) -> object:
        with Caller(caller.emulated) as own:
            if number % 5 == 4:
                return own.session.get(own.emulated.api_url + "/", timeout=60).status_code
            answer = own.call("getupstreammsghour", days[number % 60], token=token)
            return answer.json()["list"] == expected[number % 60]

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(ask, range(300))) == {True, 200}
    assert len(caller.emulated.control.calls()) == 240
    is_well(caller)
