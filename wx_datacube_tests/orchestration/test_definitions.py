"""Definitions: what the code location contains, here and in other projects, under various settings.

Add a test here when `build_defs` gets another argument or the location another object.
"""

import datetime as dt
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from wx_datacube.catalog.endpoints import BY_NAME
from wx_datacube.catalog.messages import ENDPOINTS
from wx_datacube.catalog.model import Endpoint, Period
from wx_datacube.cli import main
from wx_datacube.config.settings import Settings
from wx_datacube.definitions import build_defs
from wx_datacube.emulator.testing import wechat
from wx_datacube.errors import SettingsError
from wx_datacube.ingest.service import Ingest
from wx_datacube.orchestration.assets import FetchConfig
from wx_datacube.orchestration.partitions import partitions_of
from wx_datacube.warehouse.checks import checks_of
from wx_datacube_tests.dagster_environment import TOP, DagsterEnv, asset_key


def spec(defs: dg.Definitions, endpoint: Endpoint) -> dg.AssetSpec:
    """Return the spec of an endpoint's asset for the account `default`."""
    return defs.resolve_asset_graph().get(asset_key(endpoint)).to_asset_spec()


def keys(defs: dg.Definitions) -> set[str]:
    """Return all asset keys, joined with slashes."""
    return {key.to_user_string() for key in defs.resolve_all_asset_keys()}


SETTINGS = {
    "nothing": {},
    "credentials": {"APPID": "wx5eed0fda7acbe011", "SECRET": "0123456789abcdef" * 2},
    "a token server": {"TOKEN_URL": "https://tokens.example.com/wechat?key=k3y"},
    "wrong values": {"START": "soon", "CONCURRENCY": "0"},
}


@pytest.mark.parametrize("configured", SETTINGS)
def test_the_location_loads_whatever_is_configured(configured: str, it: DagsterEnv) -> None:
    """The location loads with any settings and has all its objects; only runs report wrong settings."""
    it.configure(**SETTINGS[configured])

    defs = build_defs()

    assert keys(defs) == {f"default/{name}" for name in (*(each.name for each in ENDPOINTS), "digest", "report")}
    assert {schedule.name for schedule in defs.schedules or ()} == {
        *(f"default_{name}" for name in ("daily", "weekly", "monthly", "checks")),
        "wx_datacube_digest",
    }
    assert set(defs.resources or ()) == {"duckdb", "wechat_default"}
    defs.resolve_all_job_defs()


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.name)
def test_an_asset_explains_its_table(endpoint: Endpoint, it: DagsterEnv) -> None:
    """An asset shows its meaning in two languages, its table, columns with type and meaning, and links to its code."""
    found = spec(build_defs(), endpoint)
    schema = found.metadata["dagster/column_schema"]
    with it.warehouse.open_published() as con:
        columns = con.execute(
            "SELECT column_name, data_type FROM duckdb_columns() WHERE schema_name = 'datacube' AND table_name = ?",
            [endpoint.name],
        ).fetchall()

    assert found.description is not None
    assert found.description.startswith(f"{endpoint.en}\n\n{endpoint.zh}\n\n")
    assert [Path(each.file_path).name for each in found.metadata["dagster/code_references"].code_references] == [
        "messages.py",
        "assets.py",
    ]
    assert found.metadata["dagster/table_name"] == f"datacube.{endpoint.name}"
    assert [(column.name, column.type) for column in schema.columns] == columns
    assert [column.name for column in schema.columns if not column.description] == []


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.name)
def test_an_asset_is_found_by_group_kind_and_pool(endpoint: Endpoint, it: DagsterEnv) -> None:
    """Group and pool name the account, the kind is `duckdb`, and the asset has all its checks."""
    defs = build_defs()
    found = spec(defs, endpoint)
    checks = {key.name for key in defs.resolve_asset_graph().asset_check_keys if key.asset_key == found.key}

    assert found.group_name == "wx_default"
    assert "duckdb" in found.kinds
    assert defs.resolve_assets_def(found.key).op.pool == "wx_default"
    assert checks == {check.name for check in checks_of(endpoint)}


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.name)
def test_an_asset_is_overdue_after_the_last_tick_of_the_morning_it_is_due(endpoint: Endpoint, it: DagsterEnv) -> None:
    """Assets are due by 12:35 Beijing time on the day after the period; materializations of that day are fresh."""
    policy = spec(build_defs(), endpoint).freshness_policy
    due = {Period.DAY: "* * *", Period.WEEK: "* * 1", Period.MONTH: "1 * *"}[endpoint.period]

    assert policy == dg.FreshnessPolicy.cron(
        deadline_cron=f"35 12 {due}", lower_bound_delta=dt.timedelta(hours=12, minutes=35), timezone="Asia/Shanghai"
    )


