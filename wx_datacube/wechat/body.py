"""Body: the bytes of an answer as they come in, unpacked, and never more of them than allowed.

Add a rule here when it is about size or compression. The HTTP library's own unpacking has no bound: a body of some
kilobytes may unfold to gigabytes. What the bytes mean is said in `answers`.
"""

import zlib

MIB = 1024 * 1024
HEAD_BYTES = 64 * 1024
"""How much of an answer that is too large is kept."""


class Received:
    """The body of an answer as it comes in: unpacked, and no larger than allowed, however it was packed."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._body = bytearray()
        self._packed = 0
        self._gzip: zlib._Decompress | None = None
        self._coding = ""
        self._too_large = False

    def begin(self, coding: str) -> None:
        """Take note of the body's coding: gzip was offered, nothing else."""
        coding = coding.strip().lower()
        if coding in ("gzip", "x-gzip"):
            self._gzip = zlib.decompressobj(31)
        elif coding not in ("", "identity"):
            self._coding = coding

    def feed(self, piece: bytes) -> bool:
        """Add a piece; False when the body has become too large to go on."""
        self._packed += len(piece)
        self._body += self._unpack(piece) if self._gzip else piece
        self._too_large = max(len(self._body), self._packed) > self._limit
        return not self._too_large

    def _unpack(self, piece: bytes) -> bytes:
        """Unpack a piece, and never more of it than one byte beyond the limit."""
        unpacked = bytearray()
        while piece and self._gzip:
            if self._gzip.eof:
                self._gzip = zlib.decompressobj(31)
            unpacked += self._gzip.decompress(piece, self._limit + 1 - len(self._body) - len(unpacked))
            if len(self._body) + len(unpacked) > self._limit:
                break
            piece = self._gzip.unused_data or self._gzip.unconsumed_tail
        return bytes(unpacked)

    def finish(self) -> None:
        """All came; EOFError when the packed body says that there should have been more."""
        if self._gzip and not self._gzip.eof and self._packed:
            raise EOFError

    def kept(self) -> bytes:
        """What to keep of the body: all, or the head of one that is too large."""
        return bytes(self._body[:HEAD_BYTES] if self._too_large else self._body)

    def fault(self, who: str) -> str | None:
        """What is wrong with a body that came whole, as a sentence."""
        if self._too_large:
            return f"{who} sent more than {self._limit // MIB} MiB; only the head of it is kept."
        return f"{who} sent a content coding that was not asked for." if self._coding else None
