"""A simulated month: schedules, the checks of 12:35 and `status`, each morning, while WeChat fails in various ways.

Every morning states what happens, which alerts are sent when, and whether `status` needs a person after noon. Add a
morning for every situation that a user has met in production. `pytest -s` prints the month as a table.
"""

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
import pytest

from wx_datacube.catalog.messages import ENDPOINTS
from wx_datacube.catalog.model import Period
from wx_datacube.catalog.periods import BEIJING
from wx_datacube.config.settings import Account
from wx_datacube.definitions import build_defs
from wx_datacube.emulator.testing import Emulated, wechat
from wx_datacube.operations.status import read_status
from wx_datacube.orchestration.assets import resource_key
from wx_datacube.orchestration.event_log import BatchedSqliteEventLogStorage
from wx_datacube.warehouse.checks import RemedyAction, check_context_of_readers, checks_of, labels_to_refresh, run_check
from wx_datacube.warehouse.coverage import State, states
from wx_datacube_tests.dagster_environment import HOURS, QUIET_RUN_CONFIG, SENDERS, DagsterEnv, asset_key, dagster_env
from wx_datacube_tests.receiver import Receiver, receiving
from wx_datacube_tests.same_clock import ByTheSameClock

START, FIRST = dt.date(2024, 5, 1), dt.date(2024, 6, 3)
TICKS = [dt.time(hour, 30) for hour in (8, 10, 12)]
CHECKS, LOOK = dt.time(12, 35), dt.time(12, 40)
PERSON, TOMORROW, LATER, NOTE = "需要您处理", "等到明天，无需处理", "稍后自动重试", "供您参考"
PUBLISHED = dt.time(8)


@dataclass
class Month:
    """The account, the chat, and the clock that Dagster and WeChat share."""

    it: DagsterEnv
    emulated: Emulated
    receiver: Receiver
    now: dt.datetime = dt.datetime.min
    defs: dg.Definitions = field(init=False)

    def __post_init__(self) -> None:
        ours = {resource_key("default"): ByTheSameClock(account="default")}
        self.defs = build_defs(clock=lambda: self.now, resources=ours)

    def set(self, moment: dt.datetime) -> None:
        """Set the time, for WeChat too."""
        self.now = moment
        self.emulated.control.set_clock(moment, frozen=True)


@dataclass(frozen=True)
class Morning:
    """A morning: what happens, which alerts are sent (time, heading, words), and whether `status` exits with 1.

    `begins` runs before the first tick, `at_ten` between the first two. With `off`, the machine is off that morning.
    """

    what: str
    begins: Callable[[Month], object] = lambda month: None
    at_ten: Callable[[Month], object] = lambda month: None
    told: tuple[tuple[str, str, str], ...] = ()
    person: bool = False
    off: bool = False


def wechat_is(**options: object) -> Callable[[Month], None]:
    """Set options of the emulator."""
    return lambda month: month.emulated.control.set(**options)


def fails(target: str, answer: str) -> Callable[[Month], None]:
    """Make all calls of a target fail."""
    return lambda month: month.emulated.control.fault(target, answer)


def recovers(month: Month) -> None:
    """Clear all faults and restore the defaults."""
    month.emulated.control.clear_faults()
    month.emulated.control.set(denied=[], whitelist=[], quota=1000, publish_at=PUBLISHED, refuse_unpublished=False)
    month.receiver.status = 200


def restates(*days: int) -> Callable[[Month], None]:
    """Let WeChat change the figures of these days of June."""

    def act(month: Month) -> None:
        for day in days:
            month.emulated.control.restate(dt.date(2024, 6, day), factor=3)

    return act


def uses_quota_up(month: Month) -> None:
    """Let another program use up today's quota of every endpoint."""
    for endpoint in ENDPOINTS:
        month.emulated.control.use_quota(endpoint.name, 1000)


def chat_answers(status: int) -> Callable[[Month], None]:
    """Set the HTTP status with which the webhook responds."""

    def act(month: Month) -> None:
        month.receiver.status = status

    return act


def heals(month: Month) -> None:
    """Refresh the labels that the checks flag, by Dagster runs.

    This does what `heal` does, but `heal` uses the machine's clock.
    """
    account = month.it.settings.account()
    with check_context_of_readers(month.it.warehouse, account, list(ENDPOINTS)) as check_context:
        found = [
            finding
            for endpoint in ENDPOINTS
            for check in checks_of(endpoint)
            if check.remedy.action is RemedyAction.REFRESH
            for finding in run_check(check, check_context, endpoint)
        ]
    for endpoint, labels in sorted(labels_to_refresh(found).items(), key=lambda each: ENDPOINTS.index(each[0])):
        for label in sorted(labels):
            tags = {f"dagster/asset_partition_range_{end}": label.isoformat() for end in ("start", "end")}
            config = {"ops": {f"default__{endpoint.name}": {"config": {"refresh": True}}}}
            run(month, endpoint.period, [asset_key(endpoint)], tags, config)


