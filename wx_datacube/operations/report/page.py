"""Page: renders figures, charts and words as one self-contained HTML file.

Add a section to `page.html`, and its data here; those of followers and articles are in `families.html` and
`family_pages`. Jinja escapes every text, and data is embedded as JSON. The page's Content-Security-Policy forbids the
browser to load anything.
"""

import datetime as dt
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import altair as alt
import jinja2
import vl_convert

from wx_datacube.catalog.messages import COUNT_INTERVAL, MSG_TYPE
from wx_datacube.catalog.model import Family, Period
from wx_datacube.catalog.periods import due_on
from wx_datacube.language import Text
from wx_datacube.operations.report import charts
from wx_datacube.operations.report.family_pages import articles_page, family_charts, family_data, followers_page
from wx_datacube.operations.report.figures import Day, Figures, KeyFigure, Mark, Value
from wx_datacube.operations.report.texts import change, comparison_label, date_text, number
from wx_datacube.operations.report.words import Words
from wx_datacube.warehouse.copies import replacing_path
from wx_datacube.warehouse.errors import unwritable

_STALE_DAYS = 3
_GAPS_SHOWN = 5
_Numbers = Callable[[Value], float | None]


def render(figures: Figures, language: str, database: Path, now: dt.datetime) -> str:
    """Return the report as HTML in the given language, made at `now` from the file `database`."""
    words = Words(language)
    drawn, data = _charts(figures, words), _data(figures, words)
    return _template().render(
        words=words,
        title=words("title" if only_messages(figures) else "title_all", account=figures.account),
        only_messages=only_messages(figures),
        figures=figures,
        file=database.name,
        made=f"{now:%Y-%m-%d %H:%M}",
        notice=_notice(figures, words, now),
        keys=[_key(key, words) for key in figures.keys],
        types=_shares(figures, words),
        partial=any(bar["p"] for bar in data["types"]),
        busiest=_busiest(figures, words),
        months=figures.months[::-1],
        followers=followers_page(figures, words),
        articles=articles_page(figures, words),
        has_open=figures.articles is not None,
        coverage=_coverage(figures),
        missing_text=_missing_text(figures, words),
        reasons=_reasons(figures, words, drawn),
        drawn=drawn,
        data=data,
        script=_script() if drawn else "",
    )


@cache
def _template() -> jinja2.Template:
    loader = jinja2.FunctionLoader(lambda name: files(__package__).joinpath(name).read_text("utf-8"))
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, loader=loader)
    environment.filters |= {"number": number, "average": lambda value: number(value, ".2f")}
    return environment.get_template("page.html")


@cache
def _script() -> str:
    """Return Vega, Vega-Lite and vega-embed from vl-convert, in the version that altair writes for."""
    major, minor, *_ = alt.SCHEMA_VERSION.removeprefix("v").split(".")
    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=f"{major}.{minor}")
    return bundle.replace("</script", "<\\/script")


# --- texts ------------------------------------------------------------------------------------------------------


def only_messages(figures: Figures) -> bool:
    """Return whether the account fetches nothing but messages."""
    return figures.families == (Family.MESSAGES,)


def _notice(figures: Figures, words: Words, now: dt.datetime) -> str:
    """Return the warning to show above all figures; empty if there is none."""
    account = figures.account
    if figures.last_requested_at is None:
        return words("nothing", account=account)
    if figures.newest is None:
        return words("nothing_in_range", first=figures.first, last=figures.last)
    if figures.known_days and figures.no_messages:
        return words("no_messages", first=figures.first, last=figures.last)
    newest = figures.newest
    days = (now.date() - newest).days
    # No warning if the user chose a range that ends here.
    if days > _STALE_DAYS and figures.last > newest:
        return words("stale", newest=newest, days=days, account=account)
    return ""


def _reasons(figures: Figures, words: Words, drawn: dict[str, Any]) -> dict[str, str]:
    """Return the reason for each chart that is not drawn."""
    known = len(figures.known_days)
    no_messages = known > 0 and figures.no_messages
    why = words("no_messages", first=figures.first, last=figures.last) if no_messages else words("not_yet")
    reasons = {name: why for name in ("trend", "types", "senders", "hours") if name not in drawn}
    if "trend" in reasons and known == 1 and not no_messages:
        reasons["trend"] = words("one_day")
    return reasons


