"""The WeChat client: it retries where that helps and only there, and records each attempt in the journal.

Add a test here when an errcode, a token rule or a limit on retries changes. Bodies are interpreted in
`test_answers.py`, and the wire is tested in `test_transport.py`.
"""

import datetime as dt
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from wx_datacube.config.settings import Account, Secret
from wx_datacube.errcodes import BY_ERRCODE
from wx_datacube.errors import (
    TOKEN_CALLS,
    HostDown,
    NeedsPerson,
    NotReady,
    QuotaExhausted,
    RateLimited,
    RequestRefused,
    SettingsError,
    TokenRejected,
    TryAgain,
    UnexpectedAnswer,
    WeChatError,
)
from wx_datacube.language import text_of
from wx_datacube.wechat import Client, Quota
from wx_datacube.wechat.retry import CircuitBreaker, Limits
from wx_datacube.wechat.transport import Bounds
from wx_datacube_tests.wechat_stand_in import (
    APPID,
    DAY,
    NOON,
    SECRET,
    TOKEN,
    Ledger,
    RawAnswer,
    Request,
    StandIn,
    Time,
    client,
    errcode,
    http,
    rows,
    token,
    wechat,
)

PATH = "/datacube/getupstreammsg"
RETRIED = (TryAgain, RateLimited, TokenRejected)


def ask(it: Client, ledger: Ledger | None = None) -> object:
    """Make one call, for a week of days."""
    return it.fetch("getupstreammsg", DAY, DAY + dt.timedelta(6), ledger or Ledger())


def failure(it: Client, ledger: Ledger | None = None) -> WeChatError:
    """Return the error of one call."""
    with pytest.raises(WeChatError) as caught:
        ask(it, ledger)
    return caught.value


