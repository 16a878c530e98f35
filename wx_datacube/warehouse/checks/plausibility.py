"""Plausibility: whether yesterday's figures are like those of comparable days (`expectation`).

Add a figure here if people look at it every day. Reads are not judged: they follow publishing. A fall is doubted, since
WeChat loses figures of several endpoints at once. A rise that another endpoint confirms is only noted: it is an unusual
day. `python -m bench.doubts` measures what is found, and how often the check is wrong.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import expm1, log1p

from wx_datacube.catalog.calendar import festival_name
from wx_datacube.catalog.followers import (
    ARTICLE_CHANNEL,
    CHANNEL,
    CHANNEL_BREAKS,
    CHANNELS_IN_CHINESE,
    DAILY_FOLLOWERS,
    FOLLOWERS_TOTAL,
)
from wx_datacube.catalog.messages import DAILY_MESSAGES, SENDERS_OF
from wx_datacube.catalog.model import Endpoint, Period
from wx_datacube.language import Text, weekday_text
from wx_datacube.warehouse.checks.check import Check, CheckContext, Finding, Remedy
from wx_datacube.warehouse.checks.expectation import (
    REACH,
    RECENT_DAYS,
    SMALLEST_OF_MESSAGES,
    WEEKS,
    Basis,
    Direction,
    Expectation,
    Place,
    Series,
    days_needed,
    places,
)
from wx_datacube.warehouse.sql import quoted

_DAY = dt.timedelta(days=1)
_LEAST_SHARE, _SHARE_DAYS = 0.2, 56
"""A channel with a larger share than this of the new or lost followers of so many days is judged too."""
_UNEXPLAINED = 0.25
"""The total of followers confirms new or lost followers if it leaves less than this part of the difference open."""

DAILY_SENDERS = SENDERS_OF[Period.DAY]
Days = Mapping[dt.date, int]
Special = Mapping[dt.date, Place]


@dataclass(frozen=True, slots=True)
class History:
    """An account's figures by day. A day without figures is unknown; one for which WeChat has no row has zeros."""

    messages: Days = field(default_factory=dict)
    senders: Days = field(default_factory=dict)
    new: Mapping[int, Days] = field(default_factory=dict)
    lost: Mapping[int, Days] = field(default_factory=dict)
    followers: Days = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Doubt:
    """A figure that differs from what was expected; `channel` is None for all of them together.

    `confirmed` says that an independent figure tells the same about the day, and None that there is none.
    """

    metric: str
    channel: int | None
    day: dt.date
    direction: Direction
    figure: int
    expected: Expectation
    confirmed: bool | None

    @property
    def fails(self) -> bool:
        """Whether the check fails. A rise needs a contradiction: no fault adds up in two endpoints alike."""
        return self.direction is not Direction.HIGH or self.confirmed is False


# --- messages ---------------------------------------------------------------------------------------------------


def doubts_about_messages(history: History, day: dt.date, special: Special) -> list[Doubt]:
    """Return the doubts about messages and senders of a day. They confirm each other by the messages per sender."""
    differs = Series.of_ratio(history.messages, history.senders, special).differs(day)
    agrees = None if differs is None else not differs
    series = {
        "messages": Series.of(history.messages, special, SMALLEST_OF_MESSAGES),
        "senders": Series.of(history.senders, special),
    }
    found = [_doubt(metric, None, each, day, lambda doubt: agrees) for metric, each in series.items()]
    doubts = [each for each in found if each]
    if len(doubts) == 2 and doubts[0].direction is doubts[1].direction:
        return doubts[:1]  # one cause
    if differs and not any(each.fails for each in doubts):
        return [*doubts, *_farther(series, day)]
    return doubts


def _farther(series: Mapping[str, Series], day: dt.date) -> list[Doubt]:
    """Return the doubt about the figure that is farther from what was expected, of two that contradict each other."""
    found = []
    for metric, each in series.items():
        if expected := each.expected(day):
            figure = each.figure(day)
            direction = Direction.HIGH if log1p(figure) > expected.middle else Direction.LOW
            found.append(Doubt(metric, None, day, direction, figure, expected, False))
    if any(max(each.figure, each.expected.figure) < series[each.metric].smallest for each in found):
        return []
    return sorted(found, key=lambda each: abs(log1p(each.figure) - each.expected.middle))[-1:]


# --- followers --------------------------------------------------------------------------------------------------