def _key(key: KeyFigure, words: Words) -> dict[str, Any]:
    """Return a table of a period's three figures with their changes."""
    numbers: tuple[tuple[str, _Numbers, str], ...] = (
        ("users", lambda value: value.users, ","),
        ("messages", lambda value: value.messages, ","),
        ("per_user", lambda value: value.per_user, ".2f"),
    )
    return {
        "period": key.period.value,
        "title": words(f"key_{key.period.value}", date=date_text(key.label, key.period, words)),
        "comparisons": [comparison_label(key.period, days, words) for days in key.before],
        "figures": [
            {
                "name": words(name),
                "value": number(of(key.value), form),
                "changes": [change(of(key.value), of(before), words) for before in key.before.values()],
            }
            for name, of, form in numbers
        ],
    }


def _shares(figures: Figures, words: Words) -> list[tuple[str, int, float]]:
    """Return every type with its messages in the range and their share, most messages first."""
    sums: dict[str, int] = {}
    for _, name, messages in figures.by_type:
        sums[name] = sums.get(name, 0) + messages
    whole = sum(sums.values())
    ordered = sorted(sums.items(), key=lambda item: -item[1])
    return [(words.type(name), messages, messages / whole) for name, messages in ordered]


def _busiest(figures: Figures, words: Words) -> str:
    if not figures.hours:
        return ""
    weekday, hour, messages = max(figures.hours, key=lambda each: each[2])
    return words("busiest", weekday=words(f"weekday_{weekday}"), hour=hour, messages=f"{messages:,.1f}")


def _coverage(figures: Figures) -> list[dict[str, Any]]:
    return [
        {
            "name": each.endpoint.name,
            "numbers": (each.due, each.landed, each.empty, each.missing, each.unsettled, each.rejected, each.revised),
            "open": each.open,
            "gaps": [f"{first}" if first == last else f"{first} – {last}" for first, last in each.gaps[-_GAPS_SHOWN:]],
            "more": max(len(each.gaps) - _GAPS_SHOWN, 0),
        }
        for each in figures.coverage
    ]


def _missing_text(figures: Figures, words: Words) -> str:
    """Return whether data is missing, and the command that fetches it."""
    missing = sum(each.missing for each in figures.coverage)
    unsettled = sum(each.unsettled for each in figures.coverage)
    said = words("whole")
    if missing:
        gaps = [gap for each in figures.coverage for gap in each.gaps]
        first, last = min(first for first, _ in gaps), max(last for _, last in gaps)
        said = words("missing_labels", missing=f"{missing:,}", account=figures.account, first=first, last=last)
    return f"{said} {words('waiting', unsettled=unsettled)}" if unsettled else said


# --- charts -----------------------------------------------------------------------------------------------------


def _charts(figures: Figures, words: Words) -> dict[str, Any]:
    """Return the charts that have data."""
    drawn: dict[str, Any] = {}
    if len(figures.known_days) > 1 and not figures.no_messages:
        drawn["trend"] = charts.trend(words)
    if figures.by_type:
        drawn["types"] = charts.types(words, _names(figures.by_type, MSG_TYPE.words))
    if figures.senders:
        drawn["senders"] = charts.senders(words, _names(figures.senders, COUNT_INTERVAL.words))
    if figures.hours:
        drawn["hours"] = charts.hours(words)
    drawn |= family_charts(figures, words)
    if figures.last_requested_at is not None:
        drawn["calendar"] = charts.calendar(words, _mark_names(figures, words))
    return drawn


def _mark_names(figures: Figures, words: Words) -> dict[Mark, str]:
    """Return the marks that occur with their texts; a day may be empty for other reasons than that nobody wrote."""
    texts = {mark: words(f"mark_{mark}") for mark in Mark}
    if not only_messages(figures):
        texts[Mark.EMPTY] = words("all_empty")
    there = {day.mark for day in figures.days}
    return {mark: texts[mark] for mark in Mark if mark in there}