class TestOneCall:
    """Single calls."""

    def test_a_call_is_a_post_with_a_token_and_two_dates(self) -> None:
        """A call is a POST with the token in the query and two dates in a JSON body."""
        with wechat(rows()) as server, client(server.url) as it:
            ask(it)

        fetch, call = server.requests
        assert (fetch.method, fetch.target) == ("POST", "/cgi-bin/stable_token")
        assert fetch.json() == {
            "grant_type": "client_credential",
            "appid": APPID,
            "secret": SECRET,
            "force_refresh": False,
        }
        assert (call.method, call.target) == ("POST", f"{PATH}?access_token={TOKEN}")
        assert call.json() == {"begin_date": "2026-11-01", "end_date": "2026-11-07"}
        assert call.headers["content-type"] == "application/json"

    def test_an_answer_is_returned_and_recorded_as_received(self) -> None:
        """The attempt returned is the one recorded, with the body as received."""
        body = '{ "list": [{"ref_date":"2026-11-01","msg_user":1.50, "neu": "字"}] }'
        ledger = Ledger()
        with wechat(http(body)) as server, client(server.url) as it:
            answer = it.fetch("getupstreammsg", DAY, DAY, ledger)

        assert ledger.answers == [answer]
        assert answer.ok
        assert answer.response == body
        assert answer.requested_at == NOON
        assert (answer.http_status, answer.errcode, answer.errmsg, answer.rid) == (200, None, None, None)
        assert 0 <= answer.elapsed_ms < 10_000

    def test_every_attempt_is_permitted_and_recorded(self) -> None:
        """Each attempt, failed ones too, is permitted before and recorded after."""
        ledger = Ledger()
        with wechat(errcode(-1), http("", 502), rows()) as server, client(server.url) as it:
            ask(it, ledger)

        assert ledger.permitted == 3
        assert [(each.http_status, each.errcode, each.ok) for each in ledger.answers] == [
            (200, -1, False),
            (502, None, False),
            (200, None, True),
        ]
        assert ledger.answers[0].rid == "608a6564-495fb669-6d56d31b"
        assert str(ledger.answers[1].errmsg).endswith(" (not WeChat) failed with HTTP 502.")

    def test_a_journal_that_refuses_ends_the_call(self) -> None:
        """The journal may refuse any attempt, for a limit of our own or a stop, which ends the call."""

        class Refusing(Ledger):
            def permit(self) -> None:
                if self.answers:
                    raise QuotaExhausted("Enough for today.")

        ledger = Refusing()
        with wechat(errcode(-1)) as server, client(server.url) as it:
            assert type(failure(it, ledger)) is QuotaExhausted
        assert len(server.asked(PATH)) == 1

    def test_the_quota_of_an_endpoint_can_be_queried(self) -> None:
        """Querying the quota is no statistics call, and its answer has errcode 0."""
        answer = {"errcode": 0, "errmsg": "ok", "quota": {"daily_limit": 1000, "used": 3, "remain": 997}}
        with wechat(errcode(-1), http(answer)) as server, client(server.url) as it:
            assert it.quota("getupstreammsg") == Quota(1000, 3, 997)
        assert server.requests[-1].path == "/cgi-bin/openapi/quota/get"
        assert server.requests[-1].json() == {"cgi_path": PATH}

    @pytest.mark.parametrize("quota", [{}, {"daily_limit": "a", "used": 1, "remain": 1}, []])
    def test_a_quota_without_numbers_is_unexpected(self, quota: object) -> None:
        """An answer without valid numbers raises `UnexpectedAnswer`, never `KeyError`."""
        answer = http({"errcode": 0, "quota": quota})
        with wechat(answer) as server, client(server.url) as it, pytest.raises(UnexpectedAnswer) as caught:
            it.quota("getupstreammsg")
        assert "api_calls" not in str(caught.value)

    @pytest.mark.parametrize("answer", [errcode(4711), http("<html>"), http("[]"), http("", 403), http({})])
    def test_only_the_error_of_a_statistics_call_says_that_the_answer_is_stored(self, answer: bytes) -> None:
        """Only a statistics call's error says that the answer is in the ledger.

        The answers of the quota call, of `stable_token` and of a token server aren't stored.
        """
        with wechat(answer) as server, client(server.url) as it:
            assert "stored in datacube.api_calls" in str(failure(it))
            with pytest.raises(UnexpectedAnswer) as caught:
                it.quota("getupstreammsg")
        others = [str(caught.value)]
        with StandIn(lambda _: answer) as server, client(server.url) as it:
            others.append(str(failure(it)))
        with StandIn(lambda _: answer) as central, client(central.url, token_url=central.url) as it:
            others.append(str(failure(it)))

        assert [said.split(":")[0] for said in others] == ["quota/get", "stable_token", "token server"]
        assert [said for said in others if "kept" in said or "api_calls" in said] == []

    def test_missing_credentials_are_an_error_before_any_call(self) -> None:
        """Missing credentials are a `SettingsError` that names the variable, and no call is made."""
        with wechat(rows()) as server, client(server.url, secret=None) as it:
            with pytest.raises(SettingsError, match="WX_DATACUBE_SECRET"):
                ask(it)
            with pytest.raises(SettingsError, match="WX_DATACUBE_SHOP_SECRET"):
                Client.of(Account("shop", "wx1", single=False), server.url)
        assert not server.requests

    def test_a_client_can_be_made_for_an_account(self) -> None:
        """`Client.of` creates a client from an account's settings."""
        with wechat(rows()) as server, Client.of(Account("shop", APPID, Secret(SECRET)), server.url) as it:
            it.check_credentials()
            ask(it)
        assert len(server.requests) == 2


