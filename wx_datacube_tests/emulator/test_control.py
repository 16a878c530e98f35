"""The emulator's controls, options and clock, and the emulator as a process."""

import datetime as dt
import json
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest
import requests

from wx_datacube.catalog.periods import beijing_now
from wx_datacube.cli import main
from wx_datacube.emulator.account import EmulatedAccount
from wx_datacube.emulator.clock import SettableClock
from wx_datacube.emulator.control import ACTS
from wx_datacube.emulator.faults import Fault
from wx_datacube.emulator.journal import JournalEntry
from wx_datacube.emulator.options import SWITCH, Options
from wx_datacube.emulator.server import serve, serving
from wx_datacube.emulator.testing import Control, wechat
from wx_datacube_tests.emulator_caller import Caller

YESTERDAY = dt.date(2026, 11, 23)
NOON = dt.datetime(2026, 11, 24, 12)


OTHER = Options(
    appid="wx1",
    secret="s",
    seed=-5,
    messages_per_day=3,
    silent_share=0.5,
    start=dt.date(2020, 2, 3),
    clock=dt.datetime(2026, 1, 2, 3, 4, 5),
    frozen=True,
    publish_at=dt.time(10, 30),
    refuse_unpublished=True,
    delay_until=dt.time(10, 45),
    delayed=True,
    delay_as_text=True,
    quota=7,
    endpoint_quota=(("getupstreammsg", 3), ("getupstreammsgdist", 0)),
    token_quota=9,
    rate_limit=60,
    token_lifetime=600,
    whitelist=("127.0.0.1", "::1"),
    secret_frozen=True,
    denied=("*",),
    retired=("getupstreammsg",),
    longest_span=(("getbizsummary", 7), ("getarticleread", 30)),
    one_label=True,
    partial=True,
    stray_rows=True,
    dirty_rows=True,
    unknown_codes=True,
    latency=20,
    faults=(Fault.parse("getupstreammsg#3=-1"), Fault.parse("*@0.01=200:\udcff")),
)
"""Every option with a value other than its default."""


@pytest.fixture
def caller() -> Iterator[Caller]:
    """A caller of an emulator whose clock is frozen at noon."""
    with wechat(clock=NOON, frozen=True) as emulated, Caller(emulated) as caller:
        yield caller


@pytest.fixture
def control(caller: Caller) -> Control:
    """The controls of that emulator."""
    return caller.emulated.control


def test_the_journal_lists_every_call(caller: Caller, control: Control) -> None:
    """The journal lists each call's request and answer in order, without token or secret."""
    caller.rows("getupstreammsg", "2026-11-20", YESTERDAY)
    caller.errcode("getupstreammsg", "2026-11-20", YESTERDAY, token="")
    caller.post("/datacube/nothing")
    caller.plain_token()
    common = {"at": NOON, "status": 200, "fault": None}
    window = {"begin": "2026-11-20", "end": "2026-11-23"}
    unasked = {"begin": None, "end": None, "attempt": 1, "errcode": None}
    assert control.calls() == [
        JournalEntry(endpoint="stable_token", method="POST", **unasked, **common),
        JournalEntry(endpoint="getupstreammsg", method="POST", **window, attempt=1, errcode=None, **common),
        JournalEntry(endpoint="getupstreammsg", method="POST", **window, attempt=2, errcode=41001, **common),
        JournalEntry(endpoint="token", method="GET", **unasked, **common),
    ]
    assert [call.errcode for call in control.calls("getupstreammsg")] == [None, 41001]
    assert control.statistics_calls() == control.calls("getupstreammsg")
    assert caller.token not in str(control.calls())
    control.clear_calls()
    assert control.calls() == []


def test_the_clock_can_be_set_while_it_runs(caller: Caller, control: Control) -> None:
    """The clock can be frozen, moved, started, and set back to the present."""
    assert control.now() == NOON
    control.set_clock("2026-11-23T12:00", frozen=True)
    assert control.now() == NOON - dt.timedelta(days=1)
    assert caller.errcode("getupstreammsg", YESTERDAY) == 61501
    control.advance(dt.timedelta(days=1))
    assert control.now() == NOON
    control.set(frozen=False)
    before = control.now()
    assert NOON <= before < NOON + dt.timedelta(minutes=1)
    time.sleep(0.01)
    assert control.now() > before
    control.set_clock(None)
    assert abs(control.now() - beijing_now()) < dt.timedelta(seconds=10)


