"""SQL: constants, conditions and literals that several queries of the warehouse share.

Add a fragment here if more than one module needs it. Whole queries belong with the module that runs them.
"""

import json
from collections.abc import Iterable

from wx_datacube.catalog.model import HISTORY_START, Column, Period

BEIJING_NOW = "(make_timestamp(epoch_us(now())) + INTERVAL 8 HOUR)"
"""The current naive Beijing time in SQL, without the ICU extension."""

FIRST_DAY = f"DATE '{HISTORY_START}'"
"""The first day of history as an SQL literal."""

NEXT_LABEL = {
    Period.DAY: "INTERVAL 1 DAY",
    Period.WEEK: "INTERVAL 7 DAY",
    Period.MONTH: "INTERVAL 1 MONTH",
}

GOOD_ANSWER = "http_status = 200 AND errcode IS NULL AND errmsg IS NULL"
"""SQL condition for a call of `datacube.api_calls` that WeChat answered with figures."""


def names(columns: Iterable[Column]) -> str:
    """Return the columns' names as a list in SQL."""
    return ", ".join(f'"{column.name}"' for column in columns)


def quoted(value: object) -> str:
    """Return a constant of this project as an SQL literal; never use it for data from outside."""
    return str(value) if isinstance(value, int) else "'" + str(value).replace("'", "''") + "'"


def json_list(values: Iterable[object]) -> str:
    """Return a list as one JSON parameter: DuckDB looks for pandas again for each value that it is given."""
    return json.dumps(list(values), default=str)
