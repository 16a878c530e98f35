"""Views: which relations a lake has, and `lake.sql`, which gives them the names that they have in the DuckDB file.

The columns come from the DuckDB file. With `lake.sql`, a query for that file runs over the lake unchanged.
"""

import re
from dataclasses import dataclass

from wx_datacube.warehouse.connections import Connection
from wx_datacube.warehouse.schema import SCHEMA_VERSION
from wx_datacube.warehouse.sql import quoted

VIEWS_FILE = "lake.sql"
_BY_YEAR = "api_calls"
_STORED = {"JSON": "VARCHAR"}
"""Types that other engines don't read, and what is stored instead."""


@dataclass(frozen=True, slots=True)
class Relation:
    """A view or table with a column `account`: its schema and name, and its columns with their types."""

    schema: str
    name: str
    columns: tuple[tuple[str, str], ...]

    @property
    def source(self) -> str:
        """Its name in the DuckDB file."""
        return f'{self.schema}."{self.name}"'

    @property
    def by_year(self) -> bool:
        """Whether it has a file per year: the ledger, whose older years don't change."""
        return self.name == _BY_YEAR

    @property
    def stored_columns(self) -> str:
        """The columns of its files, in SQL; the account is in the path."""
        return ", ".join(_cast(name, kind, _STORED.get(kind, kind)) for name, kind in self.columns if name != "account")


def _cast(name: str, kind: str, wanted: str) -> str:
    return f'"{name}"' if kind == wanted else f'"{name}"::{wanted} AS "{name}"'


def lake_relations(con: Connection) -> list[Relation]:
    """Return all views and tables that have a column `account`."""
    found = con.execute(
        "SELECT schema_name, table_name, list(column_name ORDER BY column_index), list(data_type ORDER BY column_index)"
        " FROM duckdb_columns() WHERE NOT internal GROUP BY ALL HAVING bool_or(column_name = 'account') ORDER BY ALL"
    ).fetchall()
    return [Relation(schema, name, tuple(zip(names, types, strict=True))) for schema, name, names, types in found]


def views_sql(relations: list[Relation], url: str) -> str:
    """Return the SQL that creates a view for each relation over the files at `url`."""
    views = []
    for each in relations:
        columns = ", ".join(_cast(name, _STORED.get(kind, kind), kind) for name, kind in each.columns)
        files = quoted(f"{url}/{each.name}/*/*.parquet")
        views.append(
            f"CREATE OR REPLACE VIEW {each.source} AS SELECT {columns}\nFROM read_parquet({files},"
            " hive_partitioning = true, hive_types = {'account': VARCHAR}, union_by_name = true);\n"
        )
    return (
        f"{_HEAD}{SCHEMA_VERSION}: the views and tables of wx_datacube over the lake, for DuckDB.\n"
        "-- Made by `wx-datacube export --lake`, which replaces it. For S3, load httpfs and create a secret first.\n"
        f"CREATE SCHEMA IF NOT EXISTS datacube;\n{''.join(views)}"
    )


_HEAD = "-- Schema "


def is_newer(text: bytes) -> bool:
    """Return whether a `lake.sql` was made by a newer version, on another machine."""
    found = re.match(_HEAD + r"(\d+)", text.decode("utf-8", "replace"))
    return found is not None and int(found[1]) > SCHEMA_VERSION
