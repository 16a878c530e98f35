"""Answers: every body is parsed into a ledger row, with an error or a success, and never raises anything else.

Add a test here when the client interprets a body in another way. How bytes arrive is tested in `test_transport.py`,
retries in `test_client.py`, and how rows are stored in `warehouse/test_load.py`.
"""

import json
from typing import Any

import duckdb
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wx_datacube.errors import (
    NeedsPerson,
    QuotaExhausted,
    TokenRejected,
    TryAgain,
    UnexpectedAnswer,
    WeChatError,
)
from wx_datacube.language import text_of
from wx_datacube.wechat.answers import Answer, ReplySpec, parse, parse_response, redact, to_text
from wx_datacube.wechat.transport import Response
from wx_datacube_tests.wechat_stand_in import NOON, TOKEN

SPEC = ReplySpec(text_of("WeChat"), "getupstreammsg", "list", list, (TOKEN,))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


def read(body: bytes | str, status: int = 200) -> tuple[Answer, WeChatError | None]:
    """Return the ledger row of a body, and its error."""
    response = Response(status, body.encode() if isinstance(body, str) else body)
    answer = parse_response(response, SPEC, NOON)
    return answer, answer.error


class TestSuccess:
    """Bodies that are answers."""

    @pytest.mark.parametrize(
        "body",
        [
            '{"list":[]}',
            '\ufeff{"list":[]}',
            ' {"list" : [ {} , 1 , "x" ] , "more": null } \n',
            '{"errcode":0,"errmsg":"ok","list":[]}',
            '{"errcode":null,"list":[]}',
            '{"errcode":"0","list":[]}',
            '{"list":[{"msg_user":' + "9" * 10_000 + "}]}",
            '{"list":[{"msg_user":-0.0e-5,"a":1e999}]}',
            '{"list":[{"x":"\\ud83d\\ude00 \\\\ud800"}]}',
            '{"list":[{"list":1,"list":2,"errcode":1,"errcode":2}]}',
        ],
    )
    def test_an_object_with_a_list_is_an_answer(self, body: str) -> None:
        """An object with a `list` is an answer, whatever else it has; the warehouse checks the rows."""
        answer, error = read(body)

        assert error is None
        assert answer.ok
        assert (answer.http_status, answer.errcode, answer.errmsg) == (200, None, None)
        assert answer.response == body.removeprefix("\ufeff")

    def test_the_charset_of_the_header_does_not_matter(self) -> None:
        """A body is UTF-8, whatever the header says; many libraries read text/plain as Latin-1."""
        answer, _ = read('{"list":["微信"]}')
        assert answer.response == '{"list":["微信"]}'


class TestErrcode:
    """WeChat's errors, which come with status 200."""

    @pytest.mark.parametrize("code", ["45009", '"45009"', "45009.0", '" 45009 "', '"+45009"'])
    def test_an_errcode_is_read_as_a_number_or_a_string(self, code: str) -> None:
        """An errcode may be a string, as some gateways turn numbers into strings."""
        answer, error = read(f'{{"errcode":{code},"errmsg":"reach max rid: 1-2"}}')

        assert answer.errcode == 45009
        assert (answer.errmsg, answer.rid) == ("reach max rid: 1-2", "1-2")
        assert type(error) is QuotaExhausted

    @pytest.mark.parametrize(
        "code", ['"busy"', "true", "[]", "{}", "1.5", "99999999999", '""', '"４５００９"', "1e999"]
    )
    def test_an_invalid_errcode_is_unexpected(self, code: str) -> None:
        """An invalid errcode is neither a success nor a known error."""
        answer, error = read(f'{{"errcode":{code},"list":[]}}')

        assert type(error) is UnexpectedAnswer
        assert answer.errcode is None
        assert not answer.ok

    def test_an_error_with_a_list_is_an_error(self) -> None:
        """A body with an errcode and a list is an error."""
        answer, error = read('{"list":[],"errcode":-1}')
        assert type(error) is TryAgain
        assert not answer.ok

    def test_the_errcode_of_a_garbled_body_is_read(self) -> None:
        """The errcode is read even if the message is in GBK, which must not hide a rejected token."""
        answer, error = read('{"errcode":40001,"errmsg":"凭证无效 rid: 1-2"}'.encode("gbk"))

        assert type(error) is TokenRejected
        assert (answer.errcode, answer.rid) == (40001, "1-2")
        assert answer.response is not None
        assert "\\x" in answer.response

    @pytest.mark.parametrize("errmsg", [None, 5, [], {}, "a\x00b\n\tc", "\ud800", "x" * 100_000])
    def test_any_errmsg_can_be_stored(self, errmsg: Any) -> None:
        """Any errmsg is stored as one line of bounded length."""
        answer, error = read(json.dumps({"errcode": 48001, "errmsg": errmsg}))

        assert type(error) is NeedsPerson
        assert answer.errmsg is not None
        assert "\n" not in answer.errmsg
        assert len(answer.errmsg) <= 1000
        assert duckdb.sql("SELECT ?", params=[answer.errmsg]).fetchall() == [(answer.errmsg,)]

    def test_the_error_of_an_unknown_errcode_quotes_the_errmsg_without_urls(self) -> None:
        """The error of an unknown errcode quotes the errmsg without URLs."""
        _, error = read('{"errcode":12345,"errmsg":"no luck, see https://mmbizurl.cn/s/JtxxFh33r rid: 1-2"}')
        assert type(error) is UnexpectedAnswer
        assert "no luck, see rid: 1-2" in str(error)
        assert "://" not in str(error)


