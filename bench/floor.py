"""The floor: fetch a whole history with eight calls at a time and insert it in bulk. No ledger, no checks, no Dagster.

`python -m bench.floor API_URL APPID SECRET START END TODAY DATABASE FAMILIES` prints the number of calls.
"""

import datetime as dt
import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import duckdb
import requests

from wx_datacube.catalog.endpoints import ENDPOINTS
from wx_datacube.catalog.model import Endpoint
from wx_datacube.catalog.periods import due_labels
from wx_datacube.ingest.windows import Window, plan_windows

CONCURRENCY = 8
_local = threading.local()


def main(api_url: str, appid: str, secret: str, start: str, end: str, today: str, database: str, families: str) -> None:
    """Fetch everything, then insert it."""
    endpoints = [each for each in ENDPOINTS if families == "all" or each.family in families.split(",")]
    body = {"grant_type": "client_credential", "appid": appid, "secret": secret}
    token = requests.post(f"{api_url}/cgi-bin/stable_token", json=body, timeout=30).json()["access_token"]

    def fetch(asked: tuple[Endpoint, Window]) -> tuple[str, str]:
        if not hasattr(_local, "session"):
            _local.session = requests.Session()
        endpoint, window = asked
        dates = {"begin_date": window.begin.isoformat(), "end_date": window.end.isoformat()}
        url = f"{api_url}{endpoint.path}?access_token={token}"
        answer = _local.session.post(url, json=dates, timeout=30)
        return endpoint.name, answer.text

    first, last, now = map(dt.date.fromisoformat, (start, end, today))
    wanted = [
        (endpoint, window)
        for endpoint in endpoints
        for window in plan_windows(
            endpoint, [each for each in due_labels(endpoint.period, endpoint.first(first), now) if each <= last]
        )
    ]
    with ThreadPoolExecutor(CONCURRENCY) as pool:
        answers = list(pool.map(fetch, wanted))
    with duckdb.connect(database) as con:
        for endpoint in endpoints:
            bodies = [body for name, body in answers if name == endpoint.name]
            shape = json.dumps({"list": [endpoint.shape]})
            con.execute(
                f"CREATE TABLE {endpoint.name} AS SELECT unnest(item) FROM"
                f" (SELECT unnest(from_json(body, '{shape}').list) AS item FROM (SELECT unnest($bodies) AS body))",
                {"bodies": bodies},
            )
    print(len(answers))


if __name__ == "__main__":
    main(*sys.argv[1:])
