"""Init: makes a project folder, and prints what was made and what comes next.

The folder's contents belong to `config.folder`.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from wx_datacube.cli.console import how_to_install, say
from wx_datacube.config.environment import process_environment
from wx_datacube.config.folder import make_project, missing_gitignore_lines
from wx_datacube.errors import SettingsError
from wx_datacube.language import Text, joined


def run_init(folder: Path) -> int:
    """Make a project folder and print the next steps; return 1 if files of these names have other contents, else 0."""
    try:
        made, others = make_project(folder)
    except OSError as error:
        raise SettingsError(
            Text(
                "{folder} can't be made a project folder: {why}.",
                "无法将 {folder} 初始化为项目文件夹：{why}。",
                folder=folder,
                why=error.strerror,
            ),
            advice=Text("Name a folder that you can write to.", "请换一个您有写入权限的文件夹。"),
        ) from None
    files = Text("nothing to make", "无需生成文件")
    if made:
        files = Text("made {names}", "已生成 {names}", names=joined(made, ", ", "、"))
    whole = folder.resolve()
    say(Text("Project folder {folder}: {files}", "项目文件夹 {folder}：{files}", folder=whole, files=files))
    _say_next_steps(folder)
    _warn(folder, others)
    return 1 if others else 0


def _say_next_steps(folder: Path) -> None:
    say(Text("Next, in that folder:", "接下来，请在该文件夹中执行："))
    if not (folder / ".env").exists():
        _say_command(
            "cp .env.example .env && chmod 600 .env",
            Text("then enter AppID and AppSecret in .env", "然后在 .env 中填写 AppID 和 AppSecret"),
        )
    _say_command("wx-datacube doctor", Text("checks the setup", "检查配置"))
    _say_command(
        "wx-datacube backfill",
        Text("fetches the history; wx-datacube ui shows it", "获取历史数据；之后用 wx-datacube ui 查看"),
    )
    lacking = {extra: what for extra, (module, what) in _EXTRAS.items() if find_spec(module) is None}
    if lacking:
        say(
            Text(
                "Not installed, for {what}: {how}",
                "尚未安装（用于{what}）：{how}",
                what=joined(lacking.values(), ", ", "、"),
                how=how_to_install(*lacking),
            )
        )


def _warn(folder: Path, others: Sequence[str]) -> None:
    """Warn about what keeps commands from using the folder as it should be, such as `others`, files that differ."""
    home = process_environment().get("DAGSTER_HOME", "").strip()
    if home and Path(home).expanduser().resolve() != folder.resolve():
        say(
            Text(
                "DAGSTER_HOME is {home}: while it is set, commands use that folder. Unset it.",
                "DAGSTER_HOME 为 {home}：设置期间，命令会使用那个文件夹。请取消设置（unset）。",
                home=home,
            ),
            err=True,
        )
    if others:
        say(
            Text(
                "Left unchanged, and different from this version's: {names}."
                " To compare, run `wx-datacube init` on another folder.",
                "以下文件与当前版本不同，未作修改：{names}。如需比较，请在另一个文件夹执行 wx-datacube init。",
                names=joined(others, ", ", "、"),
            ),
            err=True,
        )
    if lines := missing_gitignore_lines(folder):
        say(
            Text(
                "Add to .gitignore, so that no secret is committed: {lines}",
                "请在 .gitignore 中加入以下各行，以免提交密钥：{lines}",
                lines=joined(lines, ", ", "、"),
            ),
            err=True,
        )


def _say_command(command: str, purpose: Text) -> None:
    say(joined([f"  {command:<38}", purpose], "    ", "    "))


_EXTRAS = {
    "ui": ("dagster_webserver", Text("Dagster's UI", " Dagster 界面")),
    "emulator": ("starlette", Text("the demo", "演示")),
    "report": ("vl_convert", Text("the report", "报告")),
}
"""A module that each extra installs, and what needs it."""
