"""Settings: every variable is read and checked, its errors name it, and no secret is ever shown.

Add a test here when a variable is added or gets other limits. What `init` writes is in `test_folder.py`.
"""

import copy
import dataclasses
import datetime as dt
import logging
import os
import pickle
from pathlib import Path
from unittest import mock

import pytest
from dotenv import dotenv_values

from wx_datacube.config.environment import (
    adopt_dotenv,
    child_environment,
    effective_environ,
    find_project,
    load_settings,
)
from wx_datacube.config.settings import ACCOUNT_FIELDS, SHARED_FIELDS, Account, Lake, Secret, Settings, variable
from wx_datacube.errors import SettingsError
from wx_datacube_tests.rights import anybody, nobody_special

HIDDEN = "5ec2e70123456789abcdef0123456789"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Create a project folder."""
    (tmp_path / "dagster.yaml").touch()
    return tmp_path.resolve()


def load(project: Path, **fields: str) -> Settings:
    """Load the settings of a project from `WX_DATACUBE_` fields, on 24 November 2026 at noon."""
    environ = {f"WX_DATACUBE_{name}": value for name, value in fields.items()}
    return load_settings(environ, project, clock=lambda: dt.datetime(2026, 11, 24, 12))


def refusal(project: Path, **fields: str) -> str:
    """Return the error of wrong settings as one line."""
    with pytest.raises(SettingsError) as caught:
        load(project, **fields)
    return str(caught.value)


class TestDefaults:
    """Settings without variables, and each variable's field."""

    def test_nothing_needs_to_be_set(self, project: Path) -> None:
        """Every setting has a default; credentials are needed only for calls."""
        settings = load(project)

        assert settings == Settings(project, project / "data/wx_datacube.duckdb")
        assert settings.api_url == "https://api.weixin.qq.com"
        assert (settings.concurrency, settings.daily_calls, settings.warnings) == (8, None, ())
        assert settings.accounts == (Account("default", start=dt.date(2014, 12, 1)),)
        assert not settings.account().can_call

    def test_blank_counts_as_unset(self, project: Path) -> None:
        """A blank value counts as unset, as people write `KEY=` to turn a setting off."""
        assert load(project, APPID="", SECRET="  ", START="", CONCURRENCY="", DATABASE=" ", ACCOUNT="") == load(project)

    def test_all_settings_are_read(self, project: Path) -> None:
        """Each variable sets its field."""
        settings = load(
            project,
            APPID="wx0123456789abcdef",
            SECRET=HIDDEN,
            START="2020-02-29",
            ACCOUNT="shop",
            CONCURRENCY="3",
            DAILY_CALLS="500",
            DATABASE="else/where.duckdb",
            API_URL="http://127.0.0.1:8000/",
        )

        assert settings.database == project / "else/where.duckdb"
        assert settings.api_url == "http://127.0.0.1:8000"
        assert (settings.concurrency, settings.daily_calls) == (3, 500)
        assert settings.account() == Account("shop", "wx0123456789abcdef", Secret(HIDDEN), None, dt.date(2020, 2, 29))
        assert settings.account().can_call