def test_a_clock_advances_with_real_time_from_where_it_was_set() -> None:
    """A clock advances with real time from the moment it was set to, and stops when frozen."""
    real = iter(NOON + dt.timedelta(seconds=n) for n in range(10))
    clock = SettableClock(dt.datetime(2020, 1, 1), real=lambda: next(real))
    assert clock() == dt.datetime(2020, 1, 1, 0, 0, 1)
    clock.advance(dt.timedelta(hours=1))
    assert clock() == dt.datetime(2020, 1, 1, 1, 0, 2)
    clock.set(dt.datetime(2021, 1, 1), frozen=True)
    assert clock() == clock() == dt.datetime(2021, 1, 1)


def test_the_default_clock_is_the_current_beijing_time() -> None:
    """Without a `clock` option the emulator uses the current Beijing time."""
    with wechat() as emulated:
        assert abs(emulated.control.now() - beijing_now()) < dt.timedelta(seconds=10)


def test_quotas_can_be_changed_while_it_runs(caller: Caller, control: Control) -> None:
    """The quota can be changed for all endpoints or one, and calls of other programs can be counted."""
    control.set_quota(2)
    control.set_quota(1, "getupstreammsg")
    codes = [caller.errcode(name, YESTERDAY) for name in ("getupstreammsg", "getupstreammsgdist") for _ in range(3)]
    assert codes == [None, 45009, 45009, None, None, 45009]
    control.set_quota(5, "getupstreammsg")
    assert caller.errcode("getupstreammsg", YESTERDAY) is None
    control.use_quota("getupstreammsg", 3)
    assert caller.errcode("getupstreammsg", YESTERDAY) == 45009
    assert control.used("getupstreammsg") == 5
    assert control.state()["limits"]["getupstreammsg"] == {"limit": 5, "used": 5}
    with pytest.raises(ValueError, match="no such endpoint"):
        control.use_quota("nothing", 1)


def test_a_restated_day_returns_new_figures(caller: Caller, control: Control) -> None:
    """After a restatement the day's endpoints return new figures, equal to the world's."""
    before = {name: caller.rows(name, YESTERDAY) for name in ("getupstreammsg", "getupstreammsghour")}
    assert control.restate(YESTERDAY, delta=10) == len(caller.emulated.world.messages(YESTERDAY))
    for name, rows in before.items():
        assert caller.rows(name, YESTERDAY) == caller.emulated.world.rows(name, YESTERDAY) != rows
    assert control.restate(YESTERDAY, factor=0.5)
    with pytest.raises(ValueError, match="either factor or delta"):
        control.restate(YESTERDAY)
    with pytest.raises(ValueError, match="more than the emulator can hold"):
        control.restate(YESTERDAY, factor=1e9)


def test_a_reset_restores_the_initial_state(caller: Caller, control: Control) -> None:
    """A reset restores options, clock, tokens, quotas, journal and figures."""
    token, before = caller.token, caller.rows("getupstreammsg", YESTERDAY)
    control.set(quota=0, clock="2020-01-01")
    control.restate(YESTERDAY, delta=10)
    control.script("*", "-1")
    control.reset()
    assert control.options() == Options(clock=NOON, frozen=True)
    assert (control.now(), control.calls()) == (NOON, [])
    assert caller.stable_token()["access_token"] == token
    assert caller.rows("getupstreammsg", YESTERDAY) == before
    assert control.used("getupstreammsg") == 1


def test_every_option_can_be_changed_and_is_shown(control: Control) -> None:
    """Every option survives a round trip as JSON and as text, and can be changed over HTTP."""
    names = [option.name for option in fields(Options)]
    changed = {name: getattr(OTHER, name) for name in names}
    assert all(getattr(Options(), name) != value for name, value in changed.items())
    control.set(**changed)
    assert control.options() == OTHER
    texts = {
        name: [str(item) for item in value] if isinstance(value, list) else str(value)
        for name, value in OTHER.as_json().items()
    }
    assert Options().changed(texts) == OTHER
    assert Options().changed(OTHER.as_json()) == OTHER.changed({}) == OTHER
    assert OTHER.changed(dict.fromkeys(names)) == Options()


