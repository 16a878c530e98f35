"""Migrate: bring a writer's file of an older version to the current schema, in one transaction.

Whenever `SCHEMA_VERSION` grows, add to `MIGRATIONS` the statements that change a file of one version into the next.
Which files there are, when they are opened, and the backup before a migration belong in `files`.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

import duckdb

from wx_datacube.errors import WarehouseError
from wx_datacube.language import Text
from wx_datacube.warehouse.errors import first_line
from wx_datacube.warehouse.schema import SCHEMA_VERSION, create_statements


class OutdatedFile(WarehouseError):
    """A published file of an older version, which was published before its writer's file was migrated."""

    @classmethod
    def of(cls, path: Path, version: int) -> Self:
        """Return the error for a file."""
        return cls(
            Text(
                "{path} was created by an older wx_datacube (schema {version}; this version has {current}).",
                "{path} 由旧版 wx_datacube 创建（schema {version}，当前版本为 {current}）。",
                path=path,
                version=version,
                current=SCHEMA_VERSION,
            ),
            advice=Text(
                "Run `wx-datacube replay`: it makes a backup and migrates the file without calling WeChat.",
                "请运行 `wx-datacube replay`：自动备份并升级该文件，不调用微信。",
            ),
        )


Migrations = Mapping[int, Sequence[str]]

MIGRATIONS: Migrations = {
    # Followers, articles and interface: nested tables, open labels, and families that can be switched on.
    1: (
        "ALTER TABLE datacube.accounts ADD COLUMN families VARCHAR[]",
        "UPDATE datacube.accounts SET families = ['messages']",
        "ALTER TABLE datacube.label_answers ADD COLUMN final BOOLEAN",
        "ALTER TABLE datacube.label_answers ADD COLUMN last_undelayed BIGINT",
        "UPDATE datacube.label_answers SET final = true, last_undelayed = call_id",
        "ALTER TABLE datacube.rejected_rows ADD COLUMN path VARCHAR",
        "ALTER TABLE datacube.revisions ADD COLUMN relation VARCHAR",
        "ALTER TABLE datacube.revisions ADD COLUMN user_source INTEGER",
        "ALTER TABLE datacube.revisions ADD COLUMN msgid VARCHAR",
        "ALTER TABLE datacube.revisions ADD COLUMN stat_date DATE",
        "ALTER TABLE datacube.revisions ADD COLUMN scene_desc VARCHAR",
        "ALTER TABLE datacube.revisions ADD COLUMN position INTEGER",
        "ALTER TABLE datacube.revisions ADD COLUMN old_rate DOUBLE",
        "ALTER TABLE datacube.revisions ADD COLUMN new_rate DOUBLE",
        "ALTER TABLE datacube.revisions ADD COLUMN old_text VARCHAR",
        "ALTER TABLE datacube.revisions ADD COLUMN new_text VARCHAR",
        "UPDATE datacube.revisions SET relation = endpoint",
        "ALTER TABLE datacube.endpoints ADD COLUMN family VARCHAR",
        "ALTER TABLE datacube.endpoints ADD COLUMN first_day DATE",
    ),
}
"""Version to the statements that lead to the next version; one entry for each version below `SCHEMA_VERSION`.

New tables, views, comments and the rows of the catalog need no statement: they are created after the last step.
"""


def version_of(con: duckdb.DuckDBPyConnection) -> int | None:
    """Return the version of the file's schema; None for a file that is not ours."""
    try:
        found = con.execute("SELECT max(schema_version) FROM datacube.meta").fetchone()
    except (duckdb.CatalogException, duckdb.BinderException):
        return None
    return found[0] if found else None


def backup_of(writer: Path, version: int) -> Path:
    """Return the path of the backup of a file from before its migration."""
    return writer.with_name(f"{writer.name}.schema-{version}")


def require_migrations(path: Path, version: int, migrations: Migrations) -> None:
    """Raise `WarehouseError` if no migrations lead from the file's version to the current schema."""
    if not set(range(version, SCHEMA_VERSION)) <= set(migrations):
        raise WarehouseError(
            Text(
                "{path} was created by an older wx_datacube (schema {version}); there is no migration to schema"
                " {current}.",
                "{path} 由旧版 wx_datacube 创建（schema {version}），无法升级到 schema {current}。",
                path=path,
                version=version,
                current=SCHEMA_VERSION,
            ),
            advice=Text(
                "Use the wx_datacube version that created it; the file is unchanged.",
                "请使用创建该文件的 wx_datacube 版本。该文件未被改动。",
            ),
        )


def migrate(con: duckdb.DuckDBPyConnection, writer: Path, version: int, migrations: Migrations) -> None:
    """Apply the migrations from `version` on, all or none of them; raises `WarehouseError` if one fails."""
    con.begin()
    try:
        for step in range(version, SCHEMA_VERSION):
            for statement in migrations[step]:
                con.execute(statement)
        for statement in create_statements():
            con.execute(statement)
        con.execute("UPDATE datacube.meta SET schema_version = $version", {"version": SCHEMA_VERSION})
        con.commit()
    except duckdb.Error as error:
        with suppress(duckdb.Error):
            con.rollback()
        raise WarehouseError(
            Text(
                "{writer} could not be migrated from schema {version} to {current}: {error}.",
                "无法将 {writer} 从 schema {version} 升级到 {current}：{error}。",
                writer=writer,
                version=version,
                current=SCHEMA_VERSION,
                error=first_line(error),
            ),
            advice=Text(
                "Nothing was changed, and {backup} is a backup. Keep using the wx_datacube version that created it, and"
                " report this.",
                "未做任何更改，备份为 {backup}。请继续使用创建该文件的 wx_datacube 版本，并反馈此问题。",
                backup=backup_of(writer, version),
            ),
        ) from None
