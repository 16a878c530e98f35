"""Family sums: figures of followers, callbacks and readers that must agree with those of another endpoint.

Add a check here if two endpoints of such a family count the same. A day that one of the two doesn't have is not
compared. A difference is a warning: no page of WeChat promises that its figures agree.
"""

from wx_datacube.catalog.articles import ARTICLE_READING, DAILY_READING
from wx_datacube.catalog.followers import DAILY_FOLLOWERS, FOLLOWERS_TOTAL
from wx_datacube.catalog.interface import DAILY_CALLBACKS, HOURLY_CALLBACKS
from wx_datacube.catalog.model import Endpoint
from wx_datacube.language import Text, joined
from wx_datacube.warehouse.checks.check import REFRESH_OLDER_REMEDY, Check, CheckContext, Finding

IS_DELAYED = "{answer}.call_id > coalesce({answer}.last_undelayed, 0)"
"""SQL for whether the answer in force for a label said `is_delay`: its figures are not final."""


def _answer(name: str, endpoint: Endpoint, label: str) -> str:
    """Return a JOIN of the answer in force for a label of an endpoint."""
    return f"""JOIN datacube.label_answers AS {name}
    ON {name}.account = $account AND {name}.endpoint = '{endpoint.name}' AND {name}.label = {label}"""


_FOLLOWERS = f"""
WITH totals AS (
    SELECT ref_date, cumulate_user, lag(cumulate_user) OVER dates AS before, lag(ref_date) OVER dates AS last_date
    FROM datacube.{FOLLOWERS_TOTAL.name} WHERE account = $account WINDOW dates AS (ORDER BY ref_date)
), changes AS (
    SELECT ref_date, sum(new_user) - sum(cancel_user) AS change FROM datacube.{DAILY_FOLLOWERS.name}
    WHERE account = $account GROUP BY ref_date
), differing AS (
    SELECT ref_date, cumulate_user - before AS grown, coalesce(change, 0) AS change, change IS NULL AS is_empty
    FROM totals LEFT JOIN changes USING (ref_date)
    WHERE last_date = ref_date - 1 AND cumulate_user - before <> coalesce(change, 0)
), compared AS (
    SELECT ref_date, grown, change, daily.call_id > least(total.call_id, earlier.call_id) AS totals_are_older
    FROM differing
    {_answer("daily", DAILY_FOLLOWERS, "ref_date")}
    {_answer("total", FOLLOWERS_TOTAL, "ref_date")}
    {_answer("earlier", FOLLOWERS_TOTAL, "ref_date - 1")}
    -- Without rows, the day had no new and no lost followers only if its answer is settled and clean.
    WHERE NOT is_empty OR daily.settled AND daily.clean AND daily.shown = 0
)
SELECT ref_date::VARCHAR, struct_pack(grown := grown, change := change),
    CASE WHEN totals_are_older THEN '{FOLLOWERS_TOTAL.name}' ELSE '{DAILY_FOLLOWERS.name}' END,
    CASE WHEN totals_are_older THEN ref_date - 1 ELSE ref_date END, ref_date
FROM compared"""
_DIFFERENT_FOLLOWERS = Text(
    "{total} says {grown:+d} followers, {daily} {change:+d}",
    "累积人数的变化：{total} 为 {grown:+d}，{daily} 为 {change:+d}",
    total=FOLLOWERS_TOTAL.name,
    daily=DAILY_FOLLOWERS.name,
)

_CALLBACKS = f"""
WITH hours AS (
    SELECT ref_date, sum(callback_count) AS calls, sum(fail_count) AS failures, max(max_time_cost) AS slowest
    FROM datacube.{HOURLY_CALLBACKS.name} WHERE account = $account GROUP BY ref_date
), compared AS (
    SELECT ref_date, struct_pack(
        calls := [callback_count, calls], failures := [fail_count, failures], slowest := [max_time_cost, slowest]
    ) AS pairs
    FROM datacube.{DAILY_CALLBACKS.name} JOIN hours USING (ref_date)
    WHERE account = $account AND (callback_count <> calls OR fail_count <> failures OR max_time_cost <> slowest)
)
SELECT ref_date::VARCHAR, pairs,
    CASE WHEN daily.call_id < hourly.call_id THEN '{DAILY_CALLBACKS.name}' ELSE '{HOURLY_CALLBACKS.name}' END,
    ref_date, ref_date
FROM compared {_answer("daily", DAILY_CALLBACKS, "ref_date")} {_answer("hourly", HOURLY_CALLBACKS, "ref_date")}"""
_DIFFERENT_CALLBACKS = {
    "calls": Text("{day} calls, the hours {hours}", "调用 {day} 次，各小时 {hours} 次"),
    "failures": Text("{day} failures, the hours {hours}", "失败 {day} 次，各小时 {hours} 次"),
    "slowest": Text("at most {day} ms, the hours {hours}", "最大耗时 {day} 毫秒，各小时 {hours} 毫秒"),
}


