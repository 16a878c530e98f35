"""The client against the emulator, which behaves like WeChat, faults included.

Add a test here when the emulator learns a fault or a rule of WeChat's. Behaviour that needs a server with scripted
bytes is in `test_client.py` and `test_transport.py`.
"""

import datetime as dt
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from wx_datacube.catalog.messages import ENDPOINTS
from wx_datacube.catalog.model import Endpoint
from wx_datacube.emulator.testing import Emulated, wechat
from wx_datacube.errors import (
    NeedsPerson,
    QuotaExhausted,
    RequestRefused,
    TokenRejected,
    TryAgain,
    UnexpectedAnswer,
    WeChatError,
)
from wx_datacube.wechat import Client
from wx_datacube.wechat.transport import Bounds
from wx_datacube_tests.wechat_stand_in import Ledger, Time

FIRST = dt.date(2026, 6, 1)


@pytest.fixture(scope="module")
def running() -> Iterator[Emulated]:
    """Run one emulator for all tests of this module."""
    with wechat(clock="2026-11-24T13:00") as emulated:
        yield emulated


@pytest.fixture
def emulated(running: Emulated) -> Emulated:
    """Reset the emulator to its initial state."""
    running.control.reset()
    return running


@pytest.fixture
def it(emulated: Emulated) -> Iterator[Client]:
    """Return a client of the emulator whose waits are simulated."""
    time = Time(dt.datetime(2026, 11, 24, 13))
    bounds = Bounds(read=2, total=2)
    with Client(
        api_url=emulated.api_url,
        appid=emulated.appid,
        secret=emulated.secret,
        clock=time,
        sleep=time.sleep,
        bounds=bounds,
    ) as client:
        yield client


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.name)
def test_every_endpoint_answers_over_its_whole_span(endpoint: Endpoint, it: Client) -> None:
    """Each endpoint accepts as many days as the catalog says, and refuses one more."""
    end = FIRST + dt.timedelta(endpoint.max_span_days - 1)

    answer = it.fetch(endpoint.name, FIRST, end, Ledger())
    assert answer.ok
    assert '"ref_date":"2026-06-01"' in (answer.response or "").replace(" ", "")

    with pytest.raises(RequestRefused) as caught:
        it.fetch(endpoint.name, FIRST, end + dt.timedelta(1), Ledger())
    assert caught.value.errcode == 61501


@pytest.mark.parametrize(
    ("fault", "calls"),
    [("-1", 2), ("502", 2), ("cut", 2), ("drop", 2), ("html", 2), ("45011", 2), ("revoke", 2), ("delay:0.1", 1)],
)
def test_a_transient_fault_costs_one_more_call(emulated: Emulated, it: Client, fault: str, calls: int) -> None:
    """After one transient fault, one more call gets the answer."""
    emulated.control.script("getupstreammsg", fault)

    assert it.fetch("getupstreammsg", FIRST, FIRST, Ledger()).ok
    assert len(emulated.control.calls("getupstreammsg")) == calls


@pytest.mark.parametrize(
    ("fault", "kind", "calls"),
    [
        ("-1", TryAgain, 4),
        ("drop", TryAgain, 4),
        ("html", UnexpectedAnswer, 4),
        ("404", UnexpectedAnswer, 1),
        ("redirect:http://127.0.0.1:9/", UnexpectedAnswer, 1),
        ("48001", NeedsPerson, 1),
        ("45009", QuotaExhausted, 1),
        ("40001", TokenRejected, 2),
    ],
)
def test_a_lasting_fault_raises_its_error(
    emulated: Emulated, it: Client, fault: str, kind: type[WeChatError], calls: int
) -> None:
    """A lasting fault raises its error after the number of attempts that makes sense for it."""
    ledger = Ledger()
    emulated.control.fault("getupstreammsg", fault)

    with pytest.raises(kind):
        it.fetch("getupstreammsg", FIRST, FIRST, ledger)
    assert len(ledger.answers) == calls


def test_a_revoked_token_is_replaced_once_by_eight_threads(emulated: Emulated, it: Client) -> None:
    """When a token is revoked, eight threads together fetch one new token."""
    it.check_credentials()
    emulated.control.revoke_tokens()

    with ThreadPoolExecutor(8) as pool:
        attempts = list(pool.map(lambda _: it.fetch("getupstreammsg", FIRST, FIRST, Ledger()), range(16)))

    assert all(answer.ok for answer in attempts)
    assert len(emulated.control.calls("stable_token")) == 2
    assert not emulated.control.calls("token")


def test_a_call_beyond_the_quota_raises_quota_exhausted(emulated: Emulated, it: Client) -> None:
    """Querying the quota uses none; beyond it a call raises `QuotaExhausted`, and other endpoints continue."""
    emulated.control.set_quota(2)
    it.fetch("getupstreammsg", FIRST, FIRST, Ledger())
    assert (it.quota("getupstreammsg").daily_limit, it.quota("getupstreammsg").remain) == (2, 1)

    it.fetch("getupstreammsg", FIRST, FIRST, Ledger())
    with pytest.raises(QuotaExhausted):
        it.fetch("getupstreammsg", FIRST, FIRST, Ledger())
    assert it.fetch("getupstreammsghour", FIRST, FIRST, Ledger()).ok


def test_the_error_says_which_credential_is_wrong(emulated: Emulated) -> None:
    """The error says which of AppID and AppSecret is wrong."""
    for appid, secret, errcode in ((emulated.appid, "0" * 32, 40125), ("wx0000000000000000", emulated.secret, 40013)):
        with Client(api_url=emulated.api_url, appid=appid, secret=secret) as it, pytest.raises(NeedsPerson) as caught:
            it.check_credentials()
        assert caught.value.errcode == errcode
