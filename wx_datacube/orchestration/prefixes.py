"""Prefixes: what comes before `<account>/<endpoint>` in the keys of a project that gave `build_defs` a `key_prefix`.

Commands have the settings, and not the definitions of the project. Its prefixes are known by Dagster's history.
"""

import dagster as dg

from wx_datacube.catalog.endpoints import BY_NAME

Prefix = tuple[str, ...]


def known_prefixes(instance: dg.DagsterInstance, account: str) -> list[Prefix]:
    """The prefixes under which the instance has a history of an endpoint of the account, none being `()`.

    Without any history that is the only one.
    """
    paths = (key.path for key in instance.get_asset_keys())
    found = {tuple(path[:-2]) for path in paths if path[-1] in BY_NAME and path[-2:-1] == [account]}
    return sorted(found or {()})


def stem(prefix: Prefix, account: str) -> str:
    """What the names of the account's jobs and schedules begin with: as in the names of the assets' ops."""
    return dg.AssetKey([*prefix, account]).to_python_identifier()
