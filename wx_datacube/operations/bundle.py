"""Bundle: what the developers of wx_datacube need to know about WeChat's answers to an account, as a JSON file.

The file has shapes, codes, names and numbers of calls and rows. It has no figure, title, address, msgid or date of the
account, and nothing that identifies it. Add a part here if a change by WeChat would show in it; let nothing that WeChat
sent into the file unless it is in the catalog or passes `_Names`.
"""

import json
import os
import platform
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from wx_datacube import __version__
from wx_datacube.catalog.endpoints import ENDPOINTS
from wx_datacube.catalog.model import Column, Endpoint
from wx_datacube.catalog.periods import Clock, beijing_now
from wx_datacube.config.settings import Account, Settings
from wx_datacube.errors import SettingsError, WxDatacubeError
from wx_datacube.language import Text
from wx_datacube.operations.evidence import assumptions
from wx_datacube.warehouse.checks import CheckContext, check_context_of_readers, checks_of, run_check
from wx_datacube.warehouse.connections import Connection
from wx_datacube.warehouse.coverage import summaries
from wx_datacube.warehouse.errors import unwritable
from wx_datacube.warehouse.files import Warehouse
from wx_datacube.warehouse.schema import SCHEMA_VERSION
from wx_datacube.warehouse.sql import GOOD_ANSWER

FORMAT = "wx-datacube bundle 1"
_BEGINNING = '{\n  "format": "wx-datacube bundle '
"""How the bundles of all versions begin."""
OTHER = "(other)"
"""Stands for a name or code that isn't in the catalog and might be something else, such as a title."""

_ABOUT = (
    "What WeChat's answers look like, for the developers of wx_datacube: shapes, codes, error codes and versions. It"
    " has no figures, titles, addresses, dates, names or secrets. Read it before you send it."
    " 供 wx_datacube 开发者了解微信返回格式的诊断文件：只含字段结构、代码、错误码和版本号，不含数据、标题、链接、日期、"
    "名称和密钥。发送前请先阅读。"
)
_SHAPES = 20
"""Most shapes listed for an endpoint, those of most answers first."""
_DEPTH = 8
"""Most levels of a shape; WeChat's deepest answers have six."""

Json = Any


@dataclass(frozen=True, slots=True)
class _Names:
    """Decides which names and codes that the catalog doesn't have may be shown; `forbidden` are never shown."""

    forbidden: frozenset[str]

    def field(self, name: str) -> str:
        """Return a field's name, or `OTHER` if it may be something else: a secret, an id or a title."""
        digits = sum(map(str.isdigit, name))
        usual = re.fullmatch("[A-Za-z][A-Za-z0-9_]{0,39}", name) and digits <= 2
        return name if usual and name.lower() not in self.forbidden else OTHER

    def code(self, value: int | str, column: Column) -> int | str:
        """Return a code, or `OTHER` if it is unknown and neither a small number nor a short Chinese word."""
        if value in [code for code, _ in column.codes]:
            return value
        if isinstance(value, int):
            return value if 0 <= value < 10_000 else OTHER
        is_word = re.fullmatch("[\u4e00-\u9fff]{2,8}", value)
        return value if is_word and not any(value in each for each in self.forbidden) else OTHER


def require_bundle(path: Path) -> None:
    """Raise `SettingsError` if the path has something that isn't a bundle, or is in no folder.

    Only a bundle may be replaced.
    """
    if not path.parent.is_dir():
        raise SettingsError(
            Text("There is no folder {folder}.", "文件夹 {folder} 不存在。", folder=path.parent), advice=_ANOTHER_NAME
        )
    if not os.path.lexists(path):
        return
    with suppress(OSError, ValueError):
        if path.is_file():
            with path.open(encoding="utf-8") as file:
                if file.read(len(_BEGINNING)) == _BEGINNING:
                    return
    raise SettingsError(
        Text("{path} exists and is not a bundle.", "{path} 已存在，但不是诊断文件。", path=path), advice=_ANOTHER_NAME
    )


_ANOTHER_NAME = Text("Choose another name for --bundle.", "请为 --bundle 另选文件名。")


