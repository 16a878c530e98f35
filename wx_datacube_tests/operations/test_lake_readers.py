"""Readers of a lake that is being written: none fails, and none sees figures of two moments in one file.

Eight accounts are exported by eight machines at once, again and again, while DuckDB and Polars read. Every row of an
account's `getupstreammsghour` has the same number in `msg_count`, which grows with each export.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from wx_datacube.config.settings import Lake
from wx_datacube.operations.lake.export import export_account
from wx_datacube.warehouse.files import Warehouse
from wx_datacube_tests.s3 import SECRET_KEY, serving_s3

ACCOUNTS = [f"a{number}" for number in range(8)]
ROWS = 20_000
QUERY = (
    "SELECT account, min(msg_count), max(msg_count), count(msg_user),"
    " count(*) FILTER (msg_user <> ref_hour * msg_count)"
    " FROM read_parquet('{}/getupstreammsghour/*/*.parquet', hive_partitioning = true) GROUP BY account"
)
Read = Callable[[], Iterable[tuple[Any, ...]]]


class Machine:
    """A machine that fetches and exports one account."""

    def __init__(self, folder: Path, account: str, lake: Lake) -> None:
        self._warehouse = Warehouse(folder / f"{account}.duckdb")
        self._account = account
        self._lake = lake
        with self._warehouse.transaction() as con:
            con.execute("INSERT INTO datacube.accounts BY NAME SELECT $1 AS account", [account])

    def export(self, number: int) -> None:
        """Store other figures, publish, and export. The number of rows differs each time."""
        with self._warehouse.transaction() as con:
            con.execute("DELETE FROM datacube.getupstreammsghour")
            con.execute(
                "INSERT INTO datacube.getupstreammsghour BY NAME SELECT $1 AS account, DATE '2026-11-23' AS ref_date,"
                " i::INTEGER AS ref_hour, $2 AS msg_count, i * $2 AS msg_user FROM range($3) AS t(i)",
                [self._account, number, ROWS + number],
            )
        self._warehouse.publish()
        export_account(self._warehouse, self._lake, self._account)


def watch(machines: list[Machine], seconds: float, readers: dict[str, Read]) -> dict[str, int]:
    """Export at once and read all the time; return how often each reader read without any fault."""
    stop, faults, read = time.monotonic() + seconds, Counter[str](), Counter[str]()

    def write(machine: Machine) -> None:
        number = 1
        while time.monotonic() < stop:
            number += 1
            machine.export(number)

    def look(name: str, reader: Read) -> None:
        newest: dict[str, int] = {}
        while time.monotonic() < stop:
            for account, least, most, rows, wrong in reader():
                whole = least == most and rows == ROWS + least and not wrong and least >= newest.get(account, 0)
                faults[name] += not whole
                newest[account] = least
            faults[name] += newest.keys() != {*ACCOUNTS}
            read[name] += 1

    threads = [threading.Thread(target=guard, args=(faults, write, each)) for each in machines]
    threads += [threading.Thread(target=guard, args=(faults, look, *each)) for each in readers.items()]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert +faults == {}
    return dict(read)


def guard(faults: Counter[str], act: Callable[..., None], *arguments: Any) -> None:
    """Count what a thread raises as a fault."""
    try:
        act(*arguments)
    except BaseException as error:  # Polars panics with an error that is no Exception
        faults[repr(error)] += 1


def polars_reader(lake: Lake) -> Read:
    """Return a reader of Polars."""
    polars = pytest.importorskip("polars")
    options = {
        "aws_access_key_id": lake.key_id or "",
        "aws_secret_access_key": SECRET_KEY,
        "aws_region": "us-east-1",
        "aws_endpoint_url": lake.endpoint or "",
        "aws_allow_http": "true",
    }
    storage = {"storage_options": options} if lake.in_s3 else {}

    def read() -> list[tuple[Any, ...]]:
        count, users = polars.col("msg_count"), polars.col("msg_user")
        scan = polars.scan_parquet(f"{lake.url}/getupstreammsghour/*/*.parquet", hive_partitioning=True, **storage)
        wrong = (users != polars.col("ref_hour").cast(polars.Int64) * count).sum()
        found = scan.group_by("account").agg(
            count.min().alias("least"), count.max().alias("most"), users.count().alias("rows"), wrong.alias("wrong")
        )
        return found.collect().rows()  # type: ignore[no-any-return]

    return read


@pytest.mark.long
def test_no_reader_of_a_folder_fails_or_sees_two_moments(tmp_path: Path) -> None:
    """DuckDB and Polars read a folder without a retry."""
    lake = Lake(str(tmp_path / "lake"))
    machines = [Machine(tmp_path, each, lake) for each in ACCOUNTS]
    for each in machines:
        each.export(1)
    con = duckdb.connect()

    read = watch(
        machines, 3, {"duckdb": lambda: con.execute(QUERY.format(lake.url)).fetchall(), "polars": polars_reader(lake)}
    )

    assert min(read.values()) > 3


@pytest.mark.long
def test_no_reader_of_s3_fails_or_sees_two_moments(tmp_path: Path) -> None:
    """Polars reads S3 without a retry. DuckDB compares ETags, and is allowed to try again when one has changed."""
    with serving_s3() as s3:
        lake = s3.lake("lake")
        machines = [Machine(tmp_path, each, lake) for each in ACCOUNTS]
        for each in machines:
            each.export(1)
        con = s3.connect()

        def read_with_retry() -> list[tuple[Any, ...]]:
            for _ in range(20):
                try:
                    return con.execute(QUERY.format(lake.url)).fetchall()
                except (duckdb.Error, UnicodeDecodeError):  # its message about the ETag has bytes of the file
                    continue
            raise AssertionError("twenty ETags in a row had changed")

        read = watch(machines, 5, {"duckdb": read_with_retry, "polars": polars_reader(lake)})

    assert min(read.values()) > 3
