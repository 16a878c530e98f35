"""Own accounts: which accounts the process of a run has to load.

A code server starts a process for each run, and each loads the code location. With a hundred accounts that took 5 s of
processor time, 700 times a day. Only `wx_datacube.definitions` may leave accounts out, since it knows that nothing else
is in the code location: in another project, a job or an asset may refer to any account's assets.
"""

from wx_datacube.config.environment import configured_accounts
from wx_datacube.orchestration.dagster_internals import run_of_this_process


def accounts_of_this_run() -> list[str] | None:
    """Return the accounts of the assets and checks that this process's run has selected.

    None stands for all accounts: in a process that isn't a run's, in a run without a selection, such as that of the
    digests, and in doubt.
    """
    run = run_of_this_process()
    if run is None:
        return None
    keys = [*(run.asset_selection or ()), *(each.asset_key for each in run.asset_check_selection or ())]
    selected, configured = {key.path[0] for key in keys}, [each.name for each in configured_accounts()]
    return [name for name in configured if name in selected] if selected.issubset(configured) and selected else None
