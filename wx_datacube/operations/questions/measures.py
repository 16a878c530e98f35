"""Measures: the metrics of the dictionary with what they may be asked by, and what decides whether they are known.

Everything follows from the metric's view. Add a view that has a dimension which a metric's own view lacks to
`_ELSEWHERE`, and a word that people use for a metric to `_SYNONYMS`. Nothing here runs a query.
"""

import re
from dataclasses import dataclass, replace
from difflib import get_close_matches

from wx_datacube.catalog.endpoints import BY_NAME
from wx_datacube.catalog.messages import MESSAGES_OF, SENDERS_OF
from wx_datacube.catalog.metrics import METRIC_BY_NAME, METRICS, Additive, Metric
from wx_datacube.catalog.model import Endpoint, Period
from wx_datacube.operations.questions.dates import Refused
from wx_datacube.warehouse.views import VIEWS

_VIEW = {each.name: each for each in VIEWS}
_DIMENSIONS = ("type", "source", "hour", "messages_sent", "notified")
_ELSEWHERE = {
    ("messages", "type"): "messages_daily",
    ("messages", "hour"): "messages_hourly",
    ("senders", "type"): "messages_daily",
    ("senders", "messages_sent"): "senders_daily",
    ("weekly_senders", "messages_sent"): "senders_weekly",
    ("monthly_senders", "messages_sent"): "senders_monthly",
    ("readers", "source"): "reads_by_source_daily",
}
OVER_A_WHOLE = {"senders": {"week": "weekly_senders", "month": "monthly_senders"}}
"""The metrics in which WeChat counts the same people over a whole week or month."""
_SYNONYMS = {
    "open_rate": "delivery_rate",
    "打开率": "delivery_rate",
    "views": "article_readers",
    "subscribers": "followers",
    "涨粉": "net_followers",
    "掉粉": "lost_followers",
    "转发": "sharers",
    "完读率": "finish_rate",
}


@dataclass(frozen=True, slots=True)
class Measure:
    """A metric with the view that it is read from, whose labels are in the column `date`."""

    metric: Metric
    date: str
    period: Period
    dimensions: tuple[str, ...]

    @classmethod
    def of(cls, metric: Metric) -> "Measure":
        """Return the measure of a metric."""
        columns, view = _VIEW[metric.view].columns, metric.view
        period = next((each for each in Period if view.endswith(each.adverb)), Period.DAY)
        dimensions = tuple(each for each in _DIMENSIONS if each in columns)
        return cls(metric, "published_on" if "published_on" in columns else "date", period, dimensions)

    @property
    def name(self) -> str:
        """The metric's name."""
        return self.metric.metric

    @property
    def is_of_articles(self) -> bool:
        """Whether the labels are the days on which articles were published."""
        return self.date == "published_on"

    @property
    def is_of_people(self) -> bool:
        """Whether a value counts each person once, so that values of several labels may be averaged, never added."""
        return self.metric.expression.startswith("avg(") and not self.is_of_articles

    @property
    def is_level(self) -> bool:
        """Whether a value is a level, such as the followers at the end of a day."""
        return self.metric.additive is Additive.NOT_OVER_TIME

    @property
    def adds_up(self) -> bool:
        """Whether values may be added over everything."""
        return self.metric.additive is Additive.YES

    @property
    def empty(self) -> int | None:
        """The value of a label for which WeChat has nothing."""
        return 0 if self.adds_up or self.is_of_people else None

    @property
    def keys(self) -> list[str]:
        """Everything that the metric may be asked by."""
        times = {Period.DAY: ["day", "week", "month"], Period.WEEK: ["week"], Period.MONTH: ["month"]}[self.period]
        total = [] if self.is_of_people or self.is_level else ["total"]
        mean = ["mean"] if self.is_of_people or self.is_level or (self.adds_up and not self.is_of_articles) else []
        more = [dimension for name, dimension in _ELSEWHERE if name == self.name and dimension not in self.dimensions]
        return [*times, *total, *mean, "account", *self.dimensions, *more]

    @property
    def endpoints(self) -> list[Endpoint]:
        """The endpoints whose labels decide whether a value is known."""
        read = dict.fromkeys(re.findall(r"\bdatacube\.(get[a-z]+)", _VIEW[self.metric.view].select))
        if self.metric.view.startswith("totals_"):  # each of its two columns comes from one endpoint
            for column, endpoints in (("messages", MESSAGES_OF), ("users", SENDERS_OF)):
                if not re.search(rf"\b{column}\b", self.metric.expression):
                    del read[endpoints[self.period].name]
        return [BY_NAME[name] for name in read]

    def split_by(self, dimension: str) -> "Measure":
        """Return the metric from a view that has the dimension; raise `Refused`."""
        if dimension in ("account", *self.dimensions):
            return self
        if view := _ELSEWHERE.get((self.name, dimension)):
            return Measure.of(replace(self.metric, view=view))
        raise Refused(
            f"{self.name} can't be split by {dimension[:40]!r}.", advice=f"`by` may be: {', '.join(self.keys)}."
        )


def measure_named(name: str) -> Measure:
    """Return the metric of that name; raise `Refused` with similar ones."""
    word = "_".join(name.lower().split())
    if metric := METRIC_BY_NAME.get(word):
        return Measure.of(metric)
    like = [_SYNONYMS[word]] if word in _SYNONYMS else []
    like += [each.metric for each in METRICS if word and word in each.description_zh]
    like += get_close_matches(word, list(METRIC_BY_NAME), 5, 0.4)
    similar = f"Similar: {', '.join(dict.fromkeys(like))}. " if like else ""
    raise Refused(f"There is no metric {name[:60]!r}.", advice=f"{similar}list_metrics lists them all.")
