"""Backfill: fetches everything pending as fast as the network allows, with Dagster runs over what has landed.

`backfill_fetch` fetches in threads of this process. Another process makes the Dagster runs (`Runs`), which make no
call. So neither commits nor Dagster's events leave the network idle. `operations.pending` decides what is pending,
`ingest` what to call; `cli.backfill` prints.
"""

import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from wx_datacube.catalog.articles import DAILY_READING
from wx_datacube.catalog.model import Endpoint
from wx_datacube.config.settings import Account, Settings
from wx_datacube.ingest.fetch_report import FetchReport
from wx_datacube.ingest.plan import RefreshPlan
from wx_datacube.ingest.service import Ingest
from wx_datacube.ingest.windows import plan_windows
from wx_datacube.language import Text
from wx_datacube.operations.backfill_fetch import BackgroundFetch
from wx_datacube.operations.backfill_protocol import Listener, Run, Runs, Scope, States
from wx_datacube.warehouse import coverage as known
from wx_datacube.warehouse.coverage import State
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.warehouse.open_labels import turns_due
from wx_datacube.wechat import Client


def database_mismatch(
    materialized: int, states: Mapping[Endpoint, States], database: Path, account: Account
) -> Text | None:
    """Return a warning if Dagster's history seems to belong to another file, else None.

    A few labels that were materialized may be missing again, such as one that was implied. So the warning appears only
    if the file holds fewer than half as many labels as Dagster.
    """
    stored = sum(state is not State.MISSING for labels in states.values() for state in labels.values())
    if stored >= materialized / 2:
        return None
    return Text(
        "Dagster shows {materialized:,} partitions of {account} as materialized, but only {stored:,} are in"
        " {database}. If the right file is elsewhere (a disk that is not mounted, another WX_DATACUBE_DATABASE), or"
        " there is a backup, fix that first, or everything is requested again.",
        "Dagster 显示 {account} 已物化 {materialized:,} 个分区，但 {database} 中只有 {stored:,} 个。"
        "如果正确的文件在别处（磁盘未挂载、WX_DATACUBE_DATABASE 指向其他路径），或有备份，请先恢复，"
        "否则会重新请求全部数据。",
        materialized=materialized,
        account=account.name,
        stored=stored,
        database=database,
    )


def check_account(settings: Settings, account: Account, scope: Scope, now: dt.datetime) -> None:
    """Raise the error that would keep a backfill from fetching, before anything is made or changed.

    Raises `SettingsError` for missing credentials or an AppID stored under another name, and `WarehouseError`.
    """
    # `reading_committed()` reads the writer's file: a foreign program may hold the published one open.
    with Warehouse(settings.database).reading_committed() as con:
        states = scope.of(known.states(con, account, now))
        known.require_bound(con, account)
    if any(labels and (scope.refresh or State.MISSING in labels.values()) for labels in states.values()):
        Client.of(account, settings.api_url).close()


@dataclass(slots=True)
class Backfill:
    """One account's backfill; `reports` and `failures` hold its results."""

    runs: Runs
    ingest: Ingest
    scope: Scope
    now: dt.datetime
    listener: Listener
    reports: list[FetchReport] = field(default_factory=list)
    failures: list[Text] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ingest = replace(self.ingest, publishing=False)

    @property
    def account(self) -> Account:
        """The account to backfill."""
        return self.ingest.account

    def run(self) -> dict[Endpoint, States]:
        """Run the backfill; return the state of every label in scope afterwards.

        Long fetches publish as they go, and everything is published at the end. A single fetch doesn't publish when it
        ends.
        """
        try:
            return self._run()
        finally:
            self.ingest.warehouse.publish()

    def _run(self) -> dict[Endpoint, States]:
        states = self._states()
        turns = self._turns(states)
        plans = self._refresh_plans(states)
        to_fetch = {endpoint: plan.left for endpoint, plan in plans.items()}
        if not self.scope.refresh:
            to_fetch = {endpoint: _to_request(labels, turns[endpoint.name]) for endpoint, labels in states.items()}
        calls = sum(len(plan_windows(endpoint, labels)) for endpoint, labels in to_fetch.items())
        fetch = BackgroundFetch(self.ingest, self.scope, self.listener, self.reports, plans)
        with fetch.batches(to_fetch) as batches:  # begin now: Dagster takes a while to report the backlog
            backlog = self.runs.backlog()
            database = self.ingest.warehouse.database
            if warning := database_mismatch(backlog.materialized, states, database, self.account):
                self.listener.message(warning)
            # What is fetched may have landed before Dagster counted its backlog.
            pending = max(backlog.labels, sum(map(len, to_fetch.values())))
            if self.scope.refresh:
                pending = sum(len(plan.labels) for plan in plans.values())
            self.listener.planned(pending, calls)
            for batch in batches if pending else ():
                for run in self.runs.materialize(batch):
                    self._record_run(run)
        return self._states()

    def _states(self) -> dict[Endpoint, States]:
        """Record the account's AppID and start for readers; return the states of the labels in scope."""
        with self.ingest.warehouse.transaction() as con:
            known.bind_account(con, self.account, self.now)
            return self.scope.of(known.states(con, self.account, self.now))

    def _turns(self, states: Mapping[Endpoint, States]) -> dict[str, frozenset[dt.date]]:
        """Return the open labels whose turn is due, or will be once yesterday's reading figures have landed."""
        yesterday = states.get(DAILY_READING, {}).get(self.now.date() - dt.timedelta(days=1))
        with self.ingest.warehouse.transaction() as con:
            return turns_due(con, self.account.name, self.now, about_to_begin=yesterday is State.MISSING)

    def _refresh_plans(self, states: Mapping[Endpoint, States]) -> dict[Endpoint, RefreshPlan]:
        """Return which labels a refresh requests again; empty without a refresh."""
        if not self.scope.refresh:
            return {}
        if self.scope.labels is not None:
            return self.ingest.unrecorded_refresh(states, self.scope.after_call_id)
        return self.ingest.begin_refresh(states, self.scope.start, self.scope.end, self.listener.message)

    def _record_run(self, run: Run) -> None:
        if run.failure is None:
            self.listener.ran(run)
        else:
            self.failures.append(Text("{asset}: {failure}", "{asset}：{failure}", asset=run.asset, failure=run.failure))


def _to_request(states: States, turns: Collection[dt.date]) -> list[dt.date]:
    return [label for label, state in states.items() if state is State.MISSING or label in turns]
