"""Documentation: the pages agree with the commands, settings, endpoints, tables and tests that exist.

Lists of facts are in `docs/reference/` and `docs/zh/reference/`, which are made from the code. Add a test here when
another page states something that the code knows.
"""

import ast
import datetime as dt
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest
import requests
import yaml

import wx_datacube
from wx_datacube.catalog import messages
from wx_datacube.catalog.endpoints import ENDPOINTS
from wx_datacube.catalog.messages import DAILY_MESSAGES
from wx_datacube.catalog.model import HISTORY_START, Endpoint
from wx_datacube.catalog.periods import due_labels
from wx_datacube.cli import main
from wx_datacube.cli.outcomes import EXIT_CODES
from wx_datacube.config.settings import (
    ACCOUNT,
    ACCOUNT_FIELDS,
    API_URL,
    CONCURRENCY,
    DATABASE,
    DEFAULT_FAMILIES,
    PREFIX,
    SHARED_FIELDS,
)
from wx_datacube.definitions import build_defs
from wx_datacube.emulator.control import ACTS
from wx_datacube.emulator.errcodes import MESSAGES
from wx_datacube.emulator.faults import KINDS, Fault
from wx_datacube.ingest.windows import plan_windows
from wx_datacube.orchestration.component import MessageAnalysis
from wx_datacube.warehouse.checks import CHECKS, checks_of
from wx_datacube.warehouse.coverage import State
from wx_datacube_tests.dagster_environment import DagsterEnv, asset_key, dagster_env

TOP = Path(__file__).parent.parent
READMES = ("README.md", "README.zh-CN.md")
TUTORIALS = ("docs/tutorial.md", "docs/zh/tutorial.md")
SCHEDULES = ("docs/how-to/schedule.md", "docs/zh/schedule.md")
ACCOUNTS = ("docs/how-to/accounts.md", "docs/zh/accounts.md")
ALERTS = ("docs/how-to/alerts.md", "docs/zh/alerts.md")
IN_DAGSTER = ("docs/how-to/dagster.md", "docs/zh/dagster.md")
PAGES = [
    *READMES,
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    *sorted(path.relative_to(TOP).as_posix() for path in TOP.glob("docs/**/*.md")),
]
TEXTS = {name: (TOP / name).read_text() for name in PAGES}
TEXTS["server"] = TEXTS["docs/how-to/server.md"] + TEXTS["docs/how-to/backup.md"]  # one page in Chinese
PAIRS = [READMES, TUTORIALS, SCHEDULES, ACCOUNTS, ALERTS, IN_DAGSTER, ("server", "docs/zh/server.md")]
REFERENCES = ("docs/reference", "docs/zh/reference")
ONLY_CHINESE = "## 运营如何拿到报告\n.*?\n## "
"""A section that the Chinese README alone has, for the people who read reports."""


def pages(names: tuple[str, ...]) -> pytest.MarkDecorator:
    """Run a test for each of some pages."""
    return pytest.mark.parametrize("page", names)


def absent(reference: str, name: str, facts: Iterable[str]) -> list[str]:
    """Return those facts that a page of a reference doesn't contain as whole words."""
    text = TEXTS[f"{reference}/{name}.md"]
    return [fact for fact in facts if not re.search(rf"(?<![\w-]){re.escape(fact)}(?![\w-])", text)]


def rows(text: str, first: str) -> list[list[str]]:
    """Return the cells of every table row whose first cell matches a pattern."""
    found = [re.split(r"\s*(?<!\\)\|\s*", line.strip())[1:-1] for line in text.splitlines() if line.startswith("|")]
    return [cells for cells in found if re.fullmatch(first, cells[0])]


def code(text: str) -> list[str]:
    """Return the text between single backticks."""
    return re.findall(r"`([^`]+)`", text)


