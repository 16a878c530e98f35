"""Prefixes: what a project passes to `build_defs` as `key_prefix`, before `<account>/<endpoint>` in asset keys.

Commands know the settings but not the definitions of the project, so they read its prefixes from Dagster's history.
"""

from collections.abc import Sequence

import dagster as dg

from wx_datacube.catalog.endpoints import BY_NAME

Prefix = tuple[str, ...]


def known_prefixes(instance: dg.DagsterInstance, account: str) -> list[Prefix]:
    """Return the prefixes under which the instance has a history of one of the account's endpoints.

    `()` stands for no prefix. Without any history it is the only one.
    """
    paths = (key.path for key in instance.get_asset_keys())
    found = {tuple(path[:-2]) for path in paths if path[-1] in BY_NAME and path[-2:-1] == [account]}
    return sorted(found or {()})


def stem(prefix: Prefix, account: str) -> str:
    """Return the start of the names of the account's jobs, schedules and ops."""
    return dg.AssetKey([*prefix, account]).to_python_identifier()


def location_name(prefix: Prefix, accounts: Sequence[str] | None, name: str) -> str:
    """Return the name of a schedule over several accounts, and of its job; `name` is its last part.

    A code location may hold several `build_defs`, each with a prefix or accounts of its own. So the prefix and the
    first of the accounts that `build_defs` was called with, if any, come before the name.
    """
    return dg.AssetKey([*prefix, *(accounts or ())[:1], name]).to_python_identifier()
