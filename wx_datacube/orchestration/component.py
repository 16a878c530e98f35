"""Component: the assets of this package in a Dagster project that is made of `defs.yaml` files.

    type: wx_datacube.MessageAnalysis

Its fields are arguments of `build_defs`, which does the work. Add a field when `build_defs` gets an argument that YAML
can hold. See https://docs.dagster.io/guides/build/components.
"""

from collections.abc import Sequence
from typing import Literal

import dagster as dg

from wx_datacube.orchestration.code_location import build_defs
from wx_datacube.orchestration.schedules import MORNING_CRON


class MessageAnalysis(dg.Component, dg.Model, dg.Resolvable):
    """Statistics of WeChat Official Accounts (公众号数据分析) in DuckDB: an asset for each endpoint of an account."""

    accounts: Sequence[str] | str | None = None
    """Account names as in the settings, or one name. Default: all configured accounts."""
    key_prefix: Sequence[str] | str = ()
    """Prefix of `<account>/<endpoint>` in asset keys, and of the names of jobs and schedules."""
    group_name: str | None = None
    """Group of the assets. Default: `wx_<account>`."""
    owners: Sequence[str] = ()
    """E-mail addresses or `team:…`."""
    duckdb_key: str = "duckdb"
    """Key of the resource that reads the published file. Change it if the project uses that key already."""
    cron_schedule: str = MORNING_CRON
    """Cron expression of the schedules that fetch, in Beijing time."""
    schedules: Literal["account", "location"] = "account"
    """Whether each account has schedules of its own, or one schedule serves all accounts of the code location."""

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Build the assets, checks, schedules and resources."""
        return build_defs(**self.model_dump())
