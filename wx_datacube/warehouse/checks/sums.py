"""Sums: figures of messages that must agree with those of another endpoint.

Add a check here if several tables count the same messages; `family_sums` has the checks of other families. Users are
distinct, so they are never added: a period's distribution is compared with the fewest and the most users that its
message types allow.
"""

from wx_datacube.catalog.messages import COUNT_INTERVAL, DAILY_MESSAGES, MESSAGES_OF, MSG_COUNT, SENDERS_OF
from wx_datacube.catalog.model import Endpoint, Period
from wx_datacube.language import Text
from wx_datacube.warehouse.checks.check import REFRESH_OLDER_REMEDY, Check, CheckContext, Finding
from wx_datacube.warehouse.sql import NEXT_LABEL


def _unequal_sums_select(parts: Endpoint) -> str:
    """Return a SELECT of labels with a message type whose parts don't add up to the whole; an absent row counts as 0.

    The parts of a day are its hours; those of a week or a month are its days.
    """
    period = parts.period
    label = "ref_date" if period is Period.DAY else f"date_trunc('{period.value}', ref_date)::DATE"
    return f"""
WITH days AS (
    SELECT {label} AS label, msg_type, sum(msg_count) AS messages FROM datacube.{DAILY_MESSAGES.name}
    WHERE account = $account GROUP BY ALL
), others AS (
    SELECT ref_date AS label, msg_type, sum(msg_count) AS messages FROM datacube.{parts.name}
    WHERE account = $account GROUP BY ALL
), answered AS (
    -- A day counts only if it has rows or a settled, empty answer. A period with another day isn't compared at all.
    SELECT date_trunc('{period.value}', day)::DATE AS label, max(fetched) AS fetched, count(*) AS days
    FROM (SELECT label AS day, call_id AS fetched FROM datacube.label_answers AS answer
        WHERE account = $account AND endpoint = '{DAILY_MESSAGES.name}' AND (settled AND clean AND shown = 0
            OR EXISTS (FROM datacube.{DAILY_MESSAGES.name} AS day
                WHERE day.account = $account AND day.ref_date = answer.label)))
    GROUP BY ALL
), whole AS (
    SELECT answered.label, fetched < answer.call_id AS days_are_older
    FROM answered JOIN datacube.label_answers AS answer
        ON answer.account = $account AND answer.endpoint = '{parts.name}' AND answer.label = answered.label
    WHERE days = date_diff('day', answered.label, (answered.label + {NEXT_LABEL[period]})::DATE)
        AND answered.label IN (SELECT label FROM others)
        AND ({str(period is not Period.DAY).lower()} OR answered.label IN (SELECT label FROM days))
)
SELECT label::VARCHAR,
    struct_pack(
        type := msg_type, daily := coalesce(days.messages, 0), part := coalesce(others.messages, 0),
        parts := '{parts.name}'
    ),
    CASE WHEN days_are_older THEN '{DAILY_MESSAGES.name}' ELSE '{parts.name}' END, label,
    CASE WHEN days_are_older THEN (label + {NEXT_LABEL[period]} - INTERVAL 1 DAY)::DATE ELSE label END
FROM days FULL JOIN others USING (label, msg_type) JOIN whole USING (label)
WHERE coalesce(days.messages, 0) <> coalesce(others.messages, 0)"""


_UNEQUAL_SUMS = Text(
    "msg_type {type}: {days} says {daily} messages, {parts} {part}",
    "msg_type {type}：{days} 为 {daily} 次，{parts} 为 {part} 次",
    days=DAILY_MESSAGES.name,
)


def _find_unequal_sums(context: CheckContext, endpoint: Endpoint) -> list[Finding]:
    return context.findings(endpoint, _unequal_sums_select(endpoint), _UNEQUAL_SUMS.fill)


def _find_inconsistent_distributions(context: CheckContext, endpoint: Endpoint) -> list[Finding]:
    """Find periods whose distribution has fewer users than one message type, or more than all types together."""
    messages, senders = MESSAGES_OF[endpoint.period], SENDERS_OF[endpoint.period]
    # Interval 0 counts users who sent nothing.
    sql = f"""
WITH types AS (
    SELECT ref_date, max(msg_user) AS least, sum(msg_user) AS most FROM datacube.{messages.name}
    WHERE account = $account GROUP BY ref_date
), spread AS (
    SELECT ref_date, coalesce(sum(msg_user) FILTER (count_interval <> 0), 0) AS users FROM datacube.{senders.name}
    WHERE account = $account GROUP BY ref_date
)
SELECT ref_date::VARCHAR, struct_pack(users := users, least := least, most := most),
    CASE WHEN one.call_id < two.call_id THEN one.endpoint ELSE two.endpoint END, ref_date, ref_date
FROM types JOIN spread USING (ref_date)
JOIN datacube.label_answers AS one
    ON one.account = $account AND one.endpoint = '{messages.name}' AND one.label = ref_date
JOIN datacube.label_answers AS two
    ON two.account = $account AND two.endpoint = '{senders.name}' AND two.label = ref_date
WHERE users NOT BETWEEN least AND most"""
    names = {"senders": senders.name, "messages": messages.name}
    return context.findings(
        endpoint,
        sql,
        lambda users, least, most: (
            _TOO_FEW_SENDERS.fill(users=users, least=least, **names)
            if users < least
            else _TOO_MANY_SENDERS.fill(users=users, most=most, **names)
        ),
    )


_TOO_FEW_SENDERS = Text(
    "{senders} has {users} users, {messages} at least {least}", "{senders} 为 {users} 人，按 {messages} 至少 {least} 人"
)
_TOO_MANY_SENDERS = Text(
    "{senders} has {users} users, {messages} at most {most}", "{senders} 为 {users} 人，按 {messages} 至多 {most} 人"
)
MESSAGES_ADD_UP = Check(
    "messages_add_up",
    "The messages of a type by hour add up to those of the day, and those of the days to the week's and the month's,"
    " wherever all of them are there; users are distinct and never added."
    " 各类型的消息数：各小时之和等于当日，各日之和等于当周、当月；用户数为去重人数，不相加。",
    _find_unequal_sums,
    remedy=REFRESH_OLDER_REMEDY,
    concerns=lambda endpoint: MSG_COUNT in endpoint.columns and endpoint is not DAILY_MESSAGES,
)
DISTRIBUTION_COVERS_USERS = Check(
    "distribution_covers_users",
    "The users of a day's, week's or month's distribution are no fewer than those of any message type, and no more than"
    " those of all types together."
    " 发送分布的用户数不少于任一消息类型的用户数，也不多于各类型用户数之和。",
    _find_inconsistent_distributions,
    remedy=REFRESH_OLDER_REMEDY,
    concerns=lambda endpoint: COUNT_INTERVAL in endpoint.columns,
)
