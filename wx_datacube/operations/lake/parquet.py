"""Parquet: a file that also holds the data of the file it replaces, at the same place.

DuckDB, Polars and others open a file more than once in a query: first for the footer, then for the data. If the file is
replaced in between, they look for the old data in the new file, and fail or mix the two. So the new file keeps the data
of the old one where it was; nothing in its own footer points there. Nothing here reads or writes files. See
https://parquet.apache.org/docs/file-format/.
"""

from collections.abc import Mapping
from io import BytesIO
from typing import Any

_MAGIC = b"PAR1"
_TAIL = 8
"""Bytes after the footer: its length and the magic number."""

Region = tuple[int, int]
"""Where a file's data begins and ends."""


def data_region(file: bytes) -> Region:
    """Return the region of the data of a file that holds no other."""
    return len(_MAGIC), len(file) - _TAIL - int.from_bytes(file[-_TAIL:-4], "little")


def keeping(old: bytes, region: Region, new: bytes) -> tuple[bytes, Region]:
    """Return the file `new` with the bytes of `old` in `region` at the same place, and the region of its own data.

    Its data goes before the old data if there is room, otherwise behind it. So a file that is replaced often has at
    most about three times the size of its data.
    """
    begin, end = region
    first, last = data_region(new)
    data, footer = new[first:last], new[last:-_TAIL]
    start = first if len(data) <= begin - first else end
    body = bytearray(max(end, start + len(data)))
    body[: len(_MAGIC)] = _MAGIC
    body[begin:end] = old[begin:end]
    body[start : start + len(data)] = data
    footer = moved(footer, start - first)
    return bytes(body) + footer + len(footer).to_bytes(4, "little") + _MAGIC, (start, start + len(data))


def moved(footer: bytes, by: int) -> bytes:
    """Return a footer for data that begins `by` bytes later."""
    target = bytearray()
    _copy(BytesIO(footer), target, _STRUCT, _FILE, by)
    return bytes(target)


# The fields of parquet.thrift that hold an offset, by their numbers, and the structs on the way to them.
_OFFSET: Mapping[int, Any] = {}
_COLUMN_DATA = {9: _OFFSET, 10: _OFFSET, 11: _OFFSET, 14: _OFFSET}  # data, index and dictionary pages; Bloom filter
_COLUMN = {2: _OFFSET, 3: _COLUMN_DATA, 4: _OFFSET, 6: _OFFSET}  # 4 and 6: offset index, column index
_ROW_GROUP = {1: _COLUMN, 5: _OFFSET}
_FILE = {4: _ROW_GROUP}

# Thrift's compact protocol.
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)
_LONG = 15
"""The size of a list or set that says that a number with its size follows."""


def _copy(source: BytesIO, target: bytearray, kind: int, moves: Mapping[int, Any] | None, by: int) -> None:
    """Copy a value; with `moves`, change the offsets in it. An offset of 0 means that there is none."""
    if kind in (_I16, _I32, _I64):
        number = _number(source)
        _put(target, number + 2 * by if moves is _OFFSET and number else number)  # zigzag: twice the number
    elif kind in (_BYTE, _DOUBLE):
        target += source.read(1 if kind == _BYTE else 8)
    elif kind == _BINARY:
        size = _number(source)
        _put(target, size)
        target += source.read(size)
    elif kind in (_LIST, _SET):
        (head,) = source.read(1)
        target.append(head)
        size = head >> 4
        if size == _LONG:
            size = _number(source)
            _put(target, size)
        for _ in range(size):
            _copy(source, target, _BYTE if head & 15 in (_TRUE, _FALSE) else head & 15, moves, by)
    elif kind == _STRUCT:
        _copy_struct(source, target, moves or {}, by)
    elif kind not in (_TRUE, _FALSE):
        raise ValueError(f"a Parquet footer has no thrift type {kind}")


def _copy_struct(source: BytesIO, target: bytearray, moves: Mapping[int, Any], by: int) -> None:
    field = 0
    while True:
        (head,) = source.read(1)
        target.append(head)
        if not head:
            return
        if head >> 4:
            field += head >> 4
        else:
            number = _number(source)
            _put(target, number)
            field = number >> 1
        _copy(source, target, head & 15, moves.get(field), by)


def _number(source: BytesIO) -> int:
    number = shift = 0
    while True:
        (byte,) = source.read(1)
        number |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return number


def _put(target: bytearray, number: int) -> None:
    while number > 127:
        target.append(number & 127 | 128)
        number >>= 7
    target.append(number)
