"""Evidence: whether the stored answers bear out what this project assumes about WeChat.

Nobody has published proof of these assumptions, and no check of `warehouse.checks` covers them. Add one to `CLAIMS`
when the code relies on something that WeChat's pages don't say, or on which they differ. `wx-datacube doctor --bundle`
tells us the verdicts. No result has a figure of the account.
"""

from dataclasses import dataclass
from enum import StrEnum

from wx_datacube.catalog.articles import PUBLISHED_ARTICLES
from wx_datacube.catalog.endpoints import ENDPOINTS
from wx_datacube.catalog.followers import DAILY_FOLLOWERS, FOLLOWERS_TOTAL
from wx_datacube.catalog.interface import DAILY_CALLBACKS, HOURLY_CALLBACKS
from wx_datacube.catalog.model import Endpoint, Family, Period
from wx_datacube.language import Text
from wx_datacube.warehouse.connections import Connection
from wx_datacube.warehouse.past_calls import QUOTA_USED_UP, RANGE_REFUSED
from wx_datacube.warehouse.sql import GOOD_ANSWER, quoted

_EXAMPLES = 3
"""Most calls named as examples; the newest are named."""


class Verdict(StrEnum):
    """What the stored answers say about an assumption; one answer that contradicts it is enough."""

    BORNE_OUT = "borne out"
    CONTRADICTED = "contradicted"
    NOT_SEEN = "not seen"


@dataclass(frozen=True, slots=True)
class Assumption:
    """An assumption with its verdict, and a few calls that show it."""

    name: str
    text: Text
    verdict: Verdict
    call_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Claim:
    """An assumption and how to examine it.

    `sql` is a SELECT of a call and whether it bears the assumption out; NULL means neither. It may use `$account`.
    """

    name: str
    text: Text
    sql: str


def assumptions(con: Connection, account: str) -> list[Assumption]:
    """Return what the account's stored answers say about each assumption; `con` is a connection to a warehouse."""
    return [_examine(con, account, claim) for claim in CLAIMS]


def _examine(con: Connection, account: str, claim: Claim) -> Assumption:
    found = con.execute(
        f"SELECT holds, list(call_id ORDER BY call_id DESC)[:{_EXAMPLES}]"
        f" FROM (SELECT DISTINCT call_id, holds FROM ({claim.sql}) AS seen(call_id, holds)) GROUP BY holds",
        {"account": account},
    )
    calls = {holds: tuple(call_ids) for holds, call_ids in found.fetchall() if holds is not None}
    verdict = Verdict.CONTRADICTED if False in calls else Verdict.BORNE_OUT if True in calls else Verdict.NOT_SEEN
    return Assumption(claim.name, claim.text, verdict, calls.get(verdict is Verdict.BORNE_OUT, ()))


# --- fragments --------------------------------------------------------------------------------------------------

_CALLS = f"(SELECT *, coalesce({GOOD_ANSWER}, false) AS good FROM datacube.api_calls WHERE account = $account)"
_DENIED = "errcode IN (48001, 61007)"
_JUST_AFTER_MIDNIGHT = "requested_at::TIME < TIME '00:10'"
"""SQL for a time at which 45009 may still mean yesterday's quota."""
_IN_FLIGHT = "INTERVAL 1 MINUTE"
"""Calls closer together than this may have been answered in another order."""
_DAYS = f"datacube.{PUBLISHED_ARTICLES.name}__detail_list"
_DELAYED = "lower(CASE WHEN contains(response, 'is_delay') THEN TRY_CAST(response AS JSON)->>'$.is_delay' END)"
"""SQL for what an answer says about its delay: 'true', 'false' or NULL."""


def _listed(endpoints: list[Endpoint]) -> str:
    return ", ".join(quoted(each.name) for each in endpoints)


_LONG_PERIODS = _listed([each for each in ENDPOINTS if each.period is not Period.DAY])
_WEEKS = [each for each in ENDPOINTS if each.period is Period.WEEK]
_DELAYING = _listed([each for each in ENDPOINTS if each.has_delay])
_GROWING = _listed([each for each in ENDPOINTS if each.grows])
_DAILY = _listed([each for each in ENDPOINTS if each.period is Period.DAY])
_MESSAGES = _listed([each for each in ENDPOINTS if each.family is Family.MESSAGES])


