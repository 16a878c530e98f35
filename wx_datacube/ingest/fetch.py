"""Fetch: send the windows of a plan within today's quota, beginning with those that show what WeChat accepts.

Add here what is decided before or between the calls of one endpoint. `plan` says what to request, `pool` runs the calls
in parallel.
"""

import datetime as dt
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from wx_datacube.errcodes import BY_ERRCODE
from wx_datacube.errors import NotReady, QuotaExhausted, RequestRefused, TokenRejected, TryAgain, WeChatError
from wx_datacube.ingest.plan import FetchPlan, FetchRequest
from wx_datacube.ingest.pool import FetchPool, Progress, RunContext
from wx_datacube.ingest.windows import Window, plan_windows
from wx_datacube.language import Text
from wx_datacube.warehouse import past_calls
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.warehouse.locks import ProcessSemaphore
from wx_datacube.wechat import QUOTA_CALL, Client

_ASK_QUOTA_ABOVE = 10
"""Up to this many windows are sent without querying the day's quota first; WeChat reports it when it is used up."""


@dataclass(slots=True)
class Fetch:
    """The calls for one request. After `run`, `errors` holds failures by label and `calls` the number of attempts.

    With `manual`, WeChat's quota is queried once if the ledger says that it is used up. `connect` gets `stop_event`.
    """

    request: FetchRequest
    warehouse: Warehouse
    connect: Callable[[threading.Event], Client]
    stop_event: threading.Event
    semaphore: ProcessSemaphore
    concurrency: int
    daily_calls: int | None
    manual: bool
    progress: Callable[[Progress], None]
    notify: Callable[[Text | str], None]
    calls: int = 0
    errors: dict[dt.date, WeChatError] = field(default_factory=dict)

    def run(self, plan: FetchPlan) -> None:
        """Fetch the plan's windows and put the error of each label that isn't answered into `errors`."""
        client = self.connect(self.stop_event)
        try:
            if plan.quota_stop and not self._quota_is_back(client):
                message = BY_ERRCODE[past_calls.QUOTA_USED_UP].message
                stop = QuotaExhausted(message, endpoint=self.request.endpoint.name)
                self.errors.update(dict.fromkeys(plan.asked, stop))
                return
            self._fetch_windows(client, plan)
        except WeChatError as error:  # from querying the quota
            self.errors.update(dict.fromkeys(plan.asked, error))
        finally:
            client.close()

    def _quota_is_back(self, client: Client) -> bool:
        return self.manual and client.quota(self.request.endpoint.name).remain > 0

    def _fetch_windows(self, client: Client, plan: FetchPlan) -> None:
        request = self.request
        pool = FetchPool(
            warehouse=self.warehouse,
            client=client,
            endpoint=request.endpoint,
            context=RunContext(request.run_id, request.account.name, request.refresh is not None),
            now=request.now,
            concurrency=self.concurrency,
            semaphore=self.semaphore,
            stop_event=self.stop_event,
            budget=self._budget(client, plan),
            progress=self.progress,
        )
        try:
            pool.run(self._probe(pool, plan))
            if plan_now := self._plan_of_refused(pool, plan):
                pool.run(self._probe(pool, plan_now))
        finally:
            self.calls = pool.calls
            self.errors |= pool.errors

    def _budget(self, client: Client, plan: FetchPlan) -> int | None:
        """Return the attempts allowed today: what the settings leave and, for larger plans, what WeChat has left."""
        budgets = [] if self.daily_calls is None else [self.daily_calls - plan.calls_today]
        if len(plan.windows) > _ASK_QUOTA_ABOVE:
            name = self.request.endpoint.name
            try:
                budgets.append(client.quota(name).remain)
            except WeChatError as error:
                if error.endpoint != QUOTA_CALL or isinstance(error, TryAgain | TokenRejected):
                    raise  # the statistics calls would fail the same way
                unknown = Text(
                    "{endpoint}: continuing without knowing today's remaining quota. {error}",
                    "{endpoint}：无法得知今天剩余的配额，继续获取。{error}",
                    endpoint=name,
                    error=error.text,
                )
                self.notify(unknown)
        return min(budgets, default=None)

    def _probe(self, pool: FetchPool, plan: FetchPlan) -> list[Window]:
        """Send windows one at a time until it is known what WeChat accepts; return the windows that are left.

        This shows whether WeChat lets calls of the endpoint through at all, and how many days a call may cover.
        """
        endpoint, left, confirmed = self.request.endpoint, list(plan.windows), plan.access_confirmed
        # The last of the spans is certain: every version of WeChat's page allows it.
        shorter = [span for span in endpoint.spans if span < plan.span] if plan.probe else []
        answered: set[dt.date] = set()
        while left and not pool.stopped:
            doubtful = [window for window in left if window.days > shorter[0]] if shorter else []
            if confirmed and not doubtful:
                break
            probe = (doubtful or left)[0]
            left.remove(probe)
            pool.run([probe])
            errors = [pool.errors.get(label) for label in probe.asked]
            answered |= {label for label, error in zip(probe.asked, errors, strict=True) if error is None}
            # An error about the call itself, not about the account, shows that WeChat let the call through.
            confirmed = confirmed or any(
                error is None or isinstance(error, NotReady | RequestRefused) for error in errors
            )
            if probe in doubtful and any(map(_is_out_of_range, errors)):
                span = shorter.pop(0)
                self._notify_of_span(span)
                for label in plan.asked:
                    pool.errors.pop(label, None)
                left = plan_windows(endpoint, set(plan.asked) - answered, span=span)
            elif probe in doubtful and None in errors:
                shorter = []
        return left

    def _plan_of_refused(self, pool: FetchPool, plan: FetchPlan) -> FetchPlan | None:
        """Return a plan of shorter windows for labels whose windows WeChat accepted in the past and now refuses."""
        endpoint = self.request.endpoint
        refused = [label for label in plan.asked if _is_out_of_range(pool.errors.get(label))]
        shorter = [span for span in endpoint.spans if span < plan.span]
        if plan.probe or not refused or not shorter or pool.stopped:
            return None
        self._notify_of_span(shorter[0])
        for label in refused:
            del pool.errors[label]
        windows = plan_windows(endpoint, refused, span=shorter[0])
        return replace(plan, windows=windows, asked=refused, span=shorter[0], probe=len(shorter) > 1)

    def _notify_of_span(self, span: int) -> None:
        most = Text("at most {days} days", "最多 {days} 天", days=span)
        self.notify(
            Text(
                "{endpoint}: WeChat accepts {most} per call; continuing with shorter windows.",
                "{endpoint}：微信一次调用的范围为 {most}，改用更短的日期范围继续。",
                endpoint=self.request.endpoint.name,
                most=self.request.endpoint.period.counted(1) if span == 1 else most,
            )
        )


def _is_out_of_range(error: WeChatError | None) -> bool:
    return isinstance(error, RequestRefused) and error.errcode == past_calls.RANGE_REFUSED