class TestUnexpected:
    """Bodies that are neither an answer nor an error of WeChat."""

    @pytest.mark.parametrize("body", ["null", "[]", "5", '"list"', "{}", '{"list":null}', '{"list":{}}', '{"List":[]}'])
    def test_json_of_another_shape_is_not_retried(self, body: str) -> None:
        """JSON of another shape is not retried, as it arrived whole."""
        answer, error = read(body)

        assert isinstance(error, UnexpectedAnswer)
        assert not error.transient
        assert answer.response == body
        assert answer.errmsg == str(error.message)

    @pytest.mark.parametrize(
        "body",
        ['{"list":1,"list":[]}', '{"list":[],"l\\u0069st":[]}', '{"errcode":45009,"list":[],"errcode":0}'],
    )
    def test_an_object_that_contradicts_itself_is_no_answer(self, body: str) -> None:
        """An object with two lists or two errcodes is ambiguous, and no answer."""
        answer, error = read(body)

        assert isinstance(error, UnexpectedAnswer)
        assert "a duplicate `errcode` or `list`" in str(error)
        assert (answer.ok, answer.errcode, answer.response) == (False, None, body)

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"<html><body>Log in to the network</body></html>",
            b'{"list":[',
            b'{"list":[]}}',
            b'{"list":[NaN]}',
            b'{"list":["a\x00b"]}',
            b'{"list":["a\nb"]}',
            b'{"list":["\xff"]}',
            b'{"list":["\\\x00"]}',
            b'{"list":["\\\xff"]}',
            b'{"list":["\\ud800"]}',
            b'{"list":' + b"[" * 100_000,
            '{"list":[]}'.encode("utf-16"),
            b"{'list':[]}",
        ],
    )
    def test_a_body_that_is_not_json_is_retried(self, body: bytes) -> None:
        """A body that isn't JSON is retried, and kept as text that DuckDB can store."""
        answer, error = read(body)

        assert isinstance(error, UnexpectedAnswer)
        assert error.transient
        assert not answer.ok
        assert duckdb.sql("SELECT ?", params=[answer.response]).fetchall() == [(answer.response,)]

    @pytest.mark.parametrize(("status", "kind"), [(500, TryAgain), (503, TryAgain), (599, TryAgain)])
    def test_a_5xx_status_is_retried(self, status: int, kind: type[WeChatError]) -> None:
        """A 5xx status is retried; its body is ignored, as it isn't WeChat's."""
        answer, error = read('{"errcode":45009}', status)
        assert type(error) is kind
        assert answer.errcode is None

    @pytest.mark.parametrize("status", [100, 201, 204, 302, 400, 401, 403, 404, 418, 429, 600])
    def test_any_other_status_is_unexpected(self, status: int) -> None:
        """Any other status is unexpected: WeChat answers 200, or 404 for an unknown path."""
        answer, error = read('{"list":[]}', status)
        assert isinstance(error, UnexpectedAnswer)
        assert not error.transient
        assert not answer.ok
        assert answer.http_status == status


class TestAnyBody:
    """Thousands of random bodies."""

    @given(st.binary() | st.text().map(str.encode))
    @example(b"\xef\xbb\xbf")
    def test_any_bytes_are_parsed_into_text_that_can_be_stored(self, body: bytes) -> None:
        """Any bytes are parsed without an exception, into text that DuckDB can store."""
        answer, error = read(body)

        assert error is None or isinstance(error, WeChatError)
        assert answer.response is not None
        assert "\x00" not in answer.response
        answer.response.encode()

    @given(st.fixed_dictionaries({}, optional={"errcode": JSON, "errmsg": JSON, "list": JSON, "x": JSON}))
    def test_any_json_is_parsed(self, data: dict[str, Any]) -> None:
        """A success is an object whose list DuckDB reads as JSON; everything else has an error."""
        answer, error = read(json.dumps(data))

        assert answer.ok is (error is None)
        assert answer.errmsg is None or len(answer.errmsg) <= 1000
        if answer.ok:
            assert isinstance(data["list"], list)
            assert duckdb.sql("SELECT json_valid(?)", params=[answer.response]).fetchall() == [(True,)]

    @given(st.text())
    def test_parsing_is_at_least_as_strict_as_duckdb(self, text: str) -> None:
        """Whatever the client accepts as JSON, DuckDB can load."""
        text = to_text(json.dumps({"list": [text]}).encode())
        try:
            parse(text)
        except ValueError:
            return
        assert duckdb.sql("SELECT json_valid(?)", params=[text]).fetchall() == [(True,)]


class TestSecrets:
    """Bodies that quote the token are stored without it."""

    @pytest.mark.parametrize(
        "written",
        [
            "a/b+c d&e<0123",
            "a%2Fb%2Bc%20d%26e%3C0123",
            "a/b%2Bc%20d%26e%3C0123",
            "a\\/b+c d&e<0123",
            "a/b+c d&amp;e&lt;0123",
        ],
    )
    def test_a_secret_is_redacted_in_every_encoding(self, written: str) -> None:
        """A secret is redacted in every encoding in which a gateway's error page may quote the URL."""
        assert redact(f"x={written}.", ["a/b+c d&e<0123"]) == "x=***."

    def test_a_token_quoted_by_an_error_page_is_redacted(self) -> None:
        """The token is redacted in the response and in the errmsg."""
        answer, _ = read(f'{{"errcode":-1,"errmsg":"POST /x?access_token={TOKEN} failed"}}')
        assert TOKEN not in f"{answer.response}{answer.errmsg}"
        assert answer.errmsg == "POST /x?access_token=*** failed"

    def test_short_strings_are_not_redacted(self) -> None:
        """Short strings are not redacted: a token "1" would destroy every figure."""
        assert redact("1 1 1", ["1"]) == "1 1 1"
