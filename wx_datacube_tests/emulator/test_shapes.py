"""Shapes: response bodies in WeChat's documentation and in other projects' test suites pass through client and loader,
and the emulator's responses have the same fields.

The bodies here were written for this test. If a folder `shared/fixtures` lies beside the project, its bodies from
public test suites, in files named after the endpoints, are tested too. Add a body here when WeChat is seen to answer
in another shape.
"""

import datetime as dt
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from wx_datacube.catalog.endpoints import BY_NAME
from wx_datacube.catalog.messages import COUNT_INTERVAL, ENDPOINTS
from wx_datacube.catalog.model import HISTORY_START, REF_HOUR, Endpoint
from wx_datacube.catalog.periods import label_of
from wx_datacube.emulator.testing import wechat
from wx_datacube.warehouse.connections import Connection
from wx_datacube.warehouse.ledger import store_calls
from wx_datacube_tests.answers import answered, rows_of, stored
from wx_datacube_tests.emulator_caller import Caller, published_rows, whole_span
from wx_datacube_tests.wechat_stand_in import Ledger, StandIn, client, http, token

PRINTED = {
    "messages": '{ \n   "list": [ \n       { \n           "ref_date": "%s", \n           "msg_type": 1, \n'
    '           "msg_user": 231, \n           "msg_count": 640\n       }\n   ]\n}',
    "hours": '{\n  "list": [\n    {\n      "ref_date": "%s",\n      "ref_hour": 0,\n      "msg_type": 1,\n'
    '      "msg_user": 12,\n      "msg_count": 15\n    }\n  ]\n}\n',
    "senders": '{\n"list": [\n{\n"ref_date": "%s",\n"count_interval": 1,\n"msg_user": 187\n}\n]\n}',
}
"""Spread over several lines and without `user_source`, as in documentation."""

LIVE = {
    "messages": '{"list":[{"ref_date":"%s","user_source":0,"msg_type":1,"msg_user":231,"msg_count":640}]}',
    "hours": '{"list":[{"ref_date":"%s","ref_hour":0,"user_source":0,"msg_type":1,"msg_user":12,"msg_count":15}]}',
    "senders": '{"list":[{"ref_date":"%s","user_source":0,"count_interval":1,"msg_user":187}]}',
}
"""Compact and with `user_source`, as in answers that users have published."""

ORIGINALS = Path(__file__).parents[3] / "shared" / "fixtures"
WORDS = {"summary": "", "hourly": "hour", "weekly": "week", "monthly": "month"}
SUNDAY = dt.date(2014, 12, 7)


def kind_of(endpoint: Endpoint) -> str:
    """Return what the endpoint counts."""
    return "hours" if REF_HOUR in endpoint.columns else "senders" if COUNT_INTERVAL in endpoint.columns else "messages"


def endpoint_of(name: str) -> Endpoint | None:
    """Return the endpoint in a file's name: `…_getupstreammsgdist.json`, `…_upstreamMessageDistWeekly.json`."""
    words = name.lower().removesuffix(".json").rpartition("_")[2].replace("upstreammessage", "getupstreammsg")
    return BY_NAME.get(re.sub("|".join(WORDS), lambda word: WORDS[word[0]], words))


def bodies() -> Iterator[Any]:
    """Yield endpoint and body, from this file and from the folder."""
    for endpoint in ENDPOINTS:
        for shape, texts in (("printed", PRINTED), ("live", LIVE)):
            for day in (label_of(dt.date(2015, 3, 11), endpoint.period), SUNDAY):
                yield pytest.param(endpoint, texts[kind_of(endpoint)] % day, id=f"{endpoint.name}-{shape}-{day}")
    for file in sorted(ORIGINALS.glob("*.json")):
        if endpoint := endpoint_of(file.name):
            yield pytest.param(endpoint, file.read_text(), id=file.name)


@pytest.mark.parametrize(("endpoint", "body"), list(bodies()))
def test_a_published_body_goes_through_client_and_loader(con: Connection, endpoint: Endpoint, body: str) -> None:
    """The row is stored, or rejected if its date is no Monday, no 1st, or before December 2014, as in some samples."""
    (row,) = json.loads(body)["list"]
    day, ledger = dt.date.fromisoformat(row["ref_date"]), Ledger()
    with (
        StandIn(lambda request: token() if "token" in request.path else http(body)) as stand_in,
        client(stand_in.url) as it,
    ):
        answer = it.fetch(endpoint.name, day, day, ledger)
    assert answer.ok
    assert answer.response == body
    store_calls(con, [answered(endpoint, day, day, at=answer.requested_at, response=answer.response)])

    trusted = label_of(day, endpoint.period) == day >= HISTORY_START
    keys = [row[column.name] for column in endpoint.key[1:]]
    figures = [row[column.name] for column in endpoint.table.measures]
    assert [(each[0], *each[1 : len(keys) + 1], *each[len(keys) + 2 : -1]) for each in stored(con, endpoint)] == [
        (day, *keys, *figures)
    ] * trusted
    assert rows_of(con, "SELECT count(*) FROM datacube.rejected_rows") == [(not trusted,)]


@pytest.fixture(scope="module")
def caller() -> Iterator[Caller]:
    """One emulator for all bodies."""
    with wechat(clock="2026-11-24T12:00", frozen=True) as emulated, Caller(emulated) as caller:
        yield caller


@pytest.mark.parametrize(("endpoint", "body"), list(bodies()))
def test_answers_of_the_emulator_have_the_shape_of_a_published_body(
    caller: Caller, endpoint: Endpoint, body: str
) -> None:
    """The outer object has the same keys, and each row the same fields with the same types in the same order.

    `user_source`, which documentation leaves out, is where live answers have it.
    """
    found = caller.call(endpoint.name, *whole_span(endpoint)).json()
    (theirs,), whole = json.loads(body)["list"], json.loads(LIVE[kind_of(endpoint)])["list"][0]
    assert list(found) == list(json.loads(body))
    assert found["list"]
    for ours in found["list"]:
        assert [(name, type(value)) for name, value in ours.items() if name in theirs] == [
            (name, type(value)) for name, value in theirs.items()
        ]
        assert list(ours) == list(whole)
    assert found["list"] == published_rows(caller.emulated, endpoint, whole_span(endpoint))


def test_the_name_of_a_file_determines_its_endpoint() -> None:
    """Both naming styles are recognised, and other files are ignored."""
    assert endpoint_of("wechatpy__datacube_getupstreammsgdistweek.json") == BY_NAME["getupstreammsgdistweek"]
    assert endpoint_of("easyswoole__Client_upstreamMessageDistMonthly.json") == BY_NAME["getupstreammsgdistmonth"]
    assert endpoint_of("easyswoole__Client_upstreamMessageSummary.json") == BY_NAME["getupstreammsg"]
    assert endpoint_of("easyswoole__Client_upstreamMessageHourly.json") == BY_NAME["getupstreammsghour"]
    assert endpoint_of("easyswoole__Client_upstreamMessageDistSummary.json") == BY_NAME["getupstreammsgdist"]
    assert endpoint_of("wechatpy__datacube_getusersummary.json") is None