def doubts_about_followers(history: History, day: dt.date, special: Special) -> list[Doubt]:
    """Return the doubts about new and lost followers of a day, and about their large channels.

    The totals of followers confirm them. Followers from within articles follow publishing, as reads do: they are
    doubted only if there are none, and the others are judged without them.
    """
    open_part = _open_part(history, day)

    def confirmed(doubt: Doubt) -> bool | None:
        difference = abs(doubt.figure - expm1(doubt.expected.middle))
        return None if open_part is None else abs(open_part) < _UNEXPLAINED * difference

    found: list[Doubt] = []
    for metric, channels in (("new_followers", history.new), ("lost_followers", history.lost)):
        total = _doubt(metric, None, Series.of(summed(_without_articles(channels)), special), day, confirmed)
        large = []
        for channel in large_channels(channels, day):
            series = Series.of(_since_break(channels[channel], day), special)
            doubt = _doubt(metric, channel, series, day, confirmed)
            if doubt and doubt.fails and (channel != ARTICLE_CHANNEL or doubt.direction is Direction.ZERO):
                large.append(doubt)
        found += _one_cause(total, large)
    return found


def _one_cause(total: Doubt | None, large: list[Doubt]) -> list[Doubt]:
    """Return the doubts without those that follow from others: a channel's fall is the total's, or the reverse."""
    if total is None:
        return large
    if total.direction is Direction.LOW and any(each.direction is Direction.ZERO for each in large):
        return large
    return [total, *(each for each in large if each.direction is not total.direction)]


def summed(channels: Mapping[int, Days]) -> dict[dt.date, int]:
    """Return the sums over channels by day."""
    found: dict[dt.date, int] = {}
    for days in channels.values():
        for day, figure in days.items():
            found[day] = found.get(day, 0) + figure
    return found


def large_channels(channels: Mapping[int, Days], day: dt.date) -> list[int]:
    """Return the channels that have more than a fifth of all before a day."""
    before = [day - number * _DAY for number in range(1, _SHARE_DAYS + 1)]
    sums = {channel: sum(days.get(each, 0) for each in before) for channel, days in channels.items()}
    return sorted(channel for channel, number in sums.items() if number > _LEAST_SHARE * sum(sums.values()))


def _since_break(days: Days, day: dt.date) -> Days:
    """Return a channel's days since the last break; in the month of a break, whose day nobody knows, none."""
    for month in reversed(CHANNEL_BREAKS):
        after = (month + 31 * _DAY).replace(day=1)
        if month <= day < after:
            return {}
        if after <= day <= after + REACH:
            return {each: figure for each, figure in days.items() if each >= after}
    return days


def _open_part(history: History, day: dt.date) -> int | None:
    """Return how many more followers the day has gained by its new and lost ones than by the totals."""
    if day not in history.followers or day - _DAY not in history.followers:
        return None
    gained = sum(days.get(day, 0) for days in history.new.values())
    gained -= sum(days.get(day, 0) for days in history.lost.values())
    return gained - (history.followers[day] - history.followers[day - _DAY])


# --- one figure -------------------------------------------------------------------------------------------------


def _doubt(
    metric: str, channel: int | None, series: Series, day: dt.date, confirmed: Callable[[Doubt], bool | None]
) -> Doubt | None:
    """Return the doubt about a figure: outside the wide range, or outside the near one if it is contradicted."""
    expected = series.expected(day)
    for near in (False, True):
        direction = series.direction(day, near)
        if expected and direction and not series.lasts(day, direction):
            doubt = Doubt(metric, channel, day, direction, series.figure(day), expected, None)
            doubt = replace(doubt, confirmed=confirmed(doubt))
            if not near or doubt.confirmed is False:
                return doubt
    return None


# --- reading ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Comparison:
    """A figure that the check judges, with what was expected and the days that this was taken from, in words.

    New and lost followers are those from all channels but articles.
    """

    metric: str
    day: dt.date
    figure: int
    expected: Expectation
    basis: Text


def comparisons(context: CheckContext, endpoint: Endpoint) -> list[Comparison]:
    """Return the figures of an endpoint's newest day that the check judges; none if too little is known."""
    found = _newest(context, endpoint)
    if found is None:
        return []
    history, day, special = found
    return [
        Comparison(metric, day, series.figure(day), expected, _basis(expected, day, special))
        for metric, series in _series(history, endpoint, special).items()
        if (expected := series.expected(day))
    ]


def _series(history: History, endpoint: Endpoint, special: Special) -> dict[str, Series]:
    if endpoint is DAILY_FOLLOWERS:
        sums = {"new_followers": history.new, "lost_followers": history.lost}
        return {metric: Series.of(summed(_without_articles(each)), special) for metric, each in sums.items()}
    if endpoint is DAILY_MESSAGES:
        return {"messages": Series.of(history.messages, special, SMALLEST_OF_MESSAGES)}
    return {"senders": Series.of(history.senders, special)}


