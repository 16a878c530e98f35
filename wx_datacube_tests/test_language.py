"""Language: every text is there in both languages, and nothing that a person reads mixes them.

Add a test here when a rule applies to the texts of all modules. What single texts say is tested with their modules.
"""

import ast
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from string import Formatter

import pytest

import wx_datacube
from wx_datacube import errors
from wx_datacube.alerts.alert import Source, alerts_of
from wx_datacube.alerts.store import Alerts
from wx_datacube.catalog.messages import ENDPOINTS
from wx_datacube.cli import main
from wx_datacube.cli.status import show_statuses
from wx_datacube.cli.wrapping import MAX_WIDTH, cells
from wx_datacube.config.settings import Settings
from wx_datacube.errcodes import error_for
from wx_datacube.errors import WxDatacubeError
from wx_datacube.language import Language, Text, joined, language_of, speak, spoken
from wx_datacube.operations.status import read_status
from wx_datacube_tests.answers import HOURS, MESSAGES, SENDERS, day
from wx_datacube_tests.ingesting import AFTERNOON, shop

PACKAGE = Path(wx_datacube.__file__).parent
CHINESE = re.compile("[\u3400-\u9fff]")
AS_IN_THE_CONSOLE = re.compile(r"开发者ID|\d+次")
"""What WeChat's console writes without a blank, such as 1-5次."""
PLURALS = {"s", "ss", "d"}
"""Placeholders of English plurals, which Chinese doesn't have."""
NAMES = {"AppID"}
"""What both languages call the same."""
FOR_DEVELOPERS: set[str] = set()
"""Messages of errors that only a developer reads."""


def modules() -> Iterator[tuple[Path, ast.Module]]:
    """Yield the modules of the package, apart from the emulator."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if "emulator" not in path.parts:
            yield path, ast.parse(path.read_text("utf-8"))


def literal(node: ast.expr) -> str | None:
    """Return a string as it is written; None for anything else."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def texts() -> Iterator[tuple[str, str, str, set[str]]]:
    """Yield where each text is, its two templates and its keywords."""
    for path, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Text":
                english, chinese = (literal(each) for each in node.args[:2])
                if english is not None and chinese is not None:
                    keywords = {each.arg for each in node.keywords if each.arg}
                    yield f"{path.relative_to(PACKAGE)}:{node.lineno}", english, chinese, keywords


def placeholders(template: str) -> set[str]:
    """Return the names of a template's placeholders."""
    return {name for _, name, _, _ in Formatter().parse(template) if name}


def words(template: str) -> str:
    """Return the letters of a template without its placeholders, names of programs and variables."""
    return re.sub(r"\{.*?\}|WX_DATACUBE_\w+|[^A-Za-z]", "", template) if template not in NAMES else ""


ALL = list(texts())


def test_there_are_texts_to_look_at() -> None:
    """The package has hundreds of texts, so the tests below look at something."""
    assert len(ALL) > 200


def test_every_text_has_both_languages() -> None:
    """No text lacks a language, and the Chinese one is Chinese or has its parentheses, apart from wordless formats."""
    assert [where for where, english, chinese, _ in ALL if bool(english) != bool(chinese)] == []
    assert [
        (where, chinese)
        for where, english, chinese, _ in ALL
        if words(english) and not re.search("[\u3400-\u9fff（]", chinese)
    ] == []


def test_both_languages_have_the_same_placeholders() -> None:
    """The placeholders of both languages are the same, apart from English plurals; every keyword is used."""
    different = [
        where
        for where, english, chinese, _ in ALL
        if placeholders(english) - PLURALS != placeholders(chinese) - PLURALS or placeholders(chinese) & PLURALS
    ]
    unused = [where for where, english, _, keywords in ALL if keywords - placeholders(english)]
    assert different == []
    assert unused == []


def test_english_texts_have_chinese_only_in_parentheses() -> None:
    """An English text has Chinese words only as WeChat's console writes them, in parentheses."""
    assert [where for where, english, _, _ in ALL if CHINESE.search(re.sub(r"\([^()]*\)", "", english))] == []


def test_chinese_texts_have_blanks_around_latin_words_and_no_half_width_punctuation() -> None:
    """Chinese has a blank between Chinese and Latin, and full-width punctuation in its sentences."""
    tight, narrow = [], []
    for where, _, chinese, _ in ALL:
        plain = re.sub(r"\{.*?\}", "", AS_IN_THE_CONSOLE.sub("", chinese))
        tight += [where] if re.search(r"[\u3400-\u9fff][A-Za-z0-9]|[A-Za-z0-9][\u3400-\u9fff]", plain) else []
        narrow += [where] if re.search(r"[\u3400-\u9fff][,;:?!()]|[,;?!](?=[\u3400-\u9fff])", plain) else []
    assert tight == []
    assert narrow == []


def test_every_error_has_a_message_in_both_languages() -> None:
    """Errors are raised with a `Text`, not with a plain string; so is their advice."""
    names = {
        name for name, each in vars(errors).items() if isinstance(each, type) and issubclass(each, WxDatacubeError)
    }
    plain = []
    for path, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
                given = [*node.args[:1], *(each.value for each in node.keywords if each.arg == "advice")]
                plain += [
                    f"{path.relative_to(PACKAGE)}:{node.lineno}"
                    for each in given
                    if isinstance(each, ast.JoinedStr) or (literal(each) and literal(each) not in FOR_DEVELOPERS)
                ]
    assert plain == []


