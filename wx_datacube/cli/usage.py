"""Usage: click's messages about wrong options and arguments, in both languages.

click translates them with gettext, whose catalogues are binary files that are chosen by the locale alone. So they are
matched here as they come. Add a pattern when a new kind of parameter has a message of its own; a message that matches
none stays as it is. The commands' own messages are in the spoken language already.
"""

import re

import click

from wx_datacube.language import Text


def usage_error(error: click.UsageError) -> Text:
    """Return the message of an error of usage."""
    message = error.format_message()
    english, chinese = message.rstrip("."), _in_chinese(message).rstrip("。")
    return Text(
        english if english.endswith("?") else f"{english}.", chinese if chinese.endswith("？") else f"{chinese}。"
    )


def _in_chinese(message: str) -> str:
    for pattern, chinese in _MESSAGES:
        if found := re.fullmatch(pattern, message, re.DOTALL):
            inner = found.groupdict().get("message", "")
            return chinese.format(*found.groups(), message=_in_chinese(inner) if inner else "")
    return message


_MESSAGES = (
    (r"No such option:? '?(-[^\s'.]*)'?\.?(?: Did you mean '?([^\s'?]+)'?\?)", "没有选项 {0}，是否为 {1}？"),
    (r"No such option:? '?(-[^\s'.]*)'?\.?(?: .*)?", "没有选项 {0}。"),
    (r"No such command '(.*?)'\.(?: Did you mean '?([^\s'?]+)'?\?)", "没有命令 {0}，是否为 {1}？"),
    (r"No such command '(.*?)'\.(?: .*)?", "没有命令 {0}。"),
    (r"Missing command\.", "缺少命令。"),
    (r"Missing (?:option|argument|parameter) '(.*?)'\.(?: .*)?", "缺少 {0}。"),
    (r"Got unexpected extra arguments? \((.*)\)", "多余的参数：{0}。"),
    (r"Option '(.*?)' requires an argument\.", "选项 {0} 需要一个值。"),
    (r"Option '(.*?)' does not take a value\.", "选项 {0} 不带值。"),
    (r"Invalid value for '?(.*?)'?: (?P<message>.*)", "{0} 的值不正确：{message}"),
    (r"('.*') is not one of (.*)\.", "{0} 不在可选值之列（{1}）。"),
    (r"('.*') is not a valid integer(?: range)?\.", "{0} 不是整数。"),
    (r"(.*) is not in the range (.*)\.", "{0} 不在范围内（{1}）。"),
    (r"('.*') does not match the formats? .*", "{0} 不是 YYYY-MM-DD 格式的日期。"),
    (r"File ('.*') is a directory\.", "{0} 是文件夹，不是文件。"),
    (r"Directory ('.*') is a file\.", "{0} 是文件，不是文件夹。"),
)
"""Patterns of click's messages, and what they say in Chinese."""
