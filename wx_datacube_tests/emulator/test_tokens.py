"""The emulator's access tokens: both kinds, how they expire and replace each other, and who is refused one."""

import datetime as dt
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from wx_datacube_tests.emulator_caller import Caller, Emulators, Started

YESTERDAY = dt.date(2026, 11, 23)
MINUTE = dt.timedelta(minutes=1)


@pytest.fixture
def start(emulators: Emulators) -> Iterator[Started]:
    """Starts emulators whose clock is frozen at noon."""
    with ExitStack() as used:
        yield lambda **options: emulators.start(used, **{"clock": "2026-11-24T12:00", "frozen": True, **options})


def state(caller: Caller, token: str) -> int | None:
    """Return the errcode of a statistics call with this token; None if the token is valid."""
    return caller.errcode("getupstreammsg", YESTERDAY, token=token)


def test_a_stable_token_stays_the_same_until_its_last_five_minutes(start: Started) -> None:
    """`expires_in` counts down; a new token comes early, and the old one works until it expires, then gets 42001."""
    caller = start()
    first = caller.stable_token()
    assert list(first) == ["access_token", "expires_in"]
    assert first["expires_in"] == 7200
    caller.emulated.control.advance(114 * MINUTE)
    assert caller.stable_token() == {"access_token": first["access_token"], "expires_in": 360}
    caller.emulated.control.advance(MINUTE)
    second = caller.stable_token()
    assert second["access_token"] != first["access_token"]
    assert second["expires_in"] == 7200
    assert state(caller, first["access_token"]) is None
    caller.emulated.control.advance(5 * MINUTE)
    assert state(caller, first["access_token"]) == 42001
    assert state(caller, second["access_token"]) is None


def test_a_token_has_the_format_of_wechats(start: Started) -> None:
    """A token is a number, an underscore and more than a hundred letters and digits."""
    number, _, rest = start().stable_token()["access_token"].partition("_")
    assert number.isdigit()
    assert rest.isalnum()
    assert len(rest) > 100


def test_forcing_replaces_the_stable_token_at_once(start: Started) -> None:
    """After a forced refresh the old token gets 40001; another one within 30 seconds has no effect."""
    caller = start()
    first = caller.stable_token()["access_token"]
    second = caller.stable_token(force_refresh=True)["access_token"]
    assert (state(caller, first), state(caller, second)) == (40001, None)
    assert caller.stable_token()["access_token"] == second
    caller.emulated.control.advance(dt.timedelta(seconds=29))
    assert caller.stable_token(force_refresh=True)["access_token"] == second
    caller.emulated.control.advance(dt.timedelta(seconds=1))
    assert caller.stable_token(force_refresh=True)["access_token"] != second


def test_forcing_is_allowed_twenty_times_a_day(start: Started) -> None:
    """The 21st forced refresh of a day gets 45009, while ordinary token calls still work."""
    caller = start()
    for _ in range(20):
        assert "access_token" in caller.stable_token(force_refresh=True)
        caller.emulated.control.advance(MINUTE)
    assert caller.stable_token(force_refresh=True)["errcode"] == 45009
    assert "access_token" in caller.stable_token()
    caller.emulated.control.advance(dt.timedelta(hours=12))
    assert "access_token" in caller.stable_token(force_refresh=True)


def test_a_new_plain_token_invalidates_the_previous_one_after_five_minutes(start: Started) -> None:
    """Two programs that use `/cgi-bin/token` invalidate each other's tokens."""
    caller = start()
    first, second = (caller.plain_token()["access_token"] for _ in range(2))
    assert first != second
    caller.emulated.control.advance(dt.timedelta(minutes=4, seconds=59))
    assert (state(caller, first), state(caller, second)) == (None, None)
    caller.emulated.control.advance(dt.timedelta(seconds=1))
    assert (state(caller, first), state(caller, second)) == (40001, None)
    caller.emulated.control.advance(dt.timedelta(hours=2))
    assert state(caller, second) == 42001


def test_the_two_kinds_of_token_do_not_disturb_each_other(start: Started) -> None:
    """Plain tokens don't replace stable ones, and a forced refresh doesn't replace plain ones."""
    caller = start()
    stable = caller.stable_token()["access_token"]
    plain = [caller.plain_token()["access_token"] for _ in range(3)][-1]
    caller.emulated.control.advance(10 * MINUTE)
    assert state(caller, stable) is None
    caller.stable_token(force_refresh=True)
    assert (state(caller, stable), state(caller, plain)) == (40001, None)


@pytest.mark.parametrize(
    ("token", "errcode"),
    [("", 41001), ("abc", 40014), ("57_" + "ä" * 120, 40014), ("57_" + "a" * 134, 40001)],
)
def test_tokens_that_were_never_issued_are_refused(start: Started, token: str, errcode: int) -> None:
    """Missing, malformed and unknown tokens are refused."""
    caller = start()
    assert state(caller, token) == errcode
    answer = caller.post("/datacube/getupstreammsg", json={})
    assert answer.json()["errcode"] == 41001