@pytest.mark.parametrize(
    ("variables", "language"),
    [
        ({}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LC_ALL": "C.UTF-8", "LANG": "zh_CN.UTF-8"}, "en"),
        ({"LC_ALL": "", "LC_MESSAGES": "zh_TW.UTF-8", "LANG": "C.UTF-8"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "WX_DATACUBE_LANG": "en"}, "en"),
        ({"LANG": "C.UTF-8", "WX_DATACUBE_LANG": " ZH "}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "WX_DATACUBE_LANG": "fr"}, "zh"),
    ],
)
def test_the_language_is_that_of_the_setting_or_the_locale(variables: dict[str, str], language: str) -> None:
    """WX_DATACUBE_LANG decides, else the locale; a wrong value is reported when the settings are read."""
    assert language_of(variables) == language


def test_a_text_shows_its_values_in_its_own_language() -> None:
    """A text among the values of a text is shown in the same language; `both` shows a text once that has no other."""
    text = Text("{name} is off.", "{name} 未打开。", name=Text("The schedule", "定时任务"))

    assert str(text) == "The schedule is off."
    assert text.to(Language.CHINESE) == "定时任务 未打开。"
    assert text.both() == "定时任务 未打开。 The schedule is off."
    assert joined(["a", "", "b"]).both() == "ab a b"
    assert Text("shop", "shop").both() == "shop"


@pytest.fixture(params=Language)
def language(request: pytest.FixtureRequest) -> Iterator[Language]:
    """Set the language that commands print."""
    speak(request.param)
    yield request.param
    speak(Language.ENGLISH)


def test_all_threads_of_a_command_print_one_language(language: Language) -> None:
    """A thread that a command starts prints the command's language, as the threads that fetch do."""
    with ThreadPoolExecutor() as pool:
        assert pool.submit(spoken).result() is language


def test_status_is_in_one_language_and_80_columns_wide(
    language: Language, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With missing labels, refusals, a used-up quota and other alerts, `status` mixes no languages."""
    with shop(tmp_path, start=day(1), silent_share=0) as made:
        made.emulated.control.set(denied=[HOURS.name])
        made.fetch_missing(HOURS)
        made.fetch_missing(MESSAGES, [day(10), day(11), day(15), day(20)])
        made.emulated.control.set_quota(0)
        made.fetch_missing(SENDERS)
        refused = alerts_of([error_for(40164, "invalid ip 203.0.113.7", endpoint="stable_token")], HOURS.name)
        Alerts(made.warehouse.database).note("shop", Source.CALLS, None, refused)
        settings = Settings(tmp_path, made.warehouse.database, accounts=(made.ingest.account,))
        (status,) = read_status(settings, settings.accounts, made.emulated.account.clock)
    show_statuses([status] * 11)
    assert max(map(cells, capsys.readouterr().out.splitlines())) <= MAX_WIDTH
    show_statuses([status])
    out = capsys.readouterr().out
    assert max(map(cells, out.splitlines())) <= MAX_WIDTH
    flat = re.sub(r"\s+", "" if language is Language.CHINESE else " ", out)
    if language is Language.CHINESE:
        assert not re.search(r"[a-z]+ [a-z]+ [a-z]+ [a-z]+", out)
        assert f"配额已于{AFTERNOON:%H:%M}用完，北京时间0点后继续：" in flat
        assert "请管理员把203.0.113.7加入APIIP白名单" in flat
        assert "需要您处理：数据缺失" in flat
    else:
        assert not CHINESE.search(re.sub(r"\([^()]*\)", "", flat))
        assert f"Quota used up at {AFTERNOON:%H:%M}; continues at 00:00 Beijing time:" in flat
        assert "must add 203.0.113.7 to its API IP whitelist" in flat
        assert "Needs a person: Missing since" in flat
    names = [line.split()[0] for line in out.splitlines() if line.startswith("get")]
    assert names == [each.name for each in ENDPOINTS]


def test_commands_speak_the_language_of_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """WX_DATACUBE_LANG in `.env` decides; neither a broken `.env` nor a wrong value prevents the message about it."""
    for name in ("LC_ALL", "LC_MESSAGES", "WX_DATACUBE_LANG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dagster.yaml").touch()
    env = tmp_path / ".env"

    def said(lines: str) -> tuple[int, str]:
        env.write_text(lines)
        env.chmod(0o600)
        code = main.run(["status"])
        return code, "".join(capfd.readouterr())

    try:
        assert "尚未保存任何数据" in said("")[1]
        assert "Nothing is stored yet" in said("WX_DATACUBE_LANG=en\n")[1]
        assert said("WX_DATACUBE_LANG=fr\n") == (2, "wx-datacube: WX_DATACUBE_LANG 的值无效。应为：en, zh 之一。\n")
        code, text = said("WX_DATACUBE_LANG=zh\nnothing\nWX_DATACUBE_CONCURRENCY=many\n")
        assert (code, text) == (2, "wx-datacube: WX_DATACUBE_CONCURRENCY 的值无效。应为：1 到 64 的整数。\n")
        env.unlink()
        env.mkdir()
        assert (main.run(["status"]), capfd.readouterr().err) == (
            2,
            f"wx-datacube: {env} 是文件夹，不是文件。请将其移走，并参照 .env.example 把设置写入同名文件。\n",
        )
    finally:
        speak(Language.ENGLISH)
