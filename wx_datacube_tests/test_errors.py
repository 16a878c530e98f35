"""Errors: every errcode of WeChat maps to a class, and every message says in one line what to do.

Add a row to the tables when the project handles another errcode.
"""

import copy
import re

import pytest

from wx_datacube import errors
from wx_datacube.errcodes import BY_ERRCODE, address_in, error_for
from wx_datacube.errors import (
    HostDown,
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
    one_line,
)

# All errcodes that the project handles, with the class that decides what callers do.
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
    # Errcodes that only some accounts get.
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
# Things that an operator has to change, and the errcodes whose advice names them.
ADVICE_NAMES = {
    "WX_DATACUBE_APPID": {40013},
    "WX_DATACUBE_SECRET": {40125},
    "WX_DATACUBE_CONCURRENCY": {45011},
    "WX_DATACUBE_TOKEN_URL": {40001, 40014, 42001},
    "force_refresh": {40001, 40014, 42001},
    "IP白名单": {40164, 89501, 89503, 89506, 89507},
    "their phone": {89501, 89503, 89506, 89507},
    "解冻": {40243},
    "微信认证": {48001},
    "数据统计接口": {48001},
    "how to lift the restriction": {48004, 50002, 50004, 50007},
    "platform": {61007},
    "a newer version of wx_datacube": {47009},
    "by noon Beijing time": {61503},
    "00:00 Beijing time": {45009},
    "in a few minutes": {-1, 45011},
    "please report it": {40002, 41001, 41002, 41004, 43002, 44002, 47001, 61500, 61501},
    "Do not reset the AppSecret": {40001, 40014, 40125, 40164, 40243, 42001, 89501, 89503, 89506, 89507},
}
# Words that identify the problem, and the errcodes whose message contains them.
MESSAGE_NAMES = {
    "AppID": {40013, 41002},
    "AppSecret": {40125, 40243, 41004},
    "access token": {40001, 40014, 41001, 42001},
    "is wrong": {40125},
    "not whitelisted": {40164},
    "frozen": {40243, 50007},
    "busy": {-1},
    "quota": {45009},
    "within a minute": {45011},
    "retired": {47009},
    "may not call this endpoint": {48001},
    "blocked": {48004},
    "restricted": {50002},
    "fetch tokens": {50004},
    "third-party platform": {61007},
    "dates": {61500, 61501},
    "not computed": {61503},
    "this machine": {40164, 89501, 89503, 89506, 89507},
    "wait a day": {89506},
    "wait an hour": {89507},
}
REFUSED_IP = "invalid ip 203.0.113.7 ipv6 ::ffff:203.0.113.7, not in whitelist rid: 608a6564-495fb669-6d56d31b"


@pytest.mark.parametrize(("errcode", "kind"), CONSEQUENCES.items())
def test_every_documented_errcode_has_its_consequence(errcode: int, kind: type[WeChatError]) -> None:
    """The table maps each errcode to the class by which callers decide."""
    assert type(error_for(errcode)) is kind


def test_the_table_holds_these_codes_and_no_others() -> None:
    """The table has no other errcodes: an added or missing one changes what callers do."""
    assert BY_ERRCODE.keys() == CONSEQUENCES.keys()


@pytest.mark.parametrize("errcode", BY_ERRCODE)
def test_every_error_says_in_one_line_what_happened_and_what_to_do(errcode: int) -> None:
    """Every error says in one line what happened, what to do and the errcode, without a URL, which could change."""
    error = error_for(errcode, rid="608a6564-495fb669", endpoint="getupstreammsg")
    line = str(error)

    assert "\n" not in line
    assert line.startswith("getupstreammsg: ")
    assert line.endswith(f"[errcode {errcode}, rid 608a6564-495fb669]")
    assert str(error.message).endswith(".")
    assert "://" not in line
    assert isinstance(error, TokenRejected | TryAgain | NotReady) or len(str(error.advice)) > 40


@pytest.mark.parametrize(("name", "codes"), ADVICE_NAMES.items(), ids=ADVICE_NAMES)
def test_advice_names_what_to_change_only_where_it_helps(name: str, codes: set[int]) -> None:
    """Advice names what to change only where that helps: wrong advice may invalidate the token of other systems."""
    assert {code for code in BY_ERRCODE if name in str(error_for(code).advice)} == codes


@pytest.mark.parametrize(("words", "codes"), MESSAGE_NAMES.items(), ids=MESSAGE_NAMES)
def test_messages_tell_similar_errcodes_apart(words: str, codes: set[int]) -> None:
    """Messages tell similar errcodes apart, such as AppID and AppSecret, or a day and an hour."""
    assert {code for code in BY_ERRCODE if words in str(error_for(code).message)} == codes


def test_every_class_of_the_tree_is_drawn_in_the_module() -> None:
    """The tree in the module docstring has every class below its actual base class."""
    classes = {each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, WxDatacubeError)}
    lines = re.findall(r"^    ((?:[│ ]*[├└]── )?)([A-Z]\w+)", errors.__doc__ or "", re.MULTILINE)
    drawn: dict[str, str] = {}
    above = ["Exception"]
    for branch, name in lines:
        del above[1 + len(branch) // 4 :]
        drawn[name] = above[-1]
        above.append(name)

    assert len(lines) == len(classes)
    assert drawn == {each.__name__: each.__mro__[1].__name__ for each in classes}


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        (TryAgain, "again in a few minutes"),
        (RateLimited, "again in a few minutes"),
        (HostDown, "proxy"),
        (QuotaExhausted, "00:00 Beijing time"),
        (RequestRefused, "report it"),
        (UnexpectedAnswer, "datacube.api_calls"),
    ],
)
def test_errors_without_a_code_say_what_to_do_too(kind: type[WeChatError], named: str) -> None:
    """Errors without an errcode, such as a broken connection, give the advice of their class."""
    assert named in str(kind("It happened."))