def test_revoked_tokens_are_replaced_by_the_next_fetch(start: Started) -> None:
    """The next token call returns a valid token, as after another program's forced refresh."""
    caller = start()
    caller.emulated.control.revoke_tokens()
    first, plain = caller.stable_token()["access_token"], caller.plain_token()["access_token"]
    caller.emulated.control.revoke_tokens()
    assert (state(caller, first), state(caller, plain)) == (40001, 40001)
    assert state(caller, caller.stable_token()["access_token"]) is None


def test_sticky_revocation_needs_force(start: Started) -> None:
    """`stable_token` returns the revoked token until a refresh is forced."""
    caller = start()
    first = caller.stable_token()["access_token"]
    caller.emulated.control.revoke_tokens(sticky=True)
    assert caller.stable_token()["access_token"] == first
    assert state(caller, first) == 40001
    assert state(caller, caller.stable_token(force_refresh=True)["access_token"]) is None
    caller.emulated.control.revoke_tokens()
    assert state(caller, caller.stable_token()["access_token"]) is None


@pytest.mark.parametrize(
    ("fields", "errcode"),
    [
        ({"grant_type": "password"}, 40002),
        ({"appid": ""}, 41002),
        ({"appid": "wx0000000000000000"}, 40013),
        ({"secret": ""}, 41004),
        ({"secret": "0" * 32}, 40125),
    ],
)
def test_wrong_credentials_get_no_token(start: Started, fields: dict[str, str], errcode: int) -> None:
    """Both token calls refuse wrong credentials with status 200 and a `rid`, and don't repeat the secret."""
    caller = start()
    for answer in (caller.stable_token(**fields), caller.plain_token(**fields)):
        assert answer["errcode"] == errcode
        assert " rid: " in answer["errmsg"]
        assert caller.emulated.secret not in str(answer)


def test_stable_token_must_be_posted_with_a_body(start: Started) -> None:
    """GET is refused with 43002, an empty body with 44002, and broken JSON with 47001."""
    caller = start()
    url = caller.emulated.api_url + "/cgi-bin/stable_token"
    assert caller.session.get(url, timeout=30).json()["errcode"] == 43002
    assert caller.post("/cgi-bin/stable_token").json()["errcode"] == 44002
    assert caller.post("/cgi-bin/stable_token", data=b"{").json()["errcode"] == 47001


def test_addresses_outside_the_whitelist_get_no_token_and_are_named(start: Started) -> None:
    """40164 names the caller's address, and adding it to the whitelist helps."""
    caller = start(whitelist="203.0.113.7")
    for answer in (caller.stable_token(), caller.plain_token()):
        assert answer["errcode"] == 40164
        assert answer["errmsg"].startswith("invalid ip 127.0.0.1 ipv6 ::ffff:127.0.0.1, not in whitelist rid: ")
    caller.emulated.control.set(whitelist=["203.0.113.7", "127.0.0.1"])
    assert "access_token" in caller.stable_token()


def test_a_frozen_secret_gets_no_token(start: Started) -> None:
    """A frozen AppSecret is refused with 40243."""
    assert start(secret_frozen=True).stable_token()["errcode"] == 40243


def test_token_calls_have_a_quota_too(start: Started) -> None:
    """Each token call answers 45009 beyond its own quota, until midnight."""
    caller = start(token_quota=2)
    assert ["access_token" in caller.stable_token() for _ in range(2)] == [True, True]
    assert caller.stable_token()["errcode"] == 45009
    assert "access_token" in caller.plain_token()
    caller.emulated.control.advance(dt.timedelta(hours=12))
    assert "access_token" in caller.stable_token()


def test_stable_token_may_be_called_ten_thousand_times_a_minute(start: Started) -> None:
    """The 10,001st call of `stable_token` in a minute gets 45011."""
    caller = start()
    account = caller.emulated.account
    for _ in range(9_999):
        account.quotas.take("stable_token", account.clock(), 500_000, 10_000)
    assert "access_token" in caller.stable_token()
    assert caller.stable_token()["errcode"] == 45011


def test_appid_and_secret_can_be_chosen(start: Started) -> None:
    """AppID and AppSecret can be set, and by default have the format of WeChat's."""
    caller = start(appid="wx1234567890abcdef", secret="s3cret")
    assert (caller.emulated.appid, caller.emulated.secret) == ("wx1234567890abcdef", "s3cret")
    assert "access_token" in caller.stable_token()
    usual = start().emulated
    assert (len(usual.appid), usual.appid[:2], len(usual.secret)) == (18, "wx", 32)


def test_the_lifetime_of_tokens_can_be_chosen(start: Started) -> None:
    """With a lifetime below five minutes, each token call returns a new token."""
    caller = start(token_lifetime=60)
    first, second = (caller.stable_token() for _ in range(2))
    assert first["expires_in"] == 60
    assert first["access_token"] != second["access_token"]
