"""A client of the emulator that neither retries nor validates, so that tests see the raw response.

Helpers that the tests of third-party clients share are here too.
"""

import datetime as dt
import re
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import requests

from wx_datacube.catalog.endpoints import BY_NAME
from wx_datacube.catalog.model import Endpoint
from wx_datacube.catalog.periods import label_of
from wx_datacube.emulator.presentation import Row
from wx_datacube.emulator.testing import Emulated, wechat

Day = dt.date | str
Started = Callable[..., "Caller"]

METHODS = {
    "getupstreammsg": "getUpstreamMsg",
    "getupstreammsghour": "getUpstreamMsgHour",
    "getupstreammsgweek": "getUpstreamMsgWeek",
    "getupstreammsgmonth": "getUpstreamMsgMonth",
    "getupstreammsgdist": "getUpstreamMsgDist",
    "getupstreammsgdistweek": "getUpstreamMsgDistWeek",
    "getupstreammsgdistmonth": "getUpstreamMsgDistMonth",
    "getusersummary": "getUserSummary",
    "getusercumulate": "getUserCumulate",
    "getinterfacesummary": "getInterfaceSummary",
    "getinterfacesummaryhour": "getInterfaceSummaryHour",
}
"""The methods' names in JavaScript clients; `snake` turns them into those of Python clients.

Neither has methods for the article endpoints that WeChat has now.
"""


def snake(name: str) -> str:
    """Turn `getUpstreamMsg` into `get_upstream_msg`."""
    return re.sub(r"([A-Z])", lambda letter: "_" + letter[1].lower(), name)


def whole_span(endpoint: Endpoint) -> tuple[dt.date, dt.date]:
    """Return the longest window that the endpoint allows, starting on the first of a month that is a Monday."""
    begin = dt.date(2026, 6, 1)
    return begin, begin + dt.timedelta(days=endpoint.max_span_days - 1)


def published_rows(emulated: Emulated, endpoint: Endpoint, window: tuple[dt.date, dt.date]) -> list[Row]:
    """Return the world's rows for a window in the past."""
    begin, end = window
    days = [begin + dt.timedelta(days=n) for n in range((end - begin).days + 1)]
    return [row for day in days if label_of(day, endpoint.period) == day for row in emulated.world.rows(endpoint, day)]


def newest_published(emulated: Emulated, until: dt.date = dt.date(2026, 11, 23)) -> dt.date:
    """Return the last day, up to `until`, on which an article was published."""
    days = (until - dt.timedelta(days=number) for number in range(20))
    return next(day for day in days if emulated.world.rows("getarticletotaldetail", day))


class Caller:
    """An HTTP session with an emulator; its token is fetched once, from `stable_token`."""

    def __init__(self, emulated: Emulated) -> None:
        self.emulated = emulated
        self.session = requests.Session()
        self.session.trust_env = False
        self._token: str | None = None

    def __enter__(self) -> "Caller":
        return self

    def __exit__(self, *_: object) -> None:
        self.session.close()

    def stable_token(self, **fields: object) -> dict[str, Any]:
        """Call `/cgi-bin/stable_token`; `fields` replaces fields of a valid request."""
        asked = {"grant_type": "client_credential", "appid": self.emulated.appid, "secret": self.emulated.secret}
        return self.post("/cgi-bin/stable_token", json={**asked, **fields}).json()

    def plain_token(self, **fields: str) -> dict[str, Any]:
        """Call `/cgi-bin/token`; `fields` replaces fields of a valid request."""
        asked = {"grant_type": "client_credential", "appid": self.emulated.appid, "secret": self.emulated.secret}
        return self.session.get(self.emulated.api_url + "/cgi-bin/token", params={**asked, **fields}, timeout=30).json()

    def post(self, path: str, **kwargs: Any) -> requests.Response:
        """POST to a path."""
        return self.session.post(self.emulated.api_url + path, timeout=30, allow_redirects=False, **kwargs)

    @property
    def token(self) -> str:
        """A token, valid when it was fetched."""
        if self._token is None:
            self._token = self.stable_token()["access_token"]
        return self._token

    def reset(self) -> None:
        """Reset the emulator to its initial state, which invalidates tokens fetched before."""
        self.emulated.account.reset()
        self._token = None

    def call(self, endpoint: str, begin: Day, end: Day | None = None, token: str | None = None) -> requests.Response:
        """Call a statistics endpoint; without `end`, for a single day."""
        window = {"begin_date": str(begin), "end_date": str(begin if end is None else end)}
        return self.post(self.path(endpoint, token), json=window)

    def path(self, endpoint: str, token: str | None = None) -> str:
        """Return the path of a statistics endpoint with a token."""
        return f"/datacube/{endpoint}?access_token={self.token if token is None else token}"

    def rows(self, endpoint: str, begin: Day, end: Day | None = None) -> list[dict[str, Any]]:
        """Return the rows of a successful call."""
        answer = self.call(endpoint, begin, end).json()
        assert list(answer) == (["list", "is_delay"] if BY_NAME[endpoint].has_delay else ["list"]), answer
        return answer["list"]

    def errcode(self, endpoint: str, begin: Day, end: Day | None = None, token: str | None = None) -> int | None:
        """Return the errcode of a call, or None if it succeeded."""
        return self.call(endpoint, begin, end, token).json().get("errcode")


class Emulators(ExitStack):
    """Emulators that tests use in turn, since each start and stop takes a sixth of a second."""

    def __init__(self) -> None:
        super().__init__()
        self._idle: list[Emulated] = []

    def start(self, used: ExitStack, **options: object) -> Caller:
        """Return a caller of a reset emulator with these options; the emulator can be reused when `used` exits."""
        emulated = self._idle.pop() if self._idle else self.enter_context(wechat())
        used.callback(self._idle.append, emulated)
        emulated.control.reset()
        emulated.control.set(**options)
        return used.enter_context(Caller(emulated))
