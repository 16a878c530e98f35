"""The textbook version, as most people would write it first: a run per partition, a call per day, Dagster's defaults.

`python -m bench.textbook API_URL APPID SECRET DATABASE DAY…` executes one run per day in a temporary Dagster instance.
"""

import sys
import tempfile
from pathlib import Path

import dagster as dg
import duckdb
import requests

from wx_datacube.catalog.model import HISTORY_START


@dg.asset(partitions_def=dg.DailyPartitionsDefinition(start_date=HISTORY_START.isoformat(), timezone="Asia/Shanghai"))
def getupstreammsg(context: dg.AssetExecutionContext) -> None:
    """One day's messages by type."""
    api_url, appid, secret, database = Path("textbook.txt").read_text().split()
    body = {"grant_type": "client_credential", "appid": appid, "secret": secret}
    token = requests.post(f"{api_url}/cgi-bin/stable_token", json=body, timeout=30).json()["access_token"]
    day = context.partition_key
    url = f"{api_url}/datacube/getupstreammsg?access_token={token}"
    rows = requests.post(url, json={"begin_date": day, "end_date": day}, timeout=30).json()["list"]
    with duckdb.connect(database) as con:
        con.execute("CREATE TABLE IF NOT EXISTS messages (day DATE, type INTEGER, users BIGINT, messages BIGINT)")
        con.execute("DELETE FROM messages WHERE day = ?", [day])
        for row in rows:
            values = [row["ref_date"], row["msg_type"], row["msg_user"], row["msg_count"]]
            con.execute("INSERT INTO messages VALUES (?, ?, ?, ?)", values)


def textbook_job() -> dg.JobDefinition:
    """Return the asset's implicit job with Dagster's default executor, as a run launched from the UI uses it."""
    defs = dg.Definitions(
        assets=[getupstreammsg],
        jobs=[dg.define_asset_job("textbook", [getupstreammsg])],
        executor=dg.multiprocess_executor,
    )
    return defs.resolve_job_def("textbook")


def main(api_url: str, appid: str, secret: str, database: str, *days: str) -> None:
    """Execute one run after the other."""
    Path("textbook.txt").write_text(" ".join((api_url, appid, secret, database)))
    with tempfile.TemporaryDirectory() as home, dg.DagsterInstance.local_temp(home) as instance:
        for day in days:
            with dg.execute_job(
                dg.reconstructable(textbook_job), instance=instance, tags={"dagster/partition": day}
            ) as result:
                assert result.success
    print(len(days))


if __name__ == "__main__":
    main(*sys.argv[1:])
