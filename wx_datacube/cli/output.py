"""Output: the streams that commands print to. A failed write never stops the work.

A write fails if the disk under a log is full, or if the reader has closed the pipe. Nothing else belongs here.
"""

import io
import sys
from typing import Any, TextIO


class _LossyFile(io.FileIO):
    """An inherited file that drops what it can't write; `write_error` is the first error."""

    write_error: OSError | None = None

    def write(self, data: Any, /) -> int:
        """Write what can be written, and report all of it as written."""
        try:
            return super().write(data)
        except OSError as error:
            self.write_error = self.write_error or error
            return len(data)


class Output:
    """Standard output and error of this process, which drop what can't be written."""

    def __init__(self) -> None:
        self._files: list[_LossyFile] = []
        sys.stdout = self._lossy(sys.stdout)
        sys.stderr = self._lossy(sys.stderr)

    def _lossy(self, stream: TextIO) -> TextIO:
        if stream is None:  # closed by the parent process (`>&-`)
            return stream
        file = _LossyFile(stream.fileno(), "w", closefd=False)
        self._files.append(file)
        buffered, by_line = io.BufferedWriter(file), bool(stream.line_buffering)
        return io.TextIOWrapper(buffered, stream.encoding, stream.errors, line_buffering=by_line)

    def write_error(self) -> OSError | None:
        """Return why something was not written; a closed pipe (`| head`) doesn't count."""
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        errors = [file.write_error for file in self._files]
        return next((each for each in errors if each and not isinstance(each, BrokenPipeError)), None)