def _rejected(condition: str) -> str:
    return f"SELECT call_id, false FROM datacube.rejected_rows WHERE account = $account AND {condition}"


# --- calls, errors and quota ------------------------------------------------------------------------------------

_GATEWAYS = Claim(
    "gateways_answer_5xx",
    Text(
        "WeChat's gateways answer HTTP 5xx now and then.",
        "微信网关偶尔返回 HTTP 5xx。",
    ),
    f"SELECT call_id, true FROM {_CALLS} WHERE http_status BETWEEN 500 AND 599",
)
_QUOTA_AT_MIDNIGHT = Claim(
    "quota_returns_at_midnight",
    Text(
        "After 45009 (quota used up), an endpoint answers again only on a later Beijing day.",
        "接口返回 45009（配额用尽）后，北京时间次日零点起才恢复。",
    ),
    f"""
SELECT call_id, CASE WHEN requested_at::DATE > refused_at::DATE THEN true
    WHEN requested_at > refused_at + {_IN_FLIGHT} THEN false END
FROM (
    SELECT *, lag(requested_at) OVER calls AS refused_at, lag(good) OVER calls AS was_good FROM {_CALLS}
    WHERE good OR errcode = {QUOTA_USED_UP} AND NOT {_JUST_AFTER_MIDNIGHT}
    WINDOW calls AS (PARTITION BY endpoint ORDER BY requested_at, call_id)
) WHERE good AND NOT was_good""",
)
_QUOTA_OF_ENDPOINT = Claim(
    "quota_is_per_endpoint",
    Text(
        "When one endpoint's quota is used up, other endpoints still answer on that day.",
        "一个接口的配额用尽后，其他接口当天仍可调用。",
    ),
    f"""
WITH numbered AS (
    SELECT *, row_number() OVER (PARTITION BY requested_at::DATE, endpoint ORDER BY call_id) AS number FROM {_CALLS}
), used_up AS (
    -- An endpoint that is refused at its first call of the day has not used up a quota of its own.
    SELECT requested_at::DATE AS day, min(requested_at) AS since, arg_min(endpoint, requested_at) AS first_endpoint,
        count(DISTINCT endpoint) FILTER (number = 1) AS endpoints, max(call_id) AS call_id
    FROM numbered WHERE errcode = {QUOTA_USED_UP} AND NOT {_JUST_AFTER_MIDNIGHT} GROUP BY ALL
), later AS (
    SELECT called.call_id, day FROM {_CALLS} AS called JOIN used_up ON requested_at::DATE = day
    WHERE good AND endpoint <> first_endpoint AND requested_at > since + {_IN_FLIGHT}
)
SELECT call_id, true FROM later
UNION ALL SELECT call_id, false FROM used_up ANTI JOIN later USING (day) WHERE endpoints > 2""",
)
_ORDER_OF_CHECKS = Claim(
    "quota_is_checked_after_permission_and_before_dates",
    Text(
        "WeChat checks permission first, then the quota, then the dates of a call.",
        "微信依次检查权限、配额、日期。",
    ),
    f"""
SELECT later.call_id, CASE WHEN later.{_DENIED} OR later.errcode = {QUOTA_USED_UP} THEN true
    WHEN later.requested_at > earlier.requested_at + {_IN_FLIGHT} THEN false END
FROM {_CALLS} AS earlier JOIN {_CALLS} AS later ON earlier.endpoint = later.endpoint
    AND earlier.requested_at < later.requested_at
WHERE earlier.errcode = {QUOTA_USED_UP} AND (later.{_DENIED} OR later.errcode = {RANGE_REFUSED})
        AND earlier.requested_at::DATE = later.requested_at::DATE AND NOT earlier.{_JUST_AFTER_MIDNIGHT}
    OR earlier.errcode = {RANGE_REFUSED} AND later.errcode = {QUOTA_USED_UP}
        AND (earlier.begin_date, earlier.end_date) = (later.begin_date, later.end_date)""",
)
_PERMISSION_OF_FAMILY = Claim(
    "permissions_are_per_family",
    Text(
        "WeChat grants or denies the endpoints of a family (messages, followers, articles, interface) together.",
        "微信按接口类别（消息、用户、图文、接口）整体授权。",
    ),
    f"""
WITH told AS (
    SELECT requested_at::DATE AS day, family, endpoint, max(call_id) AS call_id, bool_or(good) AS granted
    FROM {_CALLS} JOIN datacube.endpoints USING (endpoint) WHERE good OR {_DENIED}
    GROUP BY ALL HAVING NOT (bool_or(good) AND bool_or(NOT good))
)
SELECT one.call_id, CASE WHEN one.family = other.family THEN false ELSE true END
FROM told AS one JOIN told AS other ON one.day = other.day AND NOT one.granted AND other.granted""",
)