PARTITIONS = {
    Period.DAY: ("2024-03-01", "2024-03-02"),
    Period.WEEK: ("2024-02-26", "2024-03-04"),
    Period.MONTH: ("2024-03-01", "2024-04-01"),
}


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.name)
def test_partitions_are_labels_from_the_first_day_on(endpoint: Endpoint, it: DagsterEnv) -> None:
    """Weeks and months begin with the one that contains WX_DATACUBE_START; a backfill of any range is one run."""
    it.configure(START="2024-03-01")

    found = build_defs().resolve_assets_def(asset_key(endpoint))

    assert found.partitions_def is not None
    assert tuple(found.partitions_def.get_partition_keys()[:2]) == PARTITIONS[endpoint.period]
    assert found.backfill_policy == dg.BackfillPolicy.single_run()


@pytest.mark.parametrize("period", Period)
def test_partitions_of_workers_differ_only_in_their_ends(period: Period) -> None:
    """The definitions of two workers and of a project differ; keys and time windows are the same."""
    endpoint, start = next(each for each in ENDPOINTS if each.period is period), dt.date(2025, 12, 17)
    plain, east, west = (partitions_of(endpoint, start, name) for name in ("", "east", "west"))

    def windows(of: dg.TimeWindowPartitionsDefinition) -> dict[str, dg.TimeWindow]:
        return {key: of.time_window_for_partition_key(key) for key in of.get_partition_keys()}

    assert len({plain, east, west}) == 3
    assert east == partitions_of(endpoint, start, "east")
    assert windows(plain) == windows(east) == windows(west)
    assert str(plain) == str(east)


def test_several_accounts_are_kept_apart(it: DagsterEnv) -> None:
    """Each account has its own assets, group, pool, schedules, resource and first day."""
    it.configure(ACCOUNTS="shop,news", START="2020-01-01")
    it.patch.setenv("WX_DATACUBE_NEWS_START", "2022-02-02")

    defs = build_defs()

    assert keys(defs) == {
        f"{account}/{name}"
        for account in ("shop", "news")
        for name in (*(each.name for each in ENDPOINTS), "digest", "report")
    }
    assert {spec.group_name for spec in defs.resolve_all_asset_specs()} == {"wx_shop", "wx_news"}
    for account in ("shop", "news"):
        assert defs.resolve_assets_def(dg.AssetKey([account, "getupstreammsg"])).op.pool == f"wx_{account}"
    assert set(defs.resources or ()) == {"duckdb", "wechat_shop", "wechat_news"}
    for name, first in (("shop", "2020-01-01"), ("news", "2022-02-02")):
        days = defs.resolve_assets_def(dg.AssetKey([name, "getupstreammsg"])).partitions_def
        assert days is not None
        assert days.get_first_partition_key() == first


def test_a_job_holds_its_own_accounts_resource_only(it: DagsterEnv) -> None:
    """A job has only its own account's resource; otherwise loading a hundred accounts takes three times as long."""
    it.configure(ACCOUNTS="shop,news")
    repository = build_defs().get_repository_def()

    for name in ("shop", "news"):
        for period in Period:
            job = repository.get_job(f"{name}_{period.adverb}")
            assert set(job.resource_defs) == {"io_manager", f"wechat_{name}"}


