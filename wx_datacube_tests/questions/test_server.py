"""The MCP server as a process: what an assistant sees, publications in between, other processes, and how it ends."""

import asyncio
import datetime as dt
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client, StdioServerParameters, stdio_client

from wx_datacube.catalog.endpoints import RELATIONS
from wx_datacube.catalog.metrics import METRICS
from wx_datacube.config.settings import Account
from wx_datacube.operations.questions.tools import TOOLS
from wx_datacube.warehouse.coverage import bind_account
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.warehouse.ledger import store_calls
from wx_datacube.warehouse.views import VIEWS
from wx_datacube_tests.answers import MESSAGES, SENDERS, answered, day, row, senders_row
from wx_datacube_tests.ingesting import AFTERNOON
from wx_datacube_tests.processes import HOLD, interruptible, running
from wx_datacube_tests.questions.conftest import TOP, Assistant, ask, assistant

HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}},
}


def store(warehouse: Warehouse, date: dt.date, messages: int) -> None:
    """Store and publish a day of an account."""
    with warehouse.transaction() as con:
        bind_account(con, Account("shop", start=day(20)), AFTERNOON)
        rows = row(date, users=3, count=messages)
        store_calls(con, [answered(MESSAGES, date, None, rows), answered(SENDERS, date, None, senders_row(date, 3))])
    warehouse.publish()


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    """Provide a published file with 22 November; the days from the 20th on are due."""
    made = Warehouse(tmp_path / "data" / "wx_datacube.duckdb")
    store(made, day(22), 7)
    return made


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of a command in a project folder without settings."""
    (folder / "dagster.yaml").touch()
    return {"PYTHONPATH": str(TOP), "DAGSTER_HOME": str(folder), "PATH": os.environ["PATH"], "WX_DATACUBE_LANG": "en"}


@contextmanager
def served(folder: Path, **more: str) -> Iterator["subprocess.Popen[str]"]:
    """Run `wx-datacube mcp` in a project folder, with pipes."""
    with (
        interruptible(),
        subprocess.Popen(
            [sys.executable, "-m", "wx_datacube", "mcp"],
            env=environment(folder) | more,
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def say(process: "subprocess.Popen[str]", *messages: dict[str, Any]) -> dict[str, Any]:
    """Send messages to a server; return its next one."""
    assert process.stdin
    assert process.stdout
    process.stdin.write("".join(json.dumps(each) + "\n" for each in messages))
    process.stdin.flush()
    found: dict[str, Any] = json.loads(process.stdout.readline())
    return found


def call(number: int, sql: str) -> dict[str, Any]:
    """Return the message that calls `run_sql`."""
    params = {"name": "run_sql", "arguments": {"sql": sql}}
    return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}


INITIALIZED = {"jsonrpc": "2.0", "method": "notifications/initialized"}


def test_the_command_serves_the_file_of_its_project(warehouse: Warehouse, tmp_path: Path) -> None:
    """`wx-datacube mcp`, as a client's configuration starts it, lists its tools and answers from the project's file."""
    command = StdioServerParameters(
        command=sys.executable, args=["-m", "wx_datacube", "mcp"], env=environment(tmp_path), cwd="/"
    )

    async def main() -> Any:
        with anyio.fail_after(60):
            async with Client(stdio_client(command)) as client:
                tools = (await client.list_tools()).tools
                resources = [each.uri for each in (await client.list_resources()).resources]
                texts = [(await client.read_resource(uri)).contents[0].text for uri in resources]
                rows = await Assistant(client).select("SELECT date, messages FROM totals_daily")
                return (
                    client.instructions,
                    tools,
                    dict(zip(map(str, resources), map(json.loads, texts), strict=True)),
                    rows,
                )

    instructions, tools, resources, rows = anyio.run(main)
    assert "missing" in instructions
    assert [each.name for each in tools] == list(TOOLS)
    assert all(each.annotations.read_only_hint and each.description for each in tools)
    assert len(resources["wx-datacube://dictionary"]) == len(METRICS)
    assert {each.name for each in VIEWS} < set(resources["wx-datacube://schema"])
    assert {f"datacube.{each.name}" for each in RELATIONS} < set(resources["wx-datacube://schema"])
    assert rows == [["2026-11-22", 7]]


def test_a_publication_is_seen_by_the_next_question(warehouse: Warehouse) -> None:
    """The file is never locked: a run writes and publishes between two questions, and the second shows its figures."""

    async def act(it: Assistant) -> Any:
        before = await it.call("query_metric", metric="messages", start="yesterday")
        with warehouse.transaction() as con:  # a writer beside it
            con.execute("SELECT 1")
            during = await it.call("query_metric", metric="messages", start="2026-11-22")
        await asyncio.to_thread(store, warehouse, day(23), 9)
        return before, during, await it.call("query_metric", metric="messages", start="yesterday")

    before, during, after = ask(warehouse.database, act)
    assert before["rows"] == []
    assert before["missing"] == [{"account": "shop", "endpoint": "getupstreammsg", "dates": ["2026-11-23"]}]
    assert [row["value"] for row in during["rows"]] == [7]
    assert [row["value"] for row in after["rows"]] == [9]
    assert after["missing"] == []


def test_two_servers_and_another_reader_do_not_disturb_each_other(warehouse: Warehouse) -> None:
    """Two servers answer many questions at once from one file that another process has open."""
    reader = HOLD.replace("duckdb.connect(sys.argv[1])", "duckdb.connect(sys.argv[1], read_only=True)")

    async def main() -> list[Any]:
        async with assistant(warehouse.database) as one, assistant(warehouse.database) as other:
            found: list[Any] = []

            async def one_question(it: Assistant, number: int) -> None:
                found.append((await it.select(f"SELECT {number} FROM totals_daily"))[0][0])

            async with anyio.create_task_group() as tasks:
                for number in range(8):
                    tasks.start_soon(one_question, one if number % 2 else other, number)
            return found

    with running(reader, warehouse.database):
        assert sorted(anyio.run(main)) == list(range(8))


def test_without_a_file_the_tools_say_what_to_do(tmp_path: Path, warehouse: Warehouse) -> None:
    """The server starts without a file, each tool says how to get one, and once it is there it is used."""
    elsewhere = tmp_path / "later.duckdb"

    async def act(it: Assistant) -> tuple[str, Any]:
        error = await it.error("coverage")
        shutil.copy(warehouse.database, elsewhere)
        return error, await it.select("SELECT count(*) FROM totals_daily")

    error, rows = ask(elsewhere, act)
    assert "does not exist. Fetch the history: wx-datacube backfill" in error
    assert "DAGSTER_HOME" in error
    assert rows == [[1]]


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    """A file that isn't ours, or is none of DuckDB's, is an error, and stays as it is."""
    foreign = tmp_path / "notes.duckdb"
    foreign.write_text("These are my notes." * 1000)

    async def act(it: Assistant) -> str:
        return await it.error("list_metrics")

    assert str(foreign) in ask(foreign, act)
    assert foreign.read_text().startswith("These are my notes.")


def test_wrong_arguments_are_errors_with_advice(warehouse: Warehouse) -> None:
    """Each mistake of an assistant is a tool error that names what would be right."""

    async def act(it: Assistant) -> list[str]:
        query = {"metric": "messages", "account": "shop"}
        return [
            await it.error("query_metric", **query | {"account": "nobody"}),
            await it.error("query_metric", **query, start="sometime"),
            await it.error("query_metric", **query, start="2026-02-30"),
            await it.error("query_metric", **query, start="2026-11-22", end="2026-11-20"),
            await it.error("query_metric", **query, end="2026-11-20"),
            await it.error("query_metric", **query, start="today"),
            await it.error("query_metric", **query, by="weather"),
            await it.error("query_metric", **query, by="day,week"),
            await it.error("query_metric", metric="weekly_senders", by="day"),
            await it.error("query_metric", metric="", start="yesterday"),
            await it.error("query_metric", metric="followers", start="2026-11-20", by="total"),
            await it.error("explain", metric="阅读人数"),
            await it.error("top_articles", by="beauty"),
            await it.error("list_metrics", family="friends"),
            await it.error("run_sql", sql="SELECT 1", limit=0),
            await it.error("run_sql", sql="SELEKT 1"),
            await it.error("nonsense"),
        ]

    errors = ask(warehouse.database, act)
    wanted = [
        "Accounts: shop",
        "last week",
        "YYYY-MM-DD",
        "Swap them",
        "Give both",
        "morning after it ended",
        "type, hour",
        "day and week",
        "week",
        "list_metrics",
        "a level",
        "readers",
        "readers",
        "messages",
        "limit",
        "syntax error",
        "nonsense",
    ]
    assert [error for error, word in zip(errors, wanted, strict=True) if word not in error] == []


def test_nothing_but_the_protocol_is_on_stdout_and_the_end_of_stdin_ends_it(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    """Lines that aren't JSON are survived, and when the client closes stdin the server ends with 0 and says nothing."""
    with served(tmp_path) as process:
        assert say(process, HELLO)["result"]["serverInfo"]["name"] == "wx-datacube"
        assert "42" in str(say(process, INITIALIZED, call(2, "SELECT 42")))
        assert process.stdin
        process.stdin.write("this is no JSON\n")
        assert "43" in str(say(process, call(3, "SELECT 43")))
        out, err = process.communicate(timeout=20)

    assert (process.returncode, out) == (0, "")
    assert "Traceback" not in err


