"""Languages: what commands print is in one language, and fits a terminal where it must.

Add a command to `CALLS`, or a situation of `doctor` or `backfill`, when a new text is printed.
"""

import io
import re
from collections.abc import Iterator

import click
import pytest

from wx_datacube.catalog.endpoints import ENDPOINTS
from wx_datacube.catalog.model import Family
from wx_datacube.catalog.periods import beijing_now
from wx_datacube.cli import main
from wx_datacube.cli.wrapping import cells, wrapped
from wx_datacube.emulator.testing import Emulated, wechat
from wx_datacube_tests.answers import DAY
from wx_datacube_tests.cli.conftest import CREDENTIALS, Folder

START = beijing_now().date() - 5 * DAY
CJK = "[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]"
ADDRESSES = re.compile(r"https?://\S+|/\S+|`[^`]+`|\S*[_./=<>\[\]\\]\S*|wx-datacube( [a-z-]+)*|-{1,2}[a-z-]+")
"""Commands, paths, addresses and names, which are the same in both languages."""
NOT_CHINESE = {"ok", "FAIL", "Usage", "Error"}

CALLS = (
    ["export", "--output", "files"],
    ["replay"],
    ["heal"],
    ["report"],
    ["report", "--from", "2999-01-01"],
    ["report", "--lang", "fr"],
    ["report", "--output", "report.txt"],
    ["rename-account", "default", "shop"],
    ["remove-account", "shop"],
    ["copy-account", "shop"],
    ["copy-account", "shop", "--from", "none.duckdb"],
    ["copy-account", "shop", "--from", "data/wx_datacube.duckdb"],
    ["init", "new"],
    ["init", "new"],
    ["backfill", "--foo"],
    ["backfill", "--start", "soon"],
    ["backfill", "--start", "2026-02-30"],
    ["backfill", "--end", "2014-01-01"],
    ["backfill", "--start", "2026-03-02", "--end", "2026-03-01"],
    ["heal", "--check", "foo"],
    ["export"],
    ["rename-account", "one"],
    ["status", "more"],
    ["demo", "--days", "0"],
    ["demo", "--days", "many"],
    ["emulator", "--quota", "many"],
    ["emulator", "--port"],
    ["nonsense"],
    ["worker", "--port", "many"],
)
"""Commands, in an order in which each has something to say."""


def assert_one_language(text: str, language: str) -> None:
    """Check that a text has no sentence of the other language."""
    if language == "en":
        # WeChat's own words are in parentheses.
        assert re.findall(f"{CJK}+", re.sub(r"\([^()]*\)", "", text)) == [], text
    else:
        names = ADDRESSES.sub("#", " ".join(text.split()))
        assert re.findall(r"(?:[A-Za-z']+[ ,.:;]+){3}[A-Za-z']+", names) == [], text


def assert_fits(text: str) -> None:
    """Check that no line is wider than 80 columns, except for a word that can't be broken, such as a path."""
    assert [line for line in text.splitlines() if cells(line.rstrip()) > 80 and len(line.split()) > 2] == []


@pytest.fixture
def emulated(folder: Folder) -> Iterator[Emulated]:
    """Configure the project for an ordinary account of a few days."""
    with wechat(publish_at="00:00") as running:
        use(folder, running)
        yield running


def use(folder: Folder, emulated: Emulated, **settings: object) -> None:
    """Configure the emulator's account."""
    account = {"API_URL": emulated.api_url, "APPID": emulated.appid, "SECRET": emulated.secret}
    folder.set(**account, **{"START": START, "FAMILIES": "all"} | settings)