# --- windows ----------------------------------------------------------------------------------------------------

_SEVERAL_LABELS = Claim(
    "windows_return_every_week_and_month",
    Text(
        "A window that holds several Mondays, or the 1st of several months, returns the rows of each.",
        "一次查询包含多个周一（或多个月的 1 日）时，返回其中每一周（月）的数据。",
    ),
    f"""
SELECT called.call_id, bool_and(contains(response, '"' || label || '"'))
FROM {_CALLS} AS called JOIN datacube.label_answers AS answer USING (account, endpoint)
WHERE good AND known AND label BETWEEN begin_date AND end_date AND endpoint IN ({_LONG_PERIODS})
    AND requested_at >= label + INTERVAL 32 DAY
GROUP BY called.call_id HAVING count(*) > 1""",
)
_MONDAYS = Claim(
    "weeks_are_named_by_their_monday",
    Text(
        "The date of a week's row is its Monday; some of WeChat's samples show a Sunday.",
        "周数据的日期为当周周一（微信文档的部分示例为周日）。",
    ),
    " UNION ALL ".join(
        [
            *(f"SELECT call_id, true FROM datacube.{each.name} WHERE account = $account" for each in _WEEKS),
            _rejected(f"endpoint IN ({_listed(_WEEKS)}) AND reason = 'wrong_label'"),
        ]
    ),
)
_SPANS = [
    Claim(
        f"{each.name}_takes_{each.max_span_days}_days",
        Text(
            f"{each.name} accepts windows of more than {each.spans[1]} and up to {each.max_span_days} days (disputed).",
            f"{each.name} 一次可查询超过 {each.spans[1]} 天、最多 {each.max_span_days} 天的数据（各方说法不一）。",
        ),
        f"SELECT call_id, CASE WHEN good THEN true WHEN errcode = {RANGE_REFUSED} THEN false END FROM {_CALLS}"
        f" WHERE endpoint = '{each.name}' AND end_date - begin_date >= {each.spans[1]}"
        f" AND end_date - begin_date < {each.max_span_days}",
    )
    for each in ENDPOINTS
    if len(each.spans) > 1
]
_LATE_IS_EMPTY = Claim(
    "late_figures_show_as_an_empty_list",
    Text(
        "Yesterday's figures are simply absent from a good answer until WeChat publishes them.",
        "昨日数据发布前，接口正常返回，但没有昨日的数据。",
    ),
    f"""
SELECT called.call_id, true FROM {_CALLS} AS called JOIN datacube.label_answers AS answer USING (account, endpoint)
WHERE good AND known AND endpoint IN ({_DAILY}) AND label = requested_at::DATE - 1
    AND label BETWEEN begin_date AND end_date AND requested_at::TIME < TIME '12:00'
    AND NOT contains(response, '"' || label || '"')""",
)
_REVISED = Claim(
    "message_figures_are_revised",
    Text(
        "WeChat sometimes changes figures of messages that it has published.",
        "微信有时会修改已发布的消息数据。",
    ),
    f"SELECT new_call_id, true FROM datacube.revisions WHERE account = $account AND endpoint IN ({_MESSAGES})",
)

# --- followers and interface ------------------------------------------------------------------------------------