def blocks(text: str, language: str) -> list[str]:
    """Return the code blocks of a language, without their indentation."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", block, flags=re.MULTILINE) for indent, block in found]


@pytest.fixture
def it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DagsterEnv]:
    """Provide a fresh project with an empty published file."""
    with dagster_env(tmp_path, monkeypatch) as found:
        found.warehouse.publish()
        yield found


# --- endpoints --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.name)
def test_every_endpoint_has_a_table_an_asset_and_its_checks(endpoint: Endpoint, it: DagsterEnv) -> None:
    """Every entry of the catalog has its tables, an asset and its checks."""
    it.configure(FAMILIES="all")
    graph = build_defs().resolve_asset_graph()
    with it.warehouse.open_published() as con:
        tables = {name for (name,) in con.execute("SELECT table_name FROM duckdb_tables()").fetchall()}

    assert {relation.name for relation in endpoint.relations} <= tables
    assert graph.has(asset_key(endpoint))
    assert {key.name for key in graph.asset_check_keys if key.asset_key == asset_key(endpoint)} == {
        check.name for check in checks_of(endpoint)
    }


@pages(READMES)
def test_the_readme_lists_all_families(page: str) -> None:
    """The table of families has the number of endpoints of each, and the first day of its history."""
    listed = [(code(cells[0])[0], cells[2], cells[3]) for cells in rows(TEXTS[page], "`[a-z]+`.*") if len(cells) == 4]
    families = {endpoint.family: str(endpoint.first(HISTORY_START)) for endpoint in ENDPOINTS}
    counts = Counter(endpoint.family for endpoint in ENDPOINTS)

    assert listed == [(family, str(counts[family]), first) for family, first in families.items()]


@pages(SCHEDULES)
def test_the_calls_of_each_family_match_the_plan(page: str) -> None:
    """The labels of each family, and the calls for its whole history to 2026-11-23, are those that are planned."""
    expected: dict[str, tuple[int, int]] = {}
    for endpoint in ENDPOINTS:
        labels = due_labels(endpoint.period, endpoint.first(HISTORY_START), dt.date(2026, 11, 24))
        before = expected.get(endpoint.family, (0, 0))
        expected[endpoint.family] = before[0] + len(labels), before[1] + len(plan_windows(endpoint, labels))
    told = [cells for cells in rows(TEXTS[page], r"(messages|followers|articles|interface)\b.*") if len(cells) == 4]
    numbers = [tuple(int(cell.replace(",", "")) for cell in cells[1:3]) for cells in told]

    assert {cells[0].split()[0]: found for cells, found in zip(told, numbers, strict=True)} == expected
    total = [f"{sum(counts):,}" for counts in zip(*expected.values(), strict=True)]
    assert [cells[1:3] for cells in rows(TEXTS[page], "all|合计")] == [[total[0], f"**{total[1]}**"]]


# --- commands ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_every_command_and_option_in_the_pages_exists(page: str) -> None:
    """Every command and option that a page uses exists."""
    for line in re.findall(r"wx-datacube ([a-z]+ ?[^`\n>#]*)", TEXTS[page]):
        name, *words = line.split()
        if name not in main.commands.commands:
            continue  # prose that follows the command name
        options = {option for param in main.commands.commands[name].params for option in param.opts} | {"--help"}
        assert [word for word in words if re.fullmatch("--[a-z-]+", word) and word not in options] == [], line


def test_every_option_of_the_emulator_is_documented() -> None:
    """The emulator's page names every option of the `emulator` command."""
    options = [option for param in main.commands.commands["emulator"].params for option in param.opts]

    assert [option for option in options if not re.search(rf"{option}\b", TEXTS["docs/emulator.md"])] == []


def test_every_control_and_fault_of_the_emulator_is_documented() -> None:
    """The page documents every `/_emulator/…` control with its methods, and every answer that a fault may give."""
    controls = {
        (method, path.removeprefix("/_emulator/"))
        for cells in rows(TEXTS["docs/emulator.md"], "`(GET|POST).*")
        for *methods, path in [re.findall(r"GET|POST|DELETE|/_emulator/\w+", cells[0])]
        for method in methods
    }
    (answers,) = [code(cells[1]) for cells in rows(TEXTS["docs/emulator.md"], "ANSWER")]

    assert controls == set(ACTS)
    assert {Fault.of("*", answer).kind for answer in answers} == set(KINDS)


