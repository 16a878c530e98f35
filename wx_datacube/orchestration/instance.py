"""Instance: the Dagster instance of a project folder, as `dagster dev` started there would use it.

Nothing else belongs here. See https://docs.dagster.io/deployment/oss/dagster-yaml.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from wx_datacube.environment import adopt_dotenv
from wx_datacube.warehouse.locks import locked


@contextmanager
def project_instance(project: Path) -> Iterator[dg.DagsterInstance]:
    """The instance of `dagster.yaml` in `project`; changes to that folder, which the paths in it are relative to.

    Processes that meet a fresh folder race in Dagster's own set-up of its databases: a lock around opening it.
    """
    os.chdir(project)
    adopt_dotenv(project)
    with locked(project / ".dagster" / "opening.lock"):
        instance = dg.DagsterInstance.from_config(str(project))
        instance.get_runs(limit=1)  # sets up what is set up on first use
    with instance:
        yield instance