def _without_articles(channels: Mapping[int, Days]) -> dict[int, Days]:
    return {channel: days for channel, days in channels.items() if channel != ARTICLE_CHANNEL}


def _find_doubts(context: CheckContext, endpoint: Endpoint) -> list[Finding]:
    found = _newest(context, endpoint)
    if found is None:
        return []
    history, day, special = found
    if endpoint is DAILY_FOLLOWERS:
        doubts = doubts_about_followers(history, day, special)
    else:
        metric = "messages" if endpoint is DAILY_MESSAGES else "senders"
        doubts = [each for each in doubts_about_messages(history, day, special) if each.metric == metric]
    return [
        Finding(str(day), _words(each, special), endpoint.name, str(day), str(day), informational=not each.fails)
        for each in doubts
    ]


def _newest(context: CheckContext, endpoint: Endpoint) -> tuple[History, dt.date, Special] | None:
    """Return the newest day whose figures are known: yesterday, or the day before until they are there.

    Older days were judged in their own mornings; a backfill of history raises no doubts.
    """
    yesterday = context.now.date() - _DAY
    history = _read(context, endpoint, yesterday)
    known = {
        DAILY_MESSAGES.name: history.messages,
        DAILY_SENDERS.name: history.senders,
        DAILY_FOLLOWERS.name: summed(history.new),
    }[endpoint.name]
    day = next((each for each in (yesterday, yesterday - _DAY) if each in known), None)
    if day is None or len(known) < RECENT_DAYS:
        return None
    return history, day, places(min(known), day)


def _read(context: CheckContext, endpoint: Endpoint, yesterday: dt.date) -> History:
    """Read the figures that an endpoint's doubts need: of the last weeks, and of last year's festival."""
    ranges = " OR ".join(
        f"{{day}} BETWEEN DATE '{first - _DAY}' AND DATE '{last}'" for first, last in days_needed(yesterday)
    )

    def rows(select: str, day: str = "ref_date") -> list[tuple[dt.date, int, int, int]]:
        sql = f"{select} account = $account AND ({ranges.format(day=day)}) GROUP BY ALL"
        return context.con.execute(sql, {"account": context.account.name}).fetchall()

    def empty(of: Endpoint) -> dict[dt.date, int]:
        sql = "SELECT label FROM datacube.label_answers WHERE settled AND clean AND shown = 0"
        return {day: 0 for day, *_ in rows(f"{sql} AND endpoint = {quoted(of.name)} AND", "label")}

    if endpoint is DAILY_FOLLOWERS:
        return _followers(
            rows(f"SELECT ref_date, user_source, sum(new_user), sum(cancel_user) FROM datacube.{endpoint.name} WHERE"),
            empty(endpoint),
            rows(f"SELECT ref_date, max(cumulate_user) FROM datacube.{FOLLOWERS_TOTAL.name} WHERE"),
        )
    messages = rows(f"SELECT ref_date, sum(msg_count) FROM datacube.{DAILY_MESSAGES.name} WHERE")
    senders = rows(
        "SELECT ref_date, coalesce(sum(msg_user) FILTER (count_interval <> 0), 0)"
        f" FROM datacube.{DAILY_SENDERS.name} WHERE"
    )
    silent = empty(DAILY_MESSAGES)  # implies that nobody sent
    return History(silent | dict(_counts(messages)), silent | empty(DAILY_SENDERS) | dict(_counts(senders)))


def _counts(rows: list[tuple[dt.date, int, int, int]]) -> Iterator[tuple[dt.date, int]]:
    return ((day, int(count)) for day, count, *_ in rows)


def _followers(
    rows: list[tuple[dt.date, int, int, int]], empty: dict[dt.date, int], totals: list[tuple[dt.date, int, int, int]]
) -> History:
    """Return the figures of followers; a channel without a row on a known day has zero."""
    zeros = empty | dict.fromkeys((day for day, *_ in rows), 0)
    new: dict[int, dict[dt.date, int]] = {}
    lost: dict[int, dict[dt.date, int]] = {}
    for day, channel, came, left in rows:
        new.setdefault(channel, dict(zeros))[day] = int(came)
        lost.setdefault(channel, dict(zeros))[day] = int(left)
    return History(new=new, lost=lost, followers=dict(_counts(totals)))


# --- words ------------------------------------------------------------------------------------------------------