_SOURCE_0_IS_LISTED = Claim(
    "listed_days_of_followers_have_source_0",
    Text(
        "A day that getusersummary lists has a row for user_source 0.",
        "getusersummary 返回的每一天都有 user_source 为 0 的行。",
    ),
    f"SELECT max(call_id), bool_or(user_source = 0) FROM datacube.{DAILY_FOLLOWERS.name}"
    " WHERE account = $account GROUP BY ref_date",
)
_SOURCE_0_IS_NO_TOTAL = Claim(
    "source_0_is_not_the_total",
    Text(
        "user_source 0 of getusersummary counts other channels; it is not the total of all.",
        "getusersummary 的 user_source 0 表示其他渠道，不是合计。",
    ),
    f"""
SELECT max(call_id), bool_or(differs) FROM (
    SELECT max(call_id) AS call_id, coalesce(sum(new_user) FILTER (user_source = 0), 0) IS DISTINCT FROM
        sum(new_user) FILTER (user_source <> 0) AS differs
    FROM datacube.{DAILY_FOLLOWERS.name} WHERE account = $account
    GROUP BY ref_date HAVING sum(new_user) FILTER (user_source <> 0) > 0
) HAVING count(*) > 2""",
)
_TOTALS_HAVE_SOURCE_0 = Claim(
    "totals_of_followers_have_user_source_0",
    Text(
        "getusercumulate sends an undocumented user_source, which is always 0.",
        "getusercumulate 返回文档未说明的 user_source，其值恒为 0。",
    ),
    f"""
SELECT call_id, source = '0' FROM (
    SELECT call_id, unnest(TRY_CAST(response AS JSON)->>'$.list[*].user_source') AS source FROM {_CALLS}
    WHERE good AND endpoint = '{FOLLOWERS_TOTAL.name}'
)""",
)
_INTERFACE_HOURS = Claim(
    "interface_hours_are_hundreds",
    Text(
        "ref_hour of getinterfacesummaryhour is the hour times 100, as it is for messages.",
        "getinterfacesummaryhour 的 ref_hour 为小时 × 100，与消息接口相同。",
    ),
    f"SELECT call_id, true FROM datacube.{HOURLY_CALLBACKS.name} WHERE account = $account AND ref_hour > 0 UNION ALL "
    + _rejected(f"endpoint = '{HOURLY_CALLBACKS.name}' AND TRY_CAST(row->>'$.ref_hour' AS INTEGER) BETWEEN 1 AND 23"),
)
_NO_CALLBACKS = Claim(
    "days_without_callbacks_have_no_row",
    Text(
        "getinterfacesummary has no row for a day without calls, instead of a row with zeros.",
        "没有接口调用的日期，getinterfacesummary 不返回数据，而不是返回 0。",
    ),
    f"SELECT call_id, false FROM datacube.{DAILY_CALLBACKS.name} WHERE account = $account AND callback_count = 0"
    " UNION ALL SELECT call_id, true FROM datacube.label_answers WHERE account = $account"
    f" AND endpoint = '{DAILY_CALLBACKS.name}' AND settled AND clean AND shown = 0",
)

# --- articles ---------------------------------------------------------------------------------------------------

