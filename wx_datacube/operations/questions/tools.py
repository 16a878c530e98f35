"""Tools: what an assistant may ask, by name; each returns JSON and raises `Refused` with advice.

Add a tool to `TOOLS`, and to `cli.mcp` with its words for the assistant. Every answer has `missing` and `not_final`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from wx_datacube.catalog.articles import PUBLISHED_ARTICLES
from wx_datacube.catalog.metrics import METRICS, Additive
from wx_datacube.catalog.model import Family
from wx_datacube.config.settings import Account
from wx_datacube.operations.questions.dates import DAY, Refused, range_of
from wx_datacube.operations.questions.figures import figures, plain
from wx_datacube.operations.questions.labels import Context, read_notice
from wx_datacube.operations.questions.measures import Measure, measure_named
from wx_datacube.operations.questions.sql import MOST_ROWS, select
from wx_datacube.warehouse.sql import json_list, quoted

_ADDING = {
    Additive.YES: "Values may be added over everything (可以相加).",
    Additive.NOT_OVER_TIME: "Values are levels: they may be added over accounts, not over days (不同日期之间不可相加).",
    Additive.NO: "Values may never be added (不可相加): people who are counted once in each row overlap, and rates and"
    " means have different bases.",
}
ARTICLE_FIGURES = (
    *("readers", "sharers", "likes", "hearts", "comments", "saves", "new_followers"),
    *("reward_fen", "delivery_rate", "finish_rate", "minutes_per_reader"),
)


def list_metrics(context: Context, family: str | None = None) -> dict[str, object]:
    """Return the metrics with their keys, and the accounts."""
    if family is not None and family not in set(Family):
        raise Refused(f"There is no family {family[:40]!r}.", advice=f"Families: {', '.join(Family)}.")
    measures = [each for each in map(Measure.of, METRICS) if family in (None, each.endpoints[0].family)]
    return {
        "today": str(context.today),
        "accounts": _accounts(context),
        "metrics": [
            {
                "metric": each.name,
                "meaning": each.metric.description_zh,
                "unit": each.metric.unit,
                "may_be_added": each.metric.additive.value,
                "by": each.keys,
            }
            for each in measures
        ],
        **read_notice(context, context.accounts(None), days=(context.today - 30 * DAY, context.today)),
        "notes": ["`coverage` says what is missing before."],
    }


def _accounts(context: Context) -> list[dict[str, object]]:
    return [
        {
            "account": each.name,
            "title": context.titles.get(each.name),
            "families": list(each.families),
            "history_from": str(each.start),
        }
        for each in context.accounts(None)[:100]
    ]


def explain(context: Context, metric: str) -> dict[str, object]:
    """Return what a metric means, how it is computed, and what it may be asked by."""
    measure = measure_named(metric)
    entry, accounts = measure.metric, context.accounts(None)
    return {
        "metric": entry.metric,
        "meaning": entry.description,
        "meaning_zh": entry.description_zh,
        "unit": entry.unit,
        "adding": _ADDING[entry.additive],
        "by": measure.keys,
        "counted_per": measure.period.value,
        "history_from": str(min(each.first(account.start) for each in measure.endpoints for account in accounts)),
        "source": [f"{each.name} ({each.family}): {each.en} {each.zh}" for each in measure.endpoints],
        "sql": f"SELECT account, {measure.date} AS date, {entry.expression} AS value FROM {entry.view} GROUP BY ALL",
        **read_notice(context, accounts, measure.endpoints),
        "notes": [],
    }


def coverage(
    context: Context, start: str | None = None, end: str | None = None, account: str | None = None
) -> dict[str, object]:
    """Return what is missing or not final in a range, by default the whole history, and how much is known."""
    days, accounts = range_of(start, end, context.today), context.accounts(account)
    notice, newest = read_notice(context, accounts, days=days), _newest(context, accounts)
    return {
        "today": str(context.today),
        "accounts": [
            {
                "account": context.named(each.name),
                "history_from": str(each.start),
                "newest_answer": newest.get(each.name, {}),
                "families_off": [family for family in Family if family not in each.families],
            }
            for each in accounts[:50]
        ],
        **notice,
        "notes": [
            *([] if notice["missing"] else ["Nothing that is due is missing."]),
            "Fetch what is missing: wx-datacube backfill. Not final (未定): WeChat may still change it.",
        ],
    }


def _newest(context: Context, accounts: Sequence[Account]) -> dict[str, dict[str, str]]:
    """Return the newest label that WeChat has answered for, by account and endpoint name."""
    found = context.con.execute(
        "SELECT account, endpoint, max(label) FROM datacube.label_answers"
        " WHERE account IN (SELECT unnest($names::JSON::VARCHAR[])) GROUP BY ALL ORDER BY ALL",
        {"names": json_list(each.name for each in accounts)},
    )
    newest: dict[str, dict[str, str]] = {}
    for account, endpoint, label in found.fetchall():
        newest.setdefault(account, {})[endpoint] = str(label)
    return newest


def top_articles(
    context: Context,
    by: str = "readers",
    start: str | None = None,
    end: str | None = None,
    account: str | None = None,
    limit: int = 10,
) -> dict[str, object]:
    """Return the articles published in a range, by default in the last 30 days, with the highest figures first."""
    if by not in ARTICLE_FIGURES:
        raise Refused(f"Articles have no {by[:40]!r}.", advice=f"`by` may be: {', '.join(ARTICLE_FIGURES)}.")
    accounts, yesterday = context.accounts(account), context.today - DAY
    first, last = range_of(start, end, context.today) or (context.today - 30 * DAY, yesterday)
    names = ", ".join(quoted(each.name) for each in accounts)
    columns = ["account", "title", "url", "published_on", "readers", "sharers", "new_followers", "days", "final"]
    columns += [] if by in columns else [by]
    sql = (
        f"SELECT {', '.join(columns)} FROM articles WHERE account IN ({names})"
        f" AND published_on BETWEEN DATE '{first}' AND DATE '{last}'"
        f" ORDER BY {by} DESC NULLS LAST, published_on DESC LIMIT {limit}"
    )
    rows = context.con.execute(sql).fetchall()
    notice = read_notice(context, accounts, [PUBLISHED_ARTICLES], (first, last))
    return {
        "by": by,
        "from": str(first),
        "to": str(last),
        "rows": [dict(zip(columns, map(plain, row), strict=True)) for row in rows],
        **notice,
        "notes": [
            "Figures count from publishing (`days`: how many days so far), so older articles have had more time.",
            *(["Rates are 0 to 1."] if by.endswith("_rate") else []),
            *([] if rows else ["No article of this range is stored. WeChat has none before 2025-11-01."]),
        ],
        "sql": sql,
    }


def run_sql(context: Context, sql: str, limit: int = 200) -> dict[str, object]:
    """Return the first rows of one SELECT."""
    return select(context, sql, min(max(limit, 1), MOST_ROWS))


TOOLS: Mapping[str, Callable[..., dict[str, Any]]] = {
    "list_metrics": list_metrics,
    "explain": explain,
    "query_metric": figures,
    "coverage": coverage,
    "top_articles": top_articles,
    "run_sql": run_sql,
}
