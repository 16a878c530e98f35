"""Digest: the text of `wx-datacube digest` as an asset of each account, and the schedule that sends it to a group chat.

`wx_datacube.operations.digest` decides what a digest says and posts it; add here only what is Dagster's.
"""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from wx_datacube.catalog.periods import BEIJING, Clock
from wx_datacube.config.environment import load_settings
from wx_datacube.config.settings import Account, Settings
from wx_datacube.errors import WxDatacubeError
from wx_datacube.language import Text, joined
from wx_datacube.operations.digest import words
from wx_datacube.operations.digest.concerns import is_complete
from wx_datacube.operations.digest.messages import Message
from wx_datacube.operations.digest.sending import all_sent, make_messages, require_webhook, send_digests
from wx_datacube.operations.heartbeat import beat
from wx_datacube.orchestration.alert_hooks import alert_hooks_for, log_of
from wx_datacube.orchestration.failure import explained_failure
from wx_datacube.orchestration.runs import REASON_TAG, Reason, tag_worker

EARLY, LATE = dt.time(10, 0), dt.time(12, 45)
"""Beijing time. At the first, a digest is sent if yesterday is complete, at the last with what is missing."""
_CRONS = [f"{each.minute} {each.hour} * * *" for each in (EARLY, LATE)]
SCHEDULE_NAME = "wx_datacube_digest"
"""The last part of the schedule's name; see `prefixes.location_name`."""


class DigestConfig(dg.Config):
    """Run configuration of a digest."""

    lang: str = ""
    """Language: zh or en. Default: WX_DATACUBE_LANG. 语言：zh 或 en，默认 WX_DATACUBE_LANG。"""


def build_digest(
    account: str,
    keys: Mapping[str, dg.AssetKey],
    clock: Clock,
    *,
    prefix: Sequence[str],
    group: str,
    owners: Sequence[str],
) -> dg.AssetsDefinition:
    """Build the asset `<prefix>/<account>/digest`, downstream of the assets `keys`; it sends nothing."""

    @dg.asset(
        key=digest_key(prefix, account),
        deps=list(keys.values()),
        description=_DESCRIPTION,
        group_name=group,
        kinds={"duckdb", "text"},
        owners=list(owners),
        hooks=alert_hooks_for(account, "digest", clock),
    )
    def digest(config: DigestConfig) -> dg.MaterializeResult[Any]:
        try:
            settings = load_settings()
            made = make_messages(settings, [settings.account(account)], settings.language(config.lang), clock())
        except WxDatacubeError as error:
            raise explained_failure(error) from None
        return dg.MaterializeResult(metadata=_shown(made))

    return digest


def digest_key(prefix: Sequence[str], account: str) -> dg.AssetKey:
    """Return the key of an account's digest."""
    return dg.AssetKey([*prefix, account, "digest"])


def _shown(made: Sequence[Message]) -> dict[str, Any]:
    text = "\n\n".join(each.text for each in made)
    return {"digest": dg.MetadataValue.text(text), "bytes": len(text.encode())}


def build_digest_schedule(
    name: str, accounts: Sequence[str], prefix: Sequence[str], clock: Clock
) -> dg.ScheduleDefinition:
    """Build the job and schedule `name`, which sends one message for all `accounts`; off by default."""

    @dg.op(name=f"{name}_send", description=_SCHEDULE_DESCRIPTION, out={})
    def send(context: dg.OpExecutionContext) -> Iterator[dg.AssetMaterialization]:
        yield from _send(context, accounts, prefix, clock)

    @dg.job(name=name, description=_SCHEDULE_DESCRIPTION)
    def job() -> None:
        send()

    @dg.schedule(
        name=name,
        job=job,
        cron_schedule=_CRONS,
        execution_timezone=BEIJING.key,
        description=_SCHEDULE_DESCRIPTION,
    )
    def tick(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        planned, now = context.scheduled_execution_time.astimezone(BEIJING).replace(tzinfo=None), clock()
        if planned.date() < now.date():  # Dagster catches up on the ticks of a machine that slept
            return dg.SkipReason(_NOT_RUNNING.fill(planned=planned).both())
        try:
            settings = load_settings()
            beat(settings, now, log_of(context), is_tick=True)
            why_not = _why_not(settings, accounts, planned.time(), now)
        except WxDatacubeError as error:
            return dg.SkipReason(error.text.both())
        return dg.SkipReason(why_not.both()) if why_not else dg.RunRequest(tags={REASON_TAG: Reason.SCHEDULE.value})

    return tick


def _why_not(settings: Settings, names: Sequence[str], planned: dt.time, now: dt.datetime) -> Text | None:
    """Return why a tick sends nothing; None if it does."""
    require_webhook(settings)
    accounts = _configured(settings, names)
    if all_sent(settings, accounts, now):
        return Text("Today's digest was posted already.", "今天的日报已发送。")
    if planned < LATE and not is_complete(settings, accounts, now):
        return Text(
            "Yesterday is not complete yet. The digest is sent at {late:%H:%M}, with what is missing.",
            "昨天的数据尚不完整，日报将在 {late:%H:%M} 发送，并注明缺失的数据。",
            late=LATE,
        )
    return None


_NOT_RUNNING = Text(
    "Dagster was not running at {planned:%Y-%m-%d %H:%M}; a digest is about yesterday.",
    "{planned:%Y-%m-%d %H:%M} 时 Dagster 没有运行；日报只报告昨天的数据，不补发。",
)


def _configured(settings: Settings, names: Sequence[str]) -> list[Account]:
    """Return the accounts of these names, also those whose settings are wrong: the digest says so."""
    return [each for each in settings.accounts if each.name in names]


def _send(
    context: dg.OpExecutionContext, names: Sequence[str], prefix: Sequence[str], clock: Clock
) -> Iterator[dg.AssetMaterialization]:
    """Send the digests; log each message as a materialization of its accounts' digests."""
    tag_worker(context.instance, context.run_id)
    try:
        settings = load_settings()
        accounts = _configured(settings, names)
        outcome = send_digests(settings, accounts, settings.reading_language, clock)
    except WxDatacubeError as error:
        raise explained_failure(error) from None
    for message in outcome.sent:
        for account in message.accounts:
            yield dg.AssetMaterialization(digest_key(prefix, account), metadata=_shown([message]))
    if outcome.sent_before:
        context.log.info(f"Posted today already: {', '.join(outcome.sent_before)}.")
    if outcome.failure:
        text = words.UNSENT if outcome.unsent else words.FAILED
        raise explained_failure(WxDatacubeError(text.fill(why=outcome.failure, accounts=joined(names, ", "))))


_DESCRIPTION = (
    "Yesterday's figures as a short text for a group chat: the same as `wx-datacube digest`. It sends nothing; the"
    f" schedule `{SCHEDULE_NAME}` does."
    "\n\n"
    "昨日数据的简短文字，用于发送到群聊，与 `wx-datacube digest` 相同。"
    f"本资产不发送消息，由定时任务 `{SCHEDULE_NAME}` 发送。"
)
_SCHEDULE_DESCRIPTION = (
    "Sends one message with yesterday's figures of all accounts to the group chat of WX_DATACUBE_WEBHOOK, once a day:"
    f" at {EARLY:%H:%M} Beijing time if yesterday is complete, otherwise at {LATE:%H:%M} with what is missing."
    f" 每天向 WX_DATACUBE_WEBHOOK 的群聊发送一次日报，包含所有公众号：昨日数据完整时在 {EARLY:%H:%M}（北京时间）发送，"
    f"否则在 {LATE:%H:%M} 发送并注明缺失的数据。"
)
