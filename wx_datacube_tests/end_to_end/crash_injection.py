"""Crash injection: processes that kill themselves by SIGKILL at a chosen call of a chosen function.

    project.started(project.command("backfill"), **deadly("before the rename", folder))

Python imports `sitecustomize` before anything else; `deadly` writes one that arms the process. Up to the chosen call
all functions run unchanged. Add a moment to `MOMENTS`; this module doesn't know what must hold afterwards.
"""

import functools
import itertools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

_DAGSTER = "wx_datacube.orchestration.backfill_runs"

Act = Callable[..., None]


def die(*_: Any, **__: Any) -> None:
    """Kill this process at once."""
    os.kill(os.getpid(), signal.SIGKILL)


def die_with_parent(*_: Any, **__: Any) -> None:
    """Kill this process and its parent, which fetches."""
    os.kill(os.getppid(), signal.SIGKILL)
    die()


def die_half_way(source: Path, target: Path, *_: Any) -> None:
    """Copy half of a file, then kill this process."""
    content = source.read_bytes()
    target.write_bytes(content[: len(content) // 2])
    die()


def die_once_it_changes(pool: Any) -> None:
    """Kill this process when DuckDB starts to write to the writer's file itself, which is a checkpoint."""
    path, before = pool.warehouse.writer, pool.warehouse.writer.stat().st_mtime_ns

    def watch() -> None:
        while path.stat().st_mtime_ns == before:
            time.sleep(0.0002)
        die()

    threading.Thread(target=watch, daemon=True).start()


def _named(ending: str) -> Callable[..., bool]:
    return lambda path, *_: path.name.endswith(ending)


def _any(*_: Any) -> bool:
    return True


def _at(
    place: str,
    number: int,
    act: Act = die,
    *,
    of: Callable[..., bool] = _any,
    after: bool = False,
    dagster: bool = False,
) -> Callable[[], None]:
    """Return a function that arms this process to call `act` at the `number`th matching call of `module:name`.

    Only the process that fetches is armed, or with `dagster` only the one that runs Dagster.
    """

    def arm() -> None:
        if (_DAGSTER in sys.orig_argv) != dagster:
            return
        module, _, path = place.partition(":")
        *owners, name = path.split(".")
        owner: Any = functools.reduce(getattr, owners, import_module(module))
        original, count = getattr(owner, name), itertools.count(1)

        @functools.wraps(original)
        def watched(*arguments: Any, **named: Any) -> Any:
            now = of(*arguments) and next(count) == number
            if now and not after:
                act(*arguments)
            result = original(*arguments, **named)
            if now and after:
                act(*arguments)
            return result

        setattr(owner, name, watched)

    return arm


_EVENTS = "wx_datacube.orchestration.event_log:BatchedSqliteEventLogStorage._store_asset_event_tags"

# A private name stands where nothing public is called at that moment.
MOMENTS = {
    "while the writer's file is made": _at("pathlib:Path.replace", 1, of=_named(".making")),
    "between ledger and table": _at("wx_datacube.warehouse.ledger:load_calls", 3),
    "before the commit": _at("wx_datacube.ingest.pool:store_calls", 3, after=True),
    "after the commit": _at("wx_datacube.ingest.pool:FetchPool._store", 4, after=True),
    "in the checkpoint": _at("wx_datacube.ingest.pool:FetchPool._store", 3, die_once_it_changes),
    "in the copy": _at("wx_datacube.warehouse.publication:copy_file", 2, die_half_way, of=_named(".writer.duckdb")),
    "before the rename": _at("pathlib:Path.replace", 2, of=_named(".publishing")),
    "after the rename": _at("pathlib:Path.replace", 2, of=_named(".publishing"), after=True),
    "while Dagster writes its events": _at(_EVENTS, 2, die_with_parent, dagster=True),
    "while Dagster writes its events, Dagster alone": _at(_EVENTS, 2, dagster=True),
    "while Dagster's history is set up, Dagster alone": _at(
        "dagster._core.storage.sql:stamp_alembic_rev", 2, dagster=True
    ),
}
"""The function that arms a process, by the moment at which the process is killed."""


def deadly(moment: str, folder: Path) -> dict[str, str]:
    """Return the environment that makes a process kill itself at a moment; `folder` is for temporary files."""
    assert moment in MOMENTS
    top = Path(__file__).parent.parent.parent
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(
        f"from wx_datacube_tests.end_to_end.crash_injection import arm\narm({moment!r})\n"
    )
    return {"PYTHONPATH": os.pathsep.join([str(folder), str(top)])}


def arm(moment: str) -> None:
    """Arm this process if it belongs to `wx-datacube backfill`."""
    if "wx_datacube" in sys.orig_argv or _DAGSTER in sys.orig_argv:
        MOMENTS[moment]()
