"""Wrapped output: what commands wrap for a terminal, as the sentences that they are."""

import re


def unwrapped(output: str) -> str:
    """Return the output with lines that were wrapped in one: later lines of a sentence are indented."""
    return re.sub(r"\n {2,}(?=\S)(?! ?(?:ok|FAIL) )", " ", output)
