"""Errors: every code of WeChat has its consequence, and every message says what to do in one line."""

import copy
import re

import pytest

from wx_datacube import errors
from wx_datacube.errors import (
    BY_ERRCODE,
    NeedsPerson,
    NotReady,
    QuotaExhausted,
    RateLimited,
    RequestRefused,
    TokenRejected,
    TryAgain,
    UnexpectedAnswer,
    WeChatError,
    WxDatacubeError,
    address_in,
    error_for,
)

# All codes that WeChat's behaviour is described with, and what is to be done about each.
CONSEQUENCES = {
    -1: TryAgain,
    40001: TokenRejected,
    40013: NeedsPerson,
    40014: TokenRejected,
    40125: NeedsPerson,
    40164: NeedsPerson,
    40243: NeedsPerson,
    41001: RequestRefused,
    42001: TokenRejected,
    43002: RequestRefused,
    44002: RequestRefused,
    45009: QuotaExhausted,
    45011: RateLimited,
    47001: RequestRefused,
    47009: RequestRefused,
    48001: NeedsPerson,
    50002: NeedsPerson,
    61007: NeedsPerson,
    61500: RequestRefused,
    61501: RequestRefused,
    61503: NotReady,
    # Those that only some accounts ever meet.
    40002: RequestRefused,
    41002: RequestRefused,
    41004: RequestRefused,
    48004: NeedsPerson,
    50004: NeedsPerson,
    50007: NeedsPerson,
    89501: NeedsPerson,
    89503: NeedsPerson,
    89506: NeedsPerson,
    89507: NeedsPerson,
}
REFUSED_IP = "invalid ip 203.0.113.7 ipv6 ::ffff:203.0.113.7, not in whitelist rid: 608a6564-495fb669-6d56d31b"


@pytest.mark.parametrize(("errcode", "kind"), CONSEQUENCES.items())
def test_every_documented_errcode_has_its_consequence(errcode: int, kind: type[WeChatError]) -> None:
    """The table maps each code to the class by which callers decide."""
    assert type(error_for(errcode)) is kind


def test_the_table_holds_these_codes_and_no_others() -> None:
    """A code that is taken in or left out changes what callers do."""
    assert BY_ERRCODE.keys() == CONSEQUENCES.keys()


@pytest.mark.parametrize("errcode", BY_ERRCODE)
def test_every_error_says_in_one_line_what_happened_and_what_to_do(errcode: int) -> None:
    """A tired operator needs a sentence, the next step and the code; no address that may move."""
    error = error_for(errcode, rid="608a6564-495fb669", endpoint="getupstreammsg")
    line = str(error)

    assert "\n" not in line
    assert line.startswith("getupstreammsg: ")
    assert line.endswith(f"[errcode {errcode}, rid 608a6564-495fb669]")
    assert error.message.endswith(".")
    assert "://" not in line
    assert isinstance(error, TokenRejected | TryAgain | NotReady) or len(error.advice) > 40


def test_every_class_of_the_tree_is_drawn_in_the_module() -> None:
    """The picture on top of the module can't lag behind the classes."""
    classes = {each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, WxDatacubeError)}
    drawn = re.findall(r"^    (?:[│ ]*[├└]── )?([A-Z]\w+)", errors.__doc__ or "", re.MULTILINE)

    assert sorted(drawn) == sorted(each.__name__ for each in classes)


def test_a_refused_address_is_kept_and_named() -> None:
    """40164: the operator enters exactly this address, and doesn't reset the AppSecret."""
    error = error_for(40164, REFUSED_IP)

    assert isinstance(error, NeedsPerson)
    assert error.ip == "203.0.113.7"
    assert "adds 203.0.113.7 to its API IP whitelist (IP白名单)" in error.advice
    assert "Do not reset the AppSecret" in str(error)


def test_a_refused_address_that_is_not_named_is_no_problem() -> None:
    """WeChat's words change over the years; the code alone is enough."""
    error = error_for(40164, "not in whitelist")

    assert isinstance(error, NeedsPerson)
    assert error.ip is None
    assert "whitelist" in str(error)


@pytest.mark.parametrize("errcode", [40125, 40164, 40243])
def test_nobody_is_led_to_reset_the_secret(errcode: int) -> None:
    """A reset cuts off every other system of the account at that moment."""
    assert "Do not reset the AppSecret" in error_for(errcode).advice


@pytest.mark.parametrize("errcode", [40001, 40014, 42001])
def test_a_token_call_has_no_token_to_reject(errcode: int) -> None:
    """There 40001 means that AppID and AppSecret don't belong together: a person's job, and no loop of tokens."""
    assert type(error_for(errcode, token_call=True)) is NeedsPerson


def test_the_quota_of_the_token_call_stops_everything() -> None:
    """45009 of one endpoint leaves the others alone; without tokens nothing goes."""
    everything, one = error_for(45009, token_call=True), error_for(45009)

    assert isinstance(everything, QuotaExhausted)
    assert everything.everything
    assert isinstance(one, QuotaExhausted)
    assert not one.everything
    assert "00:00 Beijing time" in str(one)


def test_an_unknown_errcode_is_an_unexpected_answer() -> None:
    """Nothing is guessed about codes that nobody has described."""
    error = error_for(99999, rid="abc")

    assert type(error) is UnexpectedAnswer
    assert (error.errcode, error.rid) == (99999, "abc")


@pytest.mark.parametrize("kind", dict.fromkeys(each.kind for each in BY_ERRCODE.values()))
def test_errors_can_be_copied(kind: type[WeChatError]) -> None:
    """Threads that wait for one token each raise their own copy of what came of it."""
    error = kind("What happened.", advice="Do this.", errcode=1, rid="r", endpoint="e").after(3)
    twin = copy.copy(error)

    assert twin is not error
    assert str(twin) == str(error) == "e: What happened. Do this. [errcode 1, rid r, 3 attempts]"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (REFUSED_IP, "203.0.113.7"),
        ("ip 2001:db8::1 refused", "2001:db8::1"),
        ("invalid ip 203.0.113.7.", "203.0.113.7"),
        ("999.999.999.999 is none", None),
        ("", None),
    ],
)
def test_the_first_address_in_a_text_is_found(text: str, address: str | None) -> None:
    """IPv4 or IPv6, with a full stop behind it or not."""
    assert address_in(text) == address


def test_advice_of_ones_own_replaces_that_of_the_class() -> None:
    """A default for those who have nothing better to say."""
    assert str(QuotaExhausted("Enough for today.", advice="Go on tomorrow.")) == "Enough for today. Go on tomorrow."
    assert "00:00" in str(QuotaExhausted("Enough for today."))
