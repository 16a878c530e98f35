"""Labels: what each answer of the batch shows for each label in its window.

Add a rule here if it decides what an answer proves about a label. A rule about rows belongs in `items`.
"""

from collections.abc import Iterator

from wx_datacube.catalog.model import Endpoint
from wx_datacube.catalog.periods import SETTLED_HOUR
from wx_datacube.warehouse.sql import FIRST_DAY, NEXT_LABEL

_EARLIER = """OVER (PARTITION BY worth.account, worth.label ORDER BY worth.call_id
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"""


def label_coverage(endpoint: Endpoint) -> str:
    """Return a SELECT with one row for each answer and label in its window: what the answer shows for the label.

    Its columns say how many rows the answer has, whether it is settled and clean, and what is known from before. A
    delayed answer says nothing about a label that is final, so it has no row for such a label.
    """
    step = NEXT_LABEL[endpoint.period]
    return f"""
WITH labels AS (
    SELECT *, unnest(generate_series(
        date_trunc('{endpoint.period.value}', begin_date)::TIMESTAMP, end_date::TIMESTAMP, {step}))::DATE AS label
    FROM answer
), seen AS (
    SELECT call_id, label, count(*) AS shown FROM item_{endpoint.name} WHERE reason IS NULL GROUP BY ALL
), apart AS (
    SELECT DISTINCT call_id, label FROM item_{endpoint.name} WHERE reason IS NOT NULL
), worth AS (
    SELECT labels.account, labels.call_id, labels.label, requested_at, delayed, coalesce(shown, 0) AS shown,
        NOT delayed AND requested_at >= labels.label + {step} + INTERVAL {SETTLED_HOUR} HOUR AS settled,
        -- A rejected row without a valid date may belong to any label of the window.
        NOT EXISTS (FROM apart WHERE apart.call_id = labels.call_id
            AND (apart.label = labels.label OR apart.label IS NULL)) AS clean,
        refresh AND list_contains(asked, labels.label) AS refreshed
    FROM labels LEFT JOIN seen ON seen.call_id = labels.call_id AND seen.label = labels.label
    WHERE labels.label >= begin_date AND labels.label >= {FIRST_DAY} AND labels.label + {step} <= requested_at
), said AS (
    SELECT worth.* REPLACE (refreshed AND worth.settled AND worth.clean AS refreshed),
        -- The first figures of a label aren't revisions: WeChat may have published them late.
        coalesce(before.known, false) OR coalesce(bool_or(worth.shown > 0) {_EARLIER}, false) AS known_before,
        coalesce(max(worth.call_id) FILTER (NOT delayed) {_EARLIER}, before.last_undelayed) AS undelayed_before,
        before.call_id AS stored_call_id, before.final AS stored_final, coalesce(before.known, false) AS stored_known
    FROM worth LEFT JOIN datacube.label_answers AS before
        ON before.account = worth.account AND before.label = worth.label AND before.endpoint = '{endpoint.name}'
), finished AS (
    SELECT worth.*, {_is_final_before(endpoint)} AS final_before FROM said AS worth
)
SELECT worth.* EXCLUDE (stored_call_id, stored_final, stored_known) REPLACE (
        -- Only answers that count: those left out below say nothing.
        stored_known OR coalesce(bool_or(worth.shown > 0) {_EARLIER}, false) AS known_before),
    {_is_final(endpoint)} AS final,
    coalesce(lag(worth.call_id) OVER (PARTITION BY worth.account, worth.label ORDER BY worth.call_id),
        stored_call_id) AS previous_call_id,
    stored_call_id IS NOT NULL OR count(*) OVER (PARTITION BY worth.account, worth.label) > 1 AS again
FROM finished AS worth WHERE NOT (delayed AND final_before)"""


def replace_answers(endpoint: Endpoint) -> Iterator[str]:
    """Yield statements that make the newest answer of each label the current one."""
    yield (
        "DELETE FROM datacube.label_answers AS old USING (SELECT DISTINCT account, label FROM covered) AS new"
        f" WHERE old.endpoint = '{endpoint.name}' AND old.account = new.account AND old.label = new.label"
    )
    yield f"""
INSERT INTO datacube.label_answers BY NAME
SELECT account, '{endpoint.name}' AS endpoint, label, call_id, requested_at AS fetched_at, settled, clean, shown,
    known_before OR shown > 0 AS known, final_before OR final AS final,
    CASE WHEN delayed THEN undelayed_before ELSE call_id END AS last_undelayed
FROM covered QUALIFY row_number() OVER (PARTITION BY account, label ORDER BY call_id DESC) = 1"""


def _is_final(endpoint: Endpoint) -> str:
    """Return SQL for whether WeChat will not change the label any more after this answer, by its own word."""
    if not endpoint.has_delay:
        return "true"
    nothing = "worth.shown = 0 AND settled AND clean"
    if not endpoint.grows:
        return f"(NOT delayed AND (worth.shown > 0 OR ({nothing})))"
    grown = f"requested_at >= worth.label + INTERVAL {endpoint.asked_again[-1]} DAY + INTERVAL {SETTLED_HOUR} HOUR"
    return f"(NOT delayed AND ({grown} OR ({nothing} AND NOT known_before)))"


def _is_final_before(endpoint: Endpoint) -> str:
    if not endpoint.has_delay:
        return "true"
    return f"(coalesce(stored_final, false) OR coalesce(bool_or({_is_final(endpoint)}) {_EARLIER}, false))"
