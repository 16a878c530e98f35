"""Checks: whether the stored figures can be trusted. Each check names what is wrong and the remedy.

Add a check to `CHECKS`; it then belongs to the asset of every endpoint that it `concerns`. A check looks at the current
answers for an account's labels, so that it passes again once they are clean. `answers` checks single answers,
`articles` the meaning of article figures, `sums` and `family_sums` figures that must agree, and `arrival` data that
must be there. `plausibility` compares yesterday with the weeks before it. How Dagster shows checks belongs in
`orchestration`.
"""

import datetime as dt
from collections.abc import Iterable

from wx_datacube.catalog.endpoints import BY_NAME
from wx_datacube.catalog.model import Endpoint
from wx_datacube.catalog.periods import due_labels, due_on, join_ranges, label_of
from wx_datacube.warehouse.checks.answers import (
    CODES_AND_FIELDS_ARE_KNOWN,
    FIGURES_WERE_NOT_REVISED,
    KEYS_ARE_UNIQUE,
    NO_DATA_BEFORE_HISTORY,
)
from wx_datacube.warehouse.checks.arrival import DUE_LABELS_ARE_THERE, PUBLISHED_FILE_IS_CURRENT
from wx_datacube.warehouse.checks.articles import (
    ARTICLE_FIGURES_DO_NOT_SHRINK,
    RATES_ARE_SHARES,
    READS_BY_SCENE_ARE_KNOWN,
)
from wx_datacube.warehouse.checks.check import Check, CheckContext, Finding, Fingerprint, Remedy, RemedyAction
from wx_datacube.warehouse.checks.context import check_context_of_readers, check_context_of_run, fingerprint
from wx_datacube.warehouse.checks.family_sums import (
    ACCOUNT_READERS_COVER_ARTICLES,
    CALLBACKS_ADD_UP,
    FOLLOWERS_ADD_UP,
)
from wx_datacube.warehouse.checks.plausibility import FIGURES_ARE_PLAUSIBLE, comparisons
from wx_datacube.warehouse.checks.sums import DISTRIBUTION_COVERS_USERS, MESSAGES_ADD_UP

CHECKS = (
    NO_DATA_BEFORE_HISTORY,
    FIGURES_WERE_NOT_REVISED,
    KEYS_ARE_UNIQUE,
    MESSAGES_ADD_UP,
    DISTRIBUTION_COVERS_USERS,
    FOLLOWERS_ADD_UP,
    CALLBACKS_ADD_UP,
    ACCOUNT_READERS_COVER_ARTICLES,
    ARTICLE_FIGURES_DO_NOT_SHRINK,
    READS_BY_SCENE_ARE_KNOWN,
    RATES_ARE_SHARES,
    FIGURES_ARE_PLAUSIBLE,
    DUE_LABELS_ARE_THERE,
    CODES_AND_FIELDS_ARE_KNOWN,
    PUBLISHED_FILE_IS_CURRENT,
)

__all__ = [
    "CHECKS",
    "DUE_LABELS_ARE_THERE",
    "FIGURES_ARE_PLAUSIBLE",
    "Check",
    "CheckContext",
    "Finding",
    "Fingerprint",
    "Remedy",
    "RemedyAction",
    "check_context_of_readers",
    "check_context_of_run",
    "checks_of",
    "comparisons",
    "date_ranges",
    "find_doubts",
    "fingerprint",
    "labels_to_refresh",
    "run_check",
]


def checks_of(endpoint: Endpoint) -> list[Check]:
    """Return the checks that concern an endpoint."""
    return [check for check in CHECKS if check.concerns(endpoint)]


def labels_to_refresh(findings: Iterable[Finding]) -> dict[Endpoint, set[dt.date]]:
    """Return the due labels to request again so that the findings may be resolved, by endpoint."""
    found: dict[Endpoint, set[dt.date]] = {}
    for each in findings:
        endpoint, begin, end = (
            BY_NAME[each.endpoint],
            dt.date.fromisoformat(each.begin),
            dt.date.fromisoformat(each.end),
        )
        last_due = due_on(label_of(end, endpoint.period), endpoint.period)
        found.setdefault(endpoint, set()).update(due_labels(endpoint.period, begin, last_due))
    return found


def date_ranges(findings: Iterable[Finding]) -> list[str]:
    """Return the dates that the findings are about, as `first..last`, oldest first; adjacent ranges are merged."""
    ranges = ((dt.date.fromisoformat(each.begin), dt.date.fromisoformat(each.end)) for each in findings)
    return [f"{first}..{last}" for first, last in join_ranges(ranges, lambda day: day + dt.timedelta(days=1))]


def run_check(check: Check, context: CheckContext, endpoint: Endpoint) -> list[Finding]:
    """Return all findings of the check for an endpoint, newest first; if it passes, they are all informational."""
    found = sorted(check.find(context, endpoint), key=lambda finding: (finding.ref_date, str(finding.what)))
    return sorted(found, key=lambda finding: finding.end, reverse=True)


def find_doubts(context: CheckContext) -> list[Finding]:
    """Return the findings of `figures_are_plausible` for an account; those that fail the check are first."""
    endpoints = [each for each in context.account.endpoints if FIGURES_ARE_PLAUSIBLE.concerns(each)]
    found = [finding for each in endpoints for finding in run_check(FIGURES_ARE_PLAUSIBLE, context, each)]
    return sorted(found, key=lambda finding: finding.informational)
