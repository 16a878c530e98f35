"""A published file with two accounts, and the MCP server on it, which the SDK's client asks over stdio."""

import datetime as dt
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client, StdioServerParameters, stdio_client

from wx_datacube.catalog.articles import DAILY_READING
from wx_datacube.catalog.model import Family
from wx_datacube.emulator.world import World
from wx_datacube.warehouse.files import Warehouse
from wx_datacube_tests.ingesting import AFTERNOON, Shop, shop
from wx_datacube_tests.questions.twenty import LOST, START, YESTERDAY, read

TOP = Path(__file__).parents[2]
SERVER = """
import datetime as dt, pathlib, sys
from wx_datacube.cli.mcp import run_mcp
from wx_datacube.config.settings import Account, Settings
accounts = (Account("shop", title="灯下读书"), Account("cafe", title="巷口咖啡"))
now = dt.datetime.fromisoformat(sys.argv[2])
run_mcp(Settings(None, pathlib.Path(sys.argv[1]), accounts=accounts), clock=lambda: now)
"""
"""Serves a file at a fixed time."""


@dataclass(frozen=True)
class Company:
    """Two accounts in one file, and their worlds."""

    warehouse: Warehouse
    worlds: dict[str, World]


def bring_in(it: Shop, name: str) -> None:
    """Store everything that is due, except the days that are lost; the newest day of reading is not final."""
    mine = replace(it.ingest, publishing=False, account=replace(it.ingest.account, name=name))
    it = replace(it, ingest=mine)
    for endpoint in mine.account.endpoints:
        if endpoint != DAILY_READING:
            it.fetch_missing(endpoint)
            continue
        due = it.labels(endpoint)
        it.fetch_missing(endpoint, [day for day in due if day < LOST[0]])
        it.fetch_missing(endpoint, [day for day in due if LOST[-1] < day < YESTERDAY])
        it.emulated.control.set(delayed=True)
        it.fetch_missing(endpoint, [YESTERDAY])
        it.emulated.control.set(delayed=False)


@pytest.fixture(scope="session")
def company(tmp_path_factory: pytest.TempPathFactory) -> Company:
    """Provide the shop with all families, and the cafe with messages and followers since October."""
    folder = tmp_path_factory.mktemp("company")
    worlds = {}
    kinds: dict[str, dict[str, Any]] = {
        "shop": {"start": START, "families": tuple(Family), "messages_per_day": 400, "silent_share": 0.08},
        "cafe": {
            "start": dt.date(2026, 11, 1),
            "families": (Family.MESSAGES, Family.FOLLOWERS),
            "messages_per_day": 60,
            "seed": 5,
            "appid": "wx00000000000000ca",
        },
    }
    for name, options in kinds.items():
        with shop(folder, **options) as it:
            bring_in(it, name)
            it.warehouse.publish()
            worlds[name] = it.emulated.world
            warehouse = it.warehouse
    return Company(warehouse, worlds)


@dataclass(frozen=True)
class Assistant:
    """An assistant that has the server's tools."""

    client: Client

    async def call(self, tool: str, **arguments: object) -> Any:
        """Call a tool; return its JSON, or the text of its error."""
        found = await self.client.call_tool(tool, arguments)
        return read(found.content[0].text)

    async def error(self, tool: str, **arguments: object) -> str:
        """Call a tool that must fail; return its error."""
        found = await self.client.call_tool(tool, arguments)
        assert found.is_error, found
        return str(found.content[0].text)

    async def select(self, sql: str) -> list[list[Any]]:
        """Return the rows of a SELECT."""
        rows: list[list[Any]] = (await self.call("run_sql", sql=sql))["rows"]
        return rows


@asynccontextmanager
async def assistant(database: Path, now: dt.datetime = AFTERNOON) -> AsyncIterator[Assistant]:
    """Provide an assistant whose server answers from a file."""
    command = StdioServerParameters(
        command=sys.executable,
        args=["-c", SERVER, str(database), now.isoformat()],
        env={"PYTHONPATH": str(TOP)},
        cwd=TOP,
    )
    with anyio.fail_after(120):
        async with Client(stdio_client(command)) as client:
            yield Assistant(client)


def ask(database: Path, act: Callable[[Assistant], Awaitable[Any]]) -> Any:
    """Let an assistant act on a file, and return what it returns."""

    async def main() -> Any:
        async with assistant(database) as found:
            return await act(found)

    return anyio.run(main)