class TestRetry:
    """Which errors are retried, and how often."""

    @pytest.mark.parametrize("code", [code for code, each in BY_ERRCODE.items() if not issubclass(each.kind, RETRIED)])
    def test_errors_that_a_retry_cannot_help_are_not_retried(self, code: int) -> None:
        """An error that a retry can't help costs one call and no wait."""
        time = Time()
        with wechat(errcode(code)) as server, client(server.url, time) as it:
            error = failure(it)

        assert type(error) is BY_ERRCODE[code].kind
        assert (error.errcode, error.rid) == (code, "608a6564-495fb669-6d56d31b")
        assert error.endpoint == "getupstreammsg"
        assert len(server.asked(PATH)) == 1
        assert time.slept == []

    def test_a_busy_error_is_tried_four_times(self) -> None:
        """ "System busy" is tried four times in all, with growing waits."""
        time, ledger = Time(), Ledger()
        with wechat(errcode(-1)) as server, client(server.url, time) as it:
            error = failure(it, ledger)

        assert type(error) is TryAgain
        assert time.slept == [1, 2, 4]
        assert len(server.asked(PATH)) == len(ledger.answers) == 4
        assert str(error).endswith("[errcode -1, rid 608a6564-495fb669-6d56d31b, 4 attempts]")

    @pytest.mark.parametrize("answer", [http("", 500), http("x", 503), errcode(-1), errcode("-1"), http('{"list":[')])
    def test_transient_errors_are_retried(self, answer: bytes) -> None:
        """An error that may pass is retried, and the call succeeds."""
        with wechat(answer, rows()) as server, client(server.url) as it:
            ask(it)
        assert len(server.asked(PATH)) == 2

    def test_a_rate_limited_call_waits_for_the_next_minute(self) -> None:
        """After 45011 the client waits until just after the minute: from 12:00:20, 40.5 s."""
        time = Time(NOON + dt.timedelta(seconds=20))
        with wechat(errcode(45011), rows()) as server, client(server.url, time) as it:
            ask(it)
        assert time.slept == [40.5]

    def test_a_rate_limited_call_fails_after_three_waits(self) -> None:
        """After three waits for the rate limit the call fails."""
        time = Time()
        with wechat(errcode(45011)) as server, client(server.url, time) as it:
            error = failure(it)

        assert type(error) is RateLimited
        assert len(time.slept) == 3
        assert len(server.asked(PATH)) == 4

    def test_all_threads_wait_for_a_rate_limit_that_one_of_them_met(self) -> None:
        """All calls of the account wait for a rate limit that one of them met."""
        time, waiting, go_on = Time(), threading.Semaphore(0), threading.Event()

        def wait(seconds: float) -> None:
            waiting.release()
            assert go_on.wait(10)
            time.sleep(seconds)

        with (
            wechat(errcode(45011), rows()) as server,
            client(server.url, time, sleep=wait) as it,
            ThreadPoolExecutor(2) as pool,
        ):
            it.check_credentials()
            time.now += dt.timedelta(seconds=10)
            limited = pool.submit(ask, it)
            assert waiting.acquire(timeout=10)
            other = pool.submit(ask, it)
            assert waiting.acquire(timeout=10)
            assert len(server.asked(PATH)) == 1
            go_on.set()
            limited.result(10)
            other.result(10)
        assert time.slept == [50.5, 50.5]

    def test_61503_raises_not_ready(self) -> None:
        """61503 is neither an empty answer nor a fault, but `NotReady`."""
        with wechat(errcode(61503)) as server, client(server.url) as it:
            assert type(failure(it)) is NotReady

    def test_a_refused_window_keeps_its_code(self) -> None:
        """The error of a refused window has its errcode, so that the caller can split the window on 61501."""
        with wechat(errcode(61501)) as server, client(server.url) as it:
            error = failure(it)
        assert type(error) is RequestRefused
        assert error.errcode == 61501

    def test_the_error_of_a_used_up_quota_names_its_endpoint(self) -> None:
        """The error of a used-up quota names the endpoint, so that callers stop only that one."""
        with wechat(errcode(45009)) as server, client(server.url) as it:
            error = failure(it)
        assert isinstance(error, QuotaExhausted)
        assert error.endpoint not in TOKEN_CALLS


