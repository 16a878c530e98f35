"""Instance: the Dagster instance of a project folder, which `dagster dev` uses too if it is started there.

Nothing else belongs here. See https://docs.dagster.io/deployment/oss/dagster-yaml.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
from sqlalchemy.exc import SQLAlchemyError

from wx_datacube.config.environment import adopt_dotenv
from wx_datacube.errors import WarehouseError, one_line
from wx_datacube.language import Text
from wx_datacube.warehouse.errors import unwritable
from wx_datacube.warehouse.locks import locked_for_set_up


@contextmanager
def project_instance(project: Path) -> Iterator[dg.DagsterInstance]:
    """Open the instance that `dagster.yaml` in `project` configures.

    Changes the working directory to `project`, since the paths in `dagster.yaml` are relative to it. A lock around
    opening keeps processes from racing in Dagster's set-up of its databases in a fresh folder. Raises `WarehouseError`
    if the history can't be read or written, on opening or while the instance is used.
    """
    adopt_dotenv()
    os.chdir(project)
    with _explained(project):
        try:
            with locked_for_set_up(project / ".dagster" / "opening.lock"):
                instance = dg.DagsterInstance.from_config(str(project))
                instance.get_runs(limit=1)  # triggers the set-up that Dagster does on first use
        except OSError as error:
            raise unwritable(
                project / ".dagster",
                error,
                Text("name another folder in dagster.yaml", "在 dagster.yaml 中指定其他文件夹"),
            ) from None
        with instance:
            yield instance


@contextmanager
def _explained(project: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # Dagster's PostgreSQL storage raises an error of its own from SQLAlchemy's when it can't connect.
        cause = error if isinstance(error, SQLAlchemyError) else error.__cause__
        if not isinstance(cause, SQLAlchemyError):
            raise
        raise WarehouseError(
            Text(
                "Dagster's instance in {project} can't keep its history: {error}.",
                "{project} 中的 Dagster 无法保存运行历史：{error}。",
                project=project,
                error=one_line(str(cause.__cause__ or cause)).rstrip("?."),
            ),
            advice=Text(
                "Free space, or give this user the right to write there (the history is in .dagster/ unless"
                " dagster.yaml says otherwise); if it is in PostgreSQL, check the server and the connection data in"
                " dagster.yaml. Then run the same command again.",
                "请清理磁盘空间，或授予当前用户写权限（历史保存在 .dagster/，除非 dagster.yaml 另有设置）；"
                "如果历史保存在 PostgreSQL，请检查服务器和 dagster.yaml 中的连接信息。然后再次运行同一命令。",
            ),
        ) from None