def test_a_refused_address_is_kept_and_named() -> None:
    """For 40164 the message names the refused IP address, which the operator adds to the whitelist."""
    error = error_for(40164, REFUSED_IP)

    assert isinstance(error, NeedsPerson)
    assert error.ip == "203.0.113.7"
    assert "address 203.0.113.7 is not whitelisted" in str(error.message)
    assert "add 203.0.113.7 to its API IP whitelist (IP白名单)" in str(error.advice)
    assert "Do not reset the AppSecret" in str(error)


def test_the_errcode_40164_is_enough_without_an_address() -> None:
    """The errcode 40164 is enough if WeChat's message has no address."""
    error = error_for(40164, "not in whitelist")

    assert isinstance(error, NeedsPerson)
    assert error.ip is None
    assert "whitelist" in str(error)
    assert "None" not in str(error)


@pytest.mark.parametrize("errcode", sorted(BY_ERRCODE.keys() - {40164}))
def test_an_address_in_the_message_of_another_errcode_is_ignored(errcode: int) -> None:
    """Only 40164 uses an address in WeChat's message: other errcodes are not about the whitelist."""
    error, silent = error_for(errcode, REFUSED_IP), error_for(errcode)

    assert str(error) == str(silent)
    assert not isinstance(error, NeedsPerson) or error.ip is None


def test_a_refused_address_is_in_the_repr_too() -> None:
    """The `repr`, which logs and thread tracebacks show, has the address too."""
    assert "203.0.113.7" in repr(error_for(40164, REFUSED_IP))


@pytest.mark.parametrize("errcode", [40125, 40164, 40243])
def test_no_advice_suggests_resetting_the_app_secret(errcode: int) -> None:
    """No advice suggests resetting the AppSecret, which would cut off every other system of the account at once."""
    assert "Do not reset the AppSecret" in str(error_for(errcode).advice)


@pytest.mark.parametrize("errcode", [40001, 40014, 42001])
def test_a_rejected_token_in_a_token_call_means_wrong_credentials(errcode: int) -> None:
    """In a token call these errcodes mean that AppID and AppSecret don't match, which only a person can fix."""
    error = error_for(errcode, token_call=True)

    assert type(error) is NeedsPerson
    assert "AppSecret" in str(error.message)
    assert "WX_DATACUBE_SECRET" in str(error.advice)


def test_an_unknown_errcode_is_an_unexpected_answer() -> None:
    """An unknown errcode is an unexpected answer, and nothing is assumed about it."""
    error = error_for(99999, rid="abc")

    assert type(error) is UnexpectedAnswer
    assert (error.errcode, error.rid) == (99999, "abc")
    assert "unknown" in str(error.message)


@pytest.mark.parametrize(
    "kind", [*dict.fromkeys(each.kind for each in BY_ERRCODE.values()), HostDown, UnexpectedAnswer]
)
def test_errors_can_be_copied(kind: type[WeChatError]) -> None:
    """Errors can be copied, since each thread that waits for a token raises its own copy."""
    error = kind("What happened.", advice="Do this.", errcode=1, rid="r", endpoint="e").with_attempts(3)
    twin = copy.copy(error)

    assert twin is not error
    assert str(twin) == str(error) == "e: What happened. Do this. [errcode 1, rid r, 3 attempts]"


@pytest.mark.parametrize("told", [False, True])
def test_a_copy_of_an_error_keeps_transient(told: bool) -> None:
    """A copy keeps `transient`, which is False by default."""
    error = UnexpectedAnswer("Odd.", transient=True) if told else UnexpectedAnswer("Odd.")

    assert copy.copy(error).transient is told
    assert error.attempts == 1


@pytest.mark.parametrize(("attempts", "said"), [(0, False), (1, False), (2, True)])
def test_attempts_are_shown_from_the_second_on(attempts: int, said: bool) -> None:
    """The message shows the number of attempts from the second one on."""
    line = str(error_for(-1).with_attempts(attempts))

    assert (f"{attempts} attempts" in line) is said
    assert "errcode -1" in line


@pytest.mark.parametrize(
    "text", ["one\ntwo", "one\r\n\t two", "one\x1b\x00two", "one\x7ftwo", "one\u2028two", " one two\n", "one  two"]
)
def test_any_text_becomes_one_line(text: str) -> None:
    """External text becomes one line, so that it can't forge a log line or move a terminal's cursor."""
    assert one_line(text) == "one two"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (REFUSED_IP, "203.0.113.7"),
        ("ip 2001:db8::1 refused", "2001:db8::1"),
        ("ip 2001:DB8::ABCD refused", "2001:db8::abcd"),
        ("invalid ip 203.0.113.7.", "203.0.113.7"),
        ("ip ::1 refused", "::1"),
        ("ip 2001:0db8:0000:0000:0000:0000:0000:0001 refused", "2001:db8::1"),
        ("request deadbeef of 203.0.113.7", "203.0.113.7"),
        ("999.999.999.999 is none", None),
        ("", None),
    ],
)
def test_the_first_address_in_a_text_is_found(text: str, address: str | None) -> None:
    """The first IPv4 or IPv6 address is found, with or without a following full stop."""
    assert address_in(text) == address


def test_explicit_advice_replaces_the_default() -> None:
    """Explicit advice replaces the default advice of the class."""
    assert str(QuotaExhausted("Enough for today.", advice="Go on tomorrow.")) == "Enough for today. Go on tomorrow."
    assert "00:00" in str(QuotaExhausted("Enough for today."))