class TestDeadHost:
    """A host that can't be reached ends the run within a minute."""

    def test_a_host_that_refuses_is_down_within_a_minute(self) -> None:
        """Calls to a host that refuses connections end in `HostDown` within a minute; no attempt follows."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            url = f"http://127.0.0.1:{free.getsockname()[1]}"
        time = Time()
        with client(url, time) as it:
            errors = [failure(it) for _ in range(12)]

        assert type(errors[0]) is TryAgain
        assert type(errors[-1]) is HostDown
        first = next(n for n, error in enumerate(errors) if type(error) is HostDown)
        assert all(type(error) is HostDown for error in errors[first:])
        assert 40 < (time() - NOON).total_seconds() < 60
        assert "connection is refused" in str(errors[-1])
        assert "Check the network" in str(errors[-1])

    def test_a_host_that_hangs_is_down_within_a_minute(self) -> None:
        """Calls that time out end in `HostDown` within a minute too; the test's clock simulates their duration."""
        time = Time()

        def hang(connection: socket.socket) -> None:
            time.sleep(10)  # the attempt's simulated duration
            connection.recv(1)

        with StandIn(lambda _: hang) as server, client(server.url, time, bounds=Bounds(read=0.05)) as it:
            error = failure(it)

        assert type(error) is HostDown
        assert (time() - NOON).total_seconds() < 60

    def test_a_host_that_answers_now_and_then_is_not_down(self) -> None:
        """A host that answers now and then is not down."""
        time = Time()
        answers = [errcode(-1), errcode(-1), errcode(-1), rows()] * 20
        with wechat(*answers) as server, client(server.url, time) as it:
            for _ in range(20):
                ask(it)
        assert (time() - NOON).total_seconds() > 60

    def test_a_host_that_was_down_long_ago_gets_another_chance(self) -> None:
        """Failures that are long apart don't count, as a client may outlive an outage."""
        time = Time()
        with wechat(*[errcode(-1)] * 40, rows()) as server, client(server.url, time) as it:
            while type(failure(it)) is not HostDown:
                pass
            time.now += dt.timedelta(minutes=6)
            left = 40 - len(server.asked(PATH))
            for _ in range(left // 4):
                time.now += dt.timedelta(minutes=6)
                assert type(failure(it)) is TryAgain
            ask(it)

    def test_a_dead_host_leaves_an_attempt_less_time(self) -> None:
        """An attempt's timeout shrinks, so that the last one ends within the minute."""
        time = Time()
        watch = CircuitBreaker(text_of("WeChat"), time.seconds, Limits())
        assert watch.seconds_left() == 58
        watch.note(time.seconds(), TryAgain("Busy."))
        time.now += dt.timedelta(seconds=39)
        watch.check()
        assert watch.seconds_left() == 19

    def test_suspending_the_machine_does_not_count_as_an_outage(self) -> None:
        """Suspending the machine during an attempt doesn't count as an outage.

        The wall clock advances by hours, while the clock that measures attempts stops.
        """
        time = Time()

        def sleep_over(connection: socket.socket) -> None:
            time.now += dt.timedelta(hours=8)

        with wechat(sleep_over, rows()) as server, client(server.url, time, stopwatch=lambda: 7.0) as it:
            ask(it)
            assert len(server.asked(PATH)) == 2


class Account40001:
    """A WeChat whose tokens can be stolen: `steal()` invalidates all tokens issued so far."""

    def __init__(self, *, ours_again: bool = False) -> None:
        self.lock = threading.Lock()
        self.given = 0
        self.stolen = 0
        self.ours_again = ours_again

    def steal(self) -> None:
        """Act as another program that replaces the token."""
        self.stolen = self.given

    def __call__(self, request: Request) -> RawAnswer:
        """Answer with numbered tokens that are valid until stolen."""
        with self.lock:
            if request.path == "/cgi-bin/stable_token":
                fresh = self.given == self.stolen and (not self.ours_again or self.given == 0)
                if fresh or request.json()["force_refresh"]:
                    self.given += 1
                return token(f"{TOKEN}{self.given}")
            return rows() if request.token > f"{TOKEN}{self.stolen}" else errcode(40001)


class TestTokens:
    """One token for all threads, and one reaction to a rejected token."""

    def test_one_token_serves_all_threads(self) -> None:
        """Eight threads that need a token at the same time fetch one."""
        with StandIn(Account40001()) as server, client(server.url) as it, ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: ask(it), range(40)))
        assert len(server.asked("/cgi-bin/stable_token")) == 1

    def test_a_stolen_token_is_replaced_once(self) -> None:
        """However many threads meet the rejection, the client fetches one new token."""
        account = Account40001()
        barrier = threading.Barrier(8)
        with StandIn(account) as server, client(server.url) as it, ThreadPoolExecutor(8) as pool:
            it.check_credentials()
            account.steal()

            def work(_: int) -> None:
                barrier.wait()
                ask(it)

            list(pool.map(work, range(8)))
        assert len(server.asked("/cgi-bin/stable_token")) == 2

    def test_a_rejected_token_that_is_returned_again_is_replaced_by_force(self) -> None:
        """If WeChat returns the rejected token again, one forced call follows, not a loop."""
        account = Account40001(ours_again=True)
        with StandIn(account) as server, client(server.url) as it:
            ask(it)
            account.steal()
            ask(it)
        asked = [request.json()["force_refresh"] for request in server.asked("/cgi-bin/stable_token")]
        assert asked == [False, False, True]

    @pytest.mark.parametrize("code", [40001, 40014, 42001])
    def test_a_call_fails_after_its_second_rejected_token(self, code: int) -> None:
        """A rejected token leads to a new token and one more call; then the call fails.

        A popular SDK has made 137 token fetches in this situation.
        """
        time, ledger = Time(), Ledger()
        with wechat(errcode(code)) as server, client(server.url, time) as it:
            error = failure(it, ledger)

        assert type(error) is TokenRejected
        assert len(server.asked(PATH)) == len(ledger.answers) == 2
        assert len(server.asked("/cgi-bin/stable_token")) == 3
        assert time.slept == []

    def test_many_rejected_calls_fetch_few_tokens(self) -> None:
        """Twenty rejected calls make at most two token fetches each, and at most five forced ones in all."""
        time = Time()
        with wechat(errcode(40001)) as server, client(server.url, time) as it:
            for _ in range(20):
                time.now += dt.timedelta(seconds=31)
                assert type(failure(it)) is TokenRejected
        asked = [request.json()["force_refresh"] for request in server.asked("/cgi-bin/stable_token")]
        assert sum(asked) == 5
        assert len(asked) <= 1 + 20 + 5

    def test_forced_tokens_are_thirty_seconds_apart(self) -> None:
        """Forced fetches are at least 30 s apart, as WeChat's own limit demands."""
        with wechat(errcode(40001)) as server, client(server.url) as it:
            for _ in range(3):
                assert type(failure(it)) is TokenRejected
        assert sum(request.json()["force_refresh"] for request in server.asked("/cgi-bin/stable_token")) == 1

    def test_a_token_is_renewed_before_it_expires(self) -> None:
        """A token is renewed before it expires; one without a valid `expires_in` is used until rejected.

        `expires_in` counts down, so it isn't always 7200.
        """
        time = Time()
        tokens = [token("first", expires_in=600), token("second", expires_in="7200"), token("third", expires_in=0)]

        def answer(request: Request) -> RawAnswer:
            return tokens.pop(0) if request.path == "/cgi-bin/stable_token" else rows()

        with StandIn(answer) as server, client(server.url, time) as it:
            for minutes in (0, 8, 2, 118, 2, 100_000):
                time.now += dt.timedelta(minutes=minutes)
                ask(it)
        used = [request.token for request in server.asked(PATH)]
        assert used == ["first", "first", "second", "second", "third", "third"]

    @pytest.mark.parametrize(
        ("code", "kind"),
        [(40001, NeedsPerson), (40013, NeedsPerson), (40125, NeedsPerson), (40164, NeedsPerson), (40243, NeedsPerson)],
    )
    def test_refused_credentials_are_tried_once(self, code: int, kind: type[WeChatError]) -> None:
        """Forty calls in eight threads make one token call, as WeChat locks accounts that keep trying."""
        words = "invalid ip 203.0.113.7 ipv6 ::ffff:203.0.113.7, not in whitelist rid: 1-2-3"
        with (
            StandIn(lambda _: errcode(code, words)) as server,
            client(server.url) as it,
            ThreadPoolExecutor(8) as pool,
        ):
            errors = list(pool.map(lambda _: failure(it), range(40)))

        assert {type(error) for error in errors} == {kind}
        assert len({id(error) for error in errors}) == 40
        assert len(server.requests) == 1
        if code == 40164:
            assert isinstance(errors[0], NeedsPerson)
            assert errors[0].ip == "203.0.113.7"
            assert "203.0.113.7" in str(errors[0])

    def test_refused_credentials_are_tried_again_after_a_minute(self) -> None:
        """After a minute refused credentials are tried again, as a person may have fixed them."""
        time = Time()
        answers = [errcode(40164), token(), rows()]
        with StandIn(lambda _: answers.pop(0)) as server, client(server.url, time) as it:
            failure(it)
            time.now += dt.timedelta(seconds=61)
            ask(it)
        assert len(server.requests) == 3

    def test_the_error_of_a_used_up_token_quota_names_the_token_call(self) -> None:
        """The error of a used-up token quota names the token call, as no call of the account is possible."""
        with StandIn(lambda _: errcode(45009)) as server, client(server.url) as it:
            error = failure(it)
        assert isinstance(error, QuotaExhausted)
        assert error.endpoint in TOKEN_CALLS
        assert len(server.requests) == 1

    def test_a_busy_token_call_is_tried_four_times_in_all(self) -> None:
        """A busy token call is tried four times in all, not four times per attempt."""
        ledger = Ledger()
        with StandIn(lambda _: errcode(-1)) as server, client(server.url) as it:
            assert type(failure(it, ledger)) is TryAgain
        assert len(server.requests) == 4
        assert not ledger.answers
        assert not ledger.permitted

    @pytest.mark.parametrize("value", ["", "a b", "a\r\nHost: evil", "a\x00", "字", "x" * 5000, 5, None, ["a"]])
    def test_an_invalid_token_is_not_used(self, value: object) -> None:
        """An invalid token raises `UnexpectedAnswer` and never gets into a request line."""
        with StandIn(lambda _: http({"access_token": value, "expires_in": 7200})) as server, client(server.url) as it:
            assert isinstance(failure(it), UnexpectedAnswer)
        assert not server.asked(PATH)


