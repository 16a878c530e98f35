"""Page: puts figures, texts and scripts together as one HTML file that loads nothing.

What the page shows is decided by the scripts in `assets`, in the browser, for the range that its reader chooses. Data
and texts are embedded as JSON. The page's Content-Security-Policy forbids the browser to load anything.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import vl_convert

from wx_datacube.language import Language, Text
from wx_datacube.operations.report.figures import Figures, both
from wx_datacube.operations.report.words import WORDS
from wx_datacube.warehouse.copies import replacing_path
from wx_datacube.warehouse.errors import unwritable

_VEGA_LITE = "6.1"
"""The version that the charts are written for; all versions of vl-convert that pyproject.toml allows have it."""


_SCRIPTS = (
    "series.js",
    "charts.js",
    "sections.js",
    "overview.js",
    "followers.js",
    "articles.js",
    "messages.js",
    "interface.js",
    "coverage.js",
    "page.js",
)
"""The scripts of an account's report, in an order in which each has what it needs at once."""


def render(figures: Figures, language: str, first: dt.date | None = None, last: dt.date | None = None) -> str:
    """Return an account's report as HTML that opens in a language, with the range from `first` to `last` if given."""
    document = _packed(figures.document) | {
        "opens": [first or figures.first, last or figures.last] if first or last else None
    }
    title = WORDS["title"].fill(title=document["title"])
    return page_of(document, title, language, _SCRIPTS, charts=True)


def page_of(document: Mapping[str, Any], title: Text, language: str, scripts: tuple[str, ...], *, charts: bool) -> str:
    """Return a page whose scripts show the document."""
    return _template().render(
        data=dict(document) | {"language": language},
        words={key: both(text) for key, text in WORDS.items()},
        language="zh-CN" if language == Language.CHINESE else "en",
        title=title.to(Language(language)),
        style=_asset("page.css"),
        scripts=[*([_vega()] if charts else []), *map(_asset, ("shared.js", *scripts))],
    )


def _packed(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document in the shorter form from which `assets/series.js` restores it.

    With twelve years it is a sixth shorter: no empty years at the edges, no name at each value of an article.
    """
    found = dict(document) | {"daily": {name: _without_edges(values) for name, values in document["daily"].items()}}
    if articles := document.get("articles"):
        rows = [list((each | {"curve": _by_age(each["curve"])}).values()) for each in articles]
        found["articles"] = {"columns": list(articles[0]), "rows": rows}
    return found


def _without_edges(values: Sequence[float | None]) -> dict[str, Any]:
    """Return the values from the first to the last that is known, and the position of the first."""
    known = [place for place, value in enumerate(values) if value is not None]
    return {"at": known[0], "values": values[known[0] : known[-1] + 1]} if known else {"at": 0, "values": []}


def _by_age(curve: Sequence[tuple[int, int]]) -> list[int | None]:
    """Return the readers at the end of each day after publishing, None where they are unknown."""
    readers = dict(curve)
    return [readers.get(age) for age in range(1, max(readers, default=0) + 1)]


def save(html: str, output: Path) -> None:
    """Write a page to `output` atomically; raise `WarehouseError` if it can't be written."""
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with replacing_path(output) as part:
            part.write_text(html, "utf-8")
    except OSError as error:
        raise unwritable(
            output.parent, error, Text("name another file with --output", "用 --output 指定其他文件")
        ) from None


def _asset(name: str) -> str:
    return files(__package__).joinpath("assets", name).read_text("utf-8")


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.policies["json.dumps_kwargs"] = {"default": str, "separators": (",", ":"), "ensure_ascii": False}
    return environment.from_string(_asset("page.html"))


@cache
def _vega() -> str:
    """Return Vega, Vega-Lite and vega-embed."""
    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=_VEGA_LITE)
    return f"(() => {{{bundle}}})();".replace("</script", "<\\/script")