def test_another_project_can_configure_the_assets(it: DagsterEnv) -> None:
    """Another project can set the key prefix, group, owners, cron schedule and resources."""

    class Recorded:
        def ingest(self, settings: Settings) -> Ingest:
            raise dg.Failure("it was this one")

    it.configure(ACCOUNT="shop")
    defs = build_defs(
        accounts=["shop"],
        key_prefix=["marketing", "wechat"],
        group_name="social",
        owners=["team:growth"],
        cron_schedule="0 6 * * *",
        resources={"wechat_shop": dg.ResourceDefinition.hardcoded_resource(Recorded())},
    )
    (first,) = [each for each in defs.resolve_all_asset_specs() if each.key.path[-1] == "getupstreammsg"]
    job = defs.resolve_implicit_job_def_def_for_assets([first.key])
    assert job is not None
    result = job.execute_in_process(
        instance=it.instance,
        asset_selection=[first.key],
        partition_key="2024-03-01",
        raise_on_error=False,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )

    assert first.key.path == ["marketing", "wechat", "shop", "getupstreammsg"]
    assert (first.group_name, list(first.owners)) == ("social", ["team:growth"])
    times = {schedule.name: schedule.cron_schedule for schedule in defs.schedules or ()}
    assert times.pop("marketing__wechat__shop_checks") == "35 12-15 * * *"
    assert times.pop("marketing__wechat__shop__wx_datacube_digest") == ["0 10 * * *", "45 12 * * *"]
    assert set(times.values()) == {"0 6 * * *"}
    assert not result.success
    (failed,) = [event for event in result.all_events if event.is_step_failure]
    assert failed.step_failure_data.error is not None
    assert "it was this one" in failed.step_failure_data.error.message


def test_definitions_of_several_accounts_merge(it: DagsterEnv) -> None:
    """Definitions of several accounts and prefixes merge, beside a user's job with one of our names."""
    it.configure(ACCOUNTS="shop,news", START="2026-11-01", **{"NEWS_APPID": "wx5eed0fda7acbe011"})

    @dg.job(name="paper_daily")
    def theirs() -> None: ...

    merged = dg.Definitions.merge(
        build_defs(accounts="shop"),
        build_defs(accounts=["news"]),
        build_defs(accounts="shop", key_prefix="paper"),
        dg.Definitions(jobs=[theirs]),
    )
    names = {schedule.name for schedule in merged.schedules or ()}

    merged.resolve_all_job_defs()
    dg.Definitions.validate_loadable(merged)
    assert names == {
        f"{stem}_{what}"
        for stem in ("shop", "news", "paper__shop")
        for what in ("daily", "weekly", "monthly", "checks", "_wx_datacube_digest")
    }
    assert {key.split("/getup")[0] for key in keys(merged) if "getup" in key} == {"shop", "news", "paper/shop"}
    assert set(merged.resources or ()) == {"duckdb", "wechat_shop", "wechat_news"}


OWN_RESOURCES = """
import dagster as dg
from wx_datacube.definitions import build_defs
from wx_datacube.orchestration.resources import WeChatAccount


@dg.definitions
def defs() -> dg.Definitions:
    theirs = WeChatAccount(account="news", appid=dg.EnvVar("THEIR_APPID"))
    return build_defs(accounts="news", resources={"wechat_news": theirs})
"""


