"""Presentation: how the figures of a label look in an answer, depending on the moment and the options.

Add a variation of an answer here. `world` has the figures themselves; `statistics` decides when they vary.
"""

import datetime as dt
from dataclasses import dataclass
from typing import Any

from wx_datacube.emulator.reading import ALL

Row = dict[str, Any]
"""A row in WeChat's format, with its fields in the order of real answers."""

LOWER = 60
"""Per cent of the figures that an answer which is not final has."""

UNKNOWN_CHANNEL, UNKNOWN_SCENE = 999, "小程序"
_NO_FIGURES = {"publish_type", "position", "send_page_count"}


@dataclass(frozen=True, slots=True)
class Presentation:
    """`until`: the last `stat_date` of articles, None for all. `titles`: whether articles have title and address.

    `lower`: whether figures are too low because they are not final. `unknown_codes`: whether codes occur that WeChat
    does not document.
    """

    until: dt.date | None = None
    titles: bool = True
    lower: bool = False
    unknown_codes: bool = False

    def of(self, rows: list[Row]) -> list[Row]:
        """Return the rows as they look in an answer."""
        rows = [_lowered(row) for row in rows] if self.lower else rows
        rows = _with_unknown_channel(rows) if self.unknown_codes else rows
        rows = [_with_unknown_scene(row) for row in rows] if self.unknown_codes else rows
        return rows if self.titles else [_without_title(row) for row in rows]


PLAIN = Presentation()


def _lowered(value: Any) -> Any:
    """Reduce every whole number; rounding up keeps readers at least as many as each scene's, and at most their sum."""
    if isinstance(value, dict):
        return {name: each if name in _NO_FIGURES else _lowered(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_lowered(each) for each in value]
    return -(-value * LOWER // 100) if isinstance(value, int) else value


def _with_unknown_channel(rows: list[Row]) -> list[Row]:
    """Move half of a channel's new followers to an unknown one, so that the day's sum stays the same."""
    from_others = [place for place, row in enumerate(rows) if "new_user" in row and row["user_source"] != 57]
    if not from_others:
        return rows
    largest = max(from_others, key=lambda place: rows[place]["new_user"])
    row, moved = rows[largest], (rows[largest]["new_user"] + 1) // 2
    unknown = {**row, "user_source": UNKNOWN_CHANNEL, "new_user": moved, "cancel_user": 0}
    return [*rows[:largest], {**row, "new_user": row["new_user"] - moved}, *rows[largest + 1 :], unknown]


def _with_unknown_scene(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_unknown_scene(each) for each in value]
    if not isinstance(value, dict):
        return value
    changed = {name: _with_unknown_scene(each) for name, each in value.items()}
    for source in changed.get("read_user_source", [])[:1]:
        assert source["scene_desc"] == ALL
        some = -(-source["user_count"] // 10)
        changed["read_user_source"] = [
            *changed["read_user_source"],
            {"user_count": some, "scene_desc": UNKNOWN_SCENE},
        ]
    return changed


def _without_title(row: Row) -> Row:
    return {name: value for name, value in row.items() if name not in ("title", "content_url")}