@pytest.fixture(params=["en", "zh"])
def language(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Set the language of the commands."""
    monkeypatch.setenv("WX_DATACUBE_LANG", request.param)
    return str(request.param)


@pytest.mark.long
def test_doctor_and_backfill_speak_one_language(folder: Folder, emulated: Emulated, language: str) -> None:
    """`doctor` and `backfill` speak one language within 80 columns, name a host that isn't WeChat, and count calls."""
    families = {"en": [*Family], "zh": [Family.MESSAGES]}[language]  # one with all of them; a backfill takes a while
    use(folder, emulated, FAMILIES=",".join(families))
    endpoints = [each.name for each in ENDPOINTS if each.family in families]
    doctor, backfill, again = folder.run("doctor"), folder.run("backfill"), folder.run("backfill")

    assert [doctor[0], backfill[0], again[0]] == [0, 0, 0]
    for _, out, err in (doctor, backfill, again):
        assert_one_language(out + err, language)
        assert_fits(out + err)
        host = emulated.api_url.partition("//")[2]
        assert {"en": f"API: {host}, not WeChat\n", "zh": f"接口地址：{host}，不是微信\n"}[language] in out
    assert {"en": "default: 0 calls made\n", "zh": "default：共调用 0 次\n"}[language] in again[1]
    made = len(emulated.control.statistics_calls())
    calls = re.search(r"^default(?:: |：共调用 )(\d+)(?: calls made| 次)$", backfill[1], re.MULTILINE)
    assert calls
    assert int(calls[1]) + len(ENDPOINTS) >= made >= int(calls[1])
    with_names = [
        re.findall(rf"^ {{0,8}}(?:ok   )?({'|'.join(endpoints)})\b(?! \d{{4}})", out, re.M)
        for _, out, _ in (doctor, backfill)
    ]
    assert with_names == [endpoints] * 2


@pytest.mark.long
@pytest.mark.parametrize(
    ("language", "trouble"),
    [
        ("zh", {"whitelist": ["203.0.113.9"]}),
        ("en", {"secret_frozen": True}),
        ("zh", {"denied": ["articles", "getupstreammsghour"]}),
        ("en", {"quota": 2}),
    ],
    indirect=["language"],
    ids=["whitelist", "frozen", "permission", "quota"],
)
def test_trouble_is_told_in_one_language(
    folder: Folder, emulated: Emulated, language: str, trouble: dict[str, object]
) -> None:
    """What `doctor` and `backfill` say about a problem fits 80 columns, and each finding begins with ok or FAIL.

    The texts' languages are checked elsewhere; to save time, each problem has one of them.
    """
    emulated.control.set(**trouble)
    use(folder, emulated, FAMILIES="messages,articles")

    for command in (["doctor"], ["backfill"], ["backfill", "--refresh"]):
        _, out, err = folder.run(*command)
        assert_fits(out + err)
        if command == ["doctor"]:
            lines = out.splitlines()
            findings = lines[lines.index({"en": "Account default", "zh": "账号 default"}[language]) + 1 :]
            findings = [line for line in findings if not line.startswith("       ")]
            assert [line for line in findings if not re.match("  (ok  |FAIL) ", line)] == []
            assert_one_language("\n".join(line for line in findings if " ok " in line), language)


def test_doctor_without_credentials_speaks_one_language(folder: Folder, language: str) -> None:
    """Without credentials, `doctor` says what to do in one language; with a chat, also about the digest."""
    folder.set(WEBHOOK="https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=0")
    _, out, err = folder.run("doctor")

    assert_one_language(out + err, language)
    assert_fits(out)
    assert "wx_datacube_digest" in out


def test_every_command_speaks_one_language(
    folder: Folder, emulated: Emulated, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What commands print, and what they say about wrong options and arguments, is in one language."""
    folder.run("backfill", "--endpoint", "getupstreammsg")

    for command in CALLS:
        monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))  # for `remove-account`, which asks
        _, out, err = folder.run(*command)
        assert_one_language(out + err, language)
        assert out + err


@pytest.mark.long
def test_heal_shows_what_is_left_in_one_language(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Findings that can't be requested again are listed in the language of the command."""
    changed = START + DAY
    expected = {
        "en": [r"msg_count \d+ -> \d+$", f"getupstreammsgdist was fetched before {changed} was revised$"],
        "zh": [r"msg_count：\d+ → \d+$", f"获取 getupstreammsgdist 之后，微信又修改了 {changed} 的数据$"],
    }
    with wechat(silent_share=0, publish_at="00:00") as emulated:
        use(folder, emulated)
        folder.run(
            "backfill", "--endpoint", "getupstreammsg", "--endpoint", "getupstreammsgdist", "--end", str(changed)
        )
        emulated.control.restate(changed, factor=10)
        folder.run("backfill", "--endpoint", "getupstreammsg")
        use(folder, emulated, START=beijing_now().date())
        for language, patterns in expected.items():
            monkeypatch.setenv("WX_DATACUBE_LANG", language)
            code, out, err = folder.run("heal", "--check", "figures_were_not_revised")

            assert code == 1
            assert_one_language(out + err, language)
            assert [each for each in patterns if not re.search(each, err, re.MULTILINE)] == []


@pytest.mark.parametrize("command", ["", *main.commands.commands])
def test_help_is_in_one_language(folder: Folder, language: str, command: str) -> None:
    """`--help` of every command is in one language within 80 columns, click's own words included."""
    out = folder.run(*filter(None, [command]), "--help")[1]

    assert_one_language(out.replace("[OPTIONS] COMMAND [ARGS]...", ""), language)
    assert_fits(out)
    assert {"en": "Options:", "zh": "选项："}[language] in out


def test_every_help_has_both_languages() -> None:
    """No command and no option lacks the help in one of the languages."""
    for command in main.commands.commands.values():
        for each in (command, *(param for param in command.params if isinstance(param, click.Option))):
            assert re.search(CJK, each._zh), each  # type: ignore[attr-defined]
            assert each._en, each  # type: ignore[attr-defined]


def test_usage_errors_are_one_line_with_the_option(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of usage is one line, which names the option."""
    folder.set(**CREDENTIALS)
    monkeypatch.setenv("WX_DATACUBE_LANG", "zh")

    assert (
        folder.run("backfill", "--foo")[2]
        == "wx-datacube backfill：没有选项 --foo。详见 wx-datacube backfill --help。\n"
    )
    usage = "请使用 --output DIR（可加 --format），或单独使用 --lake。"
    assert folder.run("export")[2] == f"wx-datacube export：{usage}详见 wx-datacube export --help。\n"


def test_chinese_is_wrapped_between_characters() -> None:
    """A Chinese character takes two columns; lines don't begin with punctuation, and words aren't broken."""
    text = "请在 .env 中设置 WX_DATACUBE_START=2024-03-01，可节省此前日期的调用（每天最多两次）。" * 3

    lines = wrapped(text, "  ok   ", 7, 40).splitlines()

    assert max(map(cells, lines)) <= 40
    assert [line for line in lines if re.match(r"\s*[，。）]", line)] == []
    assert sum("WX_DATACUBE_START=2024-03-01" in line for line in lines) == 3
    assert "".join(line.strip() for line in lines).replace(" ", "") == ("  ok   " + text).replace(" ", "")
