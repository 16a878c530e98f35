"""Charts: the charts of a report, as Vega-Lite made by altair.

Add a chart here as a function of the words. The page contains each data set once, and charts refer to it by name.
Dates are drawn as UTC, so that a Beijing day doesn't move to the previous day in a browser in another time zone. The
colours are Okabe and Ito's, which colour-blind people can tell apart. See https://altair-viz.github.io.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import altair as alt

from wx_datacube.operations.report.figures import Mark
from wx_datacube.operations.report.words import Words

FONT = 'system-ui, "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", "Noto Sans SC", sans-serif'
BLUE, SKY, GREEN, YELLOW, ORANGE, RED, PINK, GREY = (
    "#0072B2",
    "#56B4E9",
    "#009E73",
    "#F0E442",
    "#E69F00",
    "#D55E00",
    "#CC79A7",
    "#8a9490",
)
MARK_COLOURS = {
    Mark.LANDED: SKY,
    Mark.EMPTY: "#dce5e1",
    Mark.MISSING: ORANGE,
    Mark.UNSETTLED: YELLOW,
    Mark.REJECTED: RED,
    Mark.REVISED: PINK,
}
_KINDS = (BLUE, ORANGE, GREEN, PINK, SKY)
_WEEK, _MILLISECONDS = 7, 86_400_000


def trend(words: Words) -> dict[str, Any]:
    """Return the chart of messages and users per day in the selected range, and in the range of equal length before it.

    Data `days`: `d` date, `m` messages, `u` users, null if nothing is stored. `a` is 1 on a day between two days
    without data, because a line can't show a single point. Data `all`: the same with earlier days, which only the
    dashed line shows.
    """
    brush = alt.selection_interval(name="brush", encodings=["x"])
    days = alt.Chart(alt.NamedData("days")).transform_calculate(t="toDate(datum.d)")
    overview = (
        days.mark_area(color=GREY, opacity=0.5, line={"color": GREY, "strokeWidth": 1}, invalid=_BREAK)
        .encode(
            _time(),
            alt.Y("m:Q", title=None, axis=None),
        )
        .add_params(brush)
        .properties(height=48)
    )
    panels = [_panel(days, brush, field, words, words(name)) for field, name in (("m", "messages"), ("u", "users"))]
    return _spec(alt.vconcat(*panels, overview, spacing=14))


_DATES = {"year": "%Y", "quarter": "%Y-%m", "month": "%Y-%m", "week": "%m-%d", "date": "%m-%d", "hours": " "}
"""Axis format of a moment, by the unit that begins there; no unit begins within a day."""
_BREAK: Literal["break-paths-show-domains"] = "break-paths-show-domains"


def _time() -> alt.X:
    axis = alt.Axis(format=_DATES, labelOverlap=True, tickCount=6)
    return alt.X("t:T", title=None, scale=alt.Scale(type="utc"), axis=axis)


def _weekdays(words: Words) -> alt.Y:
    return alt.Y("w:O", title=None, sort=[words(f"weekday_{day}") for day in range(1, _WEEK + 1)])


def _panel(days: alt.Chart, brush: alt.Parameter, field: str, words: Words, title: str) -> Any:
    here, before = words("this_period"), words("previous_period")
    which = alt.Scale(domain=[here, before], range=[BLUE, ORANGE])
    dashes = alt.Scale(domain=[here, before], range=[[1, 0], [4, 3]])
    # The previous range, shifted right by the length of the selected range.
    length = f"(brush.t ? ceil((brush.t[1] - brush.t[0]) / {_MILLISECONDS}) * {_MILLISECONDS} : 0)"
    moved = alt.Chart(alt.NamedData("all")).transform_calculate(
        t=f"toNumber(toDate(datum.d)) + {length}", which=f"'{before}'"
    )
    tooltip = [
        alt.Tooltip("d:N", title=words("date")),
        alt.Tooltip(f"{field}:Q", title=title, format=","),
    ]
    layers = []
    for chart in (moved, days.transform_calculate(which=f"'{here}'")):
        chosen = chart.transform_filter(brush).encode(
            _time(),
            alt.Y(f"{field}:Q", title=title, axis=alt.Axis(format="~s", tickCount=4, minExtent=34)),
            alt.Color("which:N", title=None, scale=which, legend=alt.Legend(symbolType="stroke")),
            tooltip=tooltip,
        )
        layers += [
            chosen.mark_line(strokeWidth=1.6, clip=True, invalid=_BREAK).encode(
                alt.StrokeDash("which:N", title=None, scale=dashes)
            ),
            chosen.mark_circle(size=36).encode(opacity=alt.when("datum.a").then(alt.value(1)).otherwise(alt.value(0))),
        ]
    return alt.layer(*layers).properties(height=150)


def types(words: Words, names: Sequence[str]) -> dict[str, Any]:
    """Return the chart of messages over time by type; `names` are the types' names in the views, in the bars' order.

    Data `types`: `d` date, `e` end date (exclusive), `p` 1 if the period is incomplete, `k` type as text, `m` messages,
    `o` position of the type.
    """
    order = [words.type(name) for name in names]
    return _spec(
        _stacked("types", alt.Y("m:Q", title=None, axis=alt.Axis(format="~s", tickCount=5)), words("type"), order)
        .encode(tooltip=[*_labelled(words, "type"), alt.Tooltip("m:Q", title=words("messages"), format=",")])
        .properties(height=220)
    )


def senders(words: Words, names: Sequence[str]) -> dict[str, Any]:
    """Return the chart of the shares of users by how many messages they sent; `names` as for `types`.

    Data `senders`: `d`, `e` and `p` as for `types`, `k` interval as text, `u` users, `s` share, `o` position.
    """
    order = [words.interval(name) for name in names]
    share = alt.Y("u:Q", title=None, stack="normalize", axis=alt.Axis(format="%", tickCount=5))
    return _spec(
        _stacked("senders", share, words("interval"), order)
        .encode(
            tooltip=[
                *_labelled(words, "interval"),
                alt.Tooltip("u:Q", title=words("users"), format=","),
                alt.Tooltip("s:Q", title=words("share"), format=".1%"),
            ]
        )
        .properties(height=200)
    )


def _stacked(data: str, y: alt.Y, legend: str, order: Sequence[str]) -> Any:
    """Return stacked bars, each as wide as its period and coloured by kind in the given order.

    Kinds beyond the known ones, which WeChat may add, are grey.
    """
    colours = [*_KINDS, *[GREY] * len(order)][: len(order)]
    return (
        alt.Chart(alt.NamedData(data))
        .transform_calculate(t="toDate(datum.d)", end="toDate(datum.e)")
        .mark_bar(orient="vertical", stroke="white", strokeWidth=0.4)
        .encode(
            _time(),
            alt.X2("end:T"),
            y,
            alt.Opacity("p:Q", scale=alt.Scale(domain=[0, 1], range=[1, 0.4]), legend=None),
            alt.Color("k:N", title=legend, sort=order, scale=alt.Scale(domain=order, range=colours)),
            alt.Order("o:Q"),
        )
    )


def _labelled(words: Words, kind: str) -> list[alt.Tooltip]:
    return [alt.Tooltip("d:N", title=words("date")), alt.Tooltip("k:N", title=words(kind))]


def hours(words: Words) -> dict[str, Any]:
    """Return the heat map of messages per hour by weekday.

    Data `hours`: `w` weekday as text, `h` hour, `m` average number of messages.
    """
    return _spec(
        alt.Chart(alt.NamedData("hours"))
        .mark_rect()
        .encode(
            alt.X("h:O", title=words("hour"), axis=alt.Axis(labelAngle=0, labelOverlap="parity")),
            _weekdays(words),
            alt.Color("m:Q", title=None, scale=alt.Scale(scheme="viridis", zero=True), legend=alt.Legend(format="~s")),
            tooltip=[
                alt.Tooltip("w:N", title=words("weekday")),
                alt.Tooltip("h:O", title=words("hour")),
                alt.Tooltip("m:Q", title=words("messages"), format=",.1f"),
            ],
        )
        .properties(height=190)
    )


def calendar(words: Words, marks: Mapping[Mark, str]) -> dict[str, Any]:
    """Return the coverage calendar: one square per day, one row of weeks per year; `marks` are those that occur.

    Data `calendar`: `d` date, `y` year, `c` position of the week in the year, `w` weekday as text, `k` state as text,
    `n` the endpoints concerned.
    """
    # Weeks in which months begin: approximate, but close enough in every year for axis labels.
    begins = {round(month * 30.44 / _WEEK): month + 1 for month in range(12)}
    label = " : ".join(f"datum.value == {week} ? '{month}'" for week, month in begins.items()) + " : ''"
    months = alt.Axis(
        values=list(begins), labelExpr=label, labelAngle=0, labelOverlap=False, ticks=False, domain=False, orient="top"
    )
    scale = alt.Scale(domain=list(marks.values()), range=[MARK_COLOURS[mark] for mark in marks])
    return _spec(
        alt.Chart(alt.NamedData("calendar"))
        .mark_rect(stroke="white", strokeWidth=0.5)
        .encode(
            alt.X("c:O", title=words("month"), scale=alt.Scale(domain=list(range(54))), axis=months),
            _weekdays(words).axis(None),
            alt.Color("k:N", title=words("state"), scale=scale),
            alt.Row("y:O", title=None, spacing=5, sort="descending", header=alt.Header(labelAngle=0)),
            tooltip=[
                alt.Tooltip("d:N", title=words("date")),
                alt.Tooltip("k:N", title=words("state")),
                alt.Tooltip("n:N", title=words("concerns")),
            ],
        )
        .properties(height=_WEEK * 9)
    )


Circles = Literal["all", "alone", "none"]
"""The days of a chart that have a circle: all, for tooltips, or those between two days without data, or none."""


def followers(words: Words, circles: Circles) -> dict[str, Any]:
    """Return the chart of the net change of followers, and below it of new and lost followers, by day.

    Data `followers`: `d` date, `g` net, `n` new, `l` lost, null if nothing is stored; `a` as for `trend`.
    """
    days = alt.Chart(alt.NamedData("followers")).transform_calculate(t="toDate(datum.d)")
    new, lost, net = (words.metric(name) for name in ("new_followers", "lost_followers", "net_followers"))
    which = alt.Scale(domain=[new, lost], range=[BLUE, ORANGE])
    color = alt.Color("which:N", title=None, scale=which, legend=alt.Legend(symbolType="stroke"))
    lines = []
    for field, name, dash in (("n", new, [1, 0]), ("l", lost, [4, 3])):
        named = _by_day(days.transform_calculate(which=f"'{name}'"), field, name, words).encode(_figure(field), color)
        lines += [_line(named, strokeDash=dash), *_circles(named, circles)]
    upper = _by_day(days, "g", net, words)
    panels = (
        alt.layer(_line(upper, color=BLUE), *_circles(upper, circles, color=BLUE)).properties(height=130),
        alt.layer(*lines).properties(height=150),
    )
    return _spec(alt.vconcat(*panels, spacing=14).resolve_legend(color="independent"))


def readers(words: Words, circles: Circles, is_open: bool) -> dict[str, Any]:
    """Return the chart of readers by day; the point of a day that is not final is hollow.

    Data `readers`: `d` date, `r` readers, null if nothing is stored; `a` as for `trend`; `o` is 1 on a day whose
    figures WeChat may still change. `is_open` says whether there is such a day.
    """
    days = alt.Chart(alt.NamedData("readers")).transform_calculate(t="toDate(datum.d)")
    drawn = _by_day(days, "r", words.metric("readers"), words)
    layers = [_line(drawn, color=BLUE), *_circles(drawn, circles, color=BLUE)]
    if is_open:  # Vega complains about a layer without data
        layers.append(
            drawn.transform_filter("datum.o").mark_point(size=40, filled=True, fill="white", stroke=BLUE, opacity=1)
        )
    return _spec(alt.layer(*layers).properties(height=180))


def _by_day(days: alt.Chart, field: str, title: str, words: Words) -> alt.Chart:
    """Return a chart of a figure by day, to be drawn as a line and as points."""
    return days.encode(
        _time(),
        _figure(field, title),
        tooltip=[alt.Tooltip("d:N", title=words("date")), alt.Tooltip(f"{field}:Q", title=title, format=",")],
    )


def _figure(field: str, title: str | None = None) -> alt.Y:
    return alt.Y(f"{field}:Q", title=title, axis=alt.Axis(format="~s", tickCount=4, minExtent=34))


def _line(days: alt.Chart, **mark: Any) -> Any:
    """Return a line that breaks where nothing is stored."""
    return days.mark_line(strokeWidth=1.6, invalid=_BREAK, **mark)


def _circles(days: alt.Chart, circles: Circles, **mark: Any) -> list[Any]:
    """Return circles, of which only those between two days without data are seen."""
    if circles == "none":
        return []
    seen = alt.when("datum.a").then(alt.value(1)).otherwise(alt.value(0))
    there = days if circles == "all" else days.transform_filter("datum.a")
    return [there.mark_circle(size=36, **mark).encode(opacity=seen)]


_TEXT = {"labelColor": "#45504b", "labelFontSize": 12}
_TITLE = {"titleColor": "#45504b", "titleFontSize": 12, "titleFontWeight": "normal"}


def _spec(chart: Any) -> dict[str, Any]:
    """Return the chart as Vega-Lite; the page sets its width and describes it in words."""
    spec: dict[str, Any] = (
        chart.configure(font=FONT, aria=False, background="transparent")
        .configure_axis(gridColor="#e6ebe8", domainColor="#b9c3be", tickColor="#b9c3be", **_TEXT, **_TITLE)
        .configure_legend(orient="top", **_TEXT, **_TITLE)
        .configure_header(**_TEXT)
        .configure_view(stroke=None)
        .to_dict()
    )
    return spec