def several(*acts: Callable[[Month], object]) -> Callable[[Month], None]:
    """Run several acts in order."""

    def act(month: Month) -> None:
        for each in acts:
            each(month)

    return act


MORNING_CRON = (
    Morning("an ordinary Monday"),
    Morning("figures come at 11:00", wechat_is(publish_at="11:00", refuse_unpublished=True)),
    Morning(
        "figures come at 14:00; until then WeChat says that there was nothing",
        wechat_is(publish_at="14:00", refuse_unpublished=False),
        told=(("12:35", NOTE, "2024-06-04"),),
    ),
    Morning("all figures are available", recovers),
    Morning(
        "figures come at 14:00; until then WeChat refuses them",
        wechat_is(publish_at="14:00", refuse_unpublished=True),
        told=(("12:35", PERSON, "61503"),),
        person=True,
    ),
    Morning("all figures are available", recovers),
    Morning(
        "nothing gets through to the host",
        fails("all", "drop"),
        told=(("08:30", LATER, "closed the connection"), ("12:35", PERSON, "2024-06-08")),
        person=True,
    ),
    Morning("still nothing", told=(("12:35", PERSON, "2024-06-08 … 2024-06-09"),), person=True),
    Morning("the host is back", recovers),
    Morning("another program uses the quota up", uses_quota_up, told=(("08:30", TOMORROW, "45009"),)),
    Morning("it uses the quota up again", uses_quota_up, told=(("12:35", PERSON, "2024-06-11"),), person=True),
    Morning("no other program uses the quota"),
    Morning(
        "the machine's address left the whitelist",
        wechat_is(whitelist=["198.51.100.7"]),
        told=(("08:30", PERSON, "40164"), ("12:35", PERSON, "2024-06-14")),
        person=True,
    ),
    Morning(
        "the address was added again at ten, but doctor was not run",
        at_ten=recovers,
        told=(("12:35", PERSON, "2024-06-14 … 2024-06-15"),),
        person=True,
    ),
    Morning(
        "the right to read hours is taken away",
        wechat_is(denied=[HOURS.name]),
        told=(("08:30", PERSON, "48001"), ("12:35", PERSON, HOURS.name)),
        person=True,
    ),
    Morning(
        "the right to read distributions is taken away too",
        wechat_is(denied=[HOURS.name, SENDERS.name]),
        told=(("08:30", PERSON, SENDERS.name), ("12:35", PERSON, SENDERS.name)),
        person=True,
    ),
    Morning("both are granted again", recovers),
    Morning("the machine is off", person=True, off=True),
    Morning("the machine is off", person=True, off=True),
    Morning("the machine is off", person=True, off=True),
    Morning("it is on again"),
    Morning("a day was restated", restates(21), told=(("12:35", PERSON, "figures_were_not_revised"),), person=True),
    Morning("another one too", restates(19), told=(("12:35", PERSON, "figures_were_not_revised"),), person=True),
    Morning(
        "the right to read hours is taken away while the chat is down",
        several(wechat_is(denied=[HOURS.name]), chat_answers(500)),
        at_ten=chat_answers(200),
        told=(("10:30", PERSON, "48001"), ("12:35", PERSON, HOURS.name)),
        person=True,
    ),
    Morning("it is granted again", recovers, person=True),
    Morning(
        "another program revokes the tokens",
        lambda month: month.emulated.control.revoke_tokens(sticky=True),
        person=True,
    ),
    Morning("the labels that checks flag are requested again", heals),
    Morning("an ordinary Sunday"),
)


@pytest.fixture
def month(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Month]:
    """Provide an account whose history begins five weeks before the first morning."""
    home = tmp_path / "instance"
    home.mkdir()
    ours = {"module": BatchedSqliteEventLogStorage.__module__, "class": BatchedSqliteEventLogStorage.__name__}
    storage = ours | {"config": {"base_dir": str(home / "events")}}
    with (
        wechat(silent_share=0, clock="2024-06-03T08:00", frozen=True) as emulated,
        receiving() as receiver,
        dg.DagsterInstance.local_temp(str(home), overrides={"event_log_storage": storage}) as instance,
        dagster_env(tmp_path, monkeypatch, instance) as it,
    ):
        it.use(emulated, START=START, WEBHOOK=receiver.url())
        yield Month(it, emulated, receiver)