def test_every_option_is_also_a_command_line_option() -> None:
    """A process started with all options on its command line has them all; those with several values are repeated."""
    words = [sys.executable, "-m", "wx_datacube", "emulator"]
    for name, value in OTHER.as_json().items():
        flag = f"--{name.replace('_', '-')}"
        for text in value if isinstance(value, list) else [value]:
            words += [flag] if text is True else [] if text is False else [flag, str(text)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, errors="surrogateescape") as process:
        try:
            assert process.stdout
            assert Control(process.stdout.readline().strip().partition("=")[2]).options() == OTHER
        finally:
            process.kill()


def test_options_are_described_for_a_command_line() -> None:
    """Each option describes its values, has a placeholder and a help sentence, and says whether it is repeatable."""
    for option in fields(Options):
        kind = option.metadata["kind"]
        assert kind.takes
        assert re.fullmatch(r"[A-Z=]+", kind.metavar) or kind is SWITCH
        assert re.fullmatch(r".+\.", option.metadata["help"].en)
        assert re.fullmatch(".*[\u4e00-\u9fff].*。", option.metadata["help"].zh)
        assert option.metadata["many"] is isinstance(option.default, tuple)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("quota", -1),
        ("quota", "many"),
        ("quota", True),
        ("messages_per_day", 0),
        ("messages_per_day", 100_001),
        ("latency", 600_001),
        ("token_lifetime", 10**12),
        ("silent_share", 1.5),
        ("silent_share", "nan"),
        ("start", "2014-13-01"),
        ("start", "0001-01-01"),
        ("clock", "9999-12-31T23:59"),
        ("clock", "1999-12-31"),
        ("clock", "yesterday"),
        ("clock", "2026-11-24T12:00+08:00"),
        ("publish_at", "25:00"),
        ("publish_at", "08:00Z"),
        ("frozen", "perhaps"),
        ("endpoint_quota", ["nothing=3"]),
        ("longest_span", ["getbizsummary=0"]),
        ("delay_until", "noon"),
        ("endpoint_quota", "getupstreammsg"),
        ("faults", ["*=nonsense"]),
        ("faults", 3),
        ("secret", ""),
        ("appid", "wx 1"),
    ],
)
def test_a_wrong_option_is_refused_by_name_and_changes_nothing(control: Control, name: str, value: object) -> None:
    """A wrong value is refused with one line that names the option, in Python and over HTTP."""
    with pytest.raises(ValueError, match=f"^{name} takes ") as refused:
        Options().changed({name: value})
    assert "\n" not in str(refused.value)
    before = control.options()
    with pytest.raises(ValueError, match=f"^{name} takes "):
        control.set(**{"latency": 1, name: value})
    assert control.options() == before


def test_an_unknown_option_is_refused(control: Control) -> None:
    """The error for an unknown option lists the existing ones."""
    with pytest.raises(ValueError, match="no such option: quotas; there are appid, "), wechat(quotas=1):
        pass
    with pytest.raises(ValueError, match="no such option"):
        control.set(quotas=1)


def test_controls_need_no_token_and_refuse_nonsense_with_400(caller: Caller) -> None:
    """Wrong values are answered with 400, unknown controls with 404."""
    for method, name in ACTS:
        answer = caller.session.request(method, f"{caller.emulated.api_url}/_emulator/{name}", json=[1], timeout=30)
        assert answer.status_code in (200, 400)
        assert answer.status_code == 200 or answer.json()["error"]
    assert caller.post("/_emulator/restate", json={}).json() == {"error": "missing: day"}
    assert caller.post("/_emulator/restate", data=b"{").status_code == 400
    for seconds in (1e300, 1e11, -1e9):
        assert caller.post("/_emulator/advance", json={"seconds": seconds}).status_code == 400
    assert caller.emulated.control.now() == NOON
    assert caller.post("/_emulator/nothing").status_code == 404


def test_two_emulators_are_independent_and_leave_no_thread() -> None:
    """Two emulators have their own ports and states, and leave no thread and no open port."""
    threads = threading.active_count()
    with wechat(quota=1) as one, wechat(quota=2) as other:
        assert one.api_url != other.api_url
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", one.api_url)
        assert (one.control.options().quota, other.control.options().quota) == (1, 2)
    assert threading.active_count() == threads
    with pytest.raises(ConnectionRefusedError):
        one.control.state()


