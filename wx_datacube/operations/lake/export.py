"""Export: writes one account's files to the lake, those that have changed.

A file is written again if its rows, its columns or the version of the schema differ from what the last export noted,
or if the file in the lake isn't the one that it wrote. The rows decide, not the calls: some views depend on the day.
No relation is named here. Which relations there are belongs in `views`, how a file is replaced in `places`.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb

from wx_datacube.config.settings import Lake
from wx_datacube.language import Text
from wx_datacube.operations.lake.parquet import data_region, keeping
from wx_datacube.operations.lake.places import Place, place_of, read_json, unwritable_folder
from wx_datacube.operations.lake.views import VIEWS_FILE, Relation, is_newer, lake_relations, views_sql
from wx_datacube.warehouse.accounts import require_stored
from wx_datacube.warehouse.connections import Connection
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.warehouse.schema import SCHEMA_VERSION
from wx_datacube.warehouse.sql import quoted

_FORMAT = 1
"""Raise it when files are to be written in another way: then each export writes all of them again."""


@dataclass(frozen=True, slots=True)
class _File:
    """A file of the lake: its folder and name, the query of its rows, and an expression that tells them apart."""

    folder: str
    name: str
    select: str
    identity: str = "line"

    @property
    def path(self) -> str:
        return f"{self.folder}/{self.name}"


@dataclass(slots=True)
class Exported:
    """What an export did: the rows of each file that was written, by name, and the files that had not changed."""

    account: str
    call_id: int
    written: dict[str, int] = field(default_factory=dict)
    unchanged: list[str] = field(default_factory=list)


def export_account(warehouse: Warehouse, lake: Lake, account: str) -> Exported:
    """Write an account's files that have changed, then `lake.sql`.

    All rows are those of one moment of the published file. Raises `SettingsError` if nothing is stored for the account
    or S3 refuses the credentials, and `LakeError` if the lake can't be written.
    """
    place = place_of(lake)
    require_stored(warehouse, account)
    with (
        warehouse.exporting(account),  # before the file is opened: a later export must not write older figures
        warehouse.open_published() as con,
        TemporaryDirectory() as scratch,
    ):
        con.begin()  # the same "today" for all views
        relations = lake_relations(con)
        done = _Export(con, place, account, Path(scratch)).run(relations)
    text = views_sql(relations, lake.url).encode()
    present = place.read(VIEWS_FILE) or b""
    if present != text and not is_newer(present):
        place.write(VIEWS_FILE, text)
    return done


class _Export:
    """One export of one account.

    Its note in the lake says, for each file: what its rows were, the tag of the file, and the region of its data.
    """

    def __init__(self, con: Connection, place: Place, account: str, scratch: Path) -> None:
        self._con = con
        self._place = place
        self._account = account
        self._scratch = scratch / "made.parquet"
        self._note = f"_exports/{account}.json"
        ((call_id,),) = con.execute(
            "SELECT coalesce(max(call_id), 0) FROM datacube.api_calls WHERE account = $1", [account]
        ).fetchall()
        self._done = Exported(account, call_id)

    def run(self, relations: list[Relation]) -> Exported:
        before = read_json(self._place, self._note)
        now: dict[str, list[Any]] = {}
        for relation in relations:
            files = list(self._files(relation))
            tags = self._place.tags(files[0].folder)
            for each in files:
                now[each.path] = self._export(each, tags.pop(each.name, None), before.get(each.path))
            for left in tags:  # a year without calls, a file of another version, or what a killed export left behind
                if left.endswith((".parquet", ".part")):
                    self._place.delete(f"{files[0].folder}/{left}")
        if now != before:  # last: after an error or a kill, the files written so far differ from the note
            self._place.write(self._note, json.dumps(now, indent=1).encode())
        return self._done

    def _export(self, file: _File, tag: str | None, note: list[Any] | None) -> list[Any]:
        """Write a file if it has changed; return its new note."""
        fingerprint, rows = self._fingerprint(file)
        known = note if note and len(note) == 4 and note[1] == tag else None
        if known and known[0] == fingerprint:
            self._done.unchanged.append(file.path)
            return known
        data = self._make(file)
        region = data_region(data)
        if tag and (old := self._place.read(file.path)):
            data, region = keeping(old, (known[2], known[3]) if known else (4, len(old)), data)
        self._done.written[file.path] = rows
        return [fingerprint, self._place.write(file.path, data), *region]

    def _files(self, relation: Relation) -> Iterator[_File]:
        folder = f"{relation.name}/account={self._account}"
        select = f"SELECT {relation.stored_columns} FROM {relation.source} WHERE account = {quoted(self._account)}"
        if not relation.by_year:
            yield _File(folder, f"{relation.name}.parquet", select)
            return
        found = self._con.execute(
            f"SELECT DISTINCT year(requested_at) FROM {relation.source} WHERE account = $1 ORDER BY ALL",
            [self._account],
        ).fetchall()
        for (year,) in found or [(1970,)]:  # a file without rows shows the columns
            within = f"{select} AND year(requested_at) = {year}"
            yield _File(folder, f"{relation.name}_{year}.parquet", within, "(call_id, requested_at, endpoint)")

    def _fingerprint(self, file: _File) -> tuple[str, int]:
        """Return what changes whenever the file's rows or columns do, and the number of rows."""
        columns = self._con.execute(f"DESCRIBE {file.select}").fetchall()
        ((rows, total),) = self._con.execute(
            f"SELECT count(*), sum(hash({file.identity})::HUGEINT) FROM ({file.select}) AS line"
        ).fetchall()
        found = [_FORMAT, SCHEMA_VERSION, [each[:2] for each in columns], rows, total]
        return hashlib.sha256(repr(found).encode()).hexdigest(), rows

    def _make(self, file: _File) -> bytes:
        """Return the bytes of a Parquet file."""
        note = f"{{call_id: '{self._done.call_id}', schema_version: '{SCHEMA_VERSION}'}}"
        try:
            self._con.execute(
                f"COPY ({file.select} ORDER BY ALL) TO {quoted(self._scratch)} (FORMAT parquet, COMPRESSION zstd,"
                f" KV_METADATA {note})"
            )
            return self._scratch.read_bytes()
        except (OSError, duckdb.IOException) as error:
            raise unwritable_folder(self._scratch.parent, error, Text("set TMPDIR", "设置 TMPDIR")) from None


def left_in_lake(lake: Lake, account: str) -> Text:
    """Return that an account's files stay in the lake after it was renamed or removed, and how to delete them."""
    if lake.in_s3:
        command = f"aws s3 rm {lake.url}/ --recursive --exclude '*' --include '*/account={account}/*'"
    else:
        command = f"rm -r {lake.url}/*/account={account}"
    return Text(
        "The lake still has the files of {account}, which may be another machine's by now. If they are not, delete"
        " them, or queries over all accounts count them: {command}",
        "数据湖中仍有 {account} 的文件（也可能已改由另一台机器写入）。如已不需要，请删除，否则跨账号查询会计入："
        "{command}",
        account=account,
        command=command,
    )
