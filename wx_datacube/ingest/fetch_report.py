"""Fetch report: the outcome of a fetch for each label, and the reason for each label that is not resolved.

Add here what callers need to know about the labels they requested. Nothing here makes a call or opens a file. The
texts of WeChat's own errors belong in `errors`.
"""

import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from wx_datacube.catalog.model import Endpoint
from wx_datacube.catalog.periods import settled_at
from wx_datacube.errors import NotReady, UnexpectedAnswer, WeChatError
from wx_datacube.ingest.plan import FetchRequest
from wx_datacube.language import Text, joined
from wx_datacube.warehouse import coverage as known
from wx_datacube.warehouse.connections import Connection
from wx_datacube.warehouse.coverage import Coverage, State


@dataclass(frozen=True, slots=True)
class LabelReport:
    """The outcome of one label.

    `error` says why it is missing, or why a refresh could not request it again.
    """

    coverage: Coverage
    error: WeChatError | None = None

    @property
    def label(self) -> dt.date:
        """The day, the Monday of the week, or the 1st of the month."""
        return self.coverage.label

    @property
    def is_stored(self) -> bool:
        """Whether the label is landed, empty or implied."""
        return self.coverage.state is not State.MISSING


@dataclass(frozen=True, slots=True)
class FetchReport:
    """The outcome of all labels requested, oldest first.

    `calls` counts attempts, each of which costs quota. `changed` holds the labels for which this run's calls brought
    figures that were not stored before.
    """

    endpoint: Endpoint
    labels: tuple[LabelReport, ...]
    calls: int = 0
    changed: frozenset[dt.date] = frozenset()

    @classmethod
    def of(
        cls,
        con: Connection,
        request: FetchRequest,
        waiting_for_days: Mapping[dt.date, WeChatError],
        turns: Collection[dt.date],
        errors: Mapping[dt.date, WeChatError],
        calls: int,
    ) -> "FetchReport":
        """Return the state of every label as stored, with the reason for each that is missing.

        `errors` are those of this run's calls, by label. `waiting_for_days` holds the labels that were not requested,
        `turns` the stored labels that were requested because they are open.
        """
        account, endpoint = request.account, request.endpoint
        found = known.coverage(con, account, endpoint, request.labels, request.now)
        rejected = known.labels_with_rejected_rows(con, account.name, endpoint, request.labels)
        due = {coverage.label for coverage in found}
        found += [Coverage(label, State.MISSING) for label in request.labels if label not in due]
        reports = []
        for coverage in sorted(found, key=lambda coverage: coverage.label):
            label, missing = coverage.label, coverage.state is State.MISSING
            to_refresh = request.refresh is not None and label in request.refresh.labels
            error = None
            if label in waiting_for_days and (to_refresh or missing):
                error = waiting_for_days[label]
            elif label in errors and (to_refresh or request.single or missing or label in turns):
                error = errors[label]
            elif missing:
                error = _why_missing(request, label, label in rejected)
            reports.append(LabelReport(coverage, error))
        changed = known.labels_brought_by(con, account.name, endpoint, request.run_id) if calls else frozenset()
        return cls(endpoint, tuple(reports), calls, changed.intersection(request.labels))

    @property
    def unresolved(self) -> tuple[LabelReport, ...]:
        """The labels that are missing, or that a refresh should have requested again and did not."""
        return tuple(report for report in self.labels if report.error is not None)

    @property
    def errors(self) -> tuple[WeChatError, ...]:
        """The distinct reasons why labels are unresolved, most frequent first."""
        reasons: dict[tuple[str, int | None], list[WeChatError]] = {}
        for report in self.unresolved:
            if error := report.error:
                reasons.setdefault((str(error.message), error.errcode), []).append(error)
        return tuple(found[0] for found in sorted(reasons.values(), key=len, reverse=True))


def _why_missing(request: FetchRequest, label: dt.date, rejected: bool) -> WeChatError:
    """Return why a label is missing although no call for it failed; `rejected` if its answer had invalid rows."""
    name = request.endpoint.name
    if rejected:
        return UnexpectedAnswer(
            Text(
                "WeChat's answer for {label} contains invalid rows; they are in datacube.rejected_rows.",
                "微信返回的 {label} 数据中有无效行，已剔除到 datacube.rejected_rows。",
                label=label,
            ),
            advice=_REQUESTED_AGAIN,
            endpoint=name,
        )
    if request.now < settled_at(label, request.endpoint.period):
        advice = Text(
            "Figures come after 08:00 and by noon Beijing time: run the same command again later today.",
            "数据在北京时间 8 点之后、最迟中午 12 点更新，请稍后再次运行同一命令。",
        )
    elif request.endpoint.has_delay:
        why = Text("It says that its figures are delayed.", "微信说明数据有延迟。")
        advice = joined([why, _REQUESTED_AGAIN])
    else:
        why = Text("Its days have figures, so an empty answer is wrong.", "对应日期有数据，因此空的返回内容有误。")
        advice = joined([why, _REQUESTED_AGAIN])
    which = request.endpoint.period.named(label)
    message = Text("WeChat has not published {label} yet.", "微信尚未发布数据：{label}。", label=which)
    return NotReady(message, advice=advice, endpoint=name)


_REQUESTED_AGAIN = Text("A later run requests it again.", "之后的运行会再次请求。")
