"""Alert hooks: Dagster hooks that record and send an alert when a run fails because of files, settings or a bug.

Errors that WeChat returns are not handled here: `Ingest` records them together with the answer. See
https://docs.dagster.io/guides/build/ops/op-hooks.
"""

from collections.abc import Callable, Sequence

import dagster as dg

from wx_datacube.alerts.alert import BACKFILL, Alert, Source, alerts_of
from wx_datacube.alerts.store import Alerts
from wx_datacube.catalog.periods import Clock
from wx_datacube.config.environment import load_settings
from wx_datacube.errors import SettingsError, WeChatError
from wx_datacube.language import Text
from wx_datacube.orchestration.failure import ExpectedFailure


def alert_hooks_for(account: str, subject: str, clock: Clock) -> frozenset[dg.HookDefinition]:
    """Return the failure and success hooks for `subject`: an endpoint's name, `report` or `checks`.

    A failure records and sends an alert. A success resolves the alerts of the subject, and those of a backfill as a
    whole.
    """

    @dg.failure_hook(name=f"tell_of_{account}_{subject}")
    def failed(context: dg.HookContext) -> None:
        error = context.op_exception
        cause = error.cause if isinstance(error, ExpectedFailure) else error
        errors = [cause] if isinstance(cause, Exception) and not isinstance(cause, WeChatError) else []
        _note(context, account, [subject], alerts_of(errors, subject), clock)

    @dg.success_hook(name=f"forget_{account}_{subject}")
    def succeeded(context: dg.HookContext) -> None:
        _note(context, account, [subject, BACKFILL], [], clock)

    return frozenset({failed, succeeded})


def log_of(context: dg.HookContext | dg.OpExecutionContext | dg.ScheduleEvaluationContext) -> Callable[[Text], None]:
    """Return a function that writes a message as a warning into the log of a run or a tick."""
    return lambda message: context.log.warning(str(message))


def _note(
    context: dg.HookContext, account: str, subjects: Sequence[str], alerts: Sequence[Alert], clock: Clock
) -> None:
    try:
        settings = load_settings()
    except SettingsError as error:
        context.log.warning(f"No alert could be sent: {error}")
        return
    store = Alerts(settings.database, settings.webhook, clock)
    store.note(account, Source.RUNS, subjects, alerts, log_of(context))
