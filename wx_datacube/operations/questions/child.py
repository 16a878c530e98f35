"""Child: the process that answers one question and ends, within limits that the system enforces.

It reads a question as JSON from stdin and writes the answer as JSON to stdout. DuckDB's own limits don't hold
everywhere: `repeat('x', 10**9)` took 2 GB with a `memory_limit` of 200 MB, and didn't notice an interrupt for seconds.
"""

import datetime as dt
import json
import resource
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb

from wx_datacube.errors import WxDatacubeError, bug, describe_bug
from wx_datacube.operations.questions.dates import Refused
from wx_datacube.operations.questions.labels import Context
from wx_datacube.operations.questions.tools import TOOLS
from wx_datacube.warehouse.files import Warehouse

SECONDS = 10
"""Time for an answer."""
MEMORY = 1 << 30
"""Bytes of address space: 512 MB for DuckDB's data, the rest for Python, DuckDB itself and single values."""
TOO_MUCH = "It needs too much memory. Ask for a shorter range or one account; in SQL, aggregate or read fewer columns."


def limit_process() -> None:
    """Limit memory and writing of this process. macOS doesn't enforce the first; DuckDB's own limit holds there."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process
    for what, most in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0)):
        with suppress(ValueError, OSError):
            resource.setrlimit(what, (most, most))


def answer(question: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answer of a question as `{"answer": …}`, or why there is none as `{"error": …}`."""
    warehouse = Warehouse(Path(question["database"]))
    try:
        if not warehouse.database.exists():
            raise Refused(
                f"Nothing is stored yet: {warehouse.database} does not exist.",
                advice="Fetch the history: wx-datacube backfill. If the figures are elsewhere, set DAGSTER_HOME to the"
                " project folder, or WX_DATACUBE_DATABASE, for this server.",
            )
        with warehouse.open_sandboxed() as con:
            context = Context(con, dt.datetime.fromisoformat(question["now"]), question["titles"])
            return {"answer": TOOLS[question["tool"]](context, **question["arguments"])}
    except WxDatacubeError as error:
        return {"error": str(error)}
    except (MemoryError, duckdb.OutOfMemoryException):
        return {"error": TOO_MUCH}
    except Exception as error:
        print(describe_bug(error), file=sys.stderr)
        return {"error": str(bug(error))}


def main() -> None:
    """Answer the question on stdin."""
    limit_process()
    try:
        question = json.load(sys.stdin)
    except ValueError:
        return  # the server has ended before it wrote the whole question
    signal.setitimer(signal.ITIMER_REAL, question["seconds"] + 1)  # ends it even if the parent is gone
    json.dump(answer(question), sys.stdout)


if __name__ == "__main__":
    main()
