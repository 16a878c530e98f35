"""Project commands: those that make a project folder or start a server: the demo, Dagster's UI, the emulator.

Add a command here if it needs no stored data. The code that does the work is imported inside each function, so that
`--help` and `status` respond at once.
"""

import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from wx_datacube.cli.group import commands, file_name, option, read_settings
from wx_datacube.emulator.options import SWITCH, InvalidOption, Options
from wx_datacube.language import Text, spoken


@commands.command(zh="将 DIR 或当前目录初始化为项目文件夹。\n\n已有文件保持不变。")
@click.argument("folder", metavar="[DIR]", default=".", type=click.Path(file_okay=False), callback=file_name(""))
def init(folder: Path) -> int:
    """Turn DIR or the current folder into a project folder.

    Existing files are kept as they are.
    """
    from wx_datacube.cli.init import run_init

    return run_init(folder)


@commands.command(zh="用虚构的账号试用全部功能，文件在 demo/ 中。")
@option(
    "--days",
    type=click.IntRange(1, 4000),
    default=90,
    help="Days of history, up to the newest complete one. Default: 90.",
    zh="多少天的历史数据，到最近一个数据完整的日期为止。默认：90。",
)
def demo(days: int) -> int:
    """Try everything on a made-up account, in the folder demo/."""
    from wx_datacube.cli.demo import run_demo

    return run_demo(days)


_host_option = option(
    "--host",
    default="127.0.0.1",
    metavar="ADDRESS",
    help="Address to listen on. Default: 127.0.0.1.",
    zh="监听的地址。默认：127.0.0.1。",
)


@commands.command(zh="打开 Dagster 界面；没有配置公众号时打开演示。")
@_host_option
@option(
    "--port",
    type=click.IntRange(1, 65535),
    metavar="PORT",
    help="Default: 3000, or a free port if 3000 is in use.",
    zh="默认：3000；3000 已被占用时为任一空闲端口。",
)
def ui(host: str, port: int | None) -> int:
    """Run Dagster's UI; without an account, on the demo."""
    from wx_datacube.cli.ui import run_ui

    return run_ui(read_settings(), host, port)


@commands.command(zh="向另一台机器上的 Dagster 中心提供本文件夹的代码位置。")
@_host_option
@option(
    "--port",
    type=click.IntRange(1, 65535),
    default=4000,
    metavar="PORT",
    help="Port. Default: 4000.",
    zh="端口。默认：4000。",
)
def worker(host: str, port: int) -> int:
    """Serve this folder's code location to a Dagster hub on another machine."""
    from wx_datacube.cli.worker import run_worker

    settings = read_settings()
    return run_worker(settings, settings.accounts, host, port)


def _emulator_options(command: Callable[..., int]) -> Callable[..., int]:
    """Add one command-line option for each field of the emulator's options."""
    for field in reversed(fields(Options)):
        about, text, flag = field.metadata, field.metadata["help"], field.metadata["kind"] is SWITCH
        add = option(
            f"--{field.name.replace('_', '-')}",
            metavar=None if flag else about["kind"].metavar,
            help=text.en + (" Repeatable." if about["many"] else ""),
            zh=text.zh + ("可重复使用。" if about["many"] else ""),
            multiple=about["many"],
            is_flag=flag or None,  # with False, click would make the value optional
        )
        command = add(command)
    return command


@commands.command(zh="在本机提供仿真的微信接口（虚构数据），直到按 Ctrl-C 结束。")
@_host_option
@option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    metavar="PORT",
    help="Port. Default: a free one.",
    zh="端口。默认：任一空闲端口。",
)
@_emulator_options
def emulator(host: str, port: int, **options: Any) -> int:
    """Serve WeChat's API with made-up data until interrupted."""
    from wx_datacube.cli.console import port_in_use, require_extra, say, warn_no_login

    with require_extra("emulator"):
        from wx_datacube.emulator.server import serve
    try:
        chosen = Options().changed({name: value for name, value in options.items() if value not in (None, ())})
    except InvalidOption as error:
        raise click.UsageError(error.text.to(spoken())) from None

    def ready(api_url: str) -> None:
        for name, value in (("API_URL", api_url), ("APPID", chosen.appid), ("SECRET", chosen.secret)):
            click.echo(f"WX_DATACUBE_{name}={value}")
        say(
            Text(
                "Emulating WeChat's datacube API at {api_url}; Ctrl-C ends it.",
                "仿真的微信接口已在 {api_url} 运行，按 Ctrl-C 结束。",
                api_url=api_url,
            )
        )
        sys.stdout.flush()

    warn_no_login(host, Text("use the emulated account, and change what is emulated", "使用仿真账号，修改仿真设置"))
    try:
        serve(chosen, host, port, ready)
    except OSError as error:
        raise port_in_use(host, port, error) from None
    return 0
