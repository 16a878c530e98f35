"""wechatpy against the emulator: a client with its own assumptions about WeChat, independent of this project.

Only its addresses are changed, through the class attribute and the method that it provides for this. Put another
Python client into its own file; npm clients are in `node/`.
"""

import datetime as dt
from collections.abc import Iterator

import pytest
from wechatpy import WeChatClient
from wechatpy.client.api import WeChatDataCube
from wechatpy.exceptions import APILimitedException, WeChatClientException

from wx_datacube.catalog.endpoints import BY_NAME
from wx_datacube.catalog.model import Endpoint
from wx_datacube.emulator.testing import Emulated, wechat
from wx_datacube_tests.emulator_caller import METHODS, published_rows, snake, whole_span

NOON = dt.datetime(2026, 11, 24, 12)
YESTERDAY = dt.date(2026, 11, 23)


def client_of(emulated: Emulated) -> WeChatClient:
    """Return wechatpy's own client with the emulator's address."""

    class DataCube(WeChatDataCube):
        API_BASE_URL = f"{emulated.api_url}/datacube/"

    class Client(WeChatClient):
        API_BASE_URL = f"{emulated.api_url}/cgi-bin/"
        datacube = DataCube()

        def fetch_access_token(self) -> object:
            asked = {"grant_type": "client_credential", "appid": self.appid, "secret": self.secret}
            return self._fetch_access_token(url=f"{self.API_BASE_URL}token", params=asked)

    return Client(emulated.appid, emulated.secret, timeout=30)


@pytest.fixture(scope="module")
def running() -> Iterator[Emulated]:
    """An emulator for all tests of this file."""
    with wechat(clock=NOON, frozen=True) as emulated:
        yield emulated


@pytest.fixture
def emulated(running: Emulated) -> Emulated:
    """The emulator in its initial state."""
    running.control.reset()
    return running


@pytest.fixture
def it(emulated: Emulated) -> WeChatClient:
    """A client without a token."""
    return client_of(emulated)


@pytest.mark.parametrize("endpoint", [BY_NAME[name] for name in METHODS], ids=lambda endpoint: endpoint.name)
def test_every_endpoint_gives_the_rows_of_the_world(emulated: Emulated, it: WeChatClient, endpoint: Endpoint) -> None:
    """Every endpoint returns the world's rows over its longest window."""
    window = whole_span(endpoint)
    rows = getattr(it.datacube, snake(METHODS[endpoint.name]))(*window)
    assert rows == published_rows(emulated, endpoint, window) != []
    assert [call.endpoint for call in emulated.control.calls()] == ["token", endpoint.name]


def test_a_silent_day_is_an_empty_list(emulated: Emulated, it: WeChatClient) -> None:
    """A day without messages is an empty list, not an error."""
    emulated.control.set(silent_share=1)
    assert it.datacube.get_upstream_msg(YESTERDAY, YESTERDAY) == []


@pytest.mark.parametrize("errcode", [61500, 61501, 48001])
def test_a_refusal_is_an_exception_with_its_errcode(emulated: Emulated, it: WeChatClient, errcode: int) -> None:
    """A malformed date, a window that is too long, and a missing permission raise an exception with the errcode."""
    emulated.control.set(denied=["getupstreammsgdist"])
    asked = {
        61500: (it.datacube.get_upstream_msg, "yesterday"),
        61501: (it.datacube.get_upstream_msg, "2026-11-01"),
        48001: (it.datacube.get_upstream_msg_dist, "2026-11-23"),
    }
    method, begin = asked[errcode]
    with pytest.raises(WeChatClientException) as refused:
        method(begin, YESTERDAY)
    assert refused.value.errcode == errcode
    assert " rid: " in refused.value.errmsg


def test_older_article_endpoints_are_refused(emulated: Emulated, it: WeChatClient) -> None:
    """wechatpy still has methods for the endpoints that WeChat replaced; they get 47009."""
    with pytest.raises(WeChatClientException) as refused:
        it.datacube.get_article_summary(YESTERDAY, YESTERDAY)
    assert refused.value.errcode == 47009


def test_a_used_up_quota_raises_wechatpys_own_exception(emulated: Emulated, it: WeChatClient) -> None:
    """45009 raises wechatpy's own exception for it."""
    emulated.control.set_quota(1)
    assert it.datacube.get_upstream_msg(YESTERDAY, YESTERDAY)
    with pytest.raises(APILimitedException):
        it.datacube.get_upstream_msg(YESTERDAY, YESTERDAY)


def test_wrong_credentials_give_no_token(emulated: Emulated, it: WeChatClient) -> None:
    """The errcode of the token call reaches the user."""
    emulated.control.set(secret="another")
    with pytest.raises(WeChatClientException) as refused:
        it.datacube.get_upstream_msg(YESTERDAY, YESTERDAY)
    assert refused.value.errcode == 40125


@pytest.mark.parametrize("reason", ["replaced", "expired"])
def test_a_rejected_token_is_renewed(emulated: Emulated, it: WeChatClient, reason: str) -> None:
    """On 40001 and 42001 the client fetches a new token and then gets the rows."""
    assert it.datacube.get_upstream_msg(YESTERDAY, YESTERDAY)
    if reason == "replaced":
        emulated.control.revoke_tokens()
    else:
        emulated.control.advance(dt.timedelta(hours=2))
    assert it.datacube.get_upstream_msg(YESTERDAY, YESTERDAY)
    codes = [call.errcode for call in emulated.control.calls("getupstreammsg")]
    assert codes == [None, 40001 if reason == "replaced" else 42001, None]


def test_two_clients_invalidate_each_others_tokens_and_recover(emulated: Emulated, it: WeChatClient) -> None:
    """Two clients end each other's tokens after five minutes, as users of all libraries report, and recover."""
    other = client_of(emulated)
    assert it.datacube.get_upstream_msg(YESTERDAY, YESTERDAY) == other.datacube.get_upstream_msg(YESTERDAY, YESTERDAY)
    emulated.control.advance(dt.timedelta(minutes=5))
    assert it.datacube.get_upstream_msg(YESTERDAY, YESTERDAY)
    assert [call.errcode for call in emulated.control.calls("getupstreammsg")] == [None, None, 40001, None]
