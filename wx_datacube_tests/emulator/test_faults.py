"""The emulator's faults: each reaches the caller as specified, at the right call, and reproducibly."""

import datetime as dt
import time
import timeit
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
import requests

from wx_datacube.catalog.endpoints import BY_NAME
from wx_datacube.emulator.errcodes import MESSAGES
from wx_datacube.emulator.faults import Fault
from wx_datacube_tests.emulator_caller import Caller, Emulators, Started

YESTERDAY = dt.date(2026, 11, 23)
DAYS = [YESTERDAY - dt.timedelta(days=n) for n in range(40)]


@pytest.fixture
def start(emulators: Emulators) -> Iterator[Started]:
    """Starts emulators at noon."""
    with ExitStack() as used:
        yield lambda **options: emulators.start(used, **{"clock": "2026-11-24T12:00", "silent_share": 0, **options})


def test_the_third_call_answers_busy(start: Started) -> None:
    """The example of the documentation works: only the third call is answered with -1."""
    caller = start(faults=["getupstreammsg#3=-1"])
    codes = [caller.errcode("getupstreammsg", YESTERDAY) for _ in range(4)]
    assert codes == [None, None, -1, None]
    assert caller.errcode("getupstreammsgdist", YESTERDAY) is None


def test_a_script_counts_calls_from_when_it_was_set_up(start: Started) -> None:
    """A script can hit one call or a range, and can be set again."""
    caller = start()
    control = caller.emulated.control
    caller.rows("getupstreammsg", YESTERDAY)
    control.script("getupstreammsg", "busy")
    assert caller.errcode("getupstreammsg", YESTERDAY) == -1
    control.script("getupstreammsg", "busy")
    assert caller.errcode("getupstreammsg", YESTERDAY) == -1
    control.script("*", "45011", call=2, last=3)
    codes = [caller.errcode(name, YESTERDAY) for name in ("getupstreammsg", "getupstreammsgdist") * 2]
    assert codes == [None, 45011, 45011, None]


def test_a_fault_can_return_any_answer(start: Started) -> None:
    """A fault can set status and body, including bytes that are not UTF-8."""
    caller = start()
    for answer, status, body in (
        ('200:{"list":[{"ref_date":"2026-11-23"}]}', 200, b'{"list":[{"ref_date":"2026-11-23"}]}'),
        ("200:", 200, b""),
        ("200:\udcff\x00", 200, b"\xff\x00"),
        ("404:", 404, b""),
        ("204:none is allowed", 204, b""),
        ("503:please wait: a minute", 503, b"please wait: a minute"),
    ):
        caller.emulated.control.script("getupstreammsg", answer)
        found = caller.call("getupstreammsg", YESTERDAY)
        assert (found.status_code, found.content) == (status, body)
    assert caller.rows("getupstreammsg", YESTERDAY)


@pytest.mark.parametrize("errcode", sorted(MESSAGES))
def test_a_fault_can_return_every_errcode(start: Started, errcode: int) -> None:
    """Every errcode has status 200, a message and a `rid`, also -1 and 61007, which no rule of the emulator returns."""
    caller = start(faults=[f"*#1={errcode}"])
    answer = caller.call("getupstreammsg", YESTERDAY)
    assert (answer.status_code, answer.json()["errcode"]) == (200, errcode)
    words, rid, _ = answer.json()["errmsg"].partition(" rid: ")
    assert words
    assert rid
    assert "{" not in words
    assert caller.rows("getupstreammsg", YESTERDAY)


@pytest.mark.parametrize("status", [500, 502])
def test_gateways_answer_with_a_page(start: Started, status: int) -> None:
    """A 5xx status has an HTML page; the call never reached WeChat, so it costs no quota."""
    caller = start(faults=[f"*#1={status}"])
    answer = caller.call("getupstreammsg", YESTERDAY)
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/html")
    assert caller.emulated.control.used("getupstreammsg") == 0


def test_busy_answers_use_up_quota(start: Started) -> None:
    """A -1 answer costs quota, because the call reached WeChat."""
    caller = start(faults=["*#1=-1"])
    caller.call("getupstreammsg", YESTERDAY)
    assert caller.emulated.control.used("getupstreammsg") == 1


def test_a_web_page_may_come_with_status_200(start: Started) -> None:
    """A fault can return a web page with status 200, like a captive portal."""
    answer = start(faults=["*#1=html"]).call("getupstreammsg", YESTERDAY)
    assert (answer.status_code, answer.text[:9]) == (200, "<!DOCTYPE")


def test_redirects_have_a_location(start: Started) -> None:
    """A redirect has status 302 and the address."""
    answer = start(faults=["*#1=redirect:https://example.org/datacube?a=b"]).call("getupstreammsg", YESTERDAY)
    assert (answer.status_code, answer.headers["location"]) == (302, "https://example.org/datacube?a=b")


def test_a_dropped_call_closes_the_connection(start: Started) -> None:
    """A dropped call ends in a closed connection, and the next call works."""
    caller = start(faults=["*#1=drop"])
    with pytest.raises(requests.ConnectionError):
        caller.call("getupstreammsg", YESTERDAY)
    assert caller.rows("getupstreammsg", YESTERDAY)
    assert [call.status for call in caller.emulated.control.calls("getupstreammsg")] == [None, 200]


def test_a_cut_answer_ends_in_the_middle(start: Started) -> None:
    """Half of the announced length arrives before the connection closes."""
    caller = start(faults=["*#1=cut"])
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        caller.call("getupstreammsg", YESTERDAY)
    assert caller.rows("getupstreammsg", YESTERDAY)


