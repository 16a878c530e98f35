"""Forgetting: what Dagster's instance still shows of an account that is called otherwise now, or is no more.

Its assets have no definition any more, but a history, and stay in the catalog for it. Runs are left as they are.
"""

import dagster as dg

from wx_datacube.catalog import ENDPOINTS
from wx_datacube.orchestration.instance import project_instance
from wx_datacube.settings import Settings


def forget_account(settings: Settings, account: str) -> str | None:
    """Wipe the history of an account's assets in the project's instance; why that didn't work, where it didn't."""
    ours = {dg.AssetKey([account, name]) for name in (*(endpoint.name for endpoint in ENDPOINTS), "report")}
    try:
        with project_instance(settings.project) as instance:
            instance.wipe_assets([key for key in instance.get_asset_keys(prefix=[account]) if key in ours])
    except (OSError, dg.DagsterError) as error:
        return str(error)
    return None
