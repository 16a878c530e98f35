"""The lake: `python -m bench.lake [ACCOUNTS]` measures a query over many accounts, in a folder and in an S3.

The files of one account with twelve years of followers are copied for each account. The S3 is a server of this bench,
which only lists and returns files, since moto spends 2 ms of processor time on each request. Each query is the first of
a new connection, which lists the files and reads all footers.
"""

import argparse
import asyncio
import datetime as dt
import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import duckdb
import duckdb_extension_httpfs

from wx_datacube.catalog.model import Family
from wx_datacube.config.settings import Lake
from wx_datacube.operations.lake.export import export_account
from wx_datacube_tests.years import years

QUERY = """
SELECT month, sum(followers) FROM (
    SELECT account, date_trunc('month', date) AS month, arg_max(followers, date) AS followers
    FROM read_parquet('{lake}/followers_total/*/*.parquet', hive_partitioning = true{options}) GROUP BY ALL
) GROUP BY ALL"""
TIMES = 5


class Files:
    """The files of a folder by S3's protocol: lists and parts of files, without any check."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._list = "".join(
            f"<Contents><Key>{escape(str(path.relative_to(folder)))}</Key><Size>{path.stat().st_size}</Size>"
            f'<ETag>"{path.stat().st_ino}"</ETag><LastModified>2026-11-29T00:00:00.000Z</LastModified></Contents>'
            for path in sorted(folder.rglob("*.parquet"))
        )

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of a connection."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):  # the reader has closed it
            while True:
                writer.write(self._answer((await reader.readuntil(b"\r\n\r\n")).decode()))
                await writer.drain()

    def _answer(self, head: str) -> bytes:
        url = urlsplit(head.split(" ", 2)[1])
        if "prefix" in parse_qs(url.query):
            listed = f"<ListBucketResult><IsTruncated>false</IsTruncated>{self._list}</ListBucketResult>"
            return _reply("200 OK", listed.encode())
        data = (self._folder / unquote(url.path).removeprefix("/lake/")).read_bytes()
        found = re.search(r"(?i)\r\nrange: bytes=(\d+)-(\d+)", head)
        first, last = (int(found[1]), int(found[2])) if found else (0, len(data) - 1)
        return _reply("206 Partial Content", data[first : last + 1], f"bytes {first}-{last}/{len(data)}")


def _reply(status: str, body: bytes, part: str = "") -> bytes:
    fields = f"Content-Length: {len(body)}\r\n" + (f"Content-Range: {part}\r\n" if part else "")
    return f"HTTP/1.1 {status}\r\n{fields}\r\n".encode() + body


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve a folder; yield host and port."""
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(Files(folder).serve, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


def measure(lake: str, options: str, host: str) -> str:
    """Return the median and the least time of the query, each in a new connection."""
    extension = next(Path(str(duckdb_extension_httpfs.__file__)).parent.rglob("httpfs.duckdb_extension"))
    taken = []
    for _ in range(TIMES):
        con = duckdb.connect()
        con.execute(f"LOAD '{extension}'")
        con.execute(
            "CREATE SECRET (TYPE s3, KEY_ID 'k', SECRET 's', REGION 'us-east-1', URL_STYLE 'path', USE_SSL false,"
            f" ENDPOINT '{host}')"
        )
        began = time.perf_counter()
        months = len(con.execute(QUERY.format(lake=lake, options=options)).fetchall())
        taken.append(time.perf_counter() - began)
        assert months > 100
    return f"{median(taken):.2f} s (least {min(taken):.2f} s)"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.lake", description=__doc__)
    parser.add_argument("accounts", type=int, nargs="?", default=1000)
    number = parser.parse_args().accounts
    with tempfile.TemporaryDirectory() as scratch:
        one, many = Path(scratch, "one"), Path(scratch, "many")
        warehouse = years(Path(scratch), start=dt.date(2014, 12, 1), families=tuple(Family))
        for what in ("all files", "nothing"):
            began, cpu = time.perf_counter(), time.process_time()
            done = export_account(warehouse, Lake(str(one)), "shop")
            print(
                f"export of 12 years, {what}: {len(done.written)} files, {time.perf_counter() - began:.2f} s,"
                f" {time.process_time() - cpu:.2f} s of processor time"
            )
        file = one / "followers_total" / "account=shop" / "followers_total.parquet"
        for each in range(number):
            folder = many / "followers_total" / f"account=a{each:04}"
            folder.mkdir(parents=True)
            shutil.copy(file, folder)
        print(f"\n{number} accounts, load {os.getloadavg()[0]:.1f}\n\n| | folder | S3 |\n|---|---|---|")
        with serving(many) as host:
            for options in ("", ", union_by_name = true"):
                found = [measure(lake, options, host) for lake in (str(many), "s3://lake")]
                print(f"| {options.lstrip(', ') or 'as in the contract'} | {' | '.join(found)} |", flush=True)


if __name__ == "__main__":
    main()
