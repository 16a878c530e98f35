"""Asking: starts a process for each question, gives it the question, and ends it at its limits.

The process opens the file itself, so each answer shows the newest publication. See `child` for its limits of memory.
"""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from anyio import CancelScope  # comes with the protocol's SDK

from wx_datacube.catalog.periods import Clock, beijing_now
from wx_datacube.config.environment import bare_environment
from wx_datacube.operations.questions.child import SECONDS, TOO_MUCH
from wx_datacube.operations.questions.dates import Refused

_AT_ONCE = 2
"""Questions that are answered at once; others wait."""


class Questions:
    """The questions to one database, whose accounts have these titles; `seconds` is the time for an answer."""

    def __init__(
        self, database: Path, titles: Mapping[str, str], clock: Clock = beijing_now, seconds: float = SECONDS
    ) -> None:
        self._database, self._titles, self._clock, self._seconds = database, titles, clock, seconds
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._running: set[Process] = set()

    async def ask(self, tool: str, **arguments: object) -> str:
        """Return a tool's answer as JSON; raise `Refused` if there is none."""
        question = {
            "database": str(self._database),
            "titles": dict(self._titles),
            "now": self._clock().isoformat(),
            "seconds": self._seconds,
            "tool": tool,
            "arguments": arguments,
        }
        async with self._places:
            found: dict[str, Any] = json.loads(await self._run(json.dumps(question).encode()))
        if "error" in found:
            raise Refused(found["error"])
        return json.dumps(found["answer"], ensure_ascii=False, separators=(",", ":"))

    async def _run(self, question: bytes) -> bytes:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "wx_datacube.operations.questions.child"),
            stdin=PIPE,
            stdout=PIPE,
            env=bare_environment(),
        )
        self._running.add(process)
        try:
            async with asyncio.timeout(self._seconds):
                out, _ = await process.communicate(question)
        except TimeoutError:
            raise Refused(
                f"It takes more than {self._seconds:g} seconds.",
                advice="Ask for a shorter range, or aggregate in the SQL.",
            ) from None
        finally:
            self._running.discard(process)
            with suppress(ProcessLookupError):
                process.kill()
            with CancelScope(shield=True):  # also while the server ends, or asyncio complains about an open pipe
                await process.wait()
                if process.stdout:
                    await process.stdout.read()
        if process.returncode:
            raise Refused(TOO_MUCH)  # ended by the system, or without the memory to say so
        return out

    def kill(self) -> None:
        """End all processes at once, before this one ends."""
        for process in self._running:
            with suppress(ProcessLookupError):
                process.kill()