def _callbacks(**pairs: list[int | None]) -> Text:
    """Describe the figures of a day, which come first in each pair, that differ from those of its hours."""
    different = {
        name: (day, hours) for name, (day, hours) in pairs.items() if None not in (day, hours) and day != hours
    }
    texts = [_DIFFERENT_CALLBACKS[name].fill(day=day, hours=hours) for name, (day, hours) in different.items()]
    return Text("the day has {what}", "当日{what}", what=joined(texts, "; ", "；"))


_READERS = f"""
WITH articles AS (
    SELECT ref_date, max(read_user) AS most FROM datacube.{ARTICLE_READING.name} WHERE account = $account GROUP BY ALL
)
SELECT ref_date::VARCHAR, struct_pack(readers := read_user, most := most),
    CASE WHEN whole.call_id < part.call_id THEN '{DAILY_READING.name}' ELSE '{ARTICLE_READING.name}' END,
    ref_date, ref_date, {IS_DELAYED.format(answer="whole")} OR {IS_DELAYED.format(answer="part")}
FROM datacube.{DAILY_READING.name} AS days JOIN articles USING (ref_date)
{_answer("whole", DAILY_READING, "ref_date")}
{_answer("part", ARTICLE_READING, "ref_date")}
WHERE days.account = $account AND read_user < most"""
_TOO_FEW_READERS = Text(
    "{whole} has {readers} readers of everything, {part} {most} of one article",
    "{whole} 全部文章的阅读人数为 {readers}，{part} 单篇为 {most}",
    whole=DAILY_READING.name,
    part=ARTICLE_READING.name,
)


def _find_different_followers(context: CheckContext, endpoint: Endpoint) -> list[Finding]:
    return context.findings(endpoint, _FOLLOWERS, _DIFFERENT_FOLLOWERS.fill)


def _find_different_callbacks(context: CheckContext, endpoint: Endpoint) -> list[Finding]:
    return context.findings(endpoint, _CALLBACKS, _callbacks)


def _find_uncovered_articles(context: CheckContext, endpoint: Endpoint) -> list[Finding]:
    return context.findings(endpoint, _READERS, _TOO_FEW_READERS.fill)


FOLLOWERS_ADD_UP = Check(
    "followers_add_up",
    "From one day to the next, the total of followers changes by the day's new followers minus its lost ones, wherever"
    " all of them are there."
    " 累积人数的变化等于当日新增人数减取消关注人数；缺少数据的日期不比较。",
    _find_different_followers,
    remedy=REFRESH_OLDER_REMEDY,
    concerns=lambda endpoint: endpoint is FOLLOWERS_TOTAL,
)
CALLBACKS_ADD_UP = Check(
    "callbacks_add_up",
    "The calls and failures of a day's hours add up to the day's, and the longest time of the hours is the day's,"
    " wherever both are there."
    " 各小时的接口调用次数、失败次数之和等于当日，各小时最大耗时的最大值等于当日。",
    _find_different_callbacks,
    remedy=REFRESH_OLDER_REMEDY,
    concerns=lambda endpoint: endpoint is HOURLY_CALLBACKS,
)
ACCOUNT_READERS_COVER_ARTICLES = Check(
    "account_readers_cover_articles",
    "The readers of the whole account on a day are no fewer than those of its most-read article. Figures that WeChat"
    " called delayed are listed but don't fail the check."
    " 账号当日阅读人数不少于当日阅读最多的文章；微信标明尚未更新完毕（is_delay）的数据只提示。",
    _find_uncovered_articles,
    remedy=REFRESH_OLDER_REMEDY,
    concerns=lambda endpoint: endpoint is DAILY_READING,
)