def test_the_example_of_a_test_with_the_emulator_runs() -> None:
    """The example test runs with a client that sends requests until it is refused."""

    def my_client(api_url: str, appid: str, secret: str) -> None:
        asked = {"grant_type": "client_credential", "appid": appid, "secret": secret}
        token = requests.post(f"{api_url}/cgi-bin/stable_token", json=asked, timeout=30).json()["access_token"]
        window = {"begin_date": "2026-11-23", "end_date": "2026-11-23"}
        url = f"{api_url}/datacube/getupstreammsg?access_token={token}"
        while "list" in requests.post(url, json=window, timeout=30).json():
            pass

    (block,) = blocks(TEXTS["docs/emulator.md"], "python")
    names: dict[str, Any] = {"my_client": my_client}
    exec(compile(block, "docs/emulator.md", "exec"), names)
    names["test_my_client_stops_at_the_quota"]()


def test_every_command_of_the_makefile_is_documented() -> None:
    """Every Makefile target has a row with the commands that it runs, for users without make."""
    makefile = (TOP / "Makefile").read_text().replace("$(BIN)", ".venv/bin").replace("$(VENV)", ".venv")
    makefile = makefile.replace("$(PYTHON)", "python3").replace(" --quiet", "")
    documented = {
        cells[0].strip("`").split()[1]: code(cells[1]) for cells in rows(TEXTS["CONTRIBUTING.md"], "`make .*`")
    }

    assert sorted(documented) == sorted(re.findall(r"^([a-z-]+):.*?## ", makefile, re.MULTILINE))
    for written in documented.values():
        for command in written:
            shell = command.split("…")[0].strip().replace(" --quiet", "").replace("-m venv .venv", "-m venv")
            if " " in shell and not shell.startswith("make "):
                assert shell in makefile, command


@pages(ALERTS)
def test_the_shape_of_status_as_json_is_shown(page: str, it: DagsterEnv, capsys: pytest.CaptureFixture[str]) -> None:
    """The JSON example has the keys that the command prints, at every level."""
    it.configure(FAMILIES="all")
    main.run(["status", "--json"])
    printed = json.loads(capsys.readouterr().out)
    (shown,) = [json.loads(block) for block in blocks(TEXTS[page], "json")]
    ours, theirs = printed["accounts"]["default"], shown["accounts"]["default"]

    assert list(shown) == list(printed)
    assert list(theirs) == list(ours)
    for name, endpoint in theirs["endpoints"].items():
        assert list(endpoint) == list(ours["endpoints"][name])


@pages(SCHEDULES)
def test_every_state_is_documented(page: str) -> None:
    """The table lists the states landed, empty, implied and missing, in that order."""
    states = [cells[0].strip("`") for cells in rows(TEXTS[page], "`(?:" + "|".join(State) + ")`")]

    assert states == list(State)


# --- the references -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reference", REFERENCES)
def test_every_command_and_option_is_in_the_reference(reference: str) -> None:
    """The page of commands names every command and every option."""
    options = {option for found in main.commands.commands.values() for param in found.params for option in param.opts}

    assert absent(reference, "commands", main.commands.commands) == []
    assert absent(reference, "commands", sorted(option for option in options if option.startswith("--"))) == []


@pytest.mark.parametrize("reference", REFERENCES)
def test_every_setting_is_in_the_reference_with_its_default(reference: str) -> None:
    """The page of settings names every setting, and the defaults from the code."""
    settings = sorted({*SHARED_FIELDS, *ACCOUNT_FIELDS})
    defaults = [str(HISTORY_START), ACCOUNT, DATABASE, str(CONCURRENCY), API_URL, ",".join(DEFAULT_FAMILIES)]

    assert absent(reference, "settings", [f"{PREFIX}{name}" for name in settings]) == []
    assert absent(reference, "settings", [f"`{default}`" for default in defaults]) == []