def write_bundle(settings: Settings, accounts: Sequence[Account], path: Path, clock: Clock = beijing_now) -> None:
    """Write the bundle of the accounts to a file that only this user can read; an older bundle is replaced.

    Raises `SettingsError` if the file is something else, and `WarehouseError` if it can't be written.
    """
    require_bundle(path)
    text = json.dumps(make_bundle(settings, accounts, clock), ensure_ascii=False, indent=2)
    try:
        descriptor, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(f"{text}\n")
            Path(part).replace(path)
        except BaseException:
            Path(part).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise unwritable(
            path.parent, error, Text("name another file with --bundle", "用 --bundle 指定其他文件")
        ) from None


def make_bundle(settings: Settings, accounts: Sequence[Account], clock: Clock = beijing_now) -> Json:
    """Return the content of the bundle; accounts are numbered, never named."""
    return {
        "format": FORMAT,
        "about": _ABOUT,
        "versions": _versions(),
        "accounts": [{"account": number, **_account(settings, each, clock)} for number, each in enumerate(accounts, 1)],
    }


def _versions() -> Json:
    found = {"wx_datacube": __version__, "schema": SCHEMA_VERSION, "python": platform.python_version()}
    for package in ("dagster", "duckdb"):
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found | {"platform": f"{platform.system()} {platform.machine()}"}


def _account(settings: Settings, account: Account, clock: Clock) -> Json:
    """Return an account's part; what keeps the database from being read is named by its kind alone."""
    try:
        with check_context_of_readers(Warehouse(settings.database, clock=clock), account, ENDPOINTS) as context:
            names = _Names(_forbidden(context.con, settings))
            states = summaries(context.con, [account], context.now)
            parts = {each.name: _endpoint(context, each, names) for each in ENDPOINTS}
            for (_, name), found in states.items():
                counts = ("due", "landed", "empty", "implied", "missing", "not_final")
                parts[name]["labels"] = {state: getattr(found, state) for state in counts}
            return {
                "families": list(account.families),
                "endpoints": {name: part for name, part in parts.items() if part},
                "assumptions": [
                    {"name": each.name, "says": str(each.text), "verdict": each.verdict}
                    for each in assumptions(context.con, account.name)
                ],
            }
    except WxDatacubeError as error:
        return {"unreadable": type(error).__name__}


def _forbidden(con: Connection, settings: Settings) -> frozenset[str]:
    """Return what identifies an account or an article, in lower case."""
    found = con.execute(
        "SELECT account FROM datacube.accounts UNION SELECT appid FROM datacube.accounts"
        " UNION SELECT title FROM datacube.getarticletotaldetail UNION SELECT msgid FROM datacube.getarticletotaldetail"
    ).fetchall()
    configured = [text for each in settings.accounts for text in (each.name, each.appid)]
    return frozenset(text.lower() for text in [*configured, *(text for (text,) in found)] if text)


def _endpoint(context: CheckContext, endpoint: Endpoint, names: _Names) -> dict[str, Json]:
    """Return an endpoint's part without its labels; empty if nothing is known of it."""
    given = {"account": context.account.name, "endpoint": endpoint.name}
    calls = context.con.execute(
        "SELECT http_status, errcode, count(*) FROM datacube.api_calls WHERE account = $account"
        " AND endpoint = $endpoint GROUP BY ALL ORDER BY ALL",
        given,
    ).fetchall()
    shapes, unknown = _shapes(context.con, endpoint, given, names)
    parts = {
        "calls": [
            {"http_status": status, "errcode": OTHER if errcode and abs(errcode) > 10**6 else errcode, "calls": number}
            for status, errcode, number in calls
        ],
        "shapes": shapes,
        "unknown_fields": unknown,
        "codes": _codes(context, endpoint, names),
        "rejected_rows": _rejected(context.con, given),
        "findings": _findings(context, endpoint),
    }
    return {name: part for name, part in parts.items() if part}


def _codes(context: CheckContext, endpoint: Endpoint, names: _Names) -> dict[str, list[int | str]]:
    found: dict[str, list[int | str]] = {}
    columns = [(table, each) for table in endpoint.relations for each in table.fields if each.codes]
    for table, column in columns:
        codes = context.con.execute(
            f"SELECT DISTINCT {column.name} FROM datacube.{table.name} WHERE account = $account"
            f" AND {column.name} IS NOT NULL ORDER BY ALL",
            {"account": context.account.name},
        ).fetchall()
        if shown := list(dict.fromkeys(names.code(code, column) for (code,) in codes)):
            found[f"{table.name}.{column.name}"] = shown
    return found


