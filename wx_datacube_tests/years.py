"""Files with many years, written straight into the tables, for tests of duration and size rather than ingestion."""

import datetime as dt
import json
from pathlib import Path

from wx_datacube.catalog.messages import COUNT_INTERVAL, ENDPOINTS, MSG_TYPE
from wx_datacube.catalog.model import HISTORY_START, REF_HOUR, Endpoint
from wx_datacube.catalog.periods import due_labels
from wx_datacube.warehouse.files import Warehouse

TODAY = dt.datetime(2026, 11, 24, 15)


def years(
    folder: Path, *, start: dt.date = HISTORY_START, messages: int = 100, gap: tuple[dt.date, dt.date] | None = None
) -> Warehouse:
    """Publish a file of the account `shop` in which every label due on `TODAY` has rows, except those in `gap`.

    There are `messages` a day. Each type has the same number of messages every hour, and every user sends two.
    """
    warehouse = Warehouse(folder / "figures.duckdb", clock=lambda: TODAY)
    with warehouse.transaction() as con:
        con.execute(
            "INSERT INTO datacube.accounts VALUES ('shop', 'wx5eed0fda7acbe011', $1, $2, ['messages'])", [start, TODAY]
        )
        for call_id, endpoint in enumerate(ENDPOINTS, 1):
            labels = [
                label
                for label in due_labels(endpoint.period, start, TODAY.date())
                if gap is None or not gap[0] <= label <= gap[1]
            ]
            listed = json.dumps(labels, default=str)
            values = {"labels": listed, "call": call_id, "now": TODAY, "endpoint": endpoint.name}
            con.execute(
                "INSERT INTO datacube.api_calls BY NAME SELECT $call AS call_id, 'shop' AS account,"
                " $endpoint AS endpoint, $labels::JSON::DATE[] AS asked, $now AS requested_at, 200 AS http_status",
                values,
            )
            con.execute(
                "INSERT INTO datacube.label_answers BY NAME SELECT 'shop' AS account, $endpoint AS endpoint,"
                " unnest($labels::JSON::DATE[]) AS label, $call AS call_id, $now AS fetched_at, true AS settled,"
                " true AS clean, 1 AS shown, true AS known, true AS final, $call AS last_undelayed",
                values,
            )
            con.execute(_rows(endpoint, messages), {"labels": listed, "call": call_id})
    warehouse.publish()
    return warehouse


def _rows(endpoint: Endpoint, messages: int) -> str:
    days = {"day": 1, "week": 7, "month": 30}[endpoint.period.value]
    of_type = messages * days // len(MSG_TYPE.codes)
    hours = "range(24)" if REF_HOUR in endpoint.columns else "[0]"
    kinds = "[1, 2, 3]" if COUNT_INTERVAL in endpoint.columns else str([code for code, _ in MSG_TYPE.codes])
    of_hour = of_type // 24 if REF_HOUR in endpoint.columns else of_type
    columns = {
        "account": "'shop'",
        "ref_date": "label",
        "ref_hour": "hour * 100",
        "msg_type": "kind",
        "count_interval": "kind",
        "user_source": "0",
        "msg_user": str(of_hour // 2 if COUNT_INTERVAL not in endpoint.columns else messages * days // 2 // 3),
        "msg_count": str(of_hour),
        "call_id": "$call",
    }
    names = ["account", *(column.name for column in endpoint.columns), "call_id"]
    return (
        f"INSERT INTO datacube.{endpoint.name} SELECT {', '.join(columns[name] for name in names)}"
        f" FROM (SELECT unnest($labels::JSON::DATE[]) AS label), (SELECT unnest({hours}) AS hour),"
        f" (SELECT unnest({kinds}) AS kind)"
    )
