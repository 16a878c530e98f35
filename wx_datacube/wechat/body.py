"""Body: decompress a response body as it arrives, up to a size limit.

Add a rule here when it is about size or compression. The HTTP library's own decompression has no limit: a body of a few
kilobytes may expand to gigabytes. `answers` interprets the bytes.
"""

import zlib

MIB = 1024 * 1024
HEAD_BYTES = 64 * 1024
"""How much of an oversized body is kept."""


class Received:
    """The body of a response as it arrives: decompressed, and never larger than `limit` bytes, packed or unpacked."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._body = bytearray()
        self._packed = 0
        self._gzip: zlib._Decompress | None = None
        self._coding = ""
        self._too_large = False

    def begin(self, coding: str) -> None:
        """Note the content coding. The request offers gzip only."""
        coding = coding.strip().lower()
        if coding in ("gzip", "x-gzip"):
            self._gzip = zlib.decompressobj(31)
        elif coding not in ("", "identity"):
            self._coding = coding

    def feed(self, piece: bytes) -> bool:
        """Add a piece; return False once the body exceeds the limit."""
        self._packed += len(piece)
        self._body += self._unpack(piece) if self._gzip else piece
        self._too_large = max(len(self._body), self._packed) > self._limit
        return not self._too_large

    def _unpack(self, piece: bytes) -> bytes:
        """Decompress a piece, up to one byte beyond the limit."""
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
        """End the body; raise EOFError if the compressed data is incomplete."""
        if self._gzip and not self._gzip.eof and self._packed:
            raise EOFError

    def kept(self) -> bytes:
        """Return the body, or only its head if it is too large."""
        return bytes(self._body[:HEAD_BYTES] if self._too_large else self._body)

    def problem(self, who: str) -> str | None:
        """Return a sentence that says what is wrong with a body that arrived in full; None if nothing is."""
        if self._too_large:
            return f"{who} sent more than {self._limit // MIB} MiB; only the head of it is kept."
        return f"{who} sent a content coding that was not requested." if self._coding else None