def _rejected(con: Connection, given: dict[str, str]) -> list[Json]:
    found = con.execute(
        "SELECT reason, regexp_replace(path, '[0-9]+', '', 'g') AS place, count(*) FROM datacube.rejected_rows"
        " WHERE account = $account AND endpoint = $endpoint GROUP BY ALL ORDER BY ALL",
        given,
    )
    return [{"reason": reason, "path": place, "rows": number} for reason, place, number in found.fetchall()]


def _findings(context: CheckContext, endpoint: Endpoint) -> dict[str, int]:
    """Return how many findings each failing check has."""
    counts = {
        check.name: sum(not each.informational for each in run_check(check, context, endpoint))
        for check in checks_of(endpoint)
    }
    return {name: number for name, number in counts.items() if number}


# --- shapes -----------------------------------------------------------------------------------------------------


def _shapes(con: Connection, endpoint: Endpoint, given: dict[str, str], names: _Names) -> tuple[list[Json], list[str]]:
    """Return the shapes of good answers with the number of answers of each, and where they have unknown fields."""
    found = con.execute(
        "SELECT json_structure(body), count(*) FROM (SELECT TRY_CAST(response AS JSON) AS body FROM datacube.api_calls"
        f" WHERE account = $account AND endpoint = $endpoint AND {GOOD_ANSWER})"
        " WHERE json_type(body) = 'OBJECT' GROUP BY ALL",
        given,
    ).fetchall()
    known, numbers, unknown = _known_shape(endpoint), Counter[str](), set[str]()
    for structure, number in found:
        tree = json.loads(structure)
        numbers[json.dumps(_shape(tree, known, names), ensure_ascii=False, sort_keys=True)] += number
        unknown.update(_unknown(tree, known, names))
    shapes = [{"answers": number, "shape": json.loads(text)} for text, number in numbers.most_common(_SHAPES)]
    rest = sorted(numbers.values(), reverse=True)[_SHAPES:]
    return [*shapes, *([{"answers": sum(rest), "more_shapes": len(rest)}] if rest else [])], sorted(unknown)


_TYPES = {"VARCHAR": "string", "BOOLEAN": "boolean", "DOUBLE": "number", "NULL": "null", "JSON": "mixed"}


def _shape(tree: Json, known: Json, names: _Names, depth: int = 0) -> Json:
    """Return a structure of DuckDB as a shape: keys, and JSON's own names of types."""
    if depth > _DEPTH:
        return "deeper"
    if isinstance(tree, list):
        return [_shape(each, known[0] if isinstance(known, list) else {}, names, depth + 1) for each in tree]
    if isinstance(tree, dict):
        inside = known if isinstance(known, dict) else {}
        return {
            name if name in inside else names.field(name): _shape(each, inside.get(name), names, depth + 1)
            for name, each in tree.items()
        }
    return _TYPES.get(tree, "integer")


def _unknown(tree: Json, known: Json, names: _Names, path: str = "", depth: int = 0) -> Iterator[str]:
    """Yield where a structure has a field that the catalog doesn't have; what is inside such a field is left out."""
    if isinstance(tree, list) and isinstance(known, list):
        for each in tree:
            yield from _unknown(each, known[0], names, f"{path}[]", depth + 1)
    elif isinstance(tree, dict) and isinstance(known, dict):
        for name, each in tree.items():
            place = f"{path}.{name}" if path else name
            if name in known:
                yield from _unknown(each, known[name], names, place, depth + 1)
            else:
                yield place.removesuffix(name) + names.field(name)


def _known_shape(endpoint: Endpoint) -> Json:
    """Return the fields that the catalog has: objects as dicts, lists as lists."""
    delay = {"is_delay": None} if endpoint.has_delay else {}
    return {"list": [endpoint.shape | dict.fromkeys(endpoint.unstored)], "errcode": None, "errmsg": None, **delay}