@pytest.mark.parametrize("reference", REFERENCES)
def test_every_exit_code_endpoint_and_check_is_in_the_reference(reference: str, it: DagsterEnv) -> None:
    """The pages name every exit code, endpoint and check."""
    assert absent(reference, "exit-codes", [str(each) for each in EXIT_CODES]) == []
    assert absent(reference, "endpoints", [endpoint.name for endpoint in ENDPOINTS]) == []
    assert absent(reference, "checks", [check.name for check in CHECKS]) == []


@pytest.mark.parametrize("reference", REFERENCES)
def test_every_table_view_and_column_is_in_the_reference(reference: str, it: DagsterEnv) -> None:
    """The page of tables names every table and view with its columns."""
    with it.warehouse.open_published() as con:
        found = con.execute("SELECT table_name, column_name FROM duckdb_columns() WHERE NOT internal").fetchall()

    assert absent(reference, "tables", sorted({name for pair in found for name in pair})) == []


# --- examples ---------------------------------------------------------------------------------------------------


@pages((*TUTORIALS, *IN_DAGSTER))
def test_the_examples_in_python_run(page: str, it: DagsterEnv, capsys: pytest.CaptureFixture[str]) -> None:
    """Each Python example runs by itself in a project folder with an empty file."""
    it.configure(ACCOUNT="shop")
    found = blocks(TEXTS[page], "python")
    for block in found:
        names: dict[str, object] = {}
        exec(compile(block, page, "exec"), names)
        assert ("defs" in names) == (page in IN_DAGSTER)
        if isinstance(defs := names.get("defs"), dg.Definitions):
            keys = {key.to_user_string() for key in defs.resolve_all_asset_keys()}
            assert len(keys) == len(messages.ENDPOINTS) + len(["digest", "report", "busiest_day", "messages_of_a_day"])
            defs.resolve_all_job_defs()

    assert found


def test_the_example_of_a_table_of_your_own_runs(it: DagsterEnv) -> None:
    """The last SQL example of the queries runs in a separate database file that attaches the published one."""
    *_, block = blocks(TEXTS["docs/queries.md"], "sql")
    with duckdb.connect("mine.duckdb") as con:
        con.execute(block)

        assert con.execute("FROM busy_days").fetchall() == []


@pages((*READMES, *TUTORIALS))
def test_queries_on_the_command_line_run(page: str, it: DagsterEnv) -> None:
    """The queries passed to the `duckdb` program or to Python on a command line run."""
    found = re.findall(r'"(FROM [^"]+)"|\.sql\(\'([^\']+)\'\)', TEXTS[page])
    with it.warehouse.open_published() as con:
        for query in found:
            con.execute("".join(query))

    assert found


@pages(IN_DAGSTER)
def test_the_run_configuration_is_valid(page: str, it: DagsterEnv) -> None:
    """The refresh example names the op and the option as Dagster knows them."""
    block, _ = blocks(TEXTS[page], "yaml")
    name = re.findall(r"^  (\w+):$", block, re.MULTILINE)[0]
    option, value = re.findall(r"^ {6}(\w+): (\w+)$", block, re.MULTILINE)[0]
    job = build_defs().resolve_implicit_job_def_def_for_assets([asset_key(DAILY_MESSAGES)])

    assert job is not None
    assert dg.validate_run_config(job, {"ops": {name: {"config": {option: value == "true"}}}})


@pages(IN_DAGSTER)
@pytest.mark.filterwarnings("ignore:`parse_obj_as` is deprecated")  # Dagster's own use of pydantic
def test_the_component_loads(page: str, it: DagsterEnv) -> None:
    """The component example loads, with and without its attributes."""
    it.configure(ACCOUNT="shop")
    _, block = blocks(TEXTS[page], "yaml")
    written = yaml.safe_load(block)
    assert getattr(wx_datacube, written["type"].removeprefix("wx_datacube.")) is MessageAnalysis
    for attributes, prefix in ((written["attributes"], "wechat/"), ({}, "")):
        component = MessageAnalysis.resolve_from_dict(attributes)
        defs = component.build_defs(dg.ComponentTree.for_test().load_context)
        keys = {key.to_user_string() for key in defs.resolve_all_asset_keys()}
        names = [endpoint.name for endpoint in messages.ENDPOINTS]
        assert keys == {f"{prefix}shop/{name}" for name in (*names, "digest", "report")}
        assert attributes.get("duckdb_key", "duckdb") in (defs.resources or ())


