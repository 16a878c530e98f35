"""PostgreSQL: Debian's server in a temporary folder, for Dagster's instance; it is deleted at the end.

Nothing here depends on Dagster. Without an installed server, the tests that need one are skipped.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from wx_datacube_tests.end_to_end.project import free_port

USER, DATABASE, PASSWORD = "dagster", "dagster", "only for this test"


@dataclass(frozen=True)
class Server:
    """A running server: its port, the folder with its programs, a function that restarts it, and where it runs."""

    port: int
    programs: Path
    restart: Callable[[], None]
    within: tuple[str, ...] = ()

    def query(self, sql: str, database: str = DATABASE) -> str:
        """Run `psql` and return its output, unaligned and without headers."""
        command = [
            *self.within,
            self.programs / "psql",
            "-At",
            "-h",
            "127.0.0.1",
            "-p",
            str(self.port),
            "-U",
            USER,
            "-c",
            sql,
            database,
        ]
        environ = os.environ | {"PGPASSWORD": PASSWORD}
        return subprocess.run(command, env=environ, check=True, capture_output=True, text=True).stdout.strip()


def find_programs() -> Path | None:
    """Return the folder with `initdb` and `pg_ctl`, which Debian keeps off the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).resolve().parent if on_path else None


@contextmanager
def postgres(programs: Path, within: Sequence[str] = (), address: str = "127.0.0.1") -> Iterator[Server]:
    """Run a server with an empty database, as Debian's user `postgres` under root, since it refuses to run as root.

    `within` starts a command in another network namespace, where the server also listens on `address`.
    """
    port, user = free_port(), "postgres" if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="wx-postgres-") as scratch:
        folder, data = Path(scratch), Path(scratch, "data")
        if user:
            shutil.chown(folder, user)
        folder.joinpath("password").write_text(PASSWORD)
        folder.joinpath("password").chmod(0o644)

        def run(program: str, *arguments: str) -> None:
            as_user = ["runuser", "-u", user, "--"] if user else []
            command = [*within, *as_user, str(programs / program), *arguments]
            with folder.joinpath("said").open("a+") as said:  # the server would hold a pipe open
                done = subprocess.run(command, cwd=folder, stdout=said, stderr=said)
                said.seek(0)
                assert done.returncode == 0, said.read()

        secret = ["--username", USER, "--pwfile", str(folder / "password"), "--auth", "scram-sha-256"]
        run("initdb", "--pgdata", str(data), *secret, "--encoding", "UTF8", "--no-sync")
        with (data / "pg_hba.conf").open("a") as who:
            print(f"host all all {address}/16 scram-sha-256", file=who)
        listen = ",".join(dict.fromkeys(("127.0.0.1", address)))
        options = f"-p {port} -c listen_addresses={listen} -c unix_socket_directories={folder}"
        start = ["--wait", "--pgdata", str(data), "--log", str(folder / "log"), "--options", options]
        run("pg_ctl", "start", *start)
        try:
            create = [*within, programs / "createdb", "-h", "127.0.0.1", "-p", str(port), "-U", USER, DATABASE]
            subprocess.run(create, env=os.environ | {"PGPASSWORD": PASSWORD}, check=True)
            yield Server(port, programs, lambda: run("pg_ctl", "restart", *start, "--mode", "fast"), tuple(within))
        finally:
            run("pg_ctl", "stop", "--wait", "--pgdata", str(data), "--mode", "immediate")


@contextmanager
def server_of_tests(within: Sequence[str] = (), address: str = "127.0.0.1") -> Iterator[Server]:
    """Run a server as `postgres` does; without its programs skip the test, or fail in CI."""
    if (programs := find_programs()) is None:
        if "CI" in os.environ or "CI_RUN_MARK" in os.environ:
            pytest.fail("CI has to have PostgreSQL's server: .ci/run installs it")
        pytest.skip("PostgreSQL's server isn't installed (Debian: postgresql)")
    with postgres(programs, within, address) as running:
        yield running
