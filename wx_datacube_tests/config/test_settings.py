"""Settings: every variable is read, checked and named in its error; no secret is ever shown."""

import copy
import dataclasses
import datetime as dt
import logging
import pickle
from pathlib import Path

import pytest
from dotenv import dotenv_values

from wx_datacube.config.environment import child_environment, effective_environ, find_project, load_settings
from wx_datacube.config.settings import ACCOUNT_FIELDS, SHARED_FIELDS, Account, Secret, Settings, variable
from wx_datacube.errors import SettingsError
from wx_datacube_tests.rights import anybody, nobody_special

HIDDEN = "5ec2e70123456789abcdef0123456789"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project folder."""
    (tmp_path / "dagster.yaml").touch()
    return tmp_path.resolve()


def load(project: Path, **fields: str) -> Settings:
    """Settings of a project from `WX_DATACUBE_` fields, on 24 November 2026 at noon."""
    environ = {f"WX_DATACUBE_{name}": value for name, value in fields.items()}
    return load_settings(environ, project, clock=lambda: dt.datetime(2026, 11, 24, 12))


def refusal(project: Path, **fields: str) -> str:
    """The error of wrong settings, as a line."""
    with pytest.raises(SettingsError) as caught:
        load(project, **fields)
    return str(caught.value)


class TestDefaults:
    """What holds when nothing is set."""

    def test_nothing_needs_to_be_set(self, project: Path) -> None:
        """No credentials are needed where nothing must be asked."""
        settings = load(project)

        assert settings == Settings(project, project / "data/wx_datacube.duckdb")
        assert settings.api_url == "https://api.weixin.qq.com"
        assert (settings.concurrency, settings.daily_calls, settings.warnings) == (8, None, ())
        assert settings.accounts == (Account("default", start=dt.date(2014, 12, 1)),)
        assert not settings.account().can_call

    def test_blank_counts_as_unset(self, project: Path) -> None:
        """`KEY=` in a file is how people switch a setting off."""
        assert load(project, APPID="", SECRET="  ", START="", CONCURRENCY="", DATABASE=" ", ACCOUNT="") == load(project)

    def test_all_settings_are_read(self, project: Path) -> None:
        """Each variable reaches its field."""
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
    """Where the project folder is."""

    def test_the_nearest_folder_with_a_dagster_yaml(self, project: Path) -> None:
        """From anywhere inside the project."""
        deep = project / "a" / "b"
        deep.mkdir(parents=True)

        assert find_project({}, deep) == project

    def test_dagster_home_comes_first(self, project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
        """As for Dagster itself."""
        other = tmp_path_factory.mktemp("other").resolve()

        assert find_project({"DAGSTER_HOME": str(other)}, project) == other
        assert find_project({"DAGSTER_HOME": " "}, project) == project

    @pytest.mark.parametrize("home", ["relative", "/does/not/exist"])
    def test_a_wrong_dagster_home_is_an_error(self, project: Path, home: str) -> None:
        """Dagster wants an absolute path; a folder that isn't there would be made in silence."""
        with pytest.raises(SettingsError, match="DAGSTER_HOME"):
            find_project({"DAGSTER_HOME": home}, project)

    def test_outside_a_project_the_way_in_is_said(self, tmp_path: Path) -> None:
        """Somebody who types the command in the wrong folder learns what to do."""
        with pytest.raises(SettingsError, match="change to the folder that you cloned, or make one: wx-datacube init"):
            load_settings({}, tmp_path)

    def test_settings_hold_without_a_project_folder(self, tmp_path: Path) -> None:
        """A container that gets variables only: a folder is needed only where a path is relative."""
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
        """File locks and renames differ there; WSL 2 works."""
        with pytest.raises(SettingsError, match="WSL 2"):
            load_settings({}, project, platform="win32")