ENDLESS = "SELECT count(*) FROM range(1000000) AS a, range(1000000) AS b"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, None])
def test_it_ends_while_it_answers(number: signal.Signals | None, warehouse: Warehouse, tmp_path: Path) -> None:
    """Ctrl-C, SIGTERM and the end of stdin end the server within seconds, without a traceback, and its processes too.

    Stdin is still open when the signal comes, and a question is being answered.
    """
    with served(tmp_path) as process:
        say(process, HELLO)
        say(process, INITIALIZED, call(2, "SELECT 1"))
        assert process.stdin
        assert process.stderr
        process.stdin.write(json.dumps(call(3, ENDLESS)) + "\n")
        process.stdin.flush()
        if number:
            process.send_signal(number)
        else:
            process.stdin.close()
        code = process.wait(timeout=8)
        err = process.stderr.read()  # ends when no process has it open any more

    assert code == (number + 128 if number else 0)
    assert "Traceback" not in err


def test_without_the_extra_it_says_how_to_install_it(tmp_path: Path) -> None:
    """Without the SDK the command exits with 2 and one line that names the extra."""
    (tmp_path / "mcp.py").write_text("raise ModuleNotFoundError(name='mcp')")
    with served(tmp_path, PYTHONPATH=f"{tmp_path}:{TOP}") as process:
        out, err = process.communicate(timeout=20)

    assert (process.returncode, out) == (2, "")
    assert err.startswith("wx-datacube: This command needs mcp, which is not installed. Install it: ")
    assert "[mcp]" in err