@dataclass
class Played:
    """The result of a morning: the alerts, how `status` ended, and the number of calls."""

    told: list[tuple[str, str]] = field(default_factory=list)
    person: bool = False
    words: list[str] = field(default_factory=list)
    calls: int = 0


def play(month: Month, morning: Morning, day: dt.date) -> Played:
    """Play a morning, tick by tick."""
    played, before = Played(), len(month.emulated.control.statistics_calls())
    month.set(dt.datetime.combine(day, dt.time(8, 15)))
    morning.begins(month)
    for time in () if morning.off else TICKS:
        if time == dt.time(10, 30):
            morning.at_ten(month)
        month.set(dt.datetime.combine(day, time))
        for period in Period:
            tick(month, period)
        played.told += heard(month)
    month.set(dt.datetime.combine(day, CHECKS))
    if not morning.off:
        job = month.defs.resolve_job_def("default_checks")
        assert job.execute_in_process(
            instance=month.it.instance, run_config=QUIET_RUN_CONFIG, raise_on_error=False
        ).success
        played.told += heard(month)
    month.set(dt.datetime.combine(day, LOOK))
    (status,) = read_status(month.it.settings, month.it.settings.accounts, lambda: month.now)
    played.person, played.words = bool([*map(str, status.needs_person)]), [*map(str, status.needs_person)]
    played.calls = len(month.emulated.control.statistics_calls()) - before
    return played


def tick(month: Month, period: Period) -> None:
    """Evaluate a schedule, as the daemon does, and run what it requests."""
    schedule = month.defs.resolve_schedule_def(f"default_{period.adverb}")
    moment = month.now.replace(tzinfo=BEIJING)
    with dg.build_schedule_context(instance=month.it.instance, scheduled_execution_time=moment) as context:
        requests = schedule.evaluate_tick(context).run_requests or ()
    for request in requests:
        run(month, period, list(request.asset_selection or ()), dict(request.tags))


def run(
    month: Month, period: Period, keys: list[dg.AssetKey], tags: dict[str, str], config: dict[str, object] | None = None
) -> None:
    """Run assets with a period's job over the range in the tags."""
    month.defs.resolve_job_def(f"default_{period.adverb}").execute_in_process(
        instance=month.it.instance,
        asset_selection=keys,
        tags=tags,
        run_config=QUIET_RUN_CONFIG | (config or {}),
        raise_on_error=False,
    )


def heard(month: Month) -> list[tuple[str, str]]:
    """Return the messages that the chat accepted since the last call, with the time."""
    found = [(f"{month.now:%H:%M}", text) for text in month.receiver.texts] if month.receiver.status == 200 else []
    month.receiver.got.clear()
    return found


@pytest.mark.long
def test_every_morning_sends_the_right_alerts(month: Month) -> None:
    """Every morning sends the right alerts, `status` agrees with them, and in the end nothing is missing."""
    month.set(dt.datetime.combine(FIRST - dt.timedelta(days=1), dt.time(15)))
    for period in Period:
        tick(month, period)
    assert heard(month) == []
    wrong = []
    for number, morning in enumerate(MORNING_CRON):
        day = FIRST + dt.timedelta(days=number)
        played = play(month, morning, day)
        told = "; ".join(f"{time} {text}" for time, text in played.told)
        print(f"{day:%m-%d} | {morning.what} | {told or '-'} | {played.words or 'exit 0'} | {played.calls} calls")
        if problem := _problem(morning, played):
            wrong.append(f"{day} {morning.what}: {problem}")
    assert wrong == []
    _assert_that_all_is_there(month)


def _assert_that_all_is_there(month: Month) -> None:
    """Assert that no label is missing in the file and that Dagster shows all labels as materialized."""
    with month.it.warehouse.open_published() as con:
        found = states(con, Account("default", start=START), month.now)
    for endpoint in ENDPOINTS:
        assert State.MISSING not in found[endpoint.name].values()
        assert month.it.materialized(endpoint) == set(found[endpoint.name])


def _problem(morning: Morning, played: Played) -> str:
    """Return what differs from the expected alerts and status; empty if nothing does."""
    expected = list(morning.told)
    if len(expected) != len(played.told) or any(
        time != when or heading not in text or words not in text
        for (when, heading, words), (time, text) in zip(expected, played.told, strict=True)
    ):
        return f"told {played.told}, expected {expected}"
    return "" if played.person == morning.person else f"status says {played.words}"