class TestDotenv:
    """The file `.env`: the nearest from the current folder upwards, otherwise the project folder's."""

    def test_the_nearest_one_upwards_counts(self, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Also with `DAGSTER_HOME` elsewhere, as in other Dagster projects; its own counts where there is no other."""
        home, code = project / "home", project / "code"
        for folder, account in ((home, "of_home"), (code, "of_code")):
            folder.mkdir()
            (folder / ".env").write_text(f"WX_DATACUBE_ACCOUNT={account}\n")
        (code / "deep").mkdir()
        monkeypatch.setenv("DAGSTER_HOME", str(home))

        above, fallback = load_settings(cwd=code / "deep"), load_settings(cwd=project)

        assert (above.account().name, above.dotenv, above.project) == ("of_code", code / ".env", home)
        assert (fallback.account().name, fallback.dotenv) == ("of_home", home / ".env")

    def test_it_may_name_the_project_folder(self, project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
        """Dagster reads `DAGSTER_HOME` from it, too."""
        home = tmp_path_factory.mktemp("home").resolve()
        (project / ".env").write_text(f"DAGSTER_HOME={home}\n")

        assert load_settings(cwd=project).database == home / "data/wx_datacube.duckdb"

    def test_a_process_started_elsewhere_keeps_it(self, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The runs of a backfill have the project folder as their current folder."""
        code, other = project / "code", project / "other"
        for folder in (code, other):
            folder.mkdir()
        (code / ".env").write_text("WX_DATACUBE_ACCOUNT=shop\n")
        (other / ".env").write_text("WX_DATACUBE_ACCOUNT=wrong\n")

        for name, value in child_environment(load_settings(cwd=code)).items():
            monkeypatch.setenv(name, value)

        assert load_settings(cwd=other).account().name == "shop"

    def test_env_file_wins_over_the_environment(self, project: Path) -> None:
        """As everywhere in Dagster, blanks included."""
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
        """The way in which every command reads its settings."""
        (project / ".env").write_text(f"WX_DATACUBE_ACCOUNT=from_the_file\nWX_DATACUBE_SECRET={HIDDEN}\n")
        (project / ".env").chmod(0o600)

        settings = load_settings(cwd=project)

        assert settings.account().name == "from_the_file"
        assert not settings.warnings

    def test_an_env_file_in_another_encoding_is_an_error(self, project: Path) -> None:
        """Neither a traceback nor settings lost without a word."""
        (project / ".env").write_bytes(b"A=\xff\xfe\n")

        with pytest.raises(SettingsError, match="UTF-8"):
            effective_environ({}, project / ".env")

    def test_a_byte_order_mark_does_no_harm(self, project: Path) -> None:
        """Some editors put one in front."""
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
    def test_lines_that_say_nothing_change_no_other(
        self, text: str, lines: str, project: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """All else is as Dagster reads it, and one warning, of ours, says where they are."""
        env = project / ".env"
        env.write_bytes(text.encode())
        env.chmod(0o600)

        values, (warning,) = effective_environ({}, project / ".env"), load_settings(cwd=project).warnings

        assert warning.startswith(f"{env}: what begins in line {lines} sets nothing. ")
        assert caplog.text == ""
        assert values == {key: value for key, value in dotenv_values(env).items() if value is not None}

    def test_an_env_file_that_others_can_read_draws_a_warning(self, project: Path) -> None:
        """It may hold the AppSecret."""
        env = project / ".env"
        env.touch()
        env.chmod(0o640)
        assert f"chmod 600 {env}" in load(project).warnings[0]

        env.chmod(0o600)
        assert load(project).warnings == ()


class TestWrongValues:
    """A wrong value is a clear error that names the variable, and never shows a secret."""

    @pytest.mark.parametrize("value", ["2014-11-30", "2026-11-25", "2020-13-01", "20200101", "2020-W01-1", "soon"])
    def test_a_start_must_be_a_day_of_history(self, project: Path, value: str) -> None:
        """From 2014-12-01 to today, in one notation."""
        assert "WX_DATACUBE_START is wrong. It should hold a date YYYY-MM-DD from 2014-12-01" in refusal(
            project, START=value
        )

    def test_the_first_and_the_present_day_can_be_the_start(self, project: Path) -> None:
        """Both ends count."""
        assert load(project, START="2014-12-01").account().start == dt.date(2014, 12, 1)
        assert load(project, START="2026-11-24").account().start == dt.date(2026, 11, 24)

    @pytest.mark.parametrize("value", ["Shop", "1shop", "a" * 33, "a-b", "shop;drop table", "läden", "a,b"])
    def test_an_account_name_is_plain(self, project: Path, value: str) -> None:
        """It becomes part of asset keys, file names and variables."""
        assert "WX_DATACUBE_ACCOUNT is wrong" in refusal(project, ACCOUNT=value)

    @pytest.mark.parametrize("field", ["CONCURRENCY", "DAILY_CALLS"])
    @pytest.mark.parametrize("value", ["0", "-1", "1.5", "many", "99999999999999"])
    def test_numbers_are_whole_and_positive(self, project: Path, field: str, value: str) -> None:
        """Neither no call nor endless ones."""
        assert f"WX_DATACUBE_{field} is wrong. It should hold a whole number from 1" in refusal(
            project, **{field: value}
        )

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
        """The token is in every call."""
        assert "WX_DATACUBE_API_URL is wrong" in refusal(project, API_URL=value)

    @pytest.mark.parametrize(
        "value", ["http://localhost:1", "http://127.9.9.9", "http://[::1]:80/x", "HTTPS://a.example"]
    )
    def test_addresses_that_are_fine(self, project: Path, value: str) -> None:
        """This machine, or https."""
        assert load(project, API_URL=value).api_url == value

    def test_a_database_is_a_file(self, project: Path) -> None:
        """A folder, something inside a file, services, and what DuckDB misreads are refused before anything is made."""
        (project / "folder").mkdir()
        (project / "file").touch()

        for value in ("folder", "new/", "file/in.duckdb", ":memory:", "md:mine", "a?b.duckdb", "a?/b.duckdb"):
            assert "WX_DATACUBE_DATABASE is wrong" in refusal(project, DATABASE=value)

    def test_a_database_path_belongs_to_the_project(self, project: Path) -> None:
        """Relative ones are relative to it, not to the current folder."""
        (project / "sub").mkdir()

        assert load(project / "sub", DATABASE="x/../y.duckdb").database == project / "y.duckdb"
        assert load(project, DATABASE="/tmp/y.duckdb").database == Path("/tmp/y.duckdb")

    def test_a_link_to_the_database_is_followed(self, project: Path) -> None:
        """Everything is beside the real file; one that is still to be made, too."""
        (project / "disk").mkdir()
        (project / "data").mkdir()
        link = project / "data" / "wx_datacube.duckdb"
        link.symlink_to("../disk/real.duckdb")

        assert load(project).database == project / "disk" / "real.duckdb"
        (project / "disk" / "real.duckdb").touch()
        assert load(project).database == project / "disk" / "real.duckdb"

    def test_a_folder_that_is_a_link_may_be_one(self, project: Path) -> None:
        """Its name stays as people know it."""
        (project / "disk").mkdir()
        (project / "data").symlink_to("disk")

        assert load(project).database == project / "data" / "wx_datacube.duckdb"

    @pytest.mark.parametrize(("link", "to"), [("data", "mnt"), ("data/wx_datacube.duckdb", "/none/real.duckdb")])
    def test_a_link_to_a_disk_that_is_not_mounted_is_named(self, project: Path, link: str, to: str) -> None:
        """Of the file, or of a folder above it: nothing could be made there."""
        (project / link).parent.mkdir(exist_ok=True)
        (project / link).symlink_to(to)

        said = f"{project / link} is a link to {to}, and nothing is there. Is its disk mounted? "
        assert refusal(project).startswith(said)
        assert refusal(project, DATABASE=str(project / "data" / "wx_datacube.duckdb")).startswith(said)

    def test_a_link_to_itself_is_an_error(self, project: Path) -> None:
        """Neither a traceback nor an endless loop."""
        (project / "data").symlink_to("data")

        assert "wx_datacube.duckdb can't be reached: Too many levels of symbolic links." in refusal(project)

    def test_a_folder_that_may_not_be_entered_is_an_error(self) -> None:
        """What is in it can't be known, so that it is not taken for empty."""
        with anybody() as folder:
            (folder / "dagster.yaml").touch()
            (folder / "data").mkdir(mode=0)
            nobody_special()
            assert "data/wx_datacube.duckdb can't be reached: Permission denied." in refusal(folder)

    @pytest.mark.parametrize(
        "fields", [{"APPID": HIDDEN}, {"APPID": "gh_1234567890ab"}, {"SECRET": f"{HIDDEN} {HIDDEN}"}]
    )
    def test_wrong_credentials_are_named_and_not_shown(self, project: Path, fields: dict[str, str]) -> None:
        """Somebody who swaps AppID and AppSecret must not see the secret in a log."""
        line = refusal(project, **fields)

        assert line.startswith(f"WX_DATACUBE_{next(iter(fields))} is wrong.")
        assert HIDDEN not in line


class TestTokenServer:
    """The address of a central token server."""

    @pytest.mark.parametrize("value", ["https://tokens.example/wx?key=s3cr3t", "https://user:s3cr3t@tokens.example/"])
    def test_https_is_fine(self, project: Path, value: str) -> None:
        """Whatever else is in the address."""
        settings = load(project, TOKEN_URL=value)

        assert settings.account().token_url == Secret(value)
        assert settings.account().can_call
        assert settings.warnings == ()

    @pytest.mark.parametrize("host", ["10.1.2.3", "user:s3cr3t@10.1.2.3", "192.168.0.9:8080", "127.0.0.1", "[fd00::1]"])
    def test_http_to_a_private_address_draws_a_warning(self, project: Path, host: str) -> None:
        """Allowed, since such servers have no certificate, but not in silence."""
        settings = load(project, TOKEN_URL=f"http://{host}/?key=s3cr3t")

        assert "WX_DATACUBE_TOKEN_URL uses http" in settings.warnings[0]
        assert "s3cr3t" not in settings.warnings[0]

    @pytest.mark.parametrize("host", ["tokens.example", "203.0.113.5", "172.32.0.1", "8.8.8.8", "10.0.0.1.example"])
    def test_http_to_anywhere_else_is_refused(self, project: Path, host: str) -> None:
        """A token in plain sight on the internet; the address is not shown."""
        line = refusal(project, TOKEN_URL=f"http://{host}/?key=s3cr3t")

        assert line.startswith("WX_DATACUBE_TOKEN_URL is wrong.")
        assert "s3cr3t" not in line
        assert host not in line


class TestWebhook:
    """The address of a chat's robot."""

    @pytest.mark.parametrize("value", ["https://chat.example/robot/send?access_token=s3cr3t", "http://10.1.2.3/s3cr3t"])
    def test_https_or_a_private_address_is_fine(self, project: Path, value: str) -> None:
        """What is sent there is no credential."""
        settings = load(project, WEBHOOK=value)

        assert settings.webhook == Secret(value)
        assert settings.warnings == ()
        assert "s3cr3t" not in repr(settings)

    @pytest.mark.parametrize("value", ["http://chat.example/s3cr3t", "chat.example/s3cr3t", "s3cr3t", "ftp://a/s3cr3t"])
    def test_anything_else_is_refused(self, project: Path, value: str) -> None:
        """By its name, before any call, and without being shown."""
        line = refusal(project, WEBHOOK=value)

        assert line.startswith("WX_DATACUBE_WEBHOOK is wrong. It should hold the address of your chat's robot")
        assert "s3cr3t" not in line


class TestAccounts:
    """Several accounts in one database."""

    def test_each_account_has_its_own_variables(self, project: Path) -> None:
        """Credentials are never taken from another account; the start may be shared."""
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

    def test_with_several_accounts_one_must_be_chosen(self, project: Path) -> None:
        """Nothing is done to an account that nobody named."""
        with pytest.raises(SettingsError, match="--account"):
            load(project, ACCOUNTS="shop,news").account()

    def test_an_unknown_account_is_an_error(self, project: Path) -> None:
        """Which names those that there are."""
        with pytest.raises(SettingsError, match="Configured: shop, news"):
            load(project, ACCOUNTS="shop,news").account("other")

    @pytest.mark.parametrize(
        "value", ["shop,shop", "shop,", "Shop,news", f"shop,{'a' * 33}", "shop;news", "_shop,news"]
    )
    def test_names_are_plain_and_different(self, project: Path, value: str) -> None:
        """As for one."""
        assert refusal(project, ACCOUNTS=value) == (
            "WX_DATACUBE_ACCOUNTS is wrong. It should hold different names separated by commas, each up to 32 small"
            " letters, digits and _, a letter first, such as shop."
        )

    def test_what_is_wrong_with_one_account_is_its_own_fault(self, project: Path) -> None:
        """The others can be used; whoever wants this one is told. Its partitions begin where they did."""
        settings = load(project, ACCOUNTS="shop,news", SHOP_APPID="gh_1", SHOP_START="2020-01-01", NEWS_APPID="wx2")

        assert settings.account("news").appid == "wx2"
        with pytest.raises(SettingsError, match=r"SHOP_APPID is wrong\. It should hold the account's AppID"):
            settings.account("shop")
        shop = settings.accounts[0]
        assert (shop.appid, shop.can_call, shop.start) == (None, False, dt.date(2020, 1, 1))

    def test_two_accounts_with_one_appid_are_a_fault_of_both(self, project: Path) -> None:
        """Both variables are named; a third account isn't concerned."""
        settings = load(project, ACCOUNTS="shop,news,club", SHOP_APPID="wx1", NEWS_APPID="wx1", CLUB_APPID="wx3")

        for name in ("shop", "news"):
            with pytest.raises(SettingsError) as caught:
                settings.account(name)
            assert str(caught.value).startswith(
                "WX_DATACUBE_SHOP_APPID and WX_DATACUBE_NEWS_APPID hold the same AppID. Each account has its own"
            )
        assert settings.account("club").appid == "wx3"

    def test_two_accounts_with_one_token_server_are_a_fault_of_both(self, project: Path) -> None:
        """One address gives the token of one account; it is a secret, and not shown."""
        address = "https://tokens.example/?key=s3cr3t"
        settings = load(project, ACCOUNTS="shop,news", SHOP_TOKEN_URL=address, NEWS_TOKEN_URL=address)

        with pytest.raises(
            SettingsError, match="SHOP_TOKEN_URL and WX_DATACUBE_NEWS_TOKEN_URL hold the same"
        ) as caught:
            settings.account("news")
        assert "s3cr3t" not in str(caught.value)

    @pytest.mark.parametrize("fields", [{"ACCOUNT": "demo"}, {"ACCOUNTS": "demo,shop"}], ids=["one", "several"])
    def test_a_real_account_is_not_called_demo(self, project: Path, fields: dict[str, str]) -> None:
        """Nobody takes made-up figures for WeChat's; with an emulator on this machine it is the demo's own name."""
        own = "DEMO_" if "ACCOUNTS" in fields else ""
        given = fields | {f"{own}APPID": "wx1", f"{own}SECRET": HIDDEN}

        with pytest.raises(SettingsError, match=r"'demo' is the account of made-up figures.*another name"):
            load(project, **given).account("demo")
        assert load(project, **given, API_URL="http://127.0.0.1:8000").account("demo").can_call
        assert not load(project, **fields).account("demo").can_call

    def test_no_variable_has_two_meanings(self) -> None:
        """Whatever accounts are called: a field's name is the end of no other's, nor of a shared setting's."""
        for field in ACCOUNT_FIELDS:
            others = {*ACCOUNT_FIELDS, *SHARED_FIELDS} - {field}
            assert [other for other in others if other.endswith(f"_{field}")] == []

    def test_a_variable_of_no_account_draws_a_warning(self, project: Path) -> None:
        """It says which account is not in the list; a slip in a name that is in it is taken for one."""
        assert load(project, ACCOUNTS="shop,news", CLUB_APPID="wx1").warnings == (
            "WX_DATACUBE_CLUB_APPID is not a setting, nothing reads it: club is not in WX_DATACUBE_ACCOUNTS.",
        )
        assert load(project, ACCOUNTS="shop,news", SHOPP_APPID="wx1").warnings == (
            "WX_DATACUBE_SHOPP_APPID is not a setting, nothing reads it; did you mean WX_DATACUBE_SHOP_APPID?",
        )
        assert load(project, SHOP_APPID="wx1").warnings == (
            "WX_DATACUBE_SHOP_APPID is not a setting, nothing reads it: shop is not in WX_DATACUBE_ACCOUNTS.",
        )

    def test_one_or_several_not_both(self, project: Path) -> None:
        """Else it would be a guess which holds."""
        assert "Both WX_DATACUBE_ACCOUNT and WX_DATACUBE_ACCOUNTS are set" in refusal(
            project, ACCOUNTS="shop", ACCOUNT="shop"
        )

    def test_variables_carry_the_name_of_their_account(self, project: Path) -> None:
        """Unless it is the only one."""
        assert variable(None, "APPID") == "WX_DATACUBE_APPID"
        assert variable("shop", "APPID") == "WX_DATACUBE_SHOP_APPID"
        assert load(project).account().variable("SECRET") == "WX_DATACUBE_SECRET"
        assert load(project, ACCOUNTS="shop").account().variable("SECRET") == "WX_DATACUBE_SHOP_SECRET"

    def test_a_slip_of_the_pen_draws_a_warning(self, project: Path) -> None:
        """A variable that nothing reads would leave the setting at its default in silence."""
        assert load(project, APP_ID="wx1").warnings == (
            "WX_DATACUBE_APP_ID is not a setting, nothing reads it; did you mean WX_DATACUBE_APPID?",
        )
        (warning,) = load(project, ACCOUNTS="shop,news", APPID="wx1").warnings
        assert "nothing reads it beside WX_DATACUBE_ACCOUNTS: it wants its account's name" in warning
        assert warning.endswith("as in WX_DATACUBE_SHOP_APPID.")


class TestSecret:
    """A secret shows itself to nobody."""

    def test_no_way_of_writing_it_shows_it(self, project: Path, caplog: pytest.LogCaptureFixture) -> None:
        """repr, str, formats, containers, dataclasses, logs."""
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

    def test_it_does_not_leave_memory(self) -> None:
        """A pickle would be a file or a pipe."""
        with pytest.raises(TypeError, match="memory"):
            pickle.dumps(Account("shop", secret=Secret(HIDDEN)))

    def test_it_can_be_compared_and_copied(self) -> None:
        """So that settings can."""
        assert Secret("a") == Secret("a") != Secret("b")
        assert Secret("a") != "a"
        assert {Secret("a"), Secret("a")} == {Secret("a")}
        assert copy.deepcopy(Secret("a")) == copy.copy(Secret("a")) == Secret("a")
