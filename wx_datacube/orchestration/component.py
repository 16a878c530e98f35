"""Component: these assets in a Dagster project that is made of `defs.yaml` files.

    type: wx_datacube.MessageAnalysis

Its fields are arguments of `build_defs`, which does the work. Add one here when `build_defs` gets an argument that YAML
can hold. See https://docs.dagster.io/guides/build/components.
"""

from collections.abc import Sequence

import dagster as dg

from wx_datacube.orchestration.code_location import build_defs
from wx_datacube.orchestration.schedules import MORNINGS


class MessageAnalysis(dg.Component, dg.Model, dg.Resolvable):
    """Message statistics of WeChat Official Accounts (公众号消息分析) in DuckDB: seven assets an account."""

    accounts: Sequence[str] | str | None = None
    """Names of accounts as in the settings, or one name; left out, all that are configured."""
    key_prefix: Sequence[str] | str = ()
    """What comes before `<account>/<endpoint>` in asset keys, and before the names of jobs and schedules."""
    group_name: str | None = None
    """Group of the assets; left out, `wx_<account>`."""
    owners: Sequence[str] = ()
    """E-mail addresses or `team:…`."""
    duckdb_key: str = "duckdb"
    """Key of the resource that reads the published file; another one where the project has one of that name."""
    cron_schedule: str = MORNINGS
    """When the schedules look for what is to do, in Beijing time."""

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Assets, checks, schedules and resources."""
        return build_defs(**self.model_dump())