def test_an_account_with_its_own_resource_loads_beside_a_component(it: DagsterEnv) -> None:
    """As documented, a Python file in `defs/` adds an account with its own resource beside a `defs.yaml`."""
    it.configure(ACCOUNTS="shop,news")
    (it.folder / "pyproject.toml").write_text('[tool.dg]\ndirectory_type = "project"\nproject.root_module = "parts"\n')
    component = it.folder / "parts" / "defs" / "shop"
    component.mkdir(parents=True)
    (component / "defs.yaml").write_text("type: wx_datacube.MessageAnalysis\nattributes:\n  accounts: shop\n")
    (component.parent / "news.py").write_text(OWN_RESOURCES)
    it.patch.syspath_prepend(it.folder)

    found = dg.load_from_defs_folder(path_within_project=it.folder)

    assert {key.split("/")[0] for key in keys(found)} == {"shop", "news"}
    appids = {key: each.appid for key, each in (found.resources or {}).items() if key != "duckdb"}
    assert appids == {"wechat_shop": None, "wechat_news": "THEIR_APPID"}
    dg.Definitions.validate_loadable(found)


def test_merging_definitions_of_different_files_is_an_error(it: DagsterEnv) -> None:
    """Merging definitions with different files under one resource key is an error; `duckdb_key` resolves it."""
    first = build_defs(key_prefix="first")
    it.configure(DATABASE="other.duckdb")

    with pytest.raises(dg.DagsterInvariantViolationError, match="different resources with same key 'duckdb'"):
        dg.Definitions.merge(first, build_defs(key_prefix="second"))
    dg.Definitions.merge(first, build_defs(key_prefix="second", duckdb_key="other"))


@pytest.mark.parametrize("accounts", [["shp"], ["Shop"], ["shop-x"], [], ""], ids=str)
def test_unknown_account_names_are_refused(accounts: list[str] | str, it: DagsterEnv) -> None:
    """Unknown account names and empty lists are refused, with the configured names in the message."""
    it.configure(ACCOUNTS="shop,news")

    with pytest.raises(SettingsError, match="Configured: shop, news"):
        build_defs(accounts=accounts)


def test_a_prefix_is_one_name_or_a_list_of_names(it: DagsterEnv) -> None:
    """As in Dagster's API, a string is one name, and a slash in it is an error."""
    assert keys(build_defs(key_prefix="wechat")) == keys(build_defs(key_prefix=["wechat"]))
    for wrong in ("a/b", ["a", ""], ""):
        with pytest.raises(SettingsError, match="key_prefix"):
            build_defs(key_prefix=wrong)


