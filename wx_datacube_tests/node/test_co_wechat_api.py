"""The npm package co-wechat-api against the emulator: a client that knows nothing of this project.

`make clients` installs it into `node_modules` here and runs these tests; without it `conftest` leaves them out.
`ask.js` makes the calls. Add a client here with its exact version in `package.json`.
"""

import datetime as dt
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from wx_datacube.catalog.messages import ENDPOINTS
from wx_datacube.emulator.testing import Emulated, wechat
from wx_datacube_tests.emulator_caller import METHODS, published_rows, whole_span

HERE = Path(__file__).parent
NOON = dt.datetime(2026, 11, 24, 12)


@pytest.fixture
def emulated() -> Iterator[Emulated]:
    """An emulator at noon."""
    with wechat(clock=NOON, frozen=True) as emulated:
        yield emulated


def ask(emulated: Emulated, *calls: tuple[str, ...], secret: str | None = None) -> list[Any]:
    """Return the results of co-wechat-api for these calls, all made by one process with one client."""
    command = ["node", str(HERE / "ask.js"), emulated.api_url, emulated.appid, secret or emulated.secret]
    done = subprocess.run(command, input=json.dumps(calls), capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return list(json.loads(done.stdout))


def test_all_seven_endpoints_give_the_rows_of_the_world(emulated: Emulated) -> None:
    """Each endpoint returns its rows over its longest window, all with one token of `/cgi-bin/token`."""
    windows = [whole_span(endpoint) for endpoint in ENDPOINTS]
    calls = [(METHODS[endpoint.name], *map(str, window)) for endpoint, window in zip(ENDPOINTS, windows, strict=True)]
    expected = [published_rows(emulated, *each) for each in zip(ENDPOINTS, windows, strict=True)]
    assert all(expected)
    assert ask(emulated, *calls) == [{"list": rows} for rows in expected]
    assert [call.errcode for call in emulated.control.calls()] == [None] * 8
    assert len(emulated.control.calls("token")) == 1


def test_a_refusal_is_an_error_with_its_errcode(emulated: Emulated) -> None:
    """Refused dates, a missing permission, a used-up quota and wrong credentials are errors with their errcodes."""
    emulated.control.set(denied=["getupstreammsgdist"], endpoint_quota={"getupstreammsghour": 0})
    found = ask(
        emulated,
        ("getUpstreamMsg", "2026-11-01", "2026-11-23"),
        ("getUpstreamMsg", "2026-11-24", "2026-11-24"),
        ("getUpstreamMsg", "yesterday", "2026-11-23"),
        ("getUpstreamMsgDist", "2026-11-23", "2026-11-23"),
        ("getUpstreamMsgHour", "2026-11-23", "2026-11-23"),
    )
    assert [answer["error"] for answer in found] == [61501, 61501, 61500, 48001, 45009]
    assert ask(emulated, ("getAccessToken",), secret="another") == [{"error": 40125}]


def test_a_replaced_token_is_renewed_by_the_client(emulated: Emulated) -> None:
    """On 40001, after another program replaced the token, the client fetches a new one and then gets the rows."""
    emulated.control.script("getupstreammsgweek", "revoke")
    (found,) = ask(emulated, ("getUpstreamMsgWeek", "2026-11-16", "2026-11-16"))
    assert found == {"list": emulated.world.rows("getupstreammsgweek", dt.date(2026, 11, 16))}
    assert [call.errcode for call in emulated.control.calls("getupstreammsgweek")] == [40001, None]


@pytest.mark.parametrize("wrong", ['200:{"errcode":0,"errmsg":"ok"}', "200:{", "502", '200:{"list":[]}'])
def test_a_wrong_answer_is_not_taken_for_the_rows(emulated: Emulated, wrong: str) -> None:
    """A wrong answer reaches the caller as it is or as an error, so the tests above can fail."""
    emulated.control.fault("getupstreammsg", wrong)
    (found,) = ask(emulated, ("getUpstreamMsg", "2026-11-23", "2026-11-23"))
    assert found != {"list": emulated.world.rows("getupstreammsg", dt.date(2026, 11, 23))}
