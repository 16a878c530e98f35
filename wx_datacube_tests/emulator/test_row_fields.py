"""Fields of followers, articles and interface: the emulator's rows have the documented ones in the documented order.

If a file `shared/endpoints.json` lies beside the project, its fields are tested too, besides those written here.
"""

import datetime as dt
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from wx_datacube_tests.emulator_caller import Emulators, Started, newest_published

NOON = dt.datetime(2026, 11, 24, 12)

READERS = {"read_user": int, "read_user_source": [{"user_count": int, "scene_desc": str}]}
REACTIONS = dict.fromkeys(("share_user", "zaikan_user", "like_user", "comment_count", "collection_user"), int)
CALLBACKS = dict.fromkeys(("callback_count", "fail_count", "total_time_cost", "max_time_cost"), int)
ROWS: dict[str, dict[str, Any]] = {
    "getusersummary": {"ref_date": str, "user_source": int, "new_user": int, "cancel_user": int},
    "getusercumulate": {"ref_date": str, "user_source": int, "cumulate_user": int},
    "getbizsummary": {
        "ref_date": str,
        "detail": {**READERS, **REACTIONS, "redirect_ori_page_user": int, "send_page_count": int},
    },
    "getarticleread": {"ref_date": str, "msgid": str, "detail": READERS},
    "getarticleshare": {"ref_date": str, "msgid": str, "detail": {"share_user": int}},
    "getarticletotaldetail": {
        "ref_date": str,
        "msgid": str,
        "publish_type": int,
        "title": str,
        "content_url": str,
        "detail_list": [
            {
                "stat_date": str,
                **READERS,
                **REACTIONS,
                "praise_money": int,
                "read_subscribe_user": int,
                "read_delivery_rate": float,
                "read_finish_rate": float,
                "read_avg_activetime": float,
                "read_jump_position": [{"position": int, "rate": float}],
            }
        ],
    },
    "getinterfacesummary": {"ref_date": str, **CALLBACKS},
    "getinterfacesummaryhour": {"ref_date": str, "ref_hour": int, **CALLBACKS},
}
"""The fields of a row and their types, in the order of WeChat's pages; a list has the shape of its items."""

DOCUMENTED = Path(__file__).parents[3] / "shared" / "endpoints.json"
"""A catalogue of all statistics endpoints; it lies beside the project on some machines."""


def documented() -> Iterator[Any]:
    """Yield the shape of each endpoint's rows: those above, and those of the catalogue if it exists."""
    yield from (pytest.param(name, shape, id=name) for name, shape in ROWS.items())
    if DOCUMENTED.exists():
        for entry in json.loads(DOCUMENTED.read_text())["endpoints"]:
            if entry["name"] in ROWS:
                yield pytest.param(entry["name"], shape_of(entry["fields"]), id=f"catalogue-{entry['name']}")


def shape_of(fields: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the shape of a row with such fields, as in `ROWS`."""
    types = {"int": int, "float": float, "string": str}
    return {
        field["name"]: {
            "object": lambda it: shape_of(it["items"]),
            "array": lambda it: [shape_of(it["items"])],
        }.get(field["type"], lambda it: types[it["type"].split()[0]])(field)
        for field in fields
    }


def matches(value: Any, shape: Any) -> bool:
    """Return whether a value has a shape, with its fields in the same order."""
    if isinstance(shape, dict):
        same = isinstance(value, dict) and list(value) == list(shape)
        return same and all(matches(value[name], each) for name, each in shape.items())
    if isinstance(shape, list):
        return isinstance(value, list) and len(value) > 0 and all(matches(each, shape[0]) for each in value)
    return type(value) is shape


@pytest.fixture
def start(emulators: Emulators) -> Iterator[Started]:
    """Starts emulators, by default at noon and without silent days."""
    with ExitStack() as used:
        yield lambda **options: emulators.start(used, **{"clock": NOON, "frozen": True, "silent_share": 0, **options})


@pytest.mark.parametrize(("name", "shape"), list(documented()))
def test_rows_have_the_documented_fields_in_their_order(start: Started, name: str, shape: dict[str, Any]) -> None:
    """Every row has exactly the documented fields with their types, in the order of the documentation."""
    caller = start()
    rows = caller.rows(name, newest_published(caller.emulated))
    assert rows
    assert all(matches(row, shape) for row in rows)