def test_dagster_and_commands_show_the_same_accounts(
    it: DagsterEnv, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    """Dagster and the commands read the same `.env` beside the code, even if `DAGSTER_HOME` is elsewhere."""
    home = tmp_path_factory.mktemp("home")
    (it.folder / ".env").write_text("WX_DATACUBE_ACCOUNT=shop\nWX_DATACUBE_START=2026-11-01\n")
    it.patch.setenv("DAGSTER_HOME", str(home))

    found = build_defs()
    main.run(["status"])

    assert {key.split("/")[0] for key in keys(found)} == {"shop"}
    assert "Account shop (no AppID yet), history from 2026-11-01" in capsys.readouterr().out


def test_the_location_keeps_its_settings_without_a_project_folder(
    it: DagsterEnv, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a project folder the location loads with its settings, and loading and runs show the same advice."""
    (it.folder / "dagster.yaml").unlink()
    it.configure(ACCOUNTS="shop,news", START="2026-11-01")

    found = build_defs()
    days = found.resolve_assets_def(dg.AssetKey(["shop", "getupstreammsg"])).partitions_def
    advice = "Set DAGSTER_HOME, or make WX_DATACUBE_DATABASE absolute"

    assert {key.split("/")[0] for key in keys(found)} == {"shop", "news"}
    assert days is not None
    assert days.get_first_partition_key() == "2026-11-01"
    assert advice in caplog.text
    result = dg.materialize(
        [found.resolve_assets_def(dg.AssetKey(["shop", "getupstreammsg"]))],
        partition_key="2026-11-01",
        raise_on_error=False,
        instance=it.instance,
    )
    (failed,) = [event for event in result.all_events if event.is_step_failure]
    assert advice in str(failed.step_failure_data.error)


def test_an_asset_can_be_called_in_a_unit_test(it: DagsterEnv) -> None:
    """With `build_asset_context` an asset fetches a day without a run, and raises the same errors as a run."""

    def call(day: str) -> list[object]:
        asset = build_defs().resolve_assets_def(asset_key(BY_NAME["getupstreammsg"]))
        with dg.build_asset_context(partition_key=day) as context:
            return list(asset(context, FetchConfig()))

    with wechat(publish_at="00:00") as emulated:
        it.use(emulated, START="2026-11-01")
        result, *_ = call("2026-11-02")
        it.configure(START="2026-11-01")
        with pytest.raises(dg.Failure, match="WX_DATACUBE_APPID"):
            call("2026-11-03")

    assert isinstance(result, dg.MaterializeResult)
    assert result.metadata is not None
    assert result.metadata["dagster/row_count"] > 0
    with it.warehouse.open_published() as con:
        assert con.execute("SELECT DISTINCT ref_date FROM datacube.getupstreammsg").fetchall() == [
            (dt.date(2026, 11, 2),)
        ]


def test_downstream_assets_read_the_published_file(it: DagsterEnv) -> None:
    """A downstream asset queries the tables through the `duckdb` resource, which is read-only."""
    it.warehouse.publish()

    @dg.asset(deps=[dg.AssetKey(["default", "getupstreammsg"])], required_resource_keys={"duckdb"})
    def weekly_report(context: dg.AssetExecutionContext) -> None:
        with context.resources.duckdb.get_connection() as con:
            context.add_output_metadata({"rows": con.execute("FROM totals_daily").fetchall()})
            con.execute("DELETE FROM datacube.getupstreammsg")

    defs = dg.Definitions.merge(build_defs(), dg.Definitions(assets=[weekly_report]))
    job = defs.resolve_implicit_job_def_def_for_assets([weekly_report.key])
    assert job is not None
    result = job.execute_in_process(
        instance=it.instance,
        asset_selection=[weekly_report.key],
        raise_on_error=False,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )

    (failed,) = [event for event in result.all_events if event.is_step_failure]
    assert failed.step_failure_data.error is not None
    assert "read-only" in str(failed.step_failure_data.error)


def test_the_resource_loads_no_extensions_by_itself(it: DagsterEnv) -> None:
    """The `duckdb` resource neither loads nor downloads extensions, like all of our connections."""
    it.warehouse.publish()
    resource = (build_defs().resources or {})["duckdb"]

    with resource.get_connection() as con:
        asked = "SELECT current_setting('autoinstall_known_extensions'), current_setting('autoload_known_extensions')"
        assert con.execute(asked).fetchall() == [(False, False)]


def test_resources_hold_variable_names_instead_of_credentials(it: DagsterEnv) -> None:
    """Resources hold the names of variables, so that no secret is stored with the code location."""
    it.configure(**SETTINGS["credentials"])

    resource = (build_defs().resources or {})["wechat_default"]

    assert {name: type(getattr(resource, name)).__name__ for name in ("appid", "secret")} == {
        "appid": "EnvVar",
        "secret": "EnvVar",
    }
    assert SETTINGS["credentials"]["SECRET"] not in repr(resource)


def test_importing_the_definitions_has_no_effect(it: DagsterEnv) -> None:
    """An import opens no file, starts no thread and doesn't read the environment."""
    code = "import wx_datacube.definitions, threading; print(threading.active_count())"
    found = subprocess.run(
        [sys.executable, "-c", code],
        cwd=it.folder,
        env={"PYTHONPATH": str(TOP), "WX_DATACUBE_START": "soon"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert (found.stdout, found.stderr) == ("1\n", "")
    assert {path.name for path in it.folder.iterdir()} == {"dagster.yaml", "workspace.yaml"}