def _names(rows: Iterable[tuple[dt.date, str, int]], known: Iterable[str]) -> list[str]:
    """Return the names that occur: those of the catalog in its order, then any that WeChat has added since."""
    there = {name for _, name, _ in rows}
    return [name for name in known if name in there] + sorted(there - set(known))


def _data(figures: Figures, words: Words) -> dict[str, Any]:
    """Return the data sets of the charts; keys are short because twelve years of days repeat them often."""
    types = _names(figures.by_type, MSG_TYPE.words)
    intervals = _names(figures.senders, COUNT_INTERVAL.words)
    partial, marks = _partial(figures), _mark_names(figures, words)
    whole: dict[dt.date, int] = {}
    for date, _, users in figures.senders:
        whole[date] = whole.get(date, 0) + users
    known = [place for place, day in enumerate(figures.days) if day.value.messages is not None]
    sent = [place for place in known if figures.days[place].value.messages]
    trend = [(day.date, day.value) for day in figures.days[sent[0] : known[-1] + 1]] if sent else []
    return {
        # From the first message to the newest known day, even if the range is wider.
        "days": _points(trend),
        "all": _points([*figures.earlier, *trend]) if figures.earlier else [],
        "types": [
            {**_bar_extent(date, figures.unit, partial), "k": words.type(name), "m": messages, "o": types.index(name)}
            for date, name, messages in figures.by_type
        ],
        "senders": [
            {
                **_bar_extent(date, figures.unit),
                "k": words.interval(name),
                "u": users,
                "s": round(users / whole[date], 4),
                "o": intervals.index(name),
            }
            for date, name, users in figures.senders
        ],
        "hours": [
            {"w": words(f"weekday_{weekday}"), "h": hour, "m": round(messages, 2)}
            for weekday, hour, messages in figures.hours
        ],
        "calendar": [_calendar_cell(day, words, marks[day.mark]) for day in figures.days],
    } | family_data(figures)


def _points(days: Sequence[tuple[dt.date, Value]]) -> list[dict[str, Any]]:
    there = [None, *[value.messages for _, value in days], None]
    return [
        {"d": date.isoformat(), "m": value.messages, "u": value.users}
        | ({"a": 1} if there[place] is None and there[place + 2] is None else {})
        for place, (date, value) in enumerate(days)
    ]


def _bar_extent(label: dt.date, unit: Period, partial: Collection[dt.date] = ()) -> dict[str, Any]:
    """Return the start and the end (exclusive) of a bar, and whether it is incomplete."""
    return {"d": label.isoformat(), "e": due_on(label, unit).isoformat(), "p": int(label in partial)}


def _partial(figures: Figures) -> set[dt.date]:
    """Return the labels of incomplete bars: some of their days are unknown or outside the range."""
    known = {day.date for day in figures.known_days}
    labels = {date for date, *_ in figures.by_type}
    return {
        label
        for label in labels
        if any(label + dt.timedelta(n) not in known for n in range((due_on(label, figures.unit) - label).days))
    }


def _calendar_cell(day: Day, words: Words, mark: str) -> dict[str, Any]:
    begins = dt.date(day.date.year, 1, 1)
    return {
        "d": day.date.isoformat(),
        "y": day.date.year,
        "c": ((day.date - begins).days + begins.weekday()) // 7,
        "w": words(f"weekday_{day.date.isoweekday()}"),
        "k": mark,
        "n": " ".join(day.endpoints),
    }


def save(figures: Figures, language: str, database: Path, now: dt.datetime, output: Path) -> None:
    """Write the report to `output` atomically; raise `WarehouseError` if it can't be written."""
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with replacing_path(output) as part:
            part.write_text(render(figures, language, database, now), "utf-8")
    except OSError as error:
        raise unwritable(
            output.parent, error, Text("name another file with --output", "用 --output 指定其他文件")
        ) from None


def key_figures(figures: Figures) -> dict[str, float]:
    """Return the newest figures that are stored, by a descriptive name."""
    return {
        f"{name} of the last {key.period.value}": value
        for key in figures.keys
        for name, value in (
            ("users", key.value.users),
            ("messages", key.value.messages),
            ("messages a user", key.value.per_user),
        )
        if value is not None
    }
