"""Output: the streams that commands print to. A failed write never stops the work.

A write fails if the disk under a log is full, or if the reader has left. Nothing else belongs here.
"""

import io
import sys
from typing import Any, TextIO


class _Lenient(io.FileIO):
    """An inherited file that drops what it can't write; `refusal` is the first error."""

    refusal: OSError | None = None

    def write(self, data: Any, /) -> int:
        """Write what can be written, and report all of it as written."""
        try:
            return super().write(data)
        except OSError as error:
            self.refusal = self.refusal or error
            return len(data)


class Output:
    """Standard output and error of this process, made lenient."""

    def __init__(self) -> None:
        self._files: list[_Lenient] = []
        sys.stdout = self._lenient(sys.stdout)
        sys.stderr = self._lenient(sys.stderr)

    def _lenient(self, stream: TextIO) -> TextIO:
        if stream is None:  # closed by the parent process (`>&-`)
            return stream
        file = _Lenient(stream.fileno(), "w", closefd=False)
        self._files.append(file)
        buffered, by_line = io.BufferedWriter(file), bool(stream.line_buffering)
        return io.TextIOWrapper(buffered, stream.encoding, stream.errors, line_buffering=by_line)

    def refusal(self) -> OSError | None:
        """Return why something was not written; a reader that left (`| head`) doesn't count."""
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        refusals = [file.refusal for file in self._files]
        return next((each for each in refusals if each and not isinstance(each, BrokenPipeError)), None)