_ONLY_ARTICLES_DELAY = Claim(
    "only_articles_are_delayed",
    Text(
        "Only the four article endpoints send is_delay.",
        "只有四个图文接口返回 is_delay。",
    ),
    f"SELECT call_id, endpoint IN ({_DELAYING}) FROM {_CALLS} WHERE good AND {_DELAYED} IS NOT NULL",
)
_DELAYED_IN_THE_MORNING = Claim(
    "delayed_answers_come_in_the_morning",
    Text(
        "is_delay is true only for yesterday's figures and only before noon.",
        "只有昨日数据、且只在中午 12 点前，is_delay 才为 true。",
    ),
    f"""
SELECT call_id, requested_at::TIME < TIME '12:00' AND (endpoint IN ({_GROWING}) OR end_date = requested_at::DATE - 1)
FROM {_CALLS} WHERE good AND endpoint IN ({_DELAYING}) AND {_DELAYED} = 'true'""",
)
_PUBLISH_TYPES = Claim(
    "publish_type_says_who_was_notified",
    Text(
        "publish_type 0 notified followers and 1 did not: only articles with 0 are delivered. No other codes exist.",
        "publish_type 为 0 时通知粉丝，为 1 时不通知，没有其他取值。",
    ),
    f"""
SELECT max(days.call_id), CASE WHEN publish_type NOT IN (0, 1) THEN false
    WHEN max(read_delivery_rate) > 0 THEN publish_type = 0 WHEN publish_type = 1 THEN true END
FROM datacube.{PUBLISHED_ARTICLES.name} AS articles JOIN {_DAYS} AS days USING (account, ref_date, msgid)
WHERE account = $account GROUP BY ref_date, msgid, publish_type""",
)
_TITLES = Claim(
    "titles_since_2026_03_03",
    Text(
        "Answers since 2026-03-03 have an article's title and address; older answers have neither.",
        "2026-03-03 起的返回含文章标题和链接，此前没有。",
    ),
    f"""
SELECT call_id, CASE WHEN requested_at >= DATE '2026-03-03' THEN title IS NOT NULL AND content_url IS NOT NULL
    ELSE title IS NULL AND content_url IS NULL END
FROM datacube.{PUBLISHED_ARTICLES.name} JOIN datacube.api_calls USING (account, call_id) WHERE account = $account""",
)
_FIRST_STAT_DATE = Claim(
    "article_days_begin_with_publishing",
    Text(
        "The first stat_date of an article is the day of publishing.",
        "文章的第一个 stat_date 为发表当日。",
    ),
    f"SELECT max(call_id), min(stat_date) = ref_date FROM {_DAYS} WHERE account = $account GROUP BY ref_date, msgid",
)
_AT_MOST_30 = Claim(
    "articles_have_at_most_30_days",
    Text(
        "An article has at most 30 stat_dates, the day of publishing included.",
        "每篇文章最多 30 个 stat_date，含发表当日。",
    ),
    f"SELECT max(call_id), CASE WHEN count(*) > 30 THEN false WHEN count(*) = 30 THEN true END FROM {_DAYS}"
    " WHERE account = $account GROUP BY ref_date, msgid UNION ALL "
    + _rejected(f"endpoint = '{PUBLISHED_ARTICLES.name}' AND reason = 'outside_window' AND path LIKE '%detail_list%'"),
)
_MSGID = Claim(
    "msgid_is_message_and_place",
    Text(
        "msgid is <number of the message>_<place in it>, and that number is mid in the article's address.",
        "msgid 为“群发消息编号_文章位置”，其编号即文章链接中的 mid。",
    ),
    f"""
SELECT call_id, regexp_full_match(msgid, '[0-9]+_[0-9]+') AND coalesce(
    nullif(regexp_extract(content_url, '[?&]mid=([0-9]+)', 1), '') = split_part(msgid, '_', 1), true)
FROM datacube.{PUBLISHED_ARTICLES.name} WHERE account = $account""",
)
_JUMPS = Claim(
    "read_jump_position_is_a_list",
    Text(
        "read_jump_position is a list of positions; one client found an object.",
        "read_jump_position 为数组（有一个客户端遇到的是对象）。",
    ),
    f"SELECT call_id, true FROM {_DAYS}__read_jump_position WHERE account = $account UNION ALL "
    + _rejected("path LIKE '%read_jump_position' AND reason = 'wrong_type'"),
)

CLAIMS = (
    *(_GATEWAYS, _QUOTA_AT_MIDNIGHT, _QUOTA_OF_ENDPOINT, _ORDER_OF_CHECKS, _PERMISSION_OF_FAMILY),
    *(_SEVERAL_LABELS, _MONDAYS, *_SPANS, _LATE_IS_EMPTY, _REVISED),
    *(_SOURCE_0_IS_LISTED, _SOURCE_0_IS_NO_TOTAL, _TOTALS_HAVE_SOURCE_0, _INTERFACE_HOURS, _NO_CALLBACKS),
    *(_ONLY_ARTICLES_DELAY, _DELAYED_IN_THE_MORNING, _PUBLISH_TYPES, _TITLES, _FIRST_STAT_DATE, _AT_MOST_30),
    *(_MSGID, _JUMPS),
)
"""What this project assumes about WeChat without proof."""
