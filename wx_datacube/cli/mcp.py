"""MCP: serves the published file to AI assistants over the Model Context Protocol, on stdin and stdout.

The only module that knows the protocol's SDK (extra `mcp`). Add a tool here with the words that an assistant reads; its
logic belongs in `operations.questions`. Stdout belongs to the protocol. See https://modelcontextprotocol.io.
"""

import json
import os
import signal
from dataclasses import asdict
from typing import Annotated, Literal, NoReturn

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import Field

from wx_datacube import __version__
from wx_datacube.catalog.endpoints import RELATIONS
from wx_datacube.catalog.metrics import METRICS
from wx_datacube.catalog.model import Family
from wx_datacube.catalog.periods import Clock, beijing_now
from wx_datacube.config.settings import Settings
from wx_datacube.operations.questions.asking import Questions
from wx_datacube.operations.questions.dates import WORDS, Refused
from wx_datacube.operations.questions.sql import LONGEST_SQL, MOST_ROWS
from wx_datacube.operations.questions.tools import ARTICLE_FIGURES
from wx_datacube.warehouse.schema import COVERAGE, TABLES
from wx_datacube.warehouse.views import VIEWS

_INSTRUCTIONS = """Statistics of WeChat Official Accounts (微信公众号数据), read-only, in Beijing time.
Take figures from query_metric and top_articles; they follow the dictionary of metrics, so never add up yourself what
they refuse to add. Every answer has `missing` (not fetched: unknown, not 0) and `not_final` (WeChat may still change
it): say so when you give the figure. Dates may be words such as "yesterday" and "last week", so you needn't know
today's date. WeChat publishes a day's figures on the next morning."""

_VIEWS = "; ".join(f"{view.name}({', '.join(view.columns)})" for view in VIEWS)
_SCHEMA = {
    **{view.name: (view.comment, view.columns) for view in VIEWS},
    "datacube.coverage": ("The state of every due label.", COVERAGE),
    **{f"datacube.{name}": table for name, table in TABLES.items()},
    **{
        f"datacube.{each.name}": (f"{each.en} {each.zh}", {column.name: column.type for column in each.columns})
        for each in RELATIONS
    },
}

Start = Annotated[str | None, Field(description=f"YYYY-MM-DD, YYYY-MM, YYYY, or: {WORDS}.")]
End = Annotated[
    str | None, Field(description="Last day, included; like start. Default: the end of start, or yesterday for a date.")
]
Account = Annotated[str | None, Field(description="Name or title (公众号名称). Default: all accounts.")]
MetricName = Annotated[str, Field(description="As in list_metrics, such as readers, net_followers, messages.")]


def make_server(questions: Questions) -> MCPServer:
    """Return the server of the tools and resources."""
    server = MCPServer("wx-datacube", version=__version__, instructions=_INSTRUCTIONS, log_level="WARNING")
    harmless = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)
    tool = server.tool(annotations=harmless, structured_output=False)

    async def ask(name: str, **arguments: object) -> str:
        try:
            return await questions.ask(name, **arguments)
        except Refused as error:
            raise ToolError(str(error)) from None

    @tool
    async def list_metrics(family: Literal[tuple(Family)] | None = None) -> str:  # type: ignore[valid-type]
        """List the metrics (指标) with unit, whether they may be added, and what `by` may be; and the accounts."""
        return await ask("list_metrics", family=family)

    @tool
    async def explain(metric: MetricName) -> str:
        """Explain a metric: its meaning in English and Chinese, its SQL, whether values may be added, its source."""
        return await ask("explain", metric=metric)

    @tool
    async def query_metric(
        metric: MetricName,
        start: Start = None,
        end: End = None,
        by: Annotated[
            str | None,
            Field(
                description="day, week, month, total (one figure for the range), mean (per day), account, or a"
                " dimension of the metric: type, hour, source, messages_sent, notified. Or several: 'week,source'."
            ),
        ] = None,
        account: Account = None,
    ) -> str:
        """Return a metric over a range, by default its last 30 days by day. Rows of a dimension: the largest first.

        Refuses to add what may not be added, such as distinct users (去重人数) of several days, and says what to ask.
        """
        return await ask("query_metric", metric=metric, start=start, end=end, by=by, account=account)

    @tool
    async def coverage(start: Start = None, end: End = None, account: Account = None) -> str:
        """Say which days, weeks and months are missing (缺失) or not final (未定), by default of the whole history."""
        return await ask("coverage", start=start, end=end, account=account)

    @tool
    async def top_articles(
        by: Literal[ARTICLE_FIGURES] = "readers",  # type: ignore[valid-type]
        start: Start = None,
        end: End = None,
        account: Account = None,
        limit: Annotated[int, Field(ge=1, le=100)] = 10,
    ) -> str:
        """List the articles (文章) published in a range, by default the last 30 days, the highest figure first."""
        return await ask("top_articles", by=by, start=start, end=end, account=account, limit=limit)

    @server.tool(
        description="Run exactly one SELECT of DuckDB's SQL for what the other tools can't answer. Read-only; no files,"
        " settings or network. Never add up distinct users (去重人数); missing days have no rows. Views (tables:"
        f" datacube.*, see DESCRIBE): {_VIEWS}.",
        annotations=harmless,
        structured_output=False,
    )
    async def run_sql(
        sql: Annotated[str, Field(max_length=LONGEST_SQL)], limit: Annotated[int, Field(ge=1, le=MOST_ROWS)] = 200
    ) -> str:
        return await ask("run_sql", sql=sql, limit=limit)

    _add_resources(server)
    return server


def _add_resources(server: MCPServer) -> None:
    @server.resource("wx-datacube://dictionary", mime_type="application/json")
    def dictionary() -> str:
        """The dictionary of metrics (指标字典): view, SQL, unit, whether values may be added, meaning."""
        return json.dumps([asdict(each) for each in METRICS], ensure_ascii=False)

    @server.resource("wx-datacube://schema", mime_type="application/json")
    def schema() -> str:
        """Views and tables with the meaning of every column."""
        return json.dumps(
            {name: {"comment": comment, "columns": columns} for name, (comment, columns) in _SCHEMA.items()},
            ensure_ascii=False,
        )


def run_mcp(settings: Settings, clock: Clock = beijing_now) -> None:
    """Serve until stdin ends, or until a signal."""
    questions = Questions(settings.database, {each.name: each.title for each in settings.accounts if each.title}, clock)

    def end(number: int, _: object) -> NoReturn:
        questions.kill()
        os._exit(128 + number)  # the SDK's thread that waits for stdin can't be interrupted

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    make_server(questions).run("stdio")
