"""Sums of a lake: `python scripts/lake_sums.py make|duckdb|spark FOLDER` makes a lake, or prints each relation's sums.

`.ci/spark` compares the sums of DuckDB with those of PySpark, which has a virtual environment of its own. So nothing
here imports the package at the top.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def make(folder: Path) -> None:
    """Export an account of all families, change its figures and export again: its files keep older data too."""
    import datetime as dt

    from wx_datacube.catalog.model import Family
    from wx_datacube.config.settings import Lake
    from wx_datacube.operations.lake.export import export_account
    from wx_datacube_tests.years import years

    warehouse = years(folder.parent, start=dt.date(2026, 8, 1), families=tuple(Family))
    for number in range(2):
        with warehouse.transaction() as con:
            con.execute("UPDATE datacube.getupstreammsghour SET msg_count = msg_count + $1 + ref_hour", [number])
        warehouse.publish()
        export_account(warehouse, Lake(str(folder)), "shop")


def duckdb_sums(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the columns of each relation, the number of its rows, and the sums of its numbers, by DuckDB."""
    import duckdb

    for path in sorted(folder.glob("*/account=*")):
        relation = duckdb.read_parquet(f"{path.parent}/*/*.parquet", hive_partitioning=True)
        kinds = dict(zip(relation.columns, map(str, relation.types), strict=True))
        numbers = [name for name, kind in kinds.items() if kind in ("BIGINT", "INTEGER", "DOUBLE")]
        sums = ", ".join(["count(*)", *(f'round(sum("{name}"), 3)::DOUBLE' for name in numbers)])
        yield path.parent.name, _shown(kinds, relation.aggregate(sums).fetchall()[0], numbers)


def spark_sums(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the same by Spark."""
    from pyspark.sql import SparkSession, functions  # type: ignore[import-not-found, unused-ignore]

    settings = {"spark.ui.enabled": "false", "spark.sql.shuffle.partitions": "1"}
    builder = SparkSession.builder.master("local[2]")
    for name, value in settings.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    for path in sorted(folder.glob("*/account=*")):
        frame = spark.read.parquet(str(path.parent))
        kinds = dict(frame.dtypes)
        numbers = [name for name, kind in kinds.items() if kind in ("bigint", "int", "double")]
        sums = [functions.round(functions.sum(name), 3).cast("double") for name in numbers]
        yield path.parent.name, _shown(kinds, frame.agg(functions.count("*"), *sums).collect()[0], numbers)
    spark.stop()


def _shown(kinds: dict[str, str], row: Any, numbers: list[str]) -> dict[str, Any]:
    rows, *sums = row
    return {"columns": sorted(kinds), "rows": rows, "sums": dict(sorted(zip(numbers, sums, strict=True)))}


if __name__ == "__main__":
    what, where = sys.argv[1], Path(sys.argv[2])
    if what == "make":
        make(where)
    else:
        found = dict((duckdb_sums if what == "duckdb" else spark_sums)(where))
        assert found, f"no relation in {where}"
        print(json.dumps(found, indent=1))