def test_the_emulator_stops_while_callers_wait_for_answers() -> None:
    """The emulator stops within seconds even if callers are waiting for answers."""
    with wechat(faults=["*=drip:60"]) as emulated, Caller(emulated) as caller:
        path = caller.path("getupstreammsg")
        connection = HTTPConnection(emulated.api_url.removeprefix("http://"), timeout=10)
        connection.request("POST", path, json.dumps({}))
        connection.sock.recv(1)
        assert emulated.control.state()["in_flight"] == 1
        began = time.monotonic()
    assert time.monotonic() - began < 5
    connection.close()


SERVE = """
import sys
from wx_datacube.emulator.options import SWITCH, Options
from wx_datacube.emulator.server import serve, serving
serve(Options().changed({"quota": 10**6, "silent_share": 0}), ready=lambda url: print(url, flush=True))
print("stopped")
"""


@contextmanager
def served() -> Iterator[tuple["subprocess.Popen[str]", str, float]]:
    """Run an emulator in its own process; yield the process, its URL, and the seconds that it took to start."""
    began = time.monotonic()
    command = [sys.executable, "-c", SERVE]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            url = process.stdout.readline().strip()
            yield process, url, time.monotonic() - began
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_served_emulator_starts_at_once_and_stops_on_a_signal(number: signal.Signals) -> None:
    """The emulator reports when it listens, on a free loopback port, and exits without a traceback."""
    with served() as (process, url, seconds):
        assert seconds < 5
        assert requests.get(url + "/_emulator/state", timeout=10).json()["calls"] == 0
        process.send_signal(number)
        assert process.communicate(timeout=10) == ("stopped\n", "")
        assert process.returncode == 0


def test_a_taken_port_is_an_oserror() -> None:
    """A port in use raises `OSError`, which the command line explains."""
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        serve(Options(), port=taken.getsockname()[1])


def answers_a_second(url: str, token: str, threads: int, calls: int) -> float:
    """Return how many calls per second are answered over persistent connections, all for the same hundred days."""
    days = [(dt.date(2024, 1, 1) + dt.timedelta(days=n)).isoformat() for n in range(100)]

    def ask(count: int) -> None:
        connection = HTTPConnection(url.removeprefix("http://"), timeout=30)
        for number in range(count):
            body = json.dumps({"begin_date": days[number % 100], "end_date": days[number % 100]}).encode()
            connection.request("POST", f"/datacube/getupstreammsghour?access_token={token}", body)
            assert connection.getresponse().read().startswith(b'{"list":[{')
        connection.close()

    workers = [threading.Thread(target=ask, args=(calls // threads,)) for _ in range(threads)]
    began = time.monotonic()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return calls / (time.monotonic() - began)


def processor_of_children() -> float:
    """Return the CPU seconds of child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_a_warm_emulator_answers_thousands_of_calls_a_second() -> None:
    """CPU time per call is low (others share the machine), and no call waits 40 ms for Nagle's algorithm."""
    before = processor_of_children()
    with served() as (_, url, _):
        asked = {"grant_type": "client_credential", "appid": Options().appid, "secret": Options().secret}
        token = requests.post(url + "/cgi-bin/stable_token", json=asked, timeout=10).json()["access_token"]
        answers_a_second(url, token, 1, 100)
        assert answers_a_second(url, token, 1, 300) > 50
        answers_a_second(url, token, 4, 1600)
    started_within, answered_within = 1.0, 2000 / 1000
    assert processor_of_children() - before < started_within + answered_within


def reaches(url: str, address: str) -> bool:
    """Return whether the port of a URL accepts connections at another address of this machine."""
    try:
        with socket.create_connection((address, urlsplit(url).port), timeout=5):
            return True
    except ConnectionRefusedError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere 127.0.0.1 is the only loopback address")
def test_the_emulator_listens_on_one_loopback_address_by_default() -> None:
    """By default the emulator listens on 127.0.0.1 only: from Python, as a process, and by the command's default."""
    with wechat() as emulated, served() as (_, url, _):
        for each in (emulated.api_url, url):
            assert urlsplit(each).hostname == "127.0.0.1"
            assert reaches(each, "127.0.0.1")
            assert not reaches(each, "127.0.0.2")
    (host,) = (param.default for param in main.commands.commands["emulator"].params if param.name == "host")
    assert host == "127.0.0.1"
    with serving(EmulatedAccount(Options()), host="0.0.0.0") as everywhere:
        assert reaches(everywhere, "127.0.0.2")
