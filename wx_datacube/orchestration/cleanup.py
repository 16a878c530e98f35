"""Cleanup: removes the traces of a renamed or removed account from Dagster's instance.

The account's assets have no definition any more, but Dagster lists them as long as they have a history. A queued run of
the account would fail because its code is gone. Runs that have ended are left as they are.
"""

import dagster as dg

from wx_datacube.catalog.endpoints import BY_NAME
from wx_datacube.config.settings import Settings
from wx_datacube.errors import SettingsError, WarehouseError
from wx_datacube.language import Text
from wx_datacube.orchestration.instance import project_instance
from wx_datacube.orchestration.prefixes import known_prefixes
from wx_datacube.orchestration.runs import QUEUED


def wipe_account_history(settings: Settings, account: str) -> Text | str | None:
    """Wipe the history of an account's assets in the project's instance, and mark its queued runs as failed.

    Return the reason if this failed, else None.
    """
    try:
        with project_instance(settings.require_project()) as instance:
            folders = _folders(instance, account)
            for run in instance.get_runs(dg.RunsFilter(statuses=list(QUEUED))):
                if run.asset_selection and all(_is_of(key, folders) for key in run.asset_selection):
                    instance.report_run_failed(
                        run, f"The account {account} was renamed or removed while this run was queued."
                    )
            instance.wipe_assets(_with_history(instance, account))
    except (SettingsError, WarehouseError) as error:
        return error.text
    except dg.DagsterError as error:
        return str(error)
    return None


def has_account_history(settings: Settings, account: str) -> bool:
    """Return whether the project's instance holds a history of the account; False if the instance doesn't open."""
    try:
        with project_instance(settings.require_project()) as instance:
            return bool(_with_history(instance, account))
    except (SettingsError, WarehouseError, dg.DagsterError):
        return False


_NAMES = {*BY_NAME, "report", "digest", "lake"}


def _is_of(key: dg.AssetKey, folders: set[tuple[str, ...]]) -> bool:
    return tuple(key.path[:-1]) in folders and key.path[-1] in _NAMES


def _folders(instance: dg.DagsterInstance, account: str) -> set[tuple[str, ...]]:
    """Return the folders of the account's asset keys: `<account>`, and `<prefix>/<account>` for each prefix it has had.

    A prefix counts only if an endpoint has a history under it: `crm/<account>/report` alone is another project's asset.
    """
    return {(account,)} | {(*prefix, account) for prefix in known_prefixes(instance, account)}


def _with_history(instance: dg.DagsterInstance, account: str) -> list[dg.AssetKey]:
    folders = _folders(instance, account)
    return [key for key in instance.get_asset_keys() if _is_of(key, folders)]
