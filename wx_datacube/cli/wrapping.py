"""Wrapping: lines that fit a terminal of 80 columns, in which a Chinese character takes two.

`textwrap`, which click uses too, counts characters and breaks at blanks only. Nothing here prints.
"""

import re
import shutil
from unicodedata import east_asian_width

MAX_WIDTH = 80
"""Columns of the widest line: what a terminal has when it opens, and what a mail shows without wrapping again."""

_CJK = "\u3000-\u9fff\uff00-\uffef"
_PIECE = re.compile(rf"\s*[（「《(]*(?:[{_CJK}]|[^\s{_CJK}]+)[，。；：！？、）」》)]*")
"""What is never broken: a word or a Chinese character, with the punctuation that belongs to it."""


def cells(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    return sum(2 if east_asian_width(each) in "WF" else 1 for each in text)


def wrapped(text: str, first: str = "", indent: int = 2, width: int = MAX_WIDTH) -> str:
    """Return `first` and the text, in lines that fit both `width` and the terminal; later lines are indented.

    A word that is wider than a line, such as a path, is not broken, so that it can be copied.
    """
    width = min(width, shutil.get_terminal_size((MAX_WIDTH, 24)).columns)
    lines, empty = [first], True
    for piece in _PIECE.findall(text):
        if not empty and cells(lines[-1] + piece) > width:
            lines, empty = [*lines, " " * indent], True
        lines[-1] += piece.lstrip() if empty else piece
        empty = False
    return "\n".join(lines)