class TestTokenServer:
    """A central token server (中控)."""

    def test_tokens_come_from_the_server_and_never_from_wechat(self) -> None:
        """Tokens come from the server by GET, even if an AppSecret is set."""
        with (
            StandIn(lambda _: http({"access_token": TOKEN})) as central,
            wechat(rows()) as server,
            client(server.url, token_url=Secret(f"{central.url}/wx?key=k3y")) as it,
        ):
            ask(it)
            ask(it)

        assert [(each.method, each.target, each.body) for each in central.requests] == [("GET", "/wx?key=k3y", b"")]
        assert [each.path for each in server.requests] == [PATH, PATH]

    @pytest.mark.parametrize("given", [["old-token", "new-token"], ["same-token", "same-token"]])
    def test_the_token_server_is_called_once_more_after_a_rejection(self, given: list[str]) -> None:
        """After a rejection the token server is called once more; the call is retried even with the same token."""
        left = list(given)
        with (
            StandIn(lambda _: token(left.pop(0))) as central,
            wechat(errcode(40001), rows()) as server,
            client(server.url, token_url=central.url) as it,
        ):
            ask(it)

        assert [each.token for each in server.requests] == given
        assert len(central.requests) == 2

    @pytest.mark.parametrize("answer", [errcode(40001), errcode(500), http("", 403), http("<html>"), http({})])
    def test_an_error_of_the_token_server_is_reported_as_its_own(self, answer: bytes) -> None:
        """Codes, statuses and HTML of the token server are reported as its own errors."""
        with (
            StandIn(lambda _: answer) as central,
            wechat(rows()) as server,
            client(server.url, token_url=central.url) as it,
        ):
            error = failure(it)

        assert isinstance(error, NeedsPerson | UnexpectedAnswer)
        assert "token server" in str(error)
        assert "WX_DATACUBE_TOKEN_URL" in str(error.advice)
        assert not server.requests

    def test_the_error_of_an_unreachable_token_server_names_it(self) -> None:
        """If the token server can't be reached, the error names it, not WeChat."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            url = f"http://127.0.0.1:{free.getsockname()[1]}/k3y"
        with wechat(rows()) as server, client(server.url, token_url=url) as it:
            error = failure(it)
        assert str(error).startswith("token server: The token server can't be reached: the connection is refused.")