class TestProject:
    """How the project folder is found."""

    def test_the_project_folder_is_the_nearest_with_a_dagster_yaml(self, project: Path) -> None:
        """The project folder is the nearest one upwards with a dagster.yaml."""
        deep = project / "a" / "b"
        deep.mkdir(parents=True)

        assert find_project({}, deep) == project

    def test_dagster_home_comes_first(self, project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
        """DAGSTER_HOME takes precedence, as for Dagster itself, unless it is blank."""
        other = tmp_path_factory.mktemp("other").resolve()

        assert find_project({"DAGSTER_HOME": str(other)}, project) == other
        assert find_project({"DAGSTER_HOME": " "}, project) == project

    @pytest.mark.parametrize("home", ["relative", "/does/not/exist"])
    def test_a_wrong_dagster_home_is_an_error(self, project: Path, home: str) -> None:
        """DAGSTER_HOME must be an absolute path of an existing folder.

        Dagster requires an absolute path; a missing folder would be created silently.
        """
        with pytest.raises(SettingsError, match="DAGSTER_HOME"):
            find_project({"DAGSTER_HOME": home}, project)

    def test_the_error_outside_a_project_says_how_to_create_one(self, tmp_path: Path) -> None:
        """Outside a project folder the error says how to get one."""
        with pytest.raises(
            SettingsError, match="change to the folder that you cloned, or create a project folder: wx-datacube"
        ):
            load_settings({}, tmp_path)

    def test_settings_are_read_without_a_project_folder(self, tmp_path: Path) -> None:
        """Variables alone are enough, as in a container; a folder is needed only for relative paths."""
        environ = {"WX_DATACUBE_ACCOUNTS": "shop,news", "WX_DATACUBE_START": "2026-11-01"}

        with pytest.raises(SettingsError, match="Set DAGSTER_HOME, or make WX_DATACUBE_DATABASE absolute"):
            load_settings(environ, tmp_path)
        settings = load_settings(environ | {"WX_DATACUBE_DATABASE": str(tmp_path / "figures.duckdb")}, tmp_path)

        assert (settings.project, settings.database) == (None, tmp_path / "figures.duckdb")
        assert [(each.name, each.start) for each in settings.accounts] == [
            ("shop", dt.date(2026, 11, 1)),
            ("news", dt.date(2026, 11, 1)),
        ]
        with pytest.raises(SettingsError, match="Set DAGSTER_HOME"):
            settings.require_project()

    def test_windows_itself_is_refused(self, project: Path) -> None:
        """Windows is refused, as file locks and renames differ there; WSL 2 works."""
        with pytest.raises(SettingsError, match="WSL 2"):
            load_settings({}, project, platform="win32")


class TestDotenv:
    """The file `.env`: the nearest one from the current folder upwards, otherwise the project folder's."""

    def test_the_nearest_env_file_upwards_is_read(self, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The nearest `.env` upwards wins over that of DAGSTER_HOME, which is the fallback."""
        home, code = project / "home", project / "code"
        for folder, account in ((home, "of_home"), (code, "of_code")):
            folder.mkdir()
            (folder / ".env").write_text(f"WX_DATACUBE_ACCOUNT={account}\n")
        (code / "deep").mkdir()
        monkeypatch.setenv("DAGSTER_HOME", str(home))

        above, fallback = load_settings(cwd=code / "deep"), load_settings(cwd=project)

        assert (above.account().name, above.dotenv, above.project) == ("of_code", code / ".env", home)
        assert (fallback.account().name, fallback.dotenv) == ("of_home", home / ".env")

    def test_an_env_file_may_set_dagster_home(self, project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
        """`.env` may set DAGSTER_HOME, as for Dagster itself."""
        home = tmp_path_factory.mktemp("home").resolve()
        (project / ".env").write_text(f"DAGSTER_HOME={home}\n")

        assert load_settings(cwd=project).database == home / "data/wx_datacube.duckdb"

    def test_a_process_started_in_another_folder_keeps_the_env_file(
        self, project: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A process keeps its `.env` in another working directory, and so does its child process.

        The runs of a backfill have the project folder as their working directory.
        """
        code, other = project / "code", project / "other"
        for folder in (code, other):
            folder.mkdir()
        (code / ".env").write_text("WX_DATACUBE_ACCOUNT=shop\n")
        (other / ".env").write_text("WX_DATACUBE_ACCOUNT=wrong\n")

        child = child_environment(load_settings(cwd=code))
        with mock.patch.dict(os.environ, child, clear=True):
            assert load_settings(cwd=other).account().name == "shop"
        with mock.patch.dict(os.environ):
            monkeypatch.chdir(code)
            adopt_dotenv()
            monkeypatch.chdir(other)
            assert load_settings().account().name == "shop"

    def test_env_file_wins_over_the_environment(self, project: Path) -> None:
        """`.env` overrides the environment, blank values included, as in Dagster."""
        (project / ".env").write_text("WX_DATACUBE_ACCOUNT=shop\nWX_DATACUBE_START=\nexport A='b c' # d\nBARE\n")
        environ = {"WX_DATACUBE_ACCOUNT": "news", "WX_DATACUBE_START": "2020-01-01", "PATH": "/bin", "BARE": "kept"}

        assert effective_environ(environ, project / ".env") == {
            "WX_DATACUBE_ACCOUNT": "shop",
            "WX_DATACUBE_START": "",
            "PATH": "/bin",
            "A": "b c",
            "BARE": "kept",
        }

    def test_env_file_is_read_when_no_environment_is_given(self, project: Path) -> None:
        """Without an explicit environment, as in every command, `.env` is read."""
        (project / ".env").write_text(f"WX_DATACUBE_ACCOUNT=from_the_file\nWX_DATACUBE_SECRET={HIDDEN}\n")
        (project / ".env").chmod(0o600)

        settings = load_settings(cwd=project)

        assert settings.account().name == "from_the_file"
        assert not settings.warnings

    def test_an_env_file_in_another_encoding_is_an_error(self, project: Path) -> None:
        """A `.env` that isn't UTF-8 is an error, not a traceback or lost settings."""
        (project / ".env").write_bytes(b"A=\xff\xfe\n")

        with pytest.raises(SettingsError, match="UTF-8"):
            effective_environ({}, project / ".env")

    def test_a_byte_order_mark_is_ignored(self, project: Path) -> None:
        """A byte order mark, as some editors write, is ignored."""
        (project / ".env").write_bytes(b"\xef\xbb\xbfWX_DATACUBE_ACCOUNT=shop\n")

        assert effective_environ({}, project / ".env") == {"WX_DATACUBE_ACCOUNT": "shop"}

    @pytest.mark.parametrize(
        ("text", "lines"),
        [
            ('A=1\n#\nB=\'x\nC=${A}2\n\nD="two\nlines"\nE E\nF=ä # f\n= s3cr3t\nG', "3, 8, 10"),
            ("A='1\nB=2\nC='3'\nD=4\n", "1"),
            ("\ufeff=\r\nA=1\r\n\r\n \r\n= s3cr3t\r\n", "1, 5"),
        ],
    )
    def test_invalid_lines_get_one_warning_and_change_no_other(
        self, text: str, lines: str, project: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Invalid lines get one warning with their numbers; all others are read as Dagster reads them."""
        env = project / ".env"
        env.write_bytes(text.encode())
        env.chmod(0o600)

        values, (warning,) = effective_environ({}, project / ".env"), load_settings(cwd=project).warnings

        which = f"lines {lines} are" if "," in lines else f"line {lines} is"
        assert str(warning) == f"{env} {which} not NAME=value (or a quote is not closed)."
        assert caplog.text == ""
        assert values == {key: value for key, value in dotenv_values(env).items() if value is not None}

    def test_an_env_file_that_others_can_read_draws_a_warning(self, project: Path) -> None:
        """A `.env` that others can read gets a warning, as it may hold the AppSecret."""
        env = project / ".env"
        env.touch()
        env.chmod(0o640)
        assert f"chmod 600 {env}" in str(load(project).warnings[0])

        env.chmod(0o600)
        assert load(project).warnings == ()


class TestWrongValues:
    """A wrong value is an error that names the variable and never shows a secret."""

    @pytest.mark.parametrize("value", ["2014-11-30", "2026-11-25", "2020-13-01", "20200101", "2020-W01-1", "soon"])
    def test_a_start_must_be_a_day_of_history(self, project: Path, value: str) -> None:
        """START is a date YYYY-MM-DD from 2014-12-01 to today."""
        assert "WX_DATACUBE_START is invalid. Expected: a date YYYY-MM-DD from 2014-12-01" in refusal(
            project, START=value
        )

    def test_the_start_may_be_the_first_day_of_history_or_today(self, project: Path) -> None:
        """START may be 2014-12-01 or today."""
        assert load(project, START="2014-12-01").account().start == dt.date(2014, 12, 1)
        assert load(project, START="2026-11-24").account().start == dt.date(2026, 11, 24)

    @pytest.mark.parametrize("value", ["Shop", "1shop", "a" * 33, "a-b", "shop;drop table", "läden", "a,b"])
    def test_an_account_name_is_plain(self, project: Path, value: str) -> None:
        """An account's name is plain, since it is part of asset keys, file names and variables."""
        assert "WX_DATACUBE_ACCOUNT is invalid" in refusal(project, ACCOUNT=value)

    @pytest.mark.parametrize("field", ["CONCURRENCY", "DAILY_CALLS"])
    @pytest.mark.parametrize("value", ["0", "-1", "1.5", "many", "99999999999999"])
    def test_numbers_are_whole_and_positive(self, project: Path, field: str, value: str) -> None:
        """CONCURRENCY and DAILY_CALLS are positive whole numbers with an upper limit."""
        assert f"WX_DATACUBE_{field} is invalid. Expected: a whole number from 1" in refusal(project, **{field: value})

    @pytest.mark.parametrize(
        "value",
        [
            "http://api.weixin.qq.com",
            "http://10.0.0.1",
            "ftp://127.0.0.1",
            "api.weixin.qq.com",
            "https://",
            "https://user:pass@api.weixin.qq.com",
            "https://api.weixin.qq.com?x=1",
            "https://api.weixin.qq.com#x",
            "http://evil.example\\@127.0.0.1/",
            "http://127.0.0.1@evil.example/",
            "http://127.0.0.1.evil.example",
            "http://2130706433/",
            "https://api.weixin.qq.com:99999",
            "https://[::1",
        ],
    )
    def test_plain_http_goes_to_this_machine_only(self, project: Path, value: str) -> None:
        """Plain http to another host is refused, as every call carries the token."""
        assert "WX_DATACUBE_API_URL is invalid" in refusal(project, API_URL=value)

    @pytest.mark.parametrize(
        "value", ["http://localhost:1", "http://127.9.9.9", "http://[::1]:80/x", "HTTPS://a.example"]
    )
    def test_api_url_may_be_https_or_http_to_this_machine(self, project: Path, value: str) -> None:
        """API_URL may be https, or http to this machine."""
        assert load(project, API_URL=value).api_url == value

    def test_a_database_is_a_file(self, project: Path) -> None:
        """Folders, paths inside a file, services and paths that DuckDB misreads are refused."""
        (project / "folder").mkdir()
        (project / "file").touch()

        for value in ("folder", "new/", "file/in.duckdb", ":memory:", "md:mine", "a?b.duckdb", "a?/b.duckdb"):
            assert "WX_DATACUBE_DATABASE is invalid" in refusal(project, DATABASE=value)

    def test_a_relative_database_path_starts_at_the_project_folder(self, project: Path) -> None:
        """A relative path is relative to the project folder, not to the current one."""
        (project / "sub").mkdir()

        assert load(project / "sub", DATABASE="x/../y.duckdb").database == project / "y.duckdb"
        assert load(project, DATABASE="/tmp/y.duckdb").database == Path("/tmp/y.duckdb")

    def test_a_link_to_the_database_is_followed(self, project: Path) -> None:
        """A link to the database is resolved, even to a missing file, so other files lie beside the real one."""
        (project / "disk").mkdir()
        (project / "data").mkdir()
        link = project / "data" / "wx_datacube.duckdb"
        link.symlink_to("../disk/real.duckdb")

        assert load(project).database == project / "disk" / "real.duckdb"
        (project / "disk" / "real.duckdb").touch()
        assert load(project).database == project / "disk" / "real.duckdb"

    def test_a_folder_that_is_a_link_keeps_its_name(self, project: Path) -> None:
        """A folder that is a link keeps its name in the path."""
        (project / "disk").mkdir()
        (project / "data").symlink_to("disk")

        assert load(project).database == project / "data" / "wx_datacube.duckdb"

    @pytest.mark.parametrize(("link", "to"), [("data", "mnt"), ("data/wx_datacube.duckdb", "/none/real.duckdb")])
    def test_a_link_to_a_disk_that_is_not_mounted_is_named(self, project: Path, link: str, to: str) -> None:
        """A link of the file or a folder above it that leads nowhere is an error that names it."""
        (project / link).parent.mkdir(exist_ok=True)
        (project / link).symlink_to(to)

        said = f"{project / link} is a link to {to}, which does not exist. Is its disk mounted? "
        assert refusal(project).startswith(said)
        assert refusal(project, DATABASE=str(project / "data" / "wx_datacube.duckdb")).startswith(said)

    def test_a_link_to_itself_is_an_error(self, project: Path) -> None:
        """A link to itself is an error, not a traceback or an endless loop."""
        (project / "data").symlink_to("data")

        assert "wx_datacube.duckdb is not accessible: Too many levels of symbolic links." in refusal(project)

    def test_a_folder_that_may_not_be_entered_is_an_error(self) -> None:
        """A folder that may not be entered is an error, as it must not be taken for empty."""
        with anybody() as folder:
            (folder / "dagster.yaml").touch()
            (folder / "data").mkdir(mode=0)
            nobody_special()
            assert "data/wx_datacube.duckdb is not accessible: Permission denied." in refusal(folder)

    @pytest.mark.parametrize(
        "fields", [{"APPID": HIDDEN}, {"APPID": "gh_1234567890ab"}, {"SECRET": f"{HIDDEN} {HIDDEN}"}]
    )
    def test_wrong_credentials_are_named_and_not_shown(self, project: Path, fields: dict[str, str]) -> None:
        """The error of a wrong AppID or AppSecret doesn't show its value, as the two may be swapped."""
        line = refusal(project, **fields)

        assert line.startswith(f"WX_DATACUBE_{next(iter(fields))} is invalid.")
        assert HIDDEN not in line


class TestTokenServer:
    """The URL of a central token server."""

    @pytest.mark.parametrize("value", ["https://tokens.example/wx?key=s3cr3t", "https://user:s3cr3t@tokens.example/"])
    def test_https_is_accepted(self, project: Path, value: str) -> None:
        """Any https URL is accepted."""
        settings = load(project, TOKEN_URL=value)

        assert settings.account().token_url == Secret(value)
        assert settings.account().can_call
        assert settings.warnings == ()

    @pytest.mark.parametrize("host", ["10.1.2.3", "user:s3cr3t@10.1.2.3", "192.168.0.9:8080", "127.0.0.1", "[fd00::1]"])
    def test_http_to_a_private_address_draws_a_warning(self, project: Path, host: str) -> None:
        """Plain http to a private address is accepted with a warning, as such servers have no certificate."""
        settings = load(project, TOKEN_URL=f"http://{host}/?key=s3cr3t")

        assert "WX_DATACUBE_TOKEN_URL uses http" in str(settings.warnings[0])
        assert "s3cr3t" not in str(settings.warnings[0])

    @pytest.mark.parametrize("host", ["tokens.example", "203.0.113.5", "172.32.0.1", "8.8.8.8", "10.0.0.1.example"])
    def test_http_to_anywhere_else_is_refused(self, project: Path, host: str) -> None:
        """Plain http to a public host would expose the token, and is an error that doesn't show the URL."""
        line = refusal(project, TOKEN_URL=f"http://{host}/?key=s3cr3t")

        assert line.startswith("WX_DATACUBE_TOKEN_URL is invalid.")
        assert "s3cr3t" not in line
        assert host not in line


class TestWebhook:
    """The URL of a chat's robot."""

    @pytest.mark.parametrize("value", ["https://chat.example/robot/send?access_token=s3cr3t", "http://10.1.2.3/s3cr3t"])
    def test_https_or_a_private_address_is_accepted(self, project: Path, value: str) -> None:
        """https, or http to a private address, is accepted without a warning, as no credential is sent there."""
        settings = load(project, WEBHOOK=value)

        assert settings.webhook == Secret(value)
        assert settings.warnings == ()
        assert "s3cr3t" not in repr(settings)

    @pytest.mark.parametrize("value", ["http://chat.example/s3cr3t", "chat.example/s3cr3t", "s3cr3t", "ftp://a/s3cr3t"])
    def test_anything_else_is_refused(self, project: Path, value: str) -> None:
        """Any other URL is an error that names the variable and doesn't show the URL."""
        line = refusal(project, WEBHOOK=value)

        assert line.startswith("WX_DATACUBE_WEBHOOK is invalid. Expected: the URL of your chat robot")
        assert "s3cr3t" not in line


class TestLake:
    """Where the lake is, and the variables of S3."""

    def test_a_relative_folder_belongs_to_the_project(self, project: Path) -> None:
        """A folder need not exist yet."""
        assert load(project).lake is None
        assert load(project, LAKE="data/lake/").lake == Lake(f"{project}/data/lake")
        assert load(project, LAKE="/srv/lake").lake == Lake("/srv/lake")

    def test_s3_has_the_standard_variables(self, project: Path) -> None:
        """The keys are secrets; the slash at the end of the prefix doesn't count."""
        environ = {
            "WX_DATACUBE_LAKE": "s3://company-lake/wechat/2026/",
            "AWS_ACCESS_KEY_ID": "AKID",
            "AWS_SECRET_ACCESS_KEY": HIDDEN,
            "AWS_SESSION_TOKEN": HIDDEN,
            "AWS_DEFAULT_REGION": "cn-north-1",
            "AWS_ENDPOINT_URL": "https://s3.example.com/",
        }
        lake = load_settings(environ, project).lake

        assert lake == Lake(
            "s3://company-lake/wechat/2026",
            "AKID",
            Secret(HIDDEN),
            Secret(HIDDEN),
            "cn-north-1",
            "https://s3.example.com",
        )
        assert HIDDEN not in repr(lake)

    @pytest.mark.parametrize(
        "value",
        [
            "gs://bucket/lake",
            "https://s3.example.com/bucket",
            "s3://",
            "s3://Bucket",
            "s3://bucket//lake",
            "s3://bucket/../lake",
            f"s3://key:{HIDDEN}@bucket/lake",
            f"s3://bucket/lake?secret={HIDDEN}",
            "dagster.yaml",
            "dagster.yaml/lake",
            "lake/*",
            "lake/it's",
        ],
    )
    def test_anything_else_is_refused(self, project: Path, value: str) -> None:
        """The error names the variable and what is expected, not the value."""
        line = refusal(project, LAKE=value)

        assert line.startswith("WX_DATACUBE_LAKE is invalid. Expected: the path of a folder")
        assert HIDDEN not in line

    @pytest.mark.parametrize(
        ("name", "value"), [("AWS_ENDPOINT_URL", "http://s3.example.com"), ("AWS_SECRET_ACCESS_KEY", "two words")]
    )
    def test_a_wrong_variable_of_s3_is_an_error(self, project: Path, name: str, value: str) -> None:
        """They are read only if the lake is in S3."""
        with pytest.raises(SettingsError, match=f"{name} is invalid"):
            load_settings({"WX_DATACUBE_LAKE": "s3://lake", name: value}, project)
        assert load_settings({"WX_DATACUBE_LAKE": "lake", name: value}, project).lake


class TestAccounts:
    """Several accounts in one database."""

    def test_each_account_has_its_own_variables(self, project: Path) -> None:
        """Credentials are per account and never shared; START may be shared."""
        settings = load(
            project,
            ACCOUNTS="shop, news",
            SHOP_APPID="wx1",
            SHOP_SECRET=HIDDEN,
            START="2020-01-01",
            NEWS_START="2021-01-01",
            NEWS_TOKEN_URL="https://tokens.example/",
        )

        shop, news = settings.accounts
        assert shop == Account("shop", "wx1", Secret(HIDDEN), None, dt.date(2020, 1, 1), single=False)
        assert news == Account("news", None, None, Secret("https://tokens.example/"), dt.date(2021, 1, 1), single=False)
        assert settings.account("news") is news
        assert settings.warnings == ()

    def test_with_several_accounts_an_account_must_be_named(self, project: Path) -> None:
        """With several accounts one must be named."""
        with pytest.raises(SettingsError, match="--account"):
            load(project, ACCOUNTS="shop,news").account()

    def test_an_unknown_account_is_an_error(self, project: Path) -> None:
        """An unknown account is an error that lists the configured ones."""
        with pytest.raises(SettingsError, match="Configured: shop, news"):
            load(project, ACCOUNTS="shop,news").account("other")

    @pytest.mark.parametrize(
        "value", ["shop,shop", "shop,", "Shop,news", f"shop,{'a' * 33}", "shop;news", "_shop,news"]
    )
    def test_names_are_plain_and_different(self, project: Path, value: str) -> None:
        """The names in ACCOUNTS are plain and distinct."""
        assert refusal(project, ACCOUNTS=value) == (
            "WX_DATACUBE_ACCOUNTS is invalid. Expected: different names separated by commas, each up to 32 lowercase"
            " letters, digits and _, starting with a letter, such as shop."
        )

    def test_a_wrong_variable_of_one_account_is_an_error_only_for_it(self, project: Path) -> None:
        """A wrong variable of one account is an error only when that account is used.

        The account keeps its start date, so its partitions don't change.
        """
        settings = load(project, ACCOUNTS="shop,news", SHOP_APPID="gh_1", SHOP_START="2020-01-01", NEWS_APPID="wx2")

        assert settings.account("news").appid == "wx2"
        with pytest.raises(SettingsError, match=r"SHOP_APPID is invalid\. Expected: the account's AppID"):
            settings.account("shop")
        shop = settings.accounts[0]
        assert (shop.appid, shop.can_call, shop.start) == (None, False, dt.date(2020, 1, 1))

    def test_two_accounts_with_one_appid_are_an_error_for_both(self, project: Path) -> None:
        """Two accounts with the same AppID are an error for both that names both variables."""
        settings = load(project, ACCOUNTS="shop,news,club", SHOP_APPID="wx1", NEWS_APPID="wx1", CLUB_APPID="wx3")

        for name in ("shop", "news"):
            with pytest.raises(SettingsError) as caught:
                settings.account(name)
            assert str(caught.value).startswith(
                "WX_DATACUBE_SHOP_APPID and WX_DATACUBE_NEWS_APPID hold the same AppID. Accounts must not share one"
            )
        assert settings.account("club").appid == "wx3"

    def test_two_accounts_with_one_token_server_are_an_error_for_both(self, project: Path) -> None:
        """Two accounts with the same token server are an error for both that doesn't show the URL.

        One URL provides the token of one account.
        """
        address = "https://tokens.example/?key=s3cr3t"
        settings = load(project, ACCOUNTS="shop,news", SHOP_TOKEN_URL=address, NEWS_TOKEN_URL=address)

        with pytest.raises(
            SettingsError, match="SHOP_TOKEN_URL and WX_DATACUBE_NEWS_TOKEN_URL hold the same"
        ) as caught:
            settings.account("news")
        assert "s3cr3t" not in str(caught.value)

    @pytest.mark.parametrize("fields", [{"ACCOUNT": "demo"}, {"ACCOUNTS": "demo,shop"}], ids=["one", "several"])
    def test_a_real_account_is_not_called_demo(self, project: Path, fields: dict[str, str]) -> None:
        """The name demo is refused for a real account; it is allowed with an emulator on this machine.

        Otherwise made-up figures could be taken for WeChat's.
        """
        own = "DEMO_" if "ACCOUNTS" in fields else ""
        given = fields | {f"{own}APPID": "wx1", f"{own}SECRET": HIDDEN}

        with pytest.raises(SettingsError, match=r"'demo' is reserved for made-up figures.*another name"):
            load(project, **given).account("demo")
        assert load(project, **given, API_URL="http://127.0.0.1:8000").account("demo").can_call
        assert not load(project, **fields).account("demo").can_call

    def test_no_variable_has_two_meanings(self) -> None:
        """No field's name is a suffix of another field or shared setting, whatever accounts are called."""
        for field in ACCOUNT_FIELDS:
            others = {*ACCOUNT_FIELDS, *SHARED_FIELDS} - {field}
            assert [other for other in others if other.endswith(f"_{field}")] == []

    def test_a_variable_of_an_unlisted_account_draws_a_warning(self, project: Path) -> None:
        """A variable of an unlisted account gets a warning, with a suggestion if the name looks like a typo."""
        assert tuple(map(str, load(project, ACCOUNTS="shop,news", CLUB_APPID="wx1").warnings)) == (
            "WX_DATACUBE_CLUB_APPID is not a setting and is ignored: club is not in WX_DATACUBE_ACCOUNTS.",
        )
        assert tuple(map(str, load(project, ACCOUNTS="shop,news", SHOPP_APPID="wx1").warnings)) == (
            "WX_DATACUBE_SHOPP_APPID is not a setting and is ignored; did you mean WX_DATACUBE_SHOP_APPID?",
        )
        assert tuple(map(str, load(project, SHOP_APPID="wx1").warnings)) == (
            "WX_DATACUBE_SHOP_APPID is not a setting and is ignored: shop is not in WX_DATACUBE_ACCOUNTS.",
        )

    def test_setting_both_account_and_accounts_is_an_error(self, project: Path) -> None:
        """Setting both ACCOUNT and ACCOUNTS is an error, as either could be meant."""
        assert "Both WX_DATACUBE_ACCOUNT and WX_DATACUBE_ACCOUNTS are set" in refusal(
            project, ACCOUNTS="shop", ACCOUNT="shop"
        )

    def test_variables_carry_the_name_of_their_account(self, project: Path) -> None:
        """With ACCOUNTS, an account's variables include its name."""
        assert variable(None, "APPID") == "WX_DATACUBE_APPID"
        assert variable("shop", "APPID") == "WX_DATACUBE_SHOP_APPID"
        assert load(project).account().variable("SECRET") == "WX_DATACUBE_SECRET"
        assert load(project, ACCOUNTS="shop").account().variable("SECRET") == "WX_DATACUBE_SHOP_SECRET"

    def test_an_unknown_variable_draws_a_warning(self, project: Path) -> None:
        """A variable that nothing reads gets a warning; the setting would silently keep its default."""
        assert tuple(map(str, load(project, APP_ID="wx1").warnings)) == (
            "WX_DATACUBE_APP_ID is not a setting and is ignored; did you mean WX_DATACUBE_APPID?",
        )
        (warning,) = load(project, ACCOUNTS="shop,news", APPID="wx1").warnings
        ignored = "WX_DATACUBE_APPID is ignored when WX_DATACUBE_ACCOUNTS is set"
        assert str(warning) == f"{ignored}; use WX_DATACUBE_SHOP_APPID."


class TestSecret:
    """A secret never shows its value."""

    def test_no_string_form_shows_a_secret(self, project: Path, caplog: pytest.LogCaptureFixture) -> None:
        """No repr, str, format, container, dataclass or log shows a secret."""
        secret = Secret(HIDDEN)
        settings = load(
            project,
            APPID="wx1",
            SECRET=HIDDEN,
            TOKEN_URL=f"https://a.example/{HIDDEN}",
            WEBHOOK=f"https://b.example/{HIDDEN}",
        )
        with caplog.at_level(logging.DEBUG):
            logging.getLogger("any").debug("%s %r %s", secret, secret, settings)
        written = [
            repr(secret),
            str(secret),
            f"{secret}",
            f"{secret:>40}",
            repr([secret]),
            repr(settings),
            str(settings),
        ]
        written += [str(dataclasses.asdict(settings)), caplog.text]

        assert secret.reveal() == HIDDEN
        assert not any(HIDDEN in text for text in written)

    def test_a_secret_cannot_be_pickled(self) -> None:
        """A secret can't be pickled, since a pickle goes into a file or a pipe."""
        with pytest.raises(TypeError, match="memory"):
            pickle.dumps(Account("shop", secret=Secret(HIDDEN)))

    def test_a_secret_can_be_compared_and_copied(self) -> None:
        """Secrets can be compared, hashed and copied, so settings can too."""
        assert Secret("a") == Secret("a") != Secret("b")
        assert Secret("a") != "a"
        assert {Secret("a"), Secret("a")} == {Secret("a")}
        assert copy.deepcopy(Secret("a")) == copy.copy(Secret("a")) == Secret("a")
