"""An account in its own Dagster instance, for tests of assets, schedules and backfills in this process.

Add a helper here when several of those tests need it. Settings are exported as environment variables, as on a server;
`.env` is for tests with real processes.
"""

import datetime as dt
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from wx_datacube.catalog.endpoints import BY_NAME
from wx_datacube.catalog.model import Endpoint
from wx_datacube.catalog.periods import beijing_now, due_on
from wx_datacube.config.environment import load_settings
from wx_datacube.config.settings import ACCOUNT_FIELDS, SHARED_FIELDS, Settings
from wx_datacube.definitions import build_defs
from wx_datacube.emulator.testing import Emulated
from wx_datacube.ingest.service import Ingest
from wx_datacube.operations.backfill import Backfill
from wx_datacube.operations.backfill_protocol import Backlog, Batch, Run, Scope
from wx_datacube.orchestration.runs import QUIET_RUN_CONFIG, REASON_TAG, Reason
from wx_datacube.warehouse.files import Warehouse
from wx_datacube_tests.ingesting import RecordingListener

TOP = Path(__file__).parent.parent
DAYS, HOURS, SENDERS, WEEKS = (BY_NAME[f"getupstreammsg{suffix}"] for suffix in ("", "hour", "dist", "week"))
SETTINGS = (*SHARED_FIELDS, *ACCOUNT_FIELDS)


class NoRuns:
    """The Dagster side of a backfill for tests of what is fetched; it creates no runs, which take most of the time."""

    def backlog(self) -> Backlog:
        """Return a backlog of one."""
        return Backlog(1, 0)

    def materialize(self, batch: Batch) -> Iterator[Run]:
        """Create no runs."""
        return iter(())


@dataclass(frozen=True)
class DagsterEnv:
    """A project folder that is the working directory, its account `default`, and a Dagster instance.

    The instance is the `given` one or a new one in memory.
    """

    folder: Path
    patch: pytest.MonkeyPatch
    stack: ExitStack
    given: dg.DagsterInstance | None = None

    @cached_property
    def instance(self) -> dg.DagsterInstance:
        """The instance, created at first use: creation is slow, and most tests of commands don't need it."""
        return self.given or self.stack.enter_context(dg.DagsterInstance.ephemeral())

    def configure(self, **settings: object) -> None:
        """Export these settings and no others; names have no prefix."""
        for name in SETTINGS:
            self.patch.delenv(f"WX_DATACUBE_{name}", raising=False)
        for name, value in settings.items():
            self.patch.setenv(f"WX_DATACUBE_{name}", str(value))

    def use(self, emulated: Emulated, **settings: object) -> None:
        """Configure the emulator's account."""
        self.configure(API_URL=emulated.api_url, APPID=emulated.appid, SECRET=emulated.secret, **settings)

    @property
    def settings(self) -> Settings:
        """The settings as every run reads them."""
        return load_settings()

    @property
    def warehouse(self) -> Warehouse:
        """The warehouse at the path in the settings."""
        return Warehouse(self.settings.database)

    def fetching(self, scope: Scope) -> Backfill:
        """Return a backfill that fetches and stores but creates no Dagster runs."""
        settings = self.settings
        return Backfill(NoRuns(), Ingest.of(settings, settings.account()), scope, beijing_now(), RecordingListener())

    def run(
        self,
        endpoint: Endpoint,
        first: dt.date,
        last: dt.date,
        *,
        refresh: bool = False,
        reason: Reason | None = None,
    ) -> dg.ExecuteInProcessResult:
        """Materialize a range of an endpoint's labels; without a `reason`, as a manual run."""
        key = asset_key(endpoint)
        job = build_defs().resolve_implicit_job_def_def_for_assets([key])
        assert job is not None
        config = {"ops": {"__".join(key.path): {"config": {"refresh": True}}}} if refresh else {}
        tags = {
            "dagster/asset_partition_range_start": first.isoformat(),
            "dagster/asset_partition_range_end": last.isoformat(),
            **({REASON_TAG: reason.value} if reason else {}),
        }
        return job.execute_in_process(
            instance=self.instance,
            asset_selection=[key],
            raise_on_error=False,
            run_config=QUIET_RUN_CONFIG | config,
            tags=tags,
        )

    def materialized(self, endpoint: Endpoint) -> set[dt.date]:
        """Return the labels that Dagster shows as materialized."""
        keys = self.instance.get_materialized_partitions(asset_key(endpoint))
        return {dt.date.fromisoformat(key) for key in keys}

    def metadata(self, endpoint: Endpoint, label: dt.date) -> dict[str, Any]:
        """Return the metadata of a label's newest materialization, by name."""
        records = self.instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=asset_key(endpoint), asset_partitions=[label.isoformat()]), limit=1
        ).records
        event = records[0].asset_materialization
        assert event is not None
        return {name: value.value for name, value in event.metadata.items()}

    def check(self, endpoint: Endpoint, name: str) -> dg.AssetCheckEvaluation:
        """Return the newest evaluation of a check."""
        records = self.instance.event_log_storage.get_latest_asset_check_execution_by_key(
            [dg.AssetCheckKey(asset_key(endpoint), name)]
        )
        (record,) = records.values()
        event = record.event.dagster_event if record.event else None
        assert event is not None
        return event.asset_check_evaluation_data


def asset_key(endpoint: Endpoint) -> dg.AssetKey:
    """Return the key of an endpoint's asset for the account `default`."""
    return dg.AssetKey(["default", endpoint.name])


def labels(endpoint: Endpoint, first: dt.date, last: dt.date) -> list[dt.date]:
    """Return the labels from `first`, which must be a label, to `last`."""
    found = [first]
    while (following := due_on(found[-1], endpoint.period)) <= last:
        found.append(following)
    return found


@contextmanager
def dagster_env(
    folder: Path, monkeypatch: pytest.MonkeyPatch, instance: dg.DagsterInstance | None = None
) -> Iterator[DagsterEnv]:
    """Provide a fresh project folder without any settings, and a fresh instance or the one given."""
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(TOP / name, folder)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.chdir(folder)
    with ExitStack() as stack:
        found = DagsterEnv(folder, monkeypatch, stack, instance)
        found.configure()
        yield found
