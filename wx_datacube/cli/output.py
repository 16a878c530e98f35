"""Output: where commands print to. What can't be printed stops no work: a full disk under a log, a reader that left."""

import io
import sys
from typing import Any, TextIO


class _Lenient(io.FileIO):
    """An inherited file that drops what it can't write; `refusal` is why it first did."""

    refusal: OSError | None = None

    def write(self, data: Any, /) -> int:
        """Write what can be written, and say that it was all."""
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
        if stream is None:  # closed by whoever started us (`>&-`)
            return stream
        file = _Lenient(stream.fileno(), "w", closefd=False)
        self._files.append(file)
        buffered, by_line = io.BufferedWriter(file), bool(stream.line_buffering)
        return io.TextIOWrapper(buffered, stream.encoding, stream.errors, line_buffering=by_line)

    def refusal(self) -> OSError | None:
        """Why something was not written, other than that nobody reads any more (`| head`)."""
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        refusals = [file.refusal for file in self._files]
        return next((each for each in refusals if each and not isinstance(each, BrokenPipeError)), None)
