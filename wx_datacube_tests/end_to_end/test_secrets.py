"""Secrets: after successes and failures of all kinds, token, AppSecret and token URL are only in `.env`.

Add a test here for another secret, or for another way in which one could be written.
"""

import base64
import os
import signal
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import duckdb
import pytest

from wx_datacube.emulator.testing import Emulated, wechat
from wx_datacube_tests.end_to_end.project import Project, dagster_dev, free_port, session, wait_until
from wx_datacube_tests.end_to_end.test_commands import token_server
from wx_datacube_tests.receiver import HEARTBEAT, KEY, receiving

pytestmark = pytest.mark.long

DAY = ("--start", "2026-10-01", "--end", "2026-10-01", "--endpoint", "getupstreammsg")
MET_BY = ("getupstreammsg", "getupstreammsgmonth", "getupstreammsgdistmonth")
"""Endpoints that have a label on that day and don't depend on another endpoint."""
CONSEQUENCES = (
    "40001",
    "61503",
    "45009",
    "48001",
    "40164",
    "61501",
    "61500",
    "99999",
    "html",
    "redirect:http://example.org/",
)
"""A response for every class of error, except those that cause minutes of retries."""


class Used(NamedTuple):
    """A project with its account, everything that its processes printed, and the secrets that they used."""

    project: Project
    emulated: Emulated
    said: str
    secrets: list[str]


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Used]:
    """Provide a project that went through success, errors, a kill and Dagster's UI."""
    with wechat(publish_at="00:00") as emulated, receiving() as chat:
        folder = tmp_path_factory.mktemp("used") / "project"
        project = Project.on(folder, emulated, START="2026-10-01", WEBHOOK=chat.url(), HEARTBEAT=chat.heartbeat)
        debug = {"DAGSTER_DAEMON_LOG_LEVEL": "debug", "PYTHONDEVMODE": "1"}
        said = [project.run("backfill", *DAY, **debug), project.run("doctor", **debug)]
        tokens = [token_of(emulated)]
        for place in range(0, len(CONSEQUENCES), len(MET_BY)):
            for name, answer in zip(MET_BY, CONSEQUENCES[place:], strict=False):
                emulated.control.script(name, answer, last=9)
            chat.status = 500 - chat.status + 200  # alternately accepts and refuses messages
            chosen = [part for name in MET_BY for part in ("--endpoint", name)]
            said.append(project.run("backfill", *DAY[:4], *chosen, "--refresh", **debug))
            emulated.control.clear_faults()
            tokens.append(token_of(emulated))
        met = {str(call.errcode) for call in emulated.control.statistics_calls()}
        assert {answer for answer in CONSEQUENCES if answer.isdigit()} <= met
        secret = emulated.secret
        emulated.control.set(secret="f" * 32)
        emulated.control.revoke_tokens()
        said.append(project.run("backfill", *DAY, "--refresh", **debug))
        emulated.control.set(secret=secret)
        emulated.control.set_latency(500)
        with project.started(project.command("backfill", "--end", "2026-10-05"), **debug) as process:
            wait_until(lambda: len(emulated.control.calls("getupstreammsghour")) > 1)
            for pid in session(process.pid):
                os.kill(pid, signal.SIGKILL)
            out, err = process.communicate()
        emulated.control.set_latency(0)
        with dagster_dev(project) as ui:
            ui.ask("{ workspaceOrError { __typename } }")
            said.append(project.call([project.program("dagster"), "asset", "list", "-m", "wx_datacube.definitions"]))
        printed = "".join([out, err, *(each.stdout + each.stderr for each in said)])
        assert len(chat.got) > 2
        yield Used(project, emulated, printed, [secret, KEY, HEARTBEAT, *dict.fromkeys(tokens)])


def texts(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the contents of every file by name, of databases each value, decompressed where necessary."""
    for path in [*folder.rglob("*"), folder.with_suffix(".log")]:
        if not path.is_file() or path.name == ".env":
            continue
        body = path.read_bytes()
        yield str(path), body
        if body.startswith(b"SQLite format 3"):
            yield from ((f"{path} {table}", value) for table, value in sqlite_values(path))
        elif path.suffix == ".duckdb":
            yield from ((f"{path} {table}", value) for table, value in duckdb_values(path))


def sqlite_values(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield every value of every table; Dagster compresses its snapshots."""
    with closing(sqlite3.connect(path)) as con:
        for (table,) in con.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for row in con.execute(f'SELECT * FROM "{table}"'):
                for value in row:
                    if isinstance(value, bytes):
                        try:
                            yield table, zlib.decompress(value)
                        except zlib.error:
                            yield table, value
                    elif isinstance(value, str):
                        yield table, value.encode()


def duckdb_values(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield every row of every table."""
    with duckdb.connect(str(path), read_only=True) as con:
        tables = con.execute("SELECT schema_name, table_name FROM duckdb_tables()").fetchall()
        for schema, table in tables:
            for row in con.execute(f'FROM "{schema}"."{table}"').fetchall():
                yield table, repr(row).encode()


def disguises(secret: str) -> set[bytes]:
    """Return the possible forms of a secret: plain, URL-quoted, in JSON, in base64 at any offset, hexadecimal."""
    raw = secret.encode()
    coded = {base64.b64encode(b"x" * shift + raw)[4 if shift else 0 : -4] for shift in range(3)}
    plain = {raw, quote(secret, safe="").encode(), secret.replace("/", "\\/").encode(), raw.hex().encode()}
    return plain | coded


def found(project: Project, said: str, *secrets: str) -> list[str]:
    """Return where any of the secrets occurs, in any form."""
    needles = set().union(*map(disguises, secrets))
    places = [*texts(project.folder), ("printed", said.encode())]
    return sorted({name for name, body in places for needle in needles if needle in body})


def token_of(emulated: Emulated) -> str:
    """Return the valid token, which every call sends."""
    return emulated.account.tokens.stable(emulated.account.clock(), False).text


def test_the_search_finds_existing_words(used: Used) -> None:
    """The search finds words in the ledger, in a compressed snapshot and in the output, so a negative result counts."""
    project, emulated, said, _ = used

    assert any(name.endswith("api_calls") for name in found(project, said, "getupstreammsghour"))
    assert any("snapshots" in name for name in found(project, said, "figures_were_not_revised"))
    assert "printed" in found(project, said, "partitions to fetch")
    assert found(project, base64.b64encode(b"so: " + emulated.secret.encode()).decode(), emulated.secret) == ["printed"]


def test_no_secret_is_anywhere(used: Used) -> None:
    """No secret is written or printed in successes, errors of every class, a kill, or Dagster's UI and snapshots."""
    assert "61500" in used.said
    assert found(used.project, used.said, *used.secrets) == []


def test_no_token_url_is_anywhere(used: Used, tmp_path: Path) -> None:
    """No part of a token server's URL is written or printed, whether the server works or not."""
    emulated = used.emulated
    path = "/t0ps3cret?key=k3yk3yk3y"
    with token_server(emulated) as url:
        project = Project.make(tmp_path / "p", API_URL=emulated.api_url, TOKEN_URL=url, START="2026-10-01")
        said = [project.run("backfill", *DAY)]
    project.set(API_URL=emulated.api_url, TOKEN_URL=f"http://127.0.0.1:{free_port()}{path}", START="2026-10-01")
    said.append(project.run("backfill", *DAY, "--refresh"))
    printed = "".join(each.stdout + each.stderr for each in said)

    assert [each.returncode for each in said] == [0, 1]
    assert found(project, printed, path, "t0ps3cret", "k3yk3yk3y", token_of(emulated)) == []