def test_a_slow_answer_arrives_byte_by_byte(start: Started) -> None:
    """A slow answer is complete in the end, and stops when the caller disconnects."""
    caller = start(silent_share=1, faults=["*#1=drip:0.01", "*#2=drip:5"])
    began = time.monotonic()
    assert caller.call("getupstreammsg", YESTERDAY).text == '{"list":[]}'
    assert time.monotonic() - began > 0.1
    with pytest.raises(requests.ConnectionError):
        caller.session.post(caller.emulated.api_url + caller.path("getupstreammsg"), json={}, timeout=0.2)
    caller.emulated.control.wait_until_idle()


def test_an_answer_may_come_late(start: Started) -> None:
    """A delayed answer has the usual content."""
    caller = start(faults=["*#1=delay:0.2"])
    began = time.monotonic()
    assert caller.rows("getupstreammsg", YESTERDAY)
    assert time.monotonic() - began >= 0.2


def test_a_fault_can_revoke_tokens(start: Started) -> None:
    """The call that revokes tokens, and all later ones with the same token, get 40001."""
    caller = start(faults=["getupstreammsg#2=revoke"])
    codes = [caller.errcode("getupstreammsg", YESTERDAY) for _ in range(3)]
    assert codes == [None, 40001, 40001]
    assert caller.errcode("getupstreammsg", YESTERDAY, token=caller.stable_token()["access_token"]) is None


def test_token_calls_can_fail_too(start: Started) -> None:
    """Faults can target token and quota calls by name, or all calls."""
    caller = start(faults=["stable_token#1=45009", "token#1=-1", "quota#1=40001"])
    assert caller.stable_token()["errcode"] == 45009
    assert caller.plain_token()["errcode"] == -1
    assert caller.post(f"/cgi-bin/openapi/quota/get?access_token={caller.token}", json={}).json()["errcode"] == 40001
    caller.emulated.control.fault("all", "-1")
    assert caller.stable_token()["errcode"] == caller.errcode("getupstreammsg", YESTERDAY) == -1
    caller.emulated.control.clear_faults()
    assert caller.rows("getupstreammsg", YESTERDAY)


def struck(caller: Caller, days: list[dt.date], attempts: int = 2) -> set[tuple[str, int]]:
    """Return the windows and attempts that were answered with -1."""
    return {
        (day.isoformat(), n) for n in range(attempts) for day in days if caller.errcode("getupstreammsg", day) == -1
    }


def test_random_faults_do_not_depend_on_the_order_of_calls(start: Started) -> None:
    """Random faults depend on seed, endpoint, window and attempt only, and are about as frequent as requested."""
    forwards, backwards = (start(faults=["*@0.3=-1"]) for _ in range(2))
    first = struck(forwards, DAYS)
    assert first == struck(backwards, DAYS[::-1])
    assert 0.1 < len(first) / (2 * len(DAYS)) < 0.5
    assert {day for day, n in first if n == 0} != {day for day, n in first if n == 1}
    assert first != struck(start(faults=["*@0.3=-1"], seed=1), DAYS)


def test_the_first_fault_that_applies_wins(start: Started) -> None:
    """If several faults hit a call, the first in the list applies, and the others still count the call."""
    caller = start(faults=["getupstreammsg#1=48001", "*#1-2=-1"])
    assert [caller.errcode("getupstreammsg", YESTERDAY) for _ in range(3)] == [48001, -1, None]


@pytest.mark.parametrize(
    "text",
    [
        "getupstreammsg#3=-1",
        "*@0.05=502",
        "*#1-2@0.5=cut",
        "all#4-=drop",
        "stable_token=45009",
        "*=delay:1.5",
        "*#1=redirect:http://example.org/?a=1#b@2",
        '*#2=200:{"list":[]}\n# @ = :',
        "*#2=200:",
        "*=revoke:sticky",
    ],
)
def test_a_parsed_fault_is_written_as_the_same_text(text: str) -> None:
    """A fault that was parsed from text can be written as the same text."""
    assert Fault.parse(str(Fault.parse(text))) == Fault.parse(text)
    assert str(Fault.parse(text)).replace("@0.050000", "@0.05").replace("@0.500000", "@0.5") == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "busy",
        "*=",
        "*=nonsense",
        "*#x=-1",
        "*@2=-1",
        "*=delay",
        "*=delay:x",
        "*#0=-1",
        "*=status:7",
        "*=errcode:x",
        "*=delay:99999",
        "*=redirect:http://ä/",
        "*=redirect:a\r\nb",
        "*=200:\ud800",
    ],
)
def test_a_malformed_fault_is_refused(text: str) -> None:
    """A malformed fault is refused with one line that explains the syntax."""
    with pytest.raises(ValueError, match="fault") as refused:
        Fault.parse(text)
    assert "\n" not in str(refused.value)


def test_latency_overlaps_between_concurrent_calls(start: Started) -> None:
    """Fifteen concurrent calls of 200 ms take less time than one after another; the journal counts them together."""
    caller = start(latency=200)
    token = caller.token

    def call(name: str) -> int | None:
        with Caller(caller.emulated) as own:
            return own.errcode(name, "2026-11-02", token=token)

    began = time.monotonic()
    with ThreadPoolExecutor(len(BY_NAME)) as pool:
        assert set(pool.map(call, BY_NAME)) == {None}
    assert 0.2 <= time.monotonic() - began < 15 * 0.2
    assert caller.emulated.control.state()["most_in_flight"] > 3
    caller.emulated.control.set_latency(0)
    turns = timeit.repeat(lambda: caller.rows("getupstreammsg", YESTERDAY), timer=time.monotonic, repeat=5, number=1)
    assert min(turns) < 0.2