# --- pages ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_relative_links_lead_to_existing_targets(page: str) -> None:
    """Every relative link leads to an existing file and, if it has an anchor, to an existing heading."""
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", TEXTS[page]):
        path, _, anchor = target.partition("#")
        file = (TOP / page).parent / path if path else TOP / page
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}, target


@cache
def all_tests() -> set[tuple[str, str]]:
    """Return the file's name and the name of every test."""
    return {
        (path.name, node.name)
        for path in (TOP / "wx_datacube_tests").rglob("test_*.py")
        if "node_modules" not in path.parts
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
    }


@pytest.mark.parametrize("page", PAGES)
def test_every_test_that_is_named_exists(page: str) -> None:
    """Every test that a page cites exists in the file that the page names."""
    tests = all_tests()
    named = []
    for chunk in re.split(r"(?=`test_\w+\.py`|`\w+/test_\w+\.py`)", TEXTS[page])[1:]:
        file, *names = code(chunk)
        named += [(Path(file).name, name) for name in names if re.fullmatch(r"test_\w+", name)]

    assert [each for each in named if each not in tests] == []
    assert named or page not in ("docs/promises.md", "docs/emulator.md")
    known = {name for _, name in tests} | {Path(file).stem for file, _ in tests}
    assert set(re.findall(r"`(test_\w+)`", TEXTS[page])) <= known


def test_every_behaviour_of_the_emulator_has_its_mark_and_its_test() -> None:
    """Every behaviour is marked documented, seen or inferred and cites a test, and every errcode is listed."""
    _, _, section = TEXTS["docs/emulator.md"].partition("## How faithful it is")
    told = rows(section.partition("### Other people's clients")[0], "(?!---|behaviour|errcode).*")
    errcodes = {int(number) for cells in told if len(cells) == 4 for number in cells[0].split(", ")}

    assert {mark for *_, marks, _ in told for mark in marks.split(", ")} == {"documented", "seen", "inferred"}
    assert [cells for cells in told if not re.search(r"`test_\w+\.py`: `test_\w+`", cells[-1])] == []
    assert errcodes == set(MESSAGES)


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair[0])
def test_both_languages_have_the_same_commands_and_tables(pair: tuple[str, str]) -> None:
    """Both languages have the same commands, crontab lines, code that isn't output, and rows of tables."""
    commands = r"^ *(?:\$ |(?=[\d*/-]+ [\d*/-]+ \* \* ))([^#\n]*?) *(?:#|$)"
    texts = [re.sub(ONLY_CHINESE, "## ", TEXTS[page], flags=re.DOTALL) for page in pair]
    found = [
        (
            re.findall(commands, text, re.MULTILINE),
            [block for language in ("sh", "yaml", "json") for block in blocks(text, language)],
            len(rows(text, ".*")),
        )
        for text in texts
    ]

    assert found[1] == found[0]
    assert found[0][0]


def test_the_calls_per_day_of_a_twelve_year_history_match_the_plan() -> None:
    """The pages' calls per day for a full history match the plan, at 1,000 calls per endpoint per day."""
    first, today = HISTORY_START, dt.date(2026, 11, 24)
    calls = [len(plan_windows(each, due_labels(each.period, each.first(first), today))) for each in ENDPOINTS]
    days = [sum(min(max(of_one - 1000 * day, 0), 1000) for of_one in calls) for day in range(5)]
    for page in SCHEDULES:
        told = re.findall(r"^\| [1-5] \| ([\d,]+) \|", TEXTS[page], re.MULTILINE)
        assert [int(number.replace(",", "")) for number in told] == days, page