_METRICS = {
    "messages": Text("messages", "消息发送次数"),
    "senders": Text("senders", "消息发送人数"),
    "new_followers": Text("new followers", "新增人数"),
    "lost_followers": Text("lost followers", "取消关注人数"),
}
_OTHERS = {
    "messages": Text("senders", "消息发送人数"),
    "senders": Text("messages", "消息发送次数"),
    "new_followers": Text("the total of followers", "累积人数"),
    "lost_followers": Text("the total of followers", "累积人数"),
}
"""The figure that confirms another one."""
_OF_CHANNEL = Text("{metric} from {channel}", "{metric}（{channel}）")
_WHAT = Text(
    "{name}: {figure:,}, expected about {expected:,} ({low:,} to {high:,}), as {basis}. {doubt}",
    "{name} {figure:,}，预计约 {expected:,}（{low:,} 至 {high:,}），参照{basis}。{doubt}",
)
_BASES = {
    Basis.WEEKDAY: Text("on {weekday} of the last {weeks} weeks", "最近 {weeks} 周的{weekday}"),
    Basis.FESTIVAL: Text("at last year's {festival}", "去年{festival}同期"),
    Basis.RECENT: Text("on the {days} days before", "此前 {days} 天"),
    Basis.AROUND: Text("on the days around it", "前后的假日和平日"),
}
_DOUBTS = {
    (Direction.ZERO, True): Text("Figures may be missing", "数据可能缺失"),
    (Direction.LOW, True): Text(
        "{other} agree: a quiet day, or part is missing", "与{other}一致，可能当天确实较少，也可能数据不全"
    ),
    (Direction.LOW, False): Text("It doesn't fit {other}: part may be missing", "与{other}不符，数据可能不全"),
    (Direction.LOW, None): Text("A quiet day, or part is missing", "可能当天确实较少，也可能数据不全"),
    (Direction.HIGH, True): Text("{other} agree: an unusual day", "与{other}一致，应是当天情况特殊"),
    (Direction.HIGH, False): Text("It doesn't fit {other}: counted twice?", "与{other}不符，可能重复计数"),
    (Direction.HIGH, None): Text("{other} are not there to compare", "{other}暂无，无法核对"),
}


def _words(doubt: Doubt, special: Special) -> Text:
    """Return a doubt in words: the figure, what was expected and why, and what speaks for and against it."""
    low, high = doubt.expected.range
    confirmed = True if doubt.direction is Direction.ZERO else doubt.confirmed
    return _WHAT.fill(
        name=_name(doubt),
        figure=doubt.figure,
        expected=doubt.expected.figure,
        low=low,
        high=high,
        basis=_basis(doubt.expected, doubt.day, special),
        doubt=_DOUBTS[doubt.direction, confirmed].fill(other=_OTHERS[doubt.metric]),
    )


def _name(doubt: Doubt) -> Text:
    if doubt.channel is None:
        return _METRICS[doubt.metric]
    code = doubt.channel
    word = dict(CHANNEL.codes).get(code, f"channel {code}")
    channel = Text(word, CHANNELS_IN_CHINESE.get(code, f"渠道 {code}"))
    return _OF_CHANNEL.fill(metric=_METRICS[doubt.metric], channel=channel)


def _basis(expected: Expectation, day: dt.date, special: Special) -> Text:
    basis = _BASES[expected.basis]
    if expected.basis is Basis.WEEKDAY:
        return basis.fill(weekday=weekday_text(day), weeks=WEEKS)
    if expected.basis is Basis.RECENT:
        return basis.fill(days=RECENT_DAYS)
    if expected.basis is Basis.FESTIVAL:
        return basis.fill(festival=festival_name(special[day][0]))
    return basis


FIGURES_ARE_PLAUSIBLE = Check(
    "figures_are_plausible",
    "Yesterday's messages, senders, new and lost followers, in all and from each large channel, are like those of the"
    " same weekday of the last eight weeks, or of the same festival last year. A rise that another figure confirms is"
    " listed but doesn't fail the check. Small figures are not judged, and of an account's first weeks only zeros."
    " 昨日的消息发送次数、消息发送人数、新增人数、取消关注人数（含占比 20% 以上的关注渠道）与最近八周的同一星期几、"
    "或去年同一节日相近；有其他数据印证的上升只提示；过小的数值不判断，账号最初几周只判断是否为零。",
    _find_doubts,
    remedy=Remedy(
        Text(
            "The figure may be right: was there an article, a campaign or a holiday? If not, compare it with WeChat's"
            " console, or request the day again: wx-datacube backfill --refresh with --start and --end.",
            "数值可能无误：请确认当天是否有推文、活动或假期。如没有，请与公众平台后台核对，"
            "或用 wx-datacube backfill --refresh（加 --start、--end）重新获取当日。",
        )
    ),
    is_doubt=True,
    concerns=lambda endpoint: endpoint in (DAILY_MESSAGES, DAILY_SENDERS, DAILY_FOLLOWERS),
)
