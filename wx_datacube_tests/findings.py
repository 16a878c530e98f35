"""Findings of checks, for tests: each run of a check also checks that its findings are in both languages.

Add a rule for the texts of all findings here. What a check finds is tested with the check.
"""

import re

from wx_datacube.catalog.model import Endpoint
from wx_datacube.language import Language
from wx_datacube.warehouse.checks import Check, CheckContext, Finding, run_check

CHINESE = re.compile("[\u3000-\u303f\u3400-\u9fff\uff00-\uffef]")
"""Chinese characters and punctuation."""
ENGLISH = re.compile("([a-z']+[ ,.:;]+){3}[a-z']+")
"""Four English words in a row."""


def findings_of(check: Check, context: CheckContext, endpoint: Endpoint) -> list[Finding]:
    """Run a check for an endpoint; only rows as WeChat sent them may be the same in both languages."""
    found = run_check(check, context, endpoint)
    for each in found:
        chinese = each.what.to(Language.CHINESE)
        if not str(each.what).endswith("}"):
            assert CHINESE.search(chinese), chinese
            assert not ENGLISH.search(chinese), chinese
    return found
